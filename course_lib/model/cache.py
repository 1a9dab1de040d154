"""The KV cache: keys and values of the tokens read so far, so that each is computed only once."""

import torch
from torch import Tensor

from course_lib.checks import check_positive
from course_lib.model.config import ModelConfig


class LayerCache:
    """Keys and values of one attention layer, in buffers of (batch_size, kv_heads, max_seq_len, head_dim).

    ``length`` positions are filled. Stored tensors are detached from the autograd graph: the cache is for inference.
    """

    def __init__(
        self,
        batch_size: int,
        kv_heads: int,
        max_seq_len: int,
        head_dim: int,
        *,
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
        self.keys = torch.empty(tuple(sizes.values()), device=device, dtype=dtype)
        self.values = torch.empty_like(self.keys)
        self.length = 0

    @property
    def max_seq_len(self) -> int:
        """Number of positions that fit."""
        return self.keys.shape[2]

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add keys and values of T more positions, (B, kv_heads, T, head_dim) each, and return views of all so far.

        Under autocast they are converted to the dtype of the cache. Raises ValueError where shape, dtype or device do
        not fit or there is no room.
        """
        batch_size, kv_heads, max_seq_len, head_dim = self.keys.shape
        start, new_length = self.length, keys.shape[-2]
        end = start + new_length
        if end > max_seq_len:
            raise ValueError(
                f"the cache is too short: {start} positions are filled, {new_length} more were requested, "
                f"max_seq_len is {max_seq_len}"
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
        self.keys.narrow(2, start, new_length).copy_(keys.detach())
        self.values.narrow(2, start, new_length).copy_(values.detach())
        self.length = end
        return self.keys.narrow(2, 0, end), self.values.narrow(2, 0, end)


class KVCache:
    """The keys and values of a whole model: one :class:`LayerCache` per layer, in ``layers``.

    Args:
        config: the model's.
        batch_size: number of sequences.
        max_seq_len: number of positions; default and upper bound: the model's context length.
        device: the model's.
        dtype: the model's; default: torch's default dtype, float32 unless changed.

    Raises:
        ValueError: ``max_seq_len`` is more than the model's context length.
    """

    def __init__(
        self,
        config: ModelConfig,
        batch_size: int = 1,
        max_seq_len: int | None = None,
        *,
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
        self.layers = [
            LayerCache(
                batch_size, config.kv_heads, max_seq_len, config.head_width, device=device, dtype=dtype
            )
            for _ in range(config.num_layers)
        ]

    @property
    def length(self) -> int:
        """Positions filled so far."""
        return self.layers[0].length

    @property
    def max_seq_len(self) -> int:
        """Number of positions that fit."""
        return self.layers[0].max_seq_len

    @property
    def num_bytes(self) -> int:
        """Memory of all buffers: 2 · layers · kv_heads · head_dim · max_seq_len · batch · bytes of a number."""
        return sum(2 * layer.keys.numel() * layer.keys.element_size() for layer in self.layers)

    def truncate(self, length: int = 0) -> None:
        """Forget all positions from ``length`` on. Raises ValueError unless 0 ≤ ``length`` ≤ the filled length."""
        if not 0 <= length <= self.length:
            raise ValueError(f"length must be in 0 … {self.length}, the filled length, not {length}")
        for layer in self.layers:
            layer.length = length

    def __repr__(self) -> str:
        batch_size, kv_heads, max_seq_len, head_dim = self.layers[0].keys.shape
        return (
            f"KVCache({len(self.layers)} layers, batch_size={batch_size}, kv_heads={kv_heads}, head_dim={head_dim}, "
            f"{self.length} of {max_seq_len} positions)"
        )
