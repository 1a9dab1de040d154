"""A dictionary of words with their counts, and that of jieba as data."""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from course_lib.errors import FormatError
from course_lib.files import package_folders, pip_command


class Dictionary(Mapping[str, int]):
    """Words with their counts, and the two figures that segmentation needs all the time.

    ``counts``: word → a non-negative integer; an entry with count 0 is not a word. ``total`` is the sum of the
    counts, ``max_length`` the length of the longest word in characters. Any mapping can be passed
    instead of a dictionary, but these two figures are then computed in every call.

    Raises ValueError for an empty word or a negative count, TypeError for a count that is not an integer.
    """

    def __init__(self, counts: Mapping[str, int]) -> None:
        for word, count in counts.items():
            if not isinstance(count, int):
                raise TypeError(f"counts[{word!r}] must be an integer, not {count!r}")
            if not word or count < 0:
                raise ValueError(
                    f"counts holds {word!r}: {count}; a word must not be empty, nor its count negative"
                )
        self._counts = {word: count for word, count in counts.items() if count}
        self.total = sum(self._counts.values())
        self.max_length = max(map(len, self._counts), default=0)

    @classmethod
    def of(cls, counts: Mapping[str, int]) -> "Dictionary":
        """``counts`` itself if it is a Dictionary, else a Dictionary made from it."""
        return counts if isinstance(counts, Dictionary) else cls(counts)

    def __getitem__(self, word: str) -> int:
        return self._counts[word]

    def __contains__(self, word: object) -> bool:
        return word in self._counts

    def __iter__(self) -> Iterator[str]:
        return iter(self._counts)

    def __len__(self) -> int:
        return len(self._counts)

    def __repr__(self) -> str:
        return f"<Dictionary: {len(self):,} words, {self.total:,} occurrences>"


@cache
def jieba_dictionary() -> Dictionary:
    """The dictionary of the jieba package (MIT licence): about 350,000 words with their counts in a large corpus.

    Only the package's data file is read; the package is not imported. Raises FileNotFoundError, with the command that
    installs it, if it is missing, and FormatError for a damaged file.
    """
    return read_dictionary(jieba_file("dict.txt"))


def read_dictionary(path: Path) -> Dictionary:
    """Read a word list in jieba's format: a line ``word count part-of-speech`` for each word, in UTF-8.

    Raises FormatError, naming the line, for anything else.
    """
    counts: dict[str, int] = {}
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise FormatError(path, f"byte {error.start}", "not UTF-8") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        word, _, rest = line.strip().partition(" ")
        count = rest.partition(" ")[0]
        if not (count.isascii() and count.isdigit()):
            raise FormatError(path, f"line {number}", f"expected 'word count part-of-speech', found {line!r}")
        counts[word] = int(count)
    if not counts:
        raise FormatError(path, "", "the dictionary is empty")
    return Dictionary(counts)


def jieba_file(name: str) -> Path:
    """A file of the installed jieba package. Raises FileNotFoundError with the command that installs it."""
    for folder in package_folders("jieba"):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"jieba's {name} is not on this machine; install it with: {pip_command('jieba')}")
