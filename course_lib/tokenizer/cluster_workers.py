"""The part of a job that a worker does, for ``cluster.py``: count or encode a range of a file, merge counts."""

import importlib.metadata
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from course_lib import _bpe
from course_lib.errors import FormatError
from course_lib.files import check_input_file
from course_lib.tokenizer.tokenizer import Tokenizer
from course_lib.tokenizer.training import count_by_regex


class SourceFile(NamedTuple):
    """A file that all workers see."""

    path: str
    size: int
    """Bytes, as seen where the job was started."""


class Block(NamedTuple):
    """A range of bytes of a file."""

    file: SourceFile
    start: int
    stop: int


@dataclass(frozen=True)
class PretokenCounts:
    """The number of occurrences of each pre-token of a text, as one block of bytes, and what pruning left out.

    ``packed``: the counts (``csrc/bpe/pack.hpp``). ``missed``: no count in ``packed`` is too low by more than this.
    ``dropped``: the total number of occurrences left out. Both are 0 without pruning.
    """

    packed: bytes
    missed: int = 0
    dropped: int = 0

    def __sizeof__(self) -> int:
        """The size, by which Dask decides where to merge counts and when to spill them to disk."""
        return object.__sizeof__(self) + len(self.packed)


def check_files(files: Sequence[SourceFile]) -> str:
    """The version of this package on the worker, after checking that the files are the same there."""
    for file in files:
        _check_size(file)
    return importlib.metadata.version("course-lib")


def _check_size(file: SourceFile) -> None:
    host = socket.gethostname()
    try:
        size = check_input_file(file.path).stat().st_size
    except OSError as error:
        raise type(error)(
            f"{error} on the host {host}: every worker must see the files under the names given"
        ) from error
    if size != file.size:
        reason = f"has {size:,} bytes on the host {host}, but {file.size:,} where the job was started"
        raise FormatError(file.path, "", reason)


def count_block(
    block: Block,
    scanner: str | None,
    expression: str,
    special_tokens: Sequence[str],
    max_words: int | None,
) -> PretokenCounts:
    """The pre-tokens of a range of a file; ``scanner`` and ``expression`` as :func:`resolve_pattern` gives them."""
    file, start, stop = block
    _check_size(file)
    words = _bpe.WordCounts(scanner, special_tokens)
    if scanner is None:
        for word, count in count_by_regex(Path(file.path), expression, special_tokens).items():
            words.add(word, count)
    else:
        words.add_file(os.fsencode(file.path), num_threads=1, progress=None, start=start, stop=stop)
    return merge_counts([PretokenCounts(words.pack())], max_words)


def merge_counts(parts: Sequence[PretokenCounts], max_words: int | None = None) -> PretokenCounts:
    """The counts of several texts together, pruned to ``max_words`` pre-tokens; see :func:`count_pretokens`."""
    packed = parts[0].packed if len(parts) == 1 else _bpe.merge_packed([part.packed for part in parts])
    missed, dropped = sum(part.missed for part in parts), sum(part.dropped for part in parts)
    if max_words is not None:
        packed, largest, total = _bpe.prune_packed(packed, max_words)
        missed, dropped = missed + largest, dropped + total
    return PretokenCounts(packed, missed, dropped)


def encode_block(tokenizer: Tokenizer, block: Block) -> NDArray[Any]:
    """The ids of a range of a file."""
    _check_size(block.file)
    return tokenizer.encode_range(block.file.path, block.start, block.stop)


def same(value: Tokenizer) -> Tokenizer:
    """``value`` itself, as the result of a task that other tasks can use."""
    return value
