"""The compiled byte-pair encoding engine. Private: use ``course_lib.tokenizer``.

Text is ``str`` or contiguous bytes; a lone surrogate raises UnicodeEncodeError. ``progress`` is called about every
50 ms with (done, total). Long calls release the interpreter lock and stop at Ctrl-C. Files that cannot be read raise
OSError.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

_Buffer = bytes | bytearray | memoryview
_Progress = Callable[[int, int], object]
_IdArray = NDArray[np.uint16] | NDArray[np.uint32]

class Encoder:
    def __init__(
        self,
        *,
        tokens: Sequence[tuple[int, bytes]],
        merges: Sequence[tuple[int, int, int]],
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
    def encode_pretokens(self, pretokens: Sequence[str | _Buffer]) -> list[int]: ...
    def safe_cut(self, text: str | _Buffer) -> int: ...
    def decode(self, ids: Iterable[SupportsIndex] | NDArray[Any]) -> bytes: ...

class FileEncoder:
    def __init__(
        self, encoder: Encoder, path: str, *, num_threads: int | None, progress: _Progress | None
    ) -> None: ...
    def __iter__(self) -> Iterator[list[_IdArray]]: ...
    def __next__(self) -> list[_IdArray]: ...

def pretokenize(text: str | _Buffer, pattern: str) -> list[Any]: ...
def recover_merges(tokens: Sequence[bytes]) -> list[tuple[int, int]]: ...
def default_num_threads() -> int: ...
def build_info() -> dict[str, Any]: ...
