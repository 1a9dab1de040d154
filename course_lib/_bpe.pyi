"""The compiled byte-pair encoding engine. Private: use ``course_lib.tokenizer``.

Text is ``str`` or contiguous bytes; a lone surrogate raises UnicodeEncodeError. ``progress`` is called about every
50 ms with (done, total). Long calls release the interpreter lock and stop at Ctrl-C. Files that cannot be read raise
OSError. ``start`` and ``stop`` select a part of a file: from the first place at or after byte ``start`` where the
engine may cut it, to the first such place at or after ``stop``, so that adjacent ranges give adjacent parts. Packed
word counts are described in ``csrc/bpe/pack.hpp``; other bytes raise ValueError.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import NDArray

_Buffer: TypeAlias = bytes | bytearray | memoryview
_Progress: TypeAlias = Callable[[int, int], object]
_IdArray: TypeAlias = NDArray[np.uint16] | NDArray[np.uint32]

class Encoder:
    def __init__(
        self,
        *,
        tokens: dict[int, bytes],
        merges: NDArray[np.uint32],  # rows: left, right, result
        special_tokens: Sequence[tuple[str, int]],
        byte_ids: Sequence[int],
        whole_tokens: Sequence[int],
        pattern: str | None,
    ) -> None: ...
    def encode(self, text: str | _Buffer, with_specials: bool) -> list[int]: ...
    def encode_numpy(self, text: str | _Buffer, with_specials: bool) -> _IdArray: ...
    def encode_batch(
        self,
        texts: Sequence[str | _Buffer],
        *,
        with_specials: bool,
        num_threads: int | None,
        progress: _Progress | None,
    ) -> list[list[int]]: ...
    def encode_batch_numpy(
        self,
        texts: Sequence[str | _Buffer],
        *,
        with_specials: bool,
        num_threads: int | None,
        progress: _Progress | None,
    ) -> tuple[_IdArray, NDArray[np.int64]]: ...
    def encode_pretokens(self, pretokens: Sequence[str | _Buffer]) -> list[int]: ...
    def safe_cut(self, text: str | _Buffer) -> int: ...
    def decode(self, ids: Iterable[SupportsIndex] | NDArray[Any]) -> bytes: ...

def encode_uncached(encoder: Encoder, text: str | _Buffer, pattern: str) -> _IdArray: ...

class FileEncoder:
    def __init__(
        self,
        encoder: Encoder,
        path: str | bytes,
        *,
        num_threads: int | None,
        progress: _Progress | None,
        start: int = 0,
        stop: int | None = None,
    ) -> None: ...
    def __iter__(self) -> Iterator[_IdArray]: ...
    def __next__(self) -> _IdArray: ...

class WordCounts:
    def __init__(self, pattern: str | None, special_tokens: Sequence[str]) -> None: ...
    def add_file(
        self,
        path: str | bytes,
        *,
        num_threads: int | None,
        progress: _Progress | None,
        start: int = 0,
        stop: int | None = None,
    ) -> None: ...
    def add_documents(
        self, documents: Sequence[str | _Buffer], *, num_threads: int | None, progress: _Progress | None
    ) -> None: ...
    def add(self, word: str | _Buffer, count: int) -> None: ...
    def add_packed(self, packed: _Buffer) -> None: ...
    def pack(self) -> bytes: ...
    def __len__(self) -> int: ...
    def total(self) -> int: ...

def train(
    counts: WordCounts, num_merges: int, *, num_threads: int | None, progress: _Progress | None
) -> tuple[list[bytes], list[tuple[bytes, bytes]], NDArray[np.uint32]]: ...
def merge_packed(blocks: Sequence[_Buffer]) -> bytes: ...
def prune_packed(packed: _Buffer, max_words: int) -> tuple[bytes, int, int]: ...
def pretokenize(text: str | _Buffer, pattern: str) -> list[Any]: ...
def character_classes() -> (
    bytes
): ...  # a byte for each code point, the bits of CharClass in csrc/bpe/unicode.hpp
def recover_merges(tokens: Sequence[bytes]) -> list[tuple[int, int]]: ...
def default_num_threads() -> int: ...
def build_info() -> dict[str, Any]: ...
