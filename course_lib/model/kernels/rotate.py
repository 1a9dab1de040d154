"""The rotation of rotary embeddings by the compiled kernel where it may run, by ``rotate_pairs`` elsewhere."""

from typing import Any

import torch
from torch import Tensor

from course_lib import _kernels
from course_lib.model.functional import rotate_pairs
from course_lib.model.kernels.eligibility import eligible, needs_formulas


def rotate(tensors: tuple[Tensor, ...], cos: Tensor, sin: Tensor, layout: str) -> tuple[Tensor, ...]:
    """``rotate_pairs`` of each of ``tensors``, (..., T, heads, head_dim), by tables of (..., T, head_dim / 2).

    The kernel takes tables that all sequences share, (T, head_dim / 2).
    """
    if cos.ndim == 2 and eligible(cos, sin, *tensors):
        fitting = cos.shape[0], 2 * cos.shape[1]
        if all(x.shape[-3::2] == fitting for x in tensors) and sin.shape == cos.shape:
            options = cos.contiguous(), sin.contiguous(), layout == "interleaved", False
            if not torch.is_grad_enabled():
                return tuple(_rotate(x, *options) for x in tensors)
            return _Rotate.apply(*options, *tensors)  # type: ignore[no-any-return, no-untyped-call]
    return rotate_by_formula(tensors, cos, sin, layout)


def rotate_by_formula(
    tensors: tuple[Tensor, ...], cos: Tensor, sin: Tensor, layout: str
) -> tuple[Tensor, ...]:
    """The same in operations that torch sees."""
    cos, sin = cos.unsqueeze(-2), sin.unsqueeze(-2)
    return tuple(rotate_pairs(x, cos, sin, layout) for x in tensors)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor, interleaved: bool, transposed: bool) -> Tensor:
    x = x.contiguous()
    y = torch.empty_like(x)
    tokens, heads, width = x.shape[-3:]
    batch = x.numel() // max(tokens * heads * width, 1)
    _kernels.rotate(
        x.data_ptr(),
        cos.data_ptr(),
        sin.data_ptr(),
        y.data_ptr(),
        (batch, tokens, heads, width // 2),
        interleaved=interleaved,
        transposed=transposed,
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
        cos, sin, interleaved, transposed = ctx.options
        if needs_formulas(*gradients):
            layout = "interleaved" if interleaved else "half"
            turned = rotate_by_formula(gradients, cos, -sin if transposed else sin, layout)
        else:
            turned = tuple(_rotate(gradient, *ctx.options) for gradient in gradients)
        return None, None, None, None, *turned
