"""The kernels of csrc/kernels as functions that autograd knows: RMSNorm, rotation, SwiGLU's gate, short attention.

Written as torch operations, each of these reads and writes its input several times; on a processor the moving of bytes
takes the time, not the arithmetic. The kernels make one pass forward and one backward. They take any strides, and have
derivatives of any order, from the second on by formulas. The layers use them where ``watchers.can_fuse`` says so, and
the plain form elsewhere.
"""

from typing import Any

import torch
from torch import Tensor

from course_lib import _kernels
from course_lib.model.functional import rotate_pairs, scaled_dot_product_attention
from course_lib.model.watchers import can_fuse, needs_formulas

_FEW_ROWS = 4  # from there on, a general matrix product is as fast
_SHORT = 256  # tokens times threads; measured with benchmarks/model_speed.py


def can_fuse_attention(x: Tensor) -> bool:
    """Whether :func:`fused_attention` takes heads made from x (B, T, D) and is faster than torch's fused attention.

    That is so for short sequences, where it needs less than half the time. It runs on one thread, torch's on all, and
    without AVX2 the compiler has too few registers for it.
    """
    return (
        can_fuse(x)
        and x.ndim == 3
        and x.shape[1] * torch.get_num_threads() <= _SHORT
        and _kernels.available_isas()[-1] != "portable"
    )


def can_fuse_product(x: Tensor, weight: Tensor) -> bool:
    """Whether :func:`few_rows_product` takes x (..., d_in): a token or a few, whose gradients nobody asks for."""
    return has_few_rows(x) and can_fuse(x, weight)


def has_few_rows(x: Tensor) -> bool:
    """Whether x (..., d_in) is a token or a few, and nobody asks for gradients."""
    return not torch.is_grad_enabled() and x.numel() <= _FEW_ROWS * x.shape[-1]


def few_rows_product(x: Tensor, weight: Tensor) -> Tensor:
    """X W^T of x (..., d_in) and weight (d_out, d_in), at the speed of reading the weight: (..., d_out).

    Writing a text one token after the other waits for the weights to come out of memory; the general matrix product
    of torch brings them in at less than half the speed.
    """
    x, weight = x.contiguous(), weight.contiguous()
    outputs, width = weight.shape
    y = x.new_empty(*x.shape[:-1], outputs)
    _kernels.multiply_few_rows(
        x.numel() // width, width, outputs, x.data_ptr(), weight.data_ptr(), y.data_ptr()
    )
    return y


def fused_rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """RMSNorm of x (..., d) by weight (d,): equal to ``rms_norm_reference`` up to rounding."""
    if (
        not torch.is_grad_enabled()
    ):  # a function of autograd costs more than the kernel does on a single token
        return _rms_norm(x, weight, eps)[0]
    return _RMSNorm.apply(x, weight, eps)  # type: ignore[no-any-return, no-untyped-call]


def fused_rotate(tensors: tuple[Tensor, ...], cos: Tensor, sin: Tensor, layout: str) -> tuple[Tensor, ...]:
    """``rotate_pairs`` of each of ``tensors``, (..., T, heads, head_dim), by tables of (T, head_dim / 2)."""
    options = cos.contiguous(), sin.contiguous(), layout == "interleaved", False
    if not torch.is_grad_enabled():
        return tuple(_rotate(x, *options) for x in tensors)
    return _Rotate.apply(*options, *tensors)  # type: ignore[no-any-return, no-untyped-call]


def fused_swiglu(gate_up: Tensor) -> Tensor:
    """silu(gate) * up of gate and up side by side: (..., 2 d_ff) → (..., d_ff)."""
    if not torch.is_grad_enabled():
        return _swiglu(gate_up)
    return _SwiGLU.apply(gate_up)  # type: ignore[no-any-return, no-untyped-call]


