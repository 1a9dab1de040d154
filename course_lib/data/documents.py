"""Corpus files: documents of UTF-8 text, each followed by a separator on a line of its own."""

from collections.abc import Callable, Iterable

from course_lib.files import PathLike, atomic_write

SEPARATOR = "<|endoftext|>"
"""The line between two documents of a corpus file."""


def write_documents(
    path: PathLike,
    documents: Iterable[str],
    *,
    separator: str = SEPARATOR,
    advance: Callable[[int], object] | None = None,
) -> int:
    """Write documents to a UTF-8 file and return their number.

    Each document is followed by a newline, the separator and another newline. The file appears under its name only when
    it is complete.

    Args:
        path: the file to write; an existing one is replaced.
        documents: the texts.
        separator: the line after each document: one line of text that no document contains.
        advance: called with the size in bytes of each document that was written, without its separator.

    Raises:
        ValueError: the separator is empty, more than a line, or in a document.
        OSError: the file cannot be written; see :func:`course_lib.files.atomic_write`.
    """
    if not separator or not separator.isprintable():
        raise ValueError(f"separator must be a non-empty text on one line, not {separator!r}")
    ending = f"\n{separator}\n".encode()
    count = 0
    with atomic_write(path) as file:
        for document in documents:
            if separator in document:
                raise ValueError(f"separator must be a text that no document contains, not {separator!r}")
            encoded = document.encode()
            file.write(encoded + ending)
            if advance is not None:
                advance(len(encoded))
            count += 1
    return count
