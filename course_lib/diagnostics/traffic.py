"""The number of bytes that the operations of a computation read and write."""

from collections.abc import Iterable
from typing import Any

import pandas as pd
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

# These allocate memory, or return a property of a tensor, and do not touch its contents.
_NO_TRAFFIC = (
    "empty",
    "new_empty",
    "empty_like",
    "empty_strided",
    "promote_types",
    "result_type",
    "lift_fresh",
)


class moved_bytes(TorchDispatchMode):  # type: ignore[no-untyped-call]  # noqa: N801 (used like a function: with moved_bytes() as moved)
    """Count the bytes that torch's operations read and write within a ``with`` block.

        with moved_bytes() as moved:
            y = (x * x).mean()
        moved.total, moved.frame()

    Every operation reads its tensors and writes its results once; views move nothing. An operation is whatever
    torch sends to a device as one kernel, so a fused operation counts only its inputs and outputs. Caches are ignored,
    and compiled code that takes addresses instead of tensors is not seen.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._rows: list[tuple[str, int, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = str(func).split(".")[1]
        if not func.is_view and name not in _NO_TRAFFIC:
            read = _bytes([*args, *(kwargs or {}).values()])
            self._rows.append((name, read, _bytes([result])))
        return result

    @property
    def total(self) -> int:
        """Bytes read and written by all operations together."""
        return sum(read + written for _, read, written in self._rows)

    def frame(self) -> pd.DataFrame:
        """One row per operation, in order: operation, read, written (bytes)."""
        return pd.DataFrame(self._rows, columns=["operation", "read", "written"])


def _bytes(values: Iterable[Any]) -> int:
    """Bytes of all tensors among ``values``, lists included; a broadcast tensor counts the memory it occupies."""
    total = 0
    for value in values:
        if isinstance(value, Tensor):
            total += min(value.numel() * value.element_size(), value.untyped_storage().nbytes())
        elif isinstance(value, list | tuple):
            total += _bytes(value)
    return total
