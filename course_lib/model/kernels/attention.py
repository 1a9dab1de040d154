"""Causal attention of whole sequences by the compiled kernel where they are short, by torch's kernel elsewhere."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from course_lib import _kernels
from course_lib.model.functional import causal_mask, scaled_dot_product_attention
from course_lib.model.kernels.eligibility import eligible, needs_formulas
from course_lib.model.kernels.few_rows import has_few_rows
from course_lib.model.kernels.product import may_be_side_by_side, product, side_by_side
from course_lib.model.kernels.rotate import rotate, rotate_by_formula

Tables = tuple[Tensor, Tensor]

_SHORT = 256  # tokens times threads; measured with benchmarks/model_speed.py
_HAS_AVX2 = _kernels.available_isas()[-1] != "portable"  # without AVX2 there are too few


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    tables: Tables | None = None,
    layout: str = "interleaved",
    window: int | None = None,
) -> Tensor:
    """Causal attention of heads that lie side by side, which are turned first: (..., T, H, head_dim).

    Args:
        q: queries, (..., T, H, head_dim).
        k: keys, (..., T, H_kv, head_dim), H_kv a divisor of H.
        v: values, (..., T, H_kv, head_dim).
        tables: cosines and sines, (..., T, head_dim / 2), by which queries and keys are turned; default: none.
        layout: which features form a pair, as in ``rotate_pairs``.
        window: a token sees only itself and the ``window - 1`` tokens before it; default: all before it.
    """
    *tokens, num_heads, head_dim = q.shape
    if (
        _kernel_takes(q, tokens, head_dim, tables, window)
        and not has_few_rows(q.select(-2, 0))
        and eligible(k, v)
        and k.shape == v.shape == (*tokens, k.shape[-2], head_dim)
        and num_heads % k.shape[-2] == 0
        and not torch.is_autocast_enabled("cpu")
    ):
        return side_by_side_attention(torch.cat((q, k, v), -2), num_heads, tables, layout)
    return _in_parts(q, k, v, tables, layout, window)


def projected_attention(
    x: Tensor,
    weights: Sequence[Tensor],
    head_dim: int,
    tables: Tables | None = None,
    layout: str = "interleaved",
    window: int | None = None,
) -> Tensor:
    """:func:`attention` of x (..., T, D) projected by the ``weights`` of q, k and v: (..., T, H, head_dim).

    Queries, keys and values that are made side by side need no copies on the way to the kernel, nor do their gradients
    on the way back.
    """
    tokens, rows = x.shape[:-1], x.reshape(-1, x.shape[-1])
    heads = [weight.shape[0] // head_dim for weight in weights]
    if (
        _kernel_takes(x, tokens, head_dim, tables, window)
        and may_be_side_by_side(rows, *weights)
        and heads[1] == heads[2]
        and heads[0] % heads[1] == 0
        and all(weight.shape[0] % head_dim == 0 for weight in weights)
    ):
        qkv = side_by_side(rows, weights).view(*tokens, sum(heads), head_dim)
        return side_by_side_attention(qkv, heads[0], tables, layout)
    q, k, v = (
        product(rows, weight).view(*tokens, number, head_dim)
        for weight, number in zip(weights, heads, strict=True)
    )
    return _in_parts(q, k, v, tables, layout, window)


def torch_attention(q: Tensor, k: Tensor, v: Tensor, window: int | None = None) -> Tensor:
    """Torch's kernel for causal attention of the last T of S tokens.

    Equal to ``scaled_dot_product_attention`` with the mask. Shapes: q (..., H, T, head_dim), k and v
    (..., H_kv, S, head_dim) → (..., H, T, head_dim).
    """
    num_queries, num_keys = q.shape[-2], k.shape[-2]
    if num_queries == 1 and window is not None:
        k, v = k[..., -window:, :], v[..., -window:, :]
    if num_queries == 1 and k.shape[-3] != q.shape[-3]:
        # All queries of a group meet its keys in one product, so that each key is fetched once.
        grouped = q.reshape(*q.shape[:-3], k.shape[-3], -1, q.shape[-1])
        mixed = functional.scaled_dot_product_attention(grouped, k, v)
        return mixed.reshape(*q.shape[:-1], v.shape[-1])
    mask, is_causal = None, False
    # Branches, not a bool of the sizes: where torch traces or compiles, sizes may be symbols and tensors.
    if num_queries > 1:
        if num_keys > num_queries or (window or num_keys) < num_keys:
            mask = causal_mask(
                num_queries, num_keys, offset=num_keys - num_queries, window=window, device=q.device
            )
        else:
            is_causal = True
    return functional.scaled_dot_product_attention(
        q, k, v, mask, is_causal=is_causal, enable_gqa=bool(k.shape[-3] != q.shape[-3])
    )


def _in_parts(
    q: Tensor, k: Tensor, v: Tensor, tables: Tables | None, layout: str, window: int | None
) -> Tensor:
    """Rotation, then torch's attention of heads first."""
    if tables is not None:
        q, k = rotate((q, k), *tables, layout)
    q, k, v = (heads.transpose(-3, -2) for heads in (q, k, v))
    return torch_attention(q, k, v, window).transpose(-3, -2)


