"""The KV cache: keys and values of the tokens read so far, so that each is computed only once."""

from collections.abc import Sequence

import torch
from torch import Tensor

from course_lib.checks import check_integer, check_positive
from course_lib.model.config import ModelConfig


class LayerCache:
    """Keys and values of one attention layer, in buffers of (batch_size, kv_heads, slots, head_dim).

    ``length`` positions have been read. Stored tensors are detached from the autograd graph: the cache is for
    inference.

    Args:
        batch_size: sequences, B.
        kv_heads: heads of keys and values.
        max_seq_len: positions that may be read.
        head_dim: width of a head.
        window: positions that are kept, the last ones; a new one takes the place of the oldest. Default: all.
        sinks: first positions that are kept for ever, besides the window (Xiao et al. 2023).
        device: of the buffers.
        dtype: of the buffers.

    There are ``max_seq_len`` slots, or ``sinks + window`` where these are fewer, however long the text.
    """

    def __init__(
        self,
        batch_size: int,
        kv_heads: int,
        max_seq_len: int,
        head_dim: int,
        *,
        window: int | None = None,
        sinks: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        sizes = {
            "batch_size": batch_size,
            "kv_heads": kv_heads,
            "max_seq_len": max_seq_len,
            "head_dim": head_dim,
        }
        for name, value in sizes.items():
            check_positive(name, value)
        if window is not None:
            check_positive("window", window)
        check_integer("sinks", sinks, least=0)
        if sinks and window is None:
            raise ValueError("sinks need a window: without one, every position is kept")
        slots = max_seq_len if window is None else min(max_seq_len, sinks + window)
        self.keys = torch.empty(batch_size, kv_heads, slots, head_dim, device=device, dtype=dtype)
        self.values = torch.empty_like(self.keys)
        self.max_seq_len, self.window, self.sinks = max_seq_len, window, sinks
        self.length = 0

    @property
    def slots(self) -> int:
        """Number of positions that are kept at most."""
        return self.keys.shape[2]

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add keys and values of T more positions, (B, kv_heads, T, head_dim) each; return those that they may see.

        These are all positions so far, in their order. With a window, they are the positions that were kept and the new
        ones: in order if T > 1, else in any order.

        Under autocast they are converted to the dtype of the cache. Raises ValueError where shape, dtype or device do
        not fit or there is no room.
        """
        start, end = self.length, self.length + keys.shape[-2]
        self._check(keys, values)
        pairs = ((self.keys, keys.detach()), (self.values, values.detach()))
        self.length = end
        if end <= self.slots:
            for buffer, new in pairs:
                buffer.narrow(2, start, end - start).copy_(new)
            return self.keys.narrow(2, 0, end), self.values.narrow(2, 0, end)
        if end - start == 1:  # in place: the newest position takes the slot of the oldest
            for buffer, new in pairs:
                buffer.narrow(2, self._slot(start), 1).copy_(new)
            return self.keys, self.values
        kept, stays = self._kept(start), [i for i in self._kept(end) if i >= start]
        seen = [
            torch.cat((buffer[:, :, [*map(self._slot, kept)]], new.to(buffer.dtype)), 2)
            for buffer, new in pairs
        ]
        for buffer, new in pairs:
            buffer[:, :, [*map(self._slot, stays)]] = new[:, :, [i - start for i in stays]].to(buffer.dtype)
        return seen[0], seen[1]

    def _kept(self, length: int) -> list[int]:
        """The positions that are kept after ``length`` have been read, in order."""
        first = max(self.sinks, length - (self.slots - self.sinks))
        return [*range(min(self.sinks, length)), *range(first, length)]

    def _slot(self, position: int) -> int:
        if position < self.sinks:
            return position
        return self.sinks + (position - self.sinks) % (self.slots - self.sinks)

    def _check(self, keys: Tensor, values: Tensor) -> None:
        batch_size, kv_heads, _, head_dim = self.keys.shape
        new_length = keys.shape[-2]
        if self.length + new_length > self.max_seq_len:
            raise ValueError(
                f"the cache is too short: {self.length} positions are filled, {new_length} more were requested, "
                f"max_seq_len is {self.max_seq_len}"
            )
        expected = (batch_size, kv_heads, new_length, head_dim)
        for name, new in (("keys", keys), ("values", values)):
            if new.shape != expected:
                raise ValueError(f"{name} for this cache must have shape {expected}, not {tuple(new.shape)}")
            # Under autocast, projections have 16 bits; the cache may have more.
            converted = new.dtype == self.keys.dtype or torch.is_autocast_enabled(new.device.type)
            if not converted or new.device != self.keys.device:
                raise ValueError(
                    f"{name} for this cache must be {self.keys.dtype} on {self.keys.device}, "
                    f"not {new.dtype} on {new.device}"
                )

    def check_window(self, window: int | None) -> None:
        """Raise ValueError if a layer with this ``window`` cannot read from here: its own window must be the same."""
        if window is not None and self.window is not None and (window, 0) != (self.window, self.sinks):
            raise ValueError(
                f"the cache keeps a window of {self.window} and {self.sinks} sinks; "
                f"the layer's own window is {window}, so it needs a cache of that window, or of all positions"
            )

    def truncate(self, length: int) -> None:
        """Forget all positions from ``length`` on.

        Raises ValueError unless 0 ≤ ``length`` ≤ the filled length, or where a window has forgotten positions that
        would be needed.
        """
        if not 0 <= length <= self.length:
            raise ValueError(f"length must be in 0 … {self.length}, the filled length, not {length}")
        if self.length > self.slots and length not in (0, self.length):
            raise ValueError(
                f"length must be 0 or {self.length}, not {length}: a window of {self.window} keeps no older positions"
            )
        self.length = length


class KVCache:
    """The keys and values of a whole model: one :class:`LayerCache` per layer, in ``layers``.

    Args:
        config: the model's.
        batch_size: number of sequences.
        max_seq_len: number of positions; default and upper bound: the model's context length.
        windows: for each layer, the positions it keeps, None for all; default: the model's window in every layer. A
            window is applied between calls: tokens that are read together see each other, unless the layer has a window
            of its own.
        sinks: first positions that layers with a window keep besides.
        device: the model's.
        dtype: the model's; default: torch's default dtype, float32 unless changed.

    Raises:
        ValueError: ``max_seq_len`` is more than the model's context length, or ``windows`` has another number of
            entries than the model has layers.
    """

    def __init__(
        self,
        config: ModelConfig,
        batch_size: int = 1,
        max_seq_len: int | None = None,
        *,
        windows: Sequence[int | None] | None = None,
        sinks: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if max_seq_len is None:
            max_seq_len = config.context_length
        check_positive("max_seq_len", max_seq_len)
        if max_seq_len > config.context_length:
            raise ValueError(
                f"max_seq_len must be at most the model's context_length = {config.context_length}, not {max_seq_len}"
            )
        windows = [config.window] * config.num_layers if windows is None else windows
        if len(windows) != config.num_layers:
            raise ValueError(
                f"windows must have {config.num_layers} entries, one per layer, not {len(windows)}"
            )
        self.layers = [
            LayerCache(
                batch_size,
                config.kv_heads,
                max_seq_len,
                config.head_width,
                window=window,
                sinks=0 if window is None else sinks,
                device=device,
                dtype=dtype,
            )
            for window in windows
        ]

    @property
    def length(self) -> int:
        """Positions read so far."""
        return self.layers[0].length

    @property
    def max_seq_len(self) -> int:
        """Number of positions that may be read."""
        return self.layers[0].max_seq_len

    @property
    def num_bytes(self) -> int:
        """Memory of all buffers: 2 · kv_heads · head_dim · slots · batch · bytes of a number, summed over the layers.

        A layer has ``max_seq_len`` slots, or its window (and sinks) where that is less.
        """
        return sum(2 * layer.keys.numel() * layer.keys.element_size() for layer in self.layers)

    def truncate(self, length: int = 0) -> None:
        """Forget all positions from ``length`` on, in every layer or in none; see :meth:`LayerCache.truncate`."""
        before = [layer.length for layer in self.layers]
        try:
            for layer in self.layers:
                layer.truncate(length)
        except ValueError:
            for layer, filled in zip(self.layers, before, strict=True):
                layer.length = filled
            raise

    def __repr__(self) -> str:
        batch_size, kv_heads, _, head_dim = self.layers[0].keys.shape
        kept = sorted({layer.window for layer in self.layers if layer.window is not None})
        windows = f", windows of {', '.join(map(str, kept))}" if kept else ""
        return (
            f"KVCache({len(self.layers)} layers, batch_size={batch_size}, kv_heads={kv_heads}, head_dim={head_dim}, "
            f"{self.length} of {self.max_seq_len} positions{windows})"
        )
