"""The source of a text to train on: a file, several files, or a stream of documents."""

import contextlib
import itertools
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias, TypeGuard

from course_lib.files import PathLike, check_input_file

Source: TypeAlias = PathLike | Iterable[str] | Iterable[PathLike]

# Documents are passed on in groups of about this many characters.
_GROUP_CHARACTERS = 1 << 23

# The longest path on Linux, and the number of documents among which names of files are looked for.
_LONGEST_PATH = 4096
_LOOKED_AT = 100


def read_source(source: Source) -> Iterator[Path | list[str]]:
    """The files of ``source``, or its documents in groups of bounded size."""
    if isinstance(source, str | os.PathLike):
        yield _single_file(source)
        return
    if isinstance(source, bytes) or not isinstance(source, Iterable):
        raise TypeError(f"source must be a path or an iterable of str documents, not {type(source).__name__}")
    items = iter(source)
    files: list[PathLike] = []
    for item in items:
        if not _names_file(item):
            yield from _groups(files, itertools.chain([item], items))
            return
        files.append(item)
    # All files are checked before the first is read.
    yield from [check_input_file(file) for file in files]


def _single_file(source: PathLike) -> Path:
    try:
        return check_input_file(source)
    except FileNotFoundError as error:
        if isinstance(source, str):
            error.args = (f"{error} (a str is a path: a text to train on goes into a list)",)
        raise


def _names_file(item: object) -> TypeGuard[PathLike]:
    """Whether an item of a source is a path, or a str that names an existing file."""
    if not isinstance(item, str):
        return isinstance(item, os.PathLike)
    with contextlib.suppress(OSError):  # a part of it is too long for a file name
        # The system is not asked about texts that cannot be a path.
        return len(item) <= _LONGEST_PATH and "\n" not in item and Path(item).is_file()
    return False


def _groups(files: list[PathLike], others: Iterator[object]) -> Iterator[list[str]]:
    """The documents of a source in groups. Its first items, ``files``, name files; the first of ``others`` does not."""
    head = list(itertools.islice(others, _LOOKED_AT))
    path = next((item for item in files if not isinstance(item, str)), None)
    if path is not None and isinstance(head[0], str):
        shown = repr(head[0][:60])
        raise TypeError(
            f"source holds the path {os.fspath(path)}, but also {shown}, which is neither a path nor the name of a file"
        )
    names = [item for item in (*files, *head) if _names_file(item) and isinstance(item, str)]
    if names:
        warnings.warn(
            f"the items of source are taken as documents, though {names[0]!r} is the name of a file: "
            "to train on files, all items must name existing ones",
            stacklevel=_level_of_caller(),
        )
    group: list[str] = []
    size = 0
    for item in itertools.chain(files, head, others):
        if not isinstance(item, str):
            kind = "path" if isinstance(item, os.PathLike) else type(item).__name__
            raise TypeError(f"source holds documents and a {kind}: {item!r} (documents must be str)")
        group.append(item)
        size += len(item)
        if size >= _GROUP_CHARACTERS:
            yield group
            group, size = [], 0
    if group:
        yield group


def _level_of_caller() -> int:
    """The ``stacklevel`` for a warning to name the line outside this package that called it."""
    package = Path(__file__).parents[1]
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and Path(frame.f_code.co_filename).is_relative_to(package):
        frame, level = frame.f_back, level + 1
    return level


def no_text(source: Source) -> str:
    """The error message for a source without text."""
    empty = isinstance(source, str | os.PathLike)
    why = f"{os.fspath(source)} is empty" if empty else "it has no file and no document, or only empty ones"  # type: ignore[arg-type]
    return f"source holds no text to train on: {why}"
