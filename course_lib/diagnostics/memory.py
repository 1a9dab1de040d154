"""The tensors that autograd keeps for the backward pass."""

from types import TracebackType
from typing import Self

import pandas as pd
import torch
from torch import Tensor, nn


class saved_bytes:  # noqa: N801 (used like a function: with saved_bytes() as saved)
    """Count the bytes that autograd saves for the backward pass within a ``with`` block.

        with saved_bytes(model) as saved:
            loss = cross_entropy(model(x), y)
        saved.total, saved.frame()

    Tensors that share their memory count once, in full: a saved view keeps all of it alive. Parameters are not counted:
    they exist anyway.

    Args:
        *kept: Modules and tensors whose memory is not counted: the model and, optionally, its inputs.
    """

    def __init__(self, *kept: nn.Module | Tensor) -> None:
        tensors: list[Tensor] = []
        for item in kept:
            tensors += [item] if isinstance(item, Tensor) else [*item.parameters(), *item.buffers()]
        self._kept = {tensor.untyped_storage().data_ptr() for tensor in tensors}
        self._rows: list[tuple[str, tuple[int, ...], int, bool]] = []
        # Holding the storages keeps their addresses from being given to other tensors while we count.
        self._seen: dict[int, torch.UntypedStorage] = {}
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._save, lambda tensor: tensor)

    def __enter__(self) -> Self:
        self._hooks.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hooks.__exit__(kind, error, trace)
        self._seen.clear()

    def _save(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        address = storage.data_ptr()
        owner = tensor if tensor._base is None else tensor._base
        if address not in self._kept and not isinstance(owner, nn.Parameter):
            new = address not in self._seen
            self._seen[address] = storage
            self._rows.append(
                (str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), storage.nbytes(), new)
            )
        return tensor

    @property
    def total(self) -> int:
        """Bytes of all memory that is kept, each piece once."""
        return sum(size for _, _, size, new in self._rows if new)

    def frame(self) -> pd.DataFrame:
        """One row per saved tensor, in order: dtype, shape, bytes, counted (False: memory seen before)."""
        return pd.DataFrame(self._rows, columns=["dtype", "shape", "bytes", "counted"])
