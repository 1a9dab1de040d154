"""Modules with tables computed from their arguments, which checkpoints do not contain."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn


class TableModule(nn.Module):
    """A module whose buffers follow from its arguments, and are computed again wherever they might be lost.

    ``to_empty``, which brings a model from the meta device to memory, leaves buffers undefined, and ``half`` rounds
    them for good. So the tables are computed again after every move or conversion, in float32 on the CPU.
    """

    @abstractmethod
    def make_tables(self) -> dict[str, Tensor]:
        """The buffers by name."""

    def reset_parameters(self, device: torch.device | str | None = None) -> None:
        """Compute the tables (again): on ``device``; by default where they are, else where torch creates tensors."""
        for name, table in self.make_tables().items():
            old: Tensor | None = getattr(self, name, None)
            place = (
                device if device is not None else torch.get_default_device() if old is None else old.device
            )
            dtype = table.dtype if old is None else old.dtype
            self.register_buffer(name, table.to(place, dtype), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        before = dict(self._buffers)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if any(table is not before[name] for name, table in self._buffers.items()):
            self.reset_parameters()
        return self

    def check_made(self, *inputs: Tensor) -> None:
        """Raise RuntimeError where the tables are still on the meta device and one of ``inputs`` is not."""
        if any(table is not None and table.is_meta for table in self._buffers.values()) and not all(
            x.is_meta for x in inputs
        ):
            raise RuntimeError(
                f"the tables of {type(self).__name__} have no values yet, they were made on the meta device: call its "
                "reset_parameters(device), or to_empty(device=...) of the model"
            )
