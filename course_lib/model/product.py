"""Products with weights that fit into the processor's caches, by the kernel of csrc/kernels/product.hpp.

A small model spends two thirds of a training step in products of a few hundred rows, for which the general product of
torch's library prepares a sixth of its time. One function of autograd holds the products of one input with several
weights: their results lie side by side, and so may the gradients that come back.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from course_lib import _kernels
from course_lib.model.fused import can_fuse

_LARGEST = (
    1 << 18
)  # numbers in a weight; beyond, ordering the operands for the caches pays (benchmarks/model_speed.py)
_HAS_REGISTERS = (
    _kernels.available_isas()[-1] == "avx512"
)  # with 16 instead of 32, the general product is as fast


def can_multiply(x: Tensor, *weights: Tensor) -> bool:
    """Whether :func:`multiply_by` takes x (..., d_in) and weights (d_out, d_in) and is faster.

    That is so for small weights of whole vectors on one thread.
    """
    unit = _kernels.product_unit
    return (
        can_fuse(x, *weights)
        and _HAS_REGISTERS
        and torch.get_num_threads() == 1
        and x.numel() > 0
        and x.shape[-1] % unit == 0
        and all(
            weight.shape[0] % unit == 0 and weight.numel() <= _LARGEST and weight.is_contiguous()
            for weight in weights
        )
        and not torch.is_autocast_enabled("cpu")
    )


def multiply_by(x: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """The products x W^T with each of ``weights`` side by side: (..., d_in) → (..., sum of their d_out)."""
    if not torch.is_grad_enabled():
        return _multiply_by(x.contiguous(), weights)
    return _MultiplyBy.apply(x, *weights)  # type: ignore[no-any-return, no-untyped-call]


def _multiply_by(x: Tensor, weights: Sequence[Tensor]) -> Tensor:
    d_in, d_out = x.shape[-1], sum(len(weight) for weight in weights)
    rows, address, step = x.numel() // d_in, x.data_ptr(), x.element_size()
    y = x.new_empty(*x.shape[:-1], d_out)
    to = y.data_ptr()
    for weight in weights:
        width = len(weight)
        _kernels.multiply(rows, d_in, width, address, d_in, 1, weight.data_ptr(), 1, d_in, to, d_out)
        to += step * width
    return y


class _MultiplyBy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *weights: Tensor) -> Tensor:
        ctx.save_for_backward(x, *weights)
        return _multiply_by(x.contiguous(), weights)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, *weights = ctx.saved_tensors
        needs_dx, *needs_dweights = ctx.needs_input_grad
        if torch.is_grad_enabled():
            parts = torch.split(dy, [len(weight) for weight in weights], -1)
            dx = sum(part @ weight for part, weight in zip(parts, weights, strict=True))
            rows = x.reshape(-1, x.shape[-1])
            return dx, *(part.reshape(len(rows), -1).T @ rows for part in parts)
        dy, x = dy.contiguous(), x.contiguous()
        d_in, d_out, from_dy, step = x.shape[-1], dy.shape[-1], dy.data_ptr(), dy.element_size()
        rows = x.numel() // d_in
        dx = torch.empty_like(x) if needs_dx else None
        dweights: list[Tensor | None] = []
        for i, weight in enumerate(weights):
            width = len(weight)
            if dx is not None:
                b = weight.data_ptr(), d_in, 1
                _kernels.multiply(rows, width, d_in, from_dy, d_out, 1, *b, dx.data_ptr(), d_in, i > 0)
            dweight = torch.empty_like(weight) if needs_dweights[i] else None
            if dweight is not None:
                b = x.data_ptr(), d_in, 1
                _kernels.multiply(width, rows, d_in, from_dy, 1, d_out, *b, dweight.data_ptr(), d_in)
            dweights.append(dweight)
            from_dy += step * width
        return dx, *dweights
