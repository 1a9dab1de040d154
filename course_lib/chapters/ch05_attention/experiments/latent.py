"""Multi-head latent attention (MLA): the keys and values of all heads from one short vector per token."""

import math

import torch
from torch import Tensor, nn

from course_lib.model import Linear, RMSNorm, RotaryEmbedding, causal_mask, scaled_dot_product_attention


class LatentCache:
    """The latents and turned keys of the tokens so far, (B, max_seq_len, latent + rope_dim)."""

    def __init__(
        self, batch_size: int, max_seq_len: int, width: int, *, dtype: torch.dtype | None = None
    ) -> None:
        self.buffer = torch.empty(batch_size, max_seq_len, width, dtype=dtype)
        self.length = 0

    @property
    def num_bytes(self) -> int:
        """Memory of the buffer: (latent + rope_dim) · max_seq_len · batch · bytes of a number."""
        return self.buffer.numel() * self.buffer.element_size()

    def append(self, new: Tensor) -> Tensor:
        """Add (B, T, width) and return all so far. Raises ValueError if there is no room."""
        end = self.length + new.shape[1]
        if end > self.buffer.shape[1]:
            raise ValueError(
                f"the cache is too short: {self.length} positions are filled, {new.shape[1]} more were requested, "
                f"max_seq_len is {self.buffer.shape[1]}"
            )
        self.buffer[:, self.length : end] = new.detach()
        self.length = end
        return self.buffer[:, :end]


class LatentAttention(nn.Module):
    """Causal attention whose cache is one latent vector per token (DeepSeek-AI 2024, DeepSeek-V2, section 2.1).

    A token x leaves behind a latent c = norm(W_down x) of ``latent`` numbers and one key of ``rope_dim`` numbers that
    carries its position and that all heads share. Each head makes its own key and value from c. (The paper also
    compresses the queries, which saves memory in training; that is left out here.)

    Two forms give the same numbers: :meth:`by_heads` makes keys and values of every head, :meth:`absorbed` never does.

    Shapes: x (B, T, d_model) → (B, T, d_model).
    """

    def __init__(
        self, d_model: int, num_heads: int, head_dim: int, *, latent: int, rope: RotaryEmbedding
    ) -> None:
        super().__init__()
        self.num_heads, self.head_dim, self.latent, self.rope = num_heads, head_dim, latent, rope
        self.q_proj = Linear(d_model, num_heads * (head_dim + rope.head_dim))
        self.down = Linear(d_model, latent)
        self.norm = RMSNorm(latent)
        self.k_rope = Linear(d_model, rope.head_dim)
        self.k_up = Linear(latent, num_heads * head_dim)
        self.v_up = Linear(latent, num_heads * head_dim)
        self.output_proj = Linear(num_heads * head_dim, d_model)

    def new_cache(self, batch_size: int, max_seq_len: int) -> LatentCache:
        """An empty cache, in the layer's dtype."""
        width = self.latent + self.rope.head_dim
        return LatentCache(batch_size, max_seq_len, width, dtype=self.down.weight.dtype)

    def queries(self, x: Tensor, start: int = 0) -> tuple[Tensor, Tensor]:
        """(B, H, T, head_dim) for the latents and (B, H, T, rope_dim), turned, for the shared keys."""
        q = torch.unflatten(self.q_proj(x), -1, (self.num_heads, -1)).transpose(1, 2)
        content, place = torch.split(q, [self.head_dim, self.rope.head_dim], -1)
        return content, self.rope(place, self._positions(x, start))

    def kept(self, x: Tensor, start: int = 0) -> Tensor:
        """All that a token leaves behind: its latent and its turned key, (B, T, latent + rope_dim)."""
        return torch.cat((self.norm(self.down(x)), self.rope(self.k_rope(x), self._positions(x, start))), -1)

    def by_heads(self, x: Tensor) -> Tensor:
        """Keys and values are made for every head from the latents, as in training."""
        content, place = self.queries(x)
        latents, shared = torch.split(self.kept(x), [self.latent, self.rope.head_dim], -1)
        k, v = (
            torch.unflatten(up(latents), -1, (self.num_heads, -1)).transpose(1, 2)
            for up in (self.k_up, self.v_up)
        )
        shared = shared.unsqueeze(1).expand(-1, self.num_heads, -1, -1)
        mixed = scaled_dot_product_attention(
            torch.cat((content, place), -1), torch.cat((k, shared), -1), v, is_causal=True
        )
        return self._output(mixed)

    def absorbed(self, x: Tensor, cache: LatentCache | None = None) -> Tensor:
        """The latents are the keys and the values of all heads: W_k,up moves to the queries, W_v,up to the result."""
        start = 0 if cache is None else cache.length
        content, place = self.queries(x, start)
        k_up, v_up = (torch.unflatten(up.weight, 0, (self.num_heads, -1)) for up in (self.k_up, self.v_up))
        q = torch.cat((content @ k_up, place), -1)  # (B, H, T, latent + rope_dim)
        # The function divides by the root of this width; the scores are those of head_dim + rope_dim numbers.
        q = q * math.sqrt(q.shape[-1] / (self.head_dim + self.rope.head_dim))
        kept = self.kept(x, start) if cache is None else cache.append(self.kept(x, start))
        keys = kept.unsqueeze(1)  # one head for all
        mask = causal_mask(x.shape[1], keys.shape[2], offset=start)
        mixed = scaled_dot_product_attention(q, keys, keys[..., : self.latent], mask)
        return self._output(mixed @ v_up.mT)

    def _positions(self, x: Tensor, start: int) -> Tensor:
        return torch.arange(start, start + x.shape[1])

    def _output(self, mixed: Tensor) -> Tensor:
        return self.output_proj(mixed.transpose(1, 2).flatten(-2))  # type: ignore[no-any-return]


def small_layer(
    d_model: int = 64,
    num_heads: int = 8,
    head_dim: int = 16,
    *,
    latent: int = 32,
    rope_dim: int = 8,
    seed: int = 0,
) -> LatentAttention:
    """An untrained layer in float64 for up to 64 tokens; the seed determines its weights."""
    torch.manual_seed(seed)
    rope = RotaryEmbedding(10000.0, rope_dim, 64)
    return LatentAttention(d_model, num_heads, head_dim, latent=latent, rope=rope).double()


def scores_two_ways(
    layer: LatentAttention, x: Tensor, rope: RotaryEmbedding | None = None
) -> tuple[Tensor, Tensor]:
    """Scores of the heads' own keys in two ways, (B, H, T, T) each: keys made from latents, and W_k,up absorbed.

    ``rope`` turns queries and keys of ``head_dim`` numbers, as an ordinary layer does. The latents carry no position,
    so in the second way only the query can be turned: the rotation of the key stands between the two matrices.
    """
    content = layer.queries(x)[0]
    latents = layer.kept(x)[..., : layer.latent]
    k = torch.unflatten(layer.k_up(latents), -1, (layer.num_heads, -1)).transpose(1, 2)
    k_up = torch.unflatten(layer.k_up.weight, 0, (layer.num_heads, -1))
    if rope is not None:
        content, k = rope(content), rope(k)
    return content @ k.mT, (content @ k_up) @ latents.unsqueeze(1).mT
