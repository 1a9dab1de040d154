"""Causal self-attention with any number of key and value heads: MHA, GQA, MQA (注意力)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from course_lib.model.cache import LayerCache
from course_lib.model.checks import check_positive
from course_lib.model.functional import causal_mask
from course_lib.model.fused import can_fuse_attention, fused_attention
from course_lib.model.linear import Linear, can_project_together, project_together
from course_lib.model.norm import RMSNorm
from course_lib.model.rope import RotaryEmbedding
from course_lib.model.watchers import can_fuse, is_plain


class CausalSelfAttention(nn.Module):
    """Multi-head attention in which a token sees itself and those before it (Vaswani et al. 2017, section 3.2.2).

    Args:
        d_model: features of a token, D.
        num_heads: query heads, H.
        num_kv_heads: key and value heads, a divisor of ``num_heads``; default ``num_heads``. With fewer, each serves
            a group of query heads (Ainslie et al. 2023; one for all: Shazeer 2019).
        rope: a :class:`RotaryEmbedding` for the width of a head; layers may share one.
        qk_norm: RMSNorm on each query and key head before the rotation (Dehghani et al. 2023).
        window: a token sees itself and the ``window - 1`` tokens before it only.
        head_dim: width of a head; default ``d_model / num_heads``.
        eps: of the query and key norms.

    Shapes: x (..., T, D) → (..., T, D). ``token_positions`` (..., T), by default counted on from the length of the
    cache, turn queries and keys; who sees whom goes by the order of the tokens. With a ``cache`` (x of shape
    (B, T, D)) the tokens continue those it holds, and it grows by T.

    Parameters: q_proj (H · head_dim, D), k_proj and v_proj (H_kv · head_dim, D), output_proj (D, H · head_dim);
    with ``qk_norm`` q_norm and k_norm (head_dim,).

    Raises:
        ValueError: heads that do not divide, a ``rope`` of another width, a wrong shape, dtype or device, positions
            beyond the rotary table, a full cache.
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
        mixed = self._fused(x, token_positions) if cache is None else None  # (..., T, H, head_dim)
        if mixed is None:
            q, k, v = self.heads(x, token_positions, start=cache.length if cache is not None else 0)
            if cache is not None:
                k, v = cache.append(k, v)
            mixed = self._attend(q, k, v).transpose(-3, -2)
        return self.output_proj(mixed.reshape(-1, self.num_heads * self.head_dim)).view(x.shape)  # type: ignore[no-any-return]

    def heads(
        self, x: Tensor, token_positions: Tensor | None = None, *, start: int = 0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (..., H, T, head_dim), keys and values (..., H_kv, T, head_dim), normed and turned.

        For looking at scores: what :func:`scaled_dot_product_attention` takes. The first token has position ``start``
        unless ``token_positions`` are given.
        """
        if x.ndim < 2:
            raise ValueError(
                f"x must have shape (..., T, {self.q_proj.weight.shape[1]}), not {tuple(x.shape)}"
            )
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

    def _fused(self, x: Tensor, token_positions: Tensor | None) -> Tensor | None:
        """Heads mixed by :func:`fused_attention`, (B, T, H, head_dim), or None where it does not take them."""
        projections = self.q_proj, self.k_proj, self.v_proj
        if not (can_fuse_attention(x) and can_project_together(x, projections)):
            return None
        if self.window is not None and self.window < x.shape[1]:
            return None
        if self.rope is not None and not is_plain(self.rope):
            return None
        tables, layout = None, "interleaved"
        if self.rope is not None:
            tables, layout = self.rope.tables_for(x.shape[:-1], token_positions), self.rope.layout
            if tables[0].ndim != 2 or not can_fuse(*tables):  # each sequence has positions of its own
                return None
        if self.q_norm is None:
            heads = self.num_heads + 2 * self.num_kv_heads
            rows = x.reshape(-1, x.shape[-1])
            qkv = project_together(rows, projections).view(*x.shape[:-1], heads, self.head_dim)
        else:
            qkv = torch.cat(self._project(x), -2)
        return fused_attention(qkv, self.num_heads, tables, layout)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Fused attention of the last T of S tokens: equal to ``scaled_dot_product_attention`` with the mask."""
        num_queries, num_keys = q.shape[-2], k.shape[-2]
        if num_queries == 1 and self.window is not None:
            k, v = k[..., -self.window :, :], v[..., -self.window :, :]
        mask, is_causal = None, False
        # Branches, not a bool of the sizes: where torch traces or compiles, sizes may be symbols and tensors.
        if num_queries > 1:
            if num_keys > num_queries or (self.window or num_keys) < num_keys:
                mask = causal_mask(
                    num_queries, num_keys, offset=num_keys - num_queries, window=self.window, device=q.device
                )
            else:
                is_causal = True
        return functional.scaled_dot_product_attention(
            q,
            k,
            v,
            mask,
            is_causal=is_causal,
            enable_gqa=self.num_kv_heads != self.num_heads,
        )

    def extra_repr(self) -> str:
        """What ``repr`` shows."""
        heads = f"num_heads={self.num_heads}, num_kv_heads={self.num_kv_heads}, head_dim={self.head_dim}"
        return heads if self.window is None else f"{heads}, window={self.window}"
