"""Causal self-attention with any number of key and value heads: MHA, GQA, MQA (注意力)."""

import torch
from torch import Tensor, nn

from course_lib.checks import check_positive
from course_lib.model import kernels
from course_lib.model.cache import LayerCache
from course_lib.model.linear import Linear, plain_weights
from course_lib.model.norm import RMSNorm
from course_lib.model.rope import RotaryEmbedding
from course_lib.model.watchers import is_plain


class CausalSelfAttention(nn.Module):
    """Multi-head attention in which a token sees itself and those before it (Vaswani et al. 2017, section 3.2.2).

    Args:
        d_model: features of a token, D.
        num_heads: query heads, H.
        num_kv_heads: key and value heads, a divisor of ``num_heads``; default ``num_heads``. With fewer, each serves
            a group of query heads (Ainslie et al. 2023; one for all: Shazeer 2019).
        rope: a :class:`RotaryEmbedding` for the width of one head; layers may share it.
        qk_norm: RMSNorm on each query and key head before the rotation (Dehghani et al. 2023).
        window: a token sees only itself and the ``window - 1`` tokens before it.
        head_dim: width of a head; default ``d_model / num_heads``.
        eps: of the query and key norms.

    Shapes: x (..., T, D) → (..., T, D). ``token_positions`` (..., T), by default continuing from the length of the
    cache, turn queries and keys; which tokens see each other depends only on their order. With a ``cache`` (x of
    shape (B, T, D)) the tokens continue those in the cache and see what it keeps.

    Parameters: q_proj (H · head_dim, D), k_proj and v_proj (H_kv · head_dim, D), output_proj (D, H · head_dim);
    with ``qk_norm`` q_norm and k_norm (head_dim,).

    Raises:
        ValueError: heads that do not divide, a ``rope`` of another width, a wrong shape, dtype or device, positions
            beyond the rotary table, a full cache, a cache with another window than the layer's.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        num_kv_heads: int | None = None,
        *,
        rope: RotaryEmbedding | None = None,
        qk_norm: bool = False,
        window: int | None = None,
        head_dim: int | None = None,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        num_kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        check_positive("d_model", d_model)
        check_positive("num_heads", num_heads)
        check_positive("num_kv_heads", num_kv_heads)
        if window is not None:
            check_positive("window", window)
        if head_dim is None and d_model % num_heads:
            raise ValueError(
                f"num_heads must divide d_model = {d_model} (or head_dim be given), not {num_heads}"
            )
        if num_heads % num_kv_heads:
            raise ValueError(f"num_kv_heads must divide num_heads = {num_heads}, not {num_kv_heads}")
        head_dim = d_model // num_heads if head_dim is None else head_dim
        check_positive("head_dim", head_dim)
        if rope is not None and rope.head_dim != head_dim:
            raise ValueError(f"rope must be made for head_dim = {head_dim}, not {rope.head_dim}")
        self.num_heads, self.num_kv_heads, self.head_dim = num_heads, num_kv_heads, head_dim
        self.rope, self.window = rope, window
        self.q_proj = Linear(d_model, num_heads * head_dim)
        self.k_proj = Linear(d_model, num_kv_heads * head_dim)
        self.v_proj = Linear(d_model, num_kv_heads * head_dim)
        self.output_proj = Linear(num_heads * head_dim, d_model)
        self.q_norm = RMSNorm(head_dim, eps) if qk_norm else None
        self.k_norm = RMSNorm(head_dim, eps) if qk_norm else None

    def forward(
        self, x: Tensor, token_positions: Tensor | None = None, *, cache: LayerCache | None = None
    ) -> Tensor:
        """(..., T, D) → (..., T, D)."""
        if cache is None:
            mixed = self._without_cache(x, token_positions)  # (..., T, H, head_dim)
        else:
            cache.check_window(self.window)
            q, k, v = self.heads(x, token_positions, start=cache.length)
            k, v = cache.append(k, v)
            mixed = kernels.torch_attention(q, k, v, self.window).transpose(-3, -2)
        return self.output_proj(mixed.reshape(-1, self.num_heads * self.head_dim)).view(x.shape)  # type: ignore[no-any-return]

    def heads(
        self, x: Tensor, token_positions: Tensor | None = None, *, start: int = 0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (..., H, T, head_dim), keys and values (..., H_kv, T, head_dim), normed and turned.

        For looking at scores: the arguments of :func:`scaled_dot_product_attention`. The first token has position
        ``start`` unless ``token_positions`` are given.
        """
        self._check_tokens(x)
        q, k, v = self._project(x)
        if self.rope is not None and is_plain(self.rope):
            tables = self.rope.tables_for(x.shape[:-1], token_positions, start=start)
            q, k = self.rope.rotate_heads((q, k), tables)
        q, k, v = (heads.transpose(-3, -2) for heads in (q, k, v))
        if self.rope is not None and not is_plain(self.rope):
            if token_positions is None and start:
                token_positions = torch.arange(start, start + x.shape[-2], device=x.device)
            positions = None if token_positions is None else token_positions.unsqueeze(-2)
            q, k = self.rope(q, positions), self.rope(k, positions)
        return q, k, v

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, normed, with the heads side by side as in memory: (..., T, heads, head_dim)."""
        rows, heads = x.reshape(-1, x.shape[-1]), (self.num_heads, self.num_kv_heads, self.num_kv_heads)
        projections = self.q_proj, self.k_proj, self.v_proj
        q, k, v = (
            project(rows).view(*x.shape[:-1], number, self.head_dim)
            for project, number in zip(projections, heads, strict=True)
        )
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        return q, k, v

    def _without_cache(self, x: Tensor, token_positions: Tensor | None) -> Tensor:
        """(..., T, D) → (..., T, H, head_dim): by kernels, or through modules that are watched or replaced."""
        self._check_tokens(x)
        weights = plain_weights(self.q_proj, self.k_proj, self.v_proj)
        if weights is None or (self.rope is not None and not is_plain(self.rope)):
            heads = self.heads(x, token_positions)
            return kernels.torch_attention(*heads, self.window).transpose(-3, -2)
        tables, layout = None, "interleaved"
        if self.rope is not None:
            tables, layout = self.rope.tables_for(x.shape[:-1], token_positions), self.rope.layout
            if tables[0].is_meta:
                self.rope.check_made(x)
        if self.q_norm is None:
            return kernels.projected_attention(x, weights, self.head_dim, tables, layout, self.window)
        return kernels.attention(*self._project(x), tables, layout, self.window)

    def _check_tokens(self, x: Tensor) -> None:
        if x.ndim < 2:
            raise ValueError(
                f"x must have shape (..., T, {self.q_proj.weight.shape[1]}), not {tuple(x.shape)}"
            )

    def extra_repr(self) -> str:
        """Options shown by ``repr``."""
        heads = f"num_heads={self.num_heads}, num_kv_heads={self.num_kv_heads}, head_dim={self.head_dim}"
        return heads if self.window is None else f"{heads}, window={self.window}"