def _kernel_takes(
    x: Tensor, tokens: Sequence[int], head_dim: int, tables: Tables | None, window: int | None
) -> bool:
    """Whether the kernel takes x, the features of ``tokens`` (B, T), and is faster than torch's.

    That is so for short sequences, where it needs less than half the time; it runs on one thread, torch's on all. The
    kernel has no window, and one table for all sequences.
    """
    return (
        eligible(x)
        and len(tokens) == 2
        and tokens[1] * torch.get_num_threads() <= _SHORT
        and _HAS_AVX2
        and (window is None or window >= tokens[1])
        and (tables is None or _fit(tables, tokens[1], head_dim))
    )


def _fit(tables: Tables, tokens: int, head_dim: int) -> bool:
    return eligible(*tables) and all(table.shape == (tokens, head_dim / 2) for table in tables)


class _Heads(NamedTuple):
    """How the features of a token divide into heads, and by which tables queries and keys are turned."""

    num_heads: int
    cos: Tensor | None
    sin: Tensor | None
    layout: str

    def options(self, qkv: Tensor) -> dict[str, Any]:
        """Sizes and options of the kernels."""
        batch, tokens, heads, width = qkv.shape
        return {
            "batch": batch,
            "tokens": tokens,
            "heads": self.num_heads,
            "kv_heads": (heads - self.num_heads) // 2,
            "width": width,
            "scale": width**-0.5,
            "interleaved": self.layout == "interleaved",
            "cos": 0 if self.cos is None else self.cos.data_ptr(),
            "sin": 0 if self.sin is None else self.sin.data_ptr(),
        }


def side_by_side_attention(
    qkv: Tensor, num_heads: int, tables: Tables | None = None, layout: str = "interleaved"
) -> Tensor:
    """:func:`attention` of eligible heads in one tensor: (B, T, H + 2 H_kv, head_dim) → (B, T, H, head_dim)."""
    cos, sin = (None, None) if tables is None else (table.contiguous() for table in tables)
    heads = _Heads(num_heads, cos, sin, layout)
    if not torch.is_grad_enabled():
        return _forward(qkv.contiguous(), heads)[0]
    return _Attention.apply(qkv, heads)  # type: ignore[no-any-return, no-untyped-call]


def _forward(qkv: Tensor, heads: _Heads) -> tuple[Tensor, Tensor]:
    """The result, and the logarithm of the sum of exponentials of each query's scores, (B, H, T)."""
    batch, tokens, _, width = qkv.shape
    y = qkv.new_empty(batch, tokens, heads.num_heads, width)
    log_sums = qkv.new_empty(batch, heads.num_heads, tokens)
    _kernels.attention_forward(qkv.data_ptr(), y.data_ptr(), log_sums.data_ptr(), **heads.options(qkv))
    return y, log_sums


def _formula(qkv: Tensor, heads: _Heads) -> Tensor:
    """The same in operations that autograd can differentiate."""
    num_kv_heads = (qkv.shape[2] - heads.num_heads) // 2
    q, k, v = torch.split(qkv, [heads.num_heads, num_kv_heads, num_kv_heads], 2)
    if heads.cos is not None and heads.sin is not None:
        q, k = rotate_by_formula((q, k), heads.cos, heads.sin, heads.layout)
    with_heads_first = (x.transpose(1, 2) for x in (q, k, v))
    return scaled_dot_product_attention(*with_heads_first, is_causal=True).transpose(1, 2)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, qkv: Tensor, heads: _Heads) -> Tensor:
        y, log_sums = _forward(qkv.contiguous(), heads)
        ctx.save_for_backward(qkv, log_sums)
        ctx.heads = heads
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
        qkv, log_sums = ctx.saved_tensors
        if needs_formulas(dy):
            again_differentiable = torch.is_grad_enabled()
            with torch.enable_grad():
                qkv = qkv if again_differentiable else qkv.detach().requires_grad_()
                again = _formula(qkv, ctx.heads)
            (dqkv,) = torch.autograd.grad(again, qkv, dy, create_graph=again_differentiable)
            return dqkv, None
        dy, qkv = dy.contiguous(), qkv.contiguous()
        dqkv = torch.empty_like(qkv)
        addresses = dy.data_ptr(), qkv.data_ptr(), log_sums.data_ptr(), dqkv.data_ptr()
        _kernels.attention_backward(*addresses, **ctx.heads.options(qkv))
        return dqkv, None
