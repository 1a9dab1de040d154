"""RMSNorm in one pass over memory: the kernel of csrc/kernels as a function that autograd knows.

Written as torch operations, RMSNorm reads and writes its input about five times forward and more backward; on a
processor the moving of bytes takes the time, not the arithmetic.
"""

from typing import Any

import torch
from torch import Tensor

from course_lib import _kernels


def can_fuse(x: Tensor, weight: Tensor) -> bool:
    """Whether :func:`fused_rms_norm` takes these tensors: float32 on the CPU, with memory that the kernel may read.

    Under ``torch.compile`` it does not, since the compiler fuses the formula itself; nor under ``torch.func``
    transforms, whose tensors have no memory of their own.
    """
    return (
        x.dtype == weight.dtype == torch.float32
        and x.device.type == "cpu"
        and type(x) is Tensor
        and type(weight) in (Tensor, torch.nn.Parameter)
        and not torch.compiler.is_compiling()
        and not torch._C._are_functorch_transforms_active()
    )


def fused_rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """RMSNorm of x (..., d) by weight (d,), where :func:`can_fuse`: equal to ``rms_norm_reference`` up to rounding.

    Any strides; derivatives of any order, from the second on by the formula.
    """
    return _RMSNorm.apply(x, weight, eps)  # type: ignore[no-any-return, no-untyped-call]


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        dense, dense_weight = x.contiguous(), weight.contiguous()
        width = weight.shape[0]
        rows = dense.numel() // width
        y, inverse_rms = torch.empty_like(dense), dense.new_empty(rows)
        _kernels.rms_norm_forward(
            rows, width, eps, dense.data_ptr(), dense_weight.data_ptr(), y.data_ptr(), inverse_rms.data_ptr()
        )
        ctx.save_for_backward(x, weight, inverse_rms)
        ctx.eps = eps
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight, inverse_rms = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: this will be differentiated again
            return *_gradients(dy, x, weight, ctx.eps), None
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


def _gradients(dy: Tensor, x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """The gradients of x and weight in operations that autograd can differentiate."""
    inverse_rms = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    pulled = dy * weight
    dx = inverse_rms * pulled - x * inverse_rms**3 * (pulled * x).mean(-1, keepdim=True)
    return dx, (dy * x * inverse_rms).sum_to_size(weight.shape)
