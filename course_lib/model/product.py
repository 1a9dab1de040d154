"""Products of one input with several weights, side by side, as one function of autograd.

The results lie in one piece of memory, and so do the gradients that come back: the gradient of the input is one
product, with nothing to be added up. Where the weights fit into the caches, the kernel of csrc/kernels/product.hpp
multiplies: a small model spends two thirds of a training step in products of a few hundred rows, for which the general
product of torch's library prepares a sixth of its time.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from course_lib import _kernels
from course_lib.model.watchers import can_fuse, needs_formulas

_LARGEST = (
    1 << 18
)  # numbers in a weight; beyond, ordering the operands for the caches pays (benchmarks/model_speed.py)
_HAS_REGISTERS = (
    _kernels.available_isas()[-1] == "avx512"
)  # with 16 instead of 32, the general product is as fast


def can_multiply(x: Tensor, *weights: Tensor) -> bool:
    """Whether the kernel takes x (..., d_in) and weights (d_out, d_in) and is faster than torch's product.

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
    """The products x W^T with each of ``weights`` side by side: (..., d_in) → (..., sum of their d_out).

    By the kernel where :func:`can_multiply` says so; else with a copy of all weights below one another, which costs
    less than it saves, and is made again in the backward pass instead of being kept.
    """
    if not torch.is_grad_enabled():
        return _multiply_by(x.contiguous(), weights)
    return _MultiplyBy.apply(x, *weights)  # type: ignore[no-any-return, no-untyped-call]


def _multiply_by(x: Tensor, weights: Sequence[Tensor]) -> Tensor:
    if not can_multiply(x, *weights):
        return x @ torch.cat(list(weights)).T
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
        formulas = needs_formulas(dy) or not can_multiply(x, *weights)
        return (_gradients if formulas else _gradients_by_kernel)(dy, x, weights, *ctx.needs_input_grad)


def _gradients(
    dy: Tensor, x: Tensor, weights: Sequence[Tensor], needs_dx: bool, *needs_dweights: bool
) -> tuple[Tensor | None, ...]:
    """The gradients of x and of each weight, in operations that autograd can differentiate."""
    dx = dy @ torch.cat(list(weights)) if needs_dx else None
    if not any(needs_dweights):
        return dx, *(None for _ in weights)
    together = dy.reshape(-1, dy.shape[-1]).T @ x.reshape(-1, x.shape[-1])
    return dx, *torch.split(together, [len(weight) for weight in weights])


def _gradients_by_kernel(
    dy: Tensor, x: Tensor, weights: Sequence[Tensor], needs_dx: bool, *needs_dweights: bool
) -> tuple[Tensor | None, ...]:
    dy, x = dy.contiguous(), x.contiguous()
    d_in, d_out, from_dy, step = x.shape[-1], dy.shape[-1], dy.data_ptr(), dy.element_size()
    rows = x.numel() // d_in
    dx = torch.empty_like(x) if needs_dx else None
    dweights: list[Tensor | None] = []
    for i, (weight, needed) in enumerate(zip(weights, needs_dweights, strict=True)):
        width = len(weight)
        if dx is not None:
            b = weight.data_ptr(), d_in, 1
            _kernels.multiply(rows, width, d_in, from_dy, d_out, 1, *b, dx.data_ptr(), d_in, i > 0)
        dweight = torch.empty_like(weight) if needed else None
        if dweight is not None:
            b = x.data_ptr(), d_in, 1
            _kernels.multiply(width, rows, d_in, from_dy, 1, d_out, *b, dweight.data_ptr(), d_in)
        dweights.append(dweight)
        from_dy += step * width
    return dx, *dweights
