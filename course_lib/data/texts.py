"""Real text that comes with the course: documents, a split into training and held-out text, and corpus files of both.

The files lie in the folder ``data`` of a checkout, and beside this module in an installed package.
"""

import hashlib
import lzma
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from course_lib.checks import check_choice, check_integer, check_number
from course_lib.data.documents import SEPARATOR, write_documents
from course_lib.errors import FormatError
from course_lib.files import PathLike, check_not_sources

_FOLDERS = (Path(__file__).parents[2] / "data", Path(__file__).parent)

_CHAPTER = re.compile(r"^(?:VOLUME [IVX]+\n+)?CHAPTER [0-9IVXLC]+$", re.MULTILINE | re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)_]*\s+|[。！？；\n]+")
_AROUND_SENTENCE = " \u3000\t\"'“”‘’「」『』_()（）"

SENTENCE_BYTES = 30
"""Length in UTF-8 from which a sentence counts as one: "Yes." is said in every chapter."""


@dataclass(frozen=True)
class Text:
    """A text that comes with the course.

    ``source``: where the digital text comes from. ``num_bytes``: size of the documents in UTF-8, without separators.
    """

    name: str
    description: str
    language: str
    source: str
    license: str
    num_bytes: int


TEXTS = (
    Text(
        "novels_en",
        "Jane Austen's six novels (written and published 1803-1818)",
        "en",
        "Project Gutenberg, by way of the R package janeaustenr",
        "public domain",
        4_017_386,
    ),
    Text(
        "classics_zh",
        "Chinese classics and poetry, from the Analects to Yuan drama",
        "zh",
        "the npm package chinese-poetry 2.0.1",
        "public domain",
        3_495_612,
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
    known = _known(name)
    return [*_documents(_file(known), known)]


def _known(name: str) -> Text:
    by_name = {known.name: known for known in TEXTS}
    check_choice("name", name, by_name)
    return by_name[name]


def _file(known: Text) -> Path:
    """The packed file of a text."""
    paths = [folder / f"{known.name}.txt.xz" for folder in _FOLDERS]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise FileNotFoundError(f"{known.name}.txt.xz is missing; looked for {' and '.join(map(str, paths))}")
    return path


@cache
def _documents(path: Path, known: Text) -> tuple[str, ...]:
    try:
        contents = lzma.decompress(path.read_bytes()).decode("utf-8")
    except (lzma.LZMAError, UnicodeDecodeError) as error:
        raise FormatError(path, "", f"damaged: {error}") from None
    documents = tuple(document.strip("\n") for document in contents.split(SEPARATOR))
    size = _size(documents)
    if size != known.num_bytes:
        raise FormatError(
            path, "", f"holds {size:,} bytes of text, not the {known.num_bytes:,} of {known.name}"
        )
    return documents


def _size(documents: Iterable[str]) -> int:
    """Size in UTF-8."""
    return sum(len(document.encode()) for document in documents)


PARTS = ("training", "held_out")
"""The parts of a :class:`Split`."""


@dataclass(frozen=True)
class Split:
    """A text in two parts that share no sentence; each is a list of pieces in their original order."""

    training: list[str]
    held_out: list[str]

    def joined(self, part: str) -> str:
        """All of "training" or "held_out" as one string, with a blank line between pieces."""
        check_choice("part", part, PARTS)
        return "\n\n".join(getattr(self, part))


def split(name: str, *, held_out: float = 0.05) -> Split:
    """Split a text by chapters (novels) or documents (classics), so that no sentence stands in both parts.

    Pieces that share a sentence stay together; shorter sentences than :data:`SENTENCE_BYTES` do not count. What is
    held out is determined by hashes of the text, the same in every call and on every machine; a larger share contains a
    smaller one.

    Args:
        name: One of the names in :data:`TEXTS`.
        held_out: Share of the text's characters that is held out at least, greater than 0 and less than 1.

    Raises:
        ValueError: The name is unknown, or the share is out of range.
        TypeError: The share is not a number.
        OSError, FormatError: The text cannot be read; see :func:`text`.
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


def write_text(
    path: PathLike,
    name: str,
    *,
    part: str | None = None,
    num_bytes: int | None = None,
    separator: str = SEPARATOR,
) -> int:
    """Write a text, or one part of its :func:`split`, to a UTF-8 file and return the number of documents.

    Each document is followed by a newline, the separator and another newline, as in the files of
    :func:`course_lib.data.write_stories`; in a part of the novels, a chapter is a document. The file appears under its
    name only when it is complete.

    Args:
        path: The file to write; an existing one is replaced.
        name: One of the names in :data:`TEXTS`.
        part: "training" or "held_out"; None for the whole text.
        num_bytes: Write only the first documents, as many as it takes to reach this size. Separators do not count.
        separator: The line after each document: one line of text that no document contains.

    Raises:
        ValueError: The name or the part is unknown, ``num_bytes`` is more than there is, the separator is unusable, or
            ``path`` is the packed file that is read.
        TypeError: ``num_bytes`` is not an integer.
        OSError, FormatError: The text cannot be read (see :func:`text`), or the file cannot be written.
    """
    if part is not None:
        check_choice("part", part, PARTS)
    check_not_sources([path], [_file(_known(name))])
    documents = text(name) if part is None else getattr(split(name), part)
    if num_bytes is not None:
        size = _size(documents)
        if check_integer("num_bytes", num_bytes, least=0) > size:
            there = name if part is None else f"the part {part} of {name}"
            raise ValueError(f"num_bytes must be at most {size:,}, the size of {there}, not {num_bytes:,}")
        documents = _first(documents, num_bytes)
    return write_documents(path, documents, separator=separator)


def _first(documents: Iterable[str], num_bytes: int) -> Iterator[str]:
    """The first documents, up to the one with which they reach ``num_bytes``."""
    size = 0
    for document in documents:
        if size >= num_bytes:
            return
        size += len(document.encode())
        yield document


def chapters(document: str) -> list[str]:
    """A document cut before each line "Chapter N"; a document without such lines is one piece."""
    starts = [match.start() for match in _CHAPTER.finditer(document)]
    ends = [*starts[1:], len(document)]
    # What stands before the first chapter, such as the title, belongs to it.
    return [document[start:end].strip("\n") for start, end in zip([0, *starts[1:]], ends, strict=True)]


def sentences(piece: str) -> Iterator[str]:
    """The sentences of at least :data:`SENTENCE_BYTES` bytes, without quotation marks and spaces around them.

    A line end ends a sentence as well.
    """
    for part in _SENTENCE_END.split(piece):
        sentence = part.strip(_AROUND_SENTENCE)
        if len(sentence.encode()) >= SENTENCE_BYTES:
            yield sentence


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
