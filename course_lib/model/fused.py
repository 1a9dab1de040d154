"""The kernels of csrc/kernels as functions that autograd knows: RMSNorm, rotation, SwiGLU's gate, short attention.

Written as torch operations, each of these reads and writes its input several times; on a processor the moving of bytes
takes the time, not the arithmetic. The kernels make one pass forward and one backward. They take any strides, and have
derivatives of any order, from the second on by formulas. The layers use them where :func:`can_fuse` says so, and
the plain form elsewhere.
"""

from typing import Any

import torch
from torch import Tensor

from course_lib import _kernels
from course_lib.model.functional import scaled_dot_product_attention

_WITH_MEMORY = (Tensor, torch.nn.Parameter)  # exactly: a subclass may be fake, or wrap another tensor
_FEW_ROWS = 4  # from there on, a general matrix product is as fast
_SHORT = 256  # tokens times threads; measured with benchmarks/model_speed.py


def can_fuse(*tensors: Tensor) -> bool:
    """Whether the kernels take these tensors: float32 on the CPU, with memory that may be read.

    Under ``torch.compile`` they do not, since the compiler fuses the formulas itself; nor under ``torch.func``
    transforms, whose tensors have no memory of their own.
    """
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return False
    for tensor in tensors:
        if tensor.dtype is not torch.float32 or not tensor.is_cpu or type(tensor) not in _WITH_MEMORY:
            return False
    return True


def can_fuse_attention(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Whether :func:`fused_attention` takes these tensors and is faster with them than torch's fused attention.

    That is so for short sequences, where it needs about half the time. It runs on one thread, torch's on all, and
    without AVX2 the compiler has too few registers for it.
    """
    return (
        can_fuse(q, k, v)
        and q.ndim == 4
        and q.shape[1] * torch.get_num_threads() <= _SHORT
        and _kernels.available_isas()[-1] != "portable"
    )


def can_fuse_product(x: Tensor, weight: Tensor) -> bool:
    """Whether :func:`few_rows_product` takes x (..., d_in): a token or a few, whose gradients nobody asks for."""
    return not torch.is_grad_enabled() and x.numel() <= _FEW_ROWS * weight.shape[1] and can_fuse(x, weight)


def few_rows_product(x: Tensor, weight: Tensor) -> Tensor:
    """X W^T of x (..., d_in) and weight (d_out, d_in), at the speed of reading the weight: (..., d_out).

    Writing a text one token after the other waits for the weights to come out of memory; the general matrix product
    of torch brings them in at less than half the speed.
    """
    x, weight = x.contiguous(), weight.contiguous()
    outputs, width = weight.shape
    y = torch.empty(*x.shape[:-1], outputs)
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


def fused_swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up of two tensors of one shape."""
    if not torch.is_grad_enabled():
        return _swiglu(gate, up)
    return _SwiGLU.apply(gate, up)  # type: ignore[no-any-return, no-untyped-call]


def fused_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal ``scaled_dot_product_attention`` of tensors whose heads lie side by side, equal up to rounding.

    Shapes: q (B, T, H, head_dim), k and v (B, T, H_kv, head_dim) → (B, T, H, head_dim).
    """
    if not torch.is_grad_enabled():
        return _attention(q.contiguous(), k.contiguous(), v.contiguous())[0]
    return _Attention.apply(q, k, v)  # type: ignore[no-any-return, no-untyped-call]


def _rms_norm(x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """The result, and 1 / sqrt(mean(x²) + eps) of each row."""
    x, weight = x.contiguous(), weight.contiguous()
    width = weight.shape[0]
    rows = x.numel() // width
    y, inverse_rms = torch.empty_like(x), torch.empty(rows)
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
        if torch.is_grad_enabled():  # create_graph=True: this will be differentiated again
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
        if torch.is_grad_enabled():
            turned = _Rotate.apply(*ctx.options, *gradients)  # type: ignore[no-untyped-call]
        else:
            turned = (_rotate(gradient, *ctx.options) for gradient in gradients)
        return None, None, None, None, *turned


def _swiglu(gate: Tensor, up: Tensor) -> Tensor:
    gate, up = gate.contiguous(), up.contiguous()
    y = torch.empty_like(gate)
    _kernels.swiglu_forward(gate.numel(), gate.data_ptr(), up.data_ptr(), y.data_ptr())
    return y


class _SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return _swiglu(gate, up)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        if torch.is_grad_enabled():
            opened = torch.sigmoid(gate)
            return dy * up * opened * (1 + gate * (1 - opened)), dy * gate * opened
        dy, gate, up = dy.contiguous(), gate.contiguous(), up.contiguous()
        dgate, dup = torch.empty_like(gate), torch.empty_like(up)
        _kernels.swiglu_backward(
            gate.numel(), dy.data_ptr(), gate.data_ptr(), up.data_ptr(), dgate.data_ptr(), dup.data_ptr()
        )
        return dgate, dup


def _attention_shape(q: Tensor, k: Tensor) -> tuple[int, int, int, int, int, float]:
    """Batch, tokens, heads, heads of keys, width, scale: how the kernels begin."""
    return (*q.shape[:3], k.shape[2], q.shape[3], q.shape[3] ** -0.5)


def _attention(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """The result, and the logarithm of the sum of exponentials of each query's scores, (B, H, T)."""
    y, log_sums = torch.empty_like(q), torch.empty(q.shape[0], q.shape[2], q.shape[1])
    addresses = q.data_ptr(), k.data_ptr(), v.data_ptr(), y.data_ptr(), log_sums.data_ptr()
    _kernels.attention_forward(*_attention_shape(q, k), *addresses)
    return y, log_sums


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        y, log_sums = _attention(q.contiguous(), k.contiguous(), v.contiguous())
        ctx.save_for_backward(q, k, v, y, log_sums)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, ...]:
        q, k, v, y, log_sums = ctx.saved_tensors
        if torch.is_grad_enabled():
            with_heads_first = (x.transpose(1, 2) for x in (q, k, v))
            again = scaled_dot_product_attention(*with_heads_first, is_causal=True).transpose(1, 2)
            return torch.autograd.grad(again, (q, k, v), dy, create_graph=True)
        dy, q, k, v = dy.contiguous(), q.contiguous(), k.contiguous(), v.contiguous()
        dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        inputs = dy.data_ptr(), q.data_ptr(), k.data_ptr(), v.data_ptr(), y.data_ptr(), log_sums.data_ptr()
        outputs = dq.data_ptr(), dk.data_ptr(), dv.data_ptr()
        _kernels.attention_backward(*_attention_shape(q, k), *inputs, *outputs)
        return dq, dk, dv
