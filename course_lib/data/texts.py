"""Real text that comes with the course: documents, and a split into training and held-out text."""

import hashlib
import lzma
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from course_lib.checks import check_choice, check_number
from course_lib.data.stories import SEPARATOR
from course_lib.errors import FormatError

# In a checkout the files lie in its folder data; an installed package carries them beside this module.
_FOLDERS = (Path(__file__).parents[2] / "data", Path(__file__).parent)

_CHAPTER = re.compile(r"^(?:VOLUME [IVX]+\n+)?CHAPTER [0-9IVXLC]+$", re.MULTILINE | re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)_]*\s+|[。！？；\n]+")

SENTENCE_BYTES = 30
"""Length in UTF-8 from which on a sentence counts as one: "Yes." is said in every chapter."""


@dataclass(frozen=True)
class Text:
    """A text that comes with the course: its ``name``, what it is, its ``language`` and where it comes from."""

    name: str
    description: str
    language: str
    source: str


TEXTS = (
    Text(
        "novels_en",
        "Jane Austen's six novels (1803-1818), in the public domain",
        "en",
        "Project Gutenberg, by way of the R package janeaustenr",
    ),
    Text(
        "classics_zh",
        "Chinese classics and poetry, from the Analects to Yuan drama, in the public domain",
        "zh",
        "the npm package chinese-poetry 2.0.1",
    ),
)
"""The texts that :func:`text` and :func:`split` know."""


def text(name: str) -> list[str]:
    """The documents of a text: six novels, or 11,769 poems and other pieces.

    Args:
        name: One of the names in :data:`TEXTS`.

    Raises:
        ValueError: The name is unknown.
        FileNotFoundError: The file is neither in the checkout's folder data nor in the installed package.
        FormatError: The file is damaged.
    """
    check_choice("name", name, [known.name for known in TEXTS])
    return [*_documents(name)]


@cache
def _documents(name: str) -> tuple[str, ...]:
    paths = [folder / f"{name}.txt.xz" for folder in _FOLDERS]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise FileNotFoundError(f"{name}.txt.xz is missing; looked for {' and '.join(map(str, paths))}")
    try:
        contents = lzma.decompress(path.read_bytes()).decode("utf-8")
    except (lzma.LZMAError, UnicodeDecodeError) as error:
        raise FormatError(path, "", f"damaged: {error}") from None
    return tuple(document.strip("\n") for document in contents.split(SEPARATOR))


@dataclass(frozen=True)
class Split:
    """A text in two parts that share no sentence; each is a list of documents in their original order."""

    training: list[str]
    held_out: list[str]

    def joined(self, part: str) -> str:
        """All documents of "training" or "held_out" as one string, with a blank line between them."""
        check_choice("part", part, ["training", "held_out"])
        return "\n\n".join(getattr(self, part))


def split(name: str, *, held_out: float = 0.05) -> Split:
    """Split a text by chapters (novels) or documents, so that no sentence stands in both parts.

    Parts that share a sentence stay together. What is held out is determined by hashes of the text, the same in every
    call and on every machine; a larger share contains a smaller one.

    Args:
        name: One of the names in :data:`TEXTS`.
        held_out: Share of the text, at least, that is held out, between 0 and 1.

    Raises:
        ValueError: The name is unknown, or the share is not between 0 and 1.
    """
    check_number("held_out", held_out, above=0, below=1)
    pieces = [piece for document in text(name) for piece in chapters(document)]
    wanted = held_out * sum(map(len, pieces))
    chosen: set[int] = set()
    size = 0
    for group in sorted(_sharing_sentences(pieces), key=lambda group: _digest(pieces[group[0]])):
        if size >= wanted:
            break
        chosen.update(group)
        size += sum(len(pieces[number]) for number in group)
    parts = Split(
        [piece for number, piece in enumerate(pieces) if number not in chosen],
        [piece for number, piece in enumerate(pieces) if number in chosen],
    )
    assert not _all_sentences(parts.training) & _all_sentences(parts.held_out)
    return parts


def chapters(document: str) -> list[str]:
    """A document cut before each line "Chapter N"; a document without such lines is one piece."""
    starts = [match.start() for match in _CHAPTER.finditer(document)]
    ends = [*starts[1:], len(document)]
    # What stands before the first chapter, such as the title, belongs to it.
    return [document[start:end].strip("\n") for start, end in zip([0, *starts[1:]], ends, strict=True)]


def sentences(piece: str) -> Iterator[str]:
    """The sentences of at least :data:`SENTENCE_BYTES` bytes; a line end ends a sentence as well."""
    for sentence in _SENTENCE_END.split(piece):
        if len(sentence.strip().encode()) >= SENTENCE_BYTES:
            yield sentence.strip()


def _all_sentences(pieces: Iterable[str]) -> set[str]:
    return {sentence for piece in pieces for sentence in sentences(piece)}


def _sharing_sentences(pieces: Sequence[str]) -> list[list[int]]:
    """Groups of numbers of pieces: two pieces that share a sentence are in one group."""
    group_of = list(range(len(pieces)))

    def root(number: int) -> int:
        while group_of[number] != number:
            group_of[number] = group_of[group_of[number]]
            number = group_of[number]
        return number

    first: dict[str, int] = {}
    for number, piece in enumerate(pieces):
        for sentence in sentences(piece):
            group_of[root(number)] = root(first.setdefault(sentence, number))
    groups: dict[int, list[int]] = {}
    for number in range(len(pieces)):
        groups.setdefault(root(number), []).append(number)
    return list(groups.values())


def _digest(piece: str) -> bytes:
    return hashlib.sha256(piece.encode()).digest()
