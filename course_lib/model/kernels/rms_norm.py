"""RMSNorm by the compiled kernel where it may run, by ``rms_norm_reference`` elsewhere."""

from typing import Any

import torch
from torch import Tensor

from course_lib import _kernels
from course_lib.model.checks import check_normable
from course_lib.model.functional import rms_norm_reference
from course_lib.model.kernels.eligibility import eligible, needs_formulas


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """RMSNorm, x / sqrt(mean(x²) + eps) * weight over the last dimension: (..., d), (d,) → (..., d).

    Raises ValueError where ``x`` is not floating point, or has another last dimension or device than ``weight``.
    """
    if x.shape[-1:] == weight.shape and eligible(x, weight):
        # On a single token, a function of autograd costs more than the kernel does.
        if not torch.is_grad_enabled():
            return _forward(x, weight, eps)[0]
        return _RMSNorm.apply(x, weight, eps)  # type: ignore[no-any-return, no-untyped-call]
    check_normable(x, weight)
    return rms_norm_reference(x, weight, eps)


def _forward(x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """The result, and 1 / sqrt(mean(x²) + eps) of each row."""
    x, weight = x.contiguous(), weight.contiguous()
    width = weight.shape[0]
    rows = x.numel() // width
    y, inverse_rms = torch.empty_like(x), x.new_empty(rows)
    _kernels.rms_norm_forward(
        x.data_ptr(),
        weight.data_ptr(),
        y.data_ptr(),
        inverse_rms.data_ptr(),
        rows,
        width,
        eps,
    )
    return y, inverse_rms


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        y, inverse_rms = _forward(x, weight, eps)
        ctx.save_for_backward(x, weight, inverse_rms)
        ctx.eps = eps
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight, inverse_rms = ctx.saved_tensors
        if needs_formulas(dy):
            return *_gradients(dy, x, weight, ctx.eps), None
        dy, x, weight = dy.contiguous(), x.contiguous(), weight.contiguous()
        dx, dweight = torch.empty_like(x), torch.empty_like(weight)
        _kernels.rms_norm_backward(
            dy.data_ptr(),
            x.data_ptr(),
            weight.data_ptr(),
            inverse_rms.data_ptr(),
            dx.data_ptr(),
            dweight.data_ptr(),
            rows=inverse_rms.shape[0],
            width=weight.shape[0],
        )
        return dx, dweight, None


def _gradients(dy: Tensor, x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """The gradients of x and weight in operations that autograd can differentiate."""
    inverse_rms = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    pulled = dy * weight
    dx = inverse_rms * pulled - x * inverse_rms**3 * (pulled * x).mean(-1, keepdim=True)
    return dx, (dy * x * inverse_rms).sum_to_size(weight.shape)