def fused_attention(
    qkv: Tensor, num_heads: int, tables: tuple[Tensor, Tensor] | None = None, layout: str = "interleaved"
) -> Tensor:
    """Causal ``scaled_dot_product_attention`` of heads that lie side by side, rotated first: equal up to rounding.

    Queries, keys and values in one tensor need no copies on the way in, nor do their gradients on the way back to the
    projections they come from. Shapes: qkv (B, T, H + 2 H_kv, head_dim) → (B, T, H, head_dim). With ``tables``, cosines
    and sines (T, head_dim / 2), queries and keys are turned as by ``rotate_pairs``.
    """
    cos, sin = (None, None) if tables is None else (table.contiguous() for table in tables)
    options = num_heads, cos, sin, layout
    if not torch.is_grad_enabled():
        return _attention(qkv.contiguous(), *options)[0]
    return _Attention.apply(qkv, *options)  # type: ignore[no-any-return, no-untyped-call]


def _rms_norm(x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """The result, and 1 / sqrt(mean(x²) + eps) of each row."""
    x, weight = x.contiguous(), weight.contiguous()
    width = weight.shape[0]
    rows = x.numel() // width
    y, inverse_rms = torch.empty_like(x), x.new_empty(rows)
    _kernels.rms_norm_forward(
        rows, width, eps, x.data_ptr(), weight.data_ptr(), y.data_ptr(), inverse_rms.data_ptr()
    )
    return y, inverse_rms


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        y, inverse_rms = _rms_norm(x, weight, eps)
        ctx.save_for_backward(x, weight, inverse_rms)
        ctx.eps = eps
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight, inverse_rms = ctx.saved_tensors
        if needs_formulas(dy):
            return *_rms_norm_gradients(dy, x, weight, ctx.eps), None
        dy, x, weight = dy.contiguous(), x.contiguous(), weight.contiguous()
        dx, dweight = torch.empty_like(x), torch.empty_like(weight)
        _kernels.rms_norm_backward(
            inverse_rms.shape[0],
            weight.shape[0],
            dy.data_ptr(),
            x.data_ptr(),
            weight.data_ptr(),
            inverse_rms.data_ptr(),
            dx.data_ptr(),
            dweight.data_ptr(),
        )
        return dx, dweight, None


def _rms_norm_gradients(dy: Tensor, x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """The gradients of x and weight in operations that autograd can differentiate."""
    inverse_rms = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    pulled = dy * weight
    dx = inverse_rms * pulled - x * inverse_rms**3 * (pulled * x).mean(-1, keepdim=True)
    return dx, (dy * x * inverse_rms).sum_to_size(weight.shape)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor, interleaved: bool, transposed: bool) -> Tensor:
    x = x.contiguous()
    y = torch.empty_like(x)
    tokens, heads, width = x.shape[-3:]
    batch = x.numel() // max(tokens * heads * width, 1)
    _kernels.rotate(
        batch,
        tokens,
        heads,
        width // 2,
        interleaved,
        transposed,
        x.data_ptr(),
        cos.data_ptr(),
        sin.data_ptr(),
        y.data_ptr(),
    )
    return y


def _rotate_formula(
    tensors: tuple[Tensor, ...], cos: Tensor, sin: Tensor, interleaved: bool, transposed: bool
) -> tuple[Tensor, ...]:
    """The same in operations that torch sees."""
    cos, sin = cos.unsqueeze(-2), (-sin if transposed else sin).unsqueeze(-2)
    return tuple(rotate_pairs(x, cos, sin, "interleaved" if interleaved else "half") for x in tensors)


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, cos: Tensor, sin: Tensor, interleaved: bool, transposed: bool, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.options = cos, sin, interleaved, not transposed
        return tuple(_rotate(x, cos, sin, interleaved, transposed) for x in tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        # A rotation is linear: its gradient is the transposed one.
        if needs_formulas(*gradients):
            turned = _rotate_formula(gradients, *ctx.options)
        else:
            turned = tuple(_rotate(gradient, *ctx.options) for gradient in gradients)
        return None, None, None, None, *turned


def _swiglu(gate_up: Tensor) -> Tensor:
    gate_up = gate_up.contiguous()
    y = gate_up.new_empty(*gate_up.shape[:-1], gate_up.shape[-1] // 2)
    _kernels.swiglu_forward(*_swiglu_shape(y), gate_up.data_ptr(), y.data_ptr())
    return y


def _swiglu_shape(y: Tensor) -> tuple[int, int]:
    """Rows and width: how the kernels begin."""
    width = y.shape[-1]
    return y.numel() // max(width, 1), width


class _SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        ctx.save_for_backward(gate_up)
        return _swiglu(gate_up)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        (gate_up,) = ctx.saved_tensors
        if needs_formulas(dy):
            gate, up = gate_up.chunk(2, -1)
            opened = torch.sigmoid(gate)
            return torch.cat((dy * up * opened * (1 + gate * (1 - opened)), dy * gate * opened), -1)
        dy, gate_up = dy.contiguous(), gate_up.contiguous()
        dgate_up = torch.empty_like(gate_up)
        _kernels.swiglu_backward(*_swiglu_shape(dy), dy.data_ptr(), gate_up.data_ptr(), dgate_up.data_ptr())
        return dgate_up


AttentionOptions = tuple[int, Tensor | None, Tensor | None, str]  # query heads, cosines, sines, layout


def _attention_arguments(qkv: Tensor, options: AttentionOptions, *tensors: Tensor) -> tuple[Any, ...]:
    """What the kernels take: sizes, scale, layout, and the addresses of the tables and of ``tensors``."""
    num_heads, cos, sin, layout = options
    batch, tokens, heads, width = qkv.shape
    sizes = batch, tokens, num_heads, (heads - num_heads) // 2, width
    addresses = (0 if x is None else x.data_ptr() for x in (cos, sin, *tensors))
    return *sizes, width**-0.5, layout == "interleaved", *addresses


def _attention(qkv: Tensor, *options: *AttentionOptions) -> tuple[Tensor, Tensor]:
    """The result, and the logarithm of the sum of exponentials of each query's scores, (B, H, T)."""
    batch, tokens, _, width = qkv.shape
    num_heads = options[0]
    y, log_sums = qkv.new_empty(batch, tokens, num_heads, width), qkv.new_empty(batch, num_heads, tokens)
    _kernels.attention_forward(*_attention_arguments(qkv, options, qkv, y, log_sums))
    return y, log_sums


def _attention_formula(
    qkv: Tensor, num_heads: int, cos: Tensor | None, sin: Tensor | None, layout: str
) -> Tensor:
    """The same in operations that autograd can differentiate."""
    num_kv_heads = (qkv.shape[2] - num_heads) // 2
    q, k, v = torch.split(qkv, [num_heads, num_kv_heads, num_kv_heads], 2)
    if cos is not None and sin is not None:
        q, k = _rotate_formula((q, k), cos, sin, layout == "interleaved", False)
    with_heads_first = (x.transpose(1, 2) for x in (q, k, v))
    return scaled_dot_product_attention(*with_heads_first, is_causal=True).transpose(1, 2)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, qkv: Tensor, *options: *AttentionOptions) -> Tensor:
        y, log_sums = _attention(qkv.contiguous(), *options)
        ctx.save_for_backward(qkv, log_sums)
        ctx.options = options
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        qkv, log_sums = ctx.saved_tensors
        if needs_formulas(dy):
            again_differentiable = torch.is_grad_enabled()
            with torch.enable_grad():
                qkv = qkv if again_differentiable else qkv.detach().requires_grad_()
                again = _attention_formula(qkv, *ctx.options)
            return (
                *torch.autograd.grad(again, qkv, dy, create_graph=again_differentiable),
                None,
                None,
                None,
                None,
            )
        dy, qkv = dy.contiguous(), qkv.contiguous()
        dqkv = torch.empty_like(qkv)
        _kernels.attention_backward(*_attention_arguments(qkv, ctx.options, dy, qkv, log_sums, dqkv))
        return dqkv, None, None, None, None
