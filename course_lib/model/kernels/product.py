"""Products of an input with one weight, or with several side by side as one function of autograd.

Where the weights fit into the caches, the kernel of csrc/kernels/product.hpp multiplies: a small model spends two
thirds of a training step in products of a few hundred rows, and torch's general product spends a sixth of that time on
preparations. The results of several weights lie side by side in memory, and so do the gradients that come back: the
gradient of the input is one product, with nothing to be added up.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from course_lib import _kernels
from course_lib.model.checks import check_features
from course_lib.model.kernels.eligibility import eligible, needs_formulas
from course_lib.model.kernels.few_rows import few_rows_product, has_few_rows

# Numbers in a weight; beyond, ordering the operands for the caches pays (benchmarks/model_speed.py).
_LARGEST = 1 << 18
# AVX-512 has 32 registers; with 16, the general product is as fast.
_HAS_AVX512 = _kernels.available_isas()[-1] == "avx512"


def product(x: Tensor, weight: Tensor) -> Tensor:
    """X W^T of x (..., d_in) and weight (d_out, d_in): (..., d_out).

    Raises ValueError where ``x`` has another number of features, dtype or device than ``weight``.
    """
    if x.ndim and x.shape[-1] == weight.shape[1] and eligible(x, weight):
        if has_few_rows(x):
            return few_rows_product(x, weight)
        if _kernel_is_faster(x, weight):
            return _side_by_side(True, x, (weight,))
    else:
        check_features(x, weight)
    return x @ weight.T


def may_be_side_by_side(x: Tensor, *weights: Tensor) -> bool:
    """Whether :func:`side_by_side` of x (..., d_in) and ``weights`` may stand for a :func:`product` with each."""
    return (
        not has_few_rows(x)
        and eligible(x, *weights)
        and all(weight.shape[1] == x.shape[-1] for weight in weights)
        and not torch.is_autocast_enabled("cpu")
    )


def side_by_side(x: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """The products X W^T with each of ``weights``, eligible, side by side: (..., d_in) → (..., sum of their d_out).

    By the kernel where it is faster; elsewhere with a copy of all weights below one another, which costs less than it
    saves, and is made again in the backward pass instead of being kept.
    """
    return _side_by_side(_kernel_is_faster(x, *weights), x, weights)


def _side_by_side(by_kernel: bool, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
    if not torch.is_grad_enabled():
        return _forward(by_kernel, x.contiguous(), weights)
    return _SideBySide.apply(by_kernel, x, *weights)  # type: ignore[no-any-return, no-untyped-call]


def _kernel_is_faster(x: Tensor, *weights: Tensor) -> bool:
    """Whether the kernel takes x (..., d_in) and weights (d_out, d_in), all eligible, and beats torch's product.

    That is so on one thread, for small weights of whole vectors.
    """
    unit = _kernels.product_unit
    return (
        _HAS_AVX512
        and torch.get_num_threads() == 1
        and x.numel() > 0
        and x.shape[-1] % unit == 0
        and all(
            weight.shape[1] == x.shape[-1]
            and weight.shape[0] % unit == 0
            and weight.numel() <= _LARGEST
            and weight.is_contiguous()
            for weight in weights
        )
        and not torch.is_autocast_enabled("cpu")
    )


def _forward(by_kernel: bool, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
    if not by_kernel:
        return x @ torch.cat(list(weights)).T
    d_in, d_out = x.shape[-1], sum(len(weight) for weight in weights)
    rows, address, step = x.numel() // d_in, x.data_ptr(), x.element_size()
    y = x.new_empty(*x.shape[:-1], d_out)
    to = y.data_ptr()
    for weight in weights:
        width = len(weight)
        _kernels.multiply(  # y_i = x W_i^T
            (address, d_in, 1),
            (weight.data_ptr(), 1, d_in),
            (to, d_out),
            rows=rows,
            depth=d_in,
            width=width,
        )
        to += step * width
    return y


class _SideBySide(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, by_kernel: bool, x: Tensor, *weights: Tensor) -> Tensor:
        ctx.save_for_backward(x, *weights)
        return _forward(by_kernel, x.contiguous(), weights)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, *weights = ctx.saved_tensors
        by_kernel = not needs_formulas(dy) and eligible(x, *weights) and _kernel_is_faster(x, *weights)
        gradients = _gradients_by_kernel if by_kernel else _gradients
        return None, *gradients(dy, x, weights, *ctx.needs_input_grad[1:])


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
            _kernels.multiply(  # dx = sum of dy_i W_i
                (from_dy, d_out, 1),
                (weight.data_ptr(), d_in, 1),
                (dx.data_ptr(), d_in),
                rows=rows,
                depth=width,
                width=d_in,
                accumulate=i > 0,
            )
        dweight = torch.empty_like(weight) if needed else None
        if dweight is not None:
            _kernels.multiply(  # dW_i = dy_i^T x
                (from_dy, 1, d_out),
                (x.data_ptr(), d_in, 1),
                (dweight.data_ptr(), d_in),
                rows=width,
                depth=rows,
                width=d_in,
            )
        dweights.append(dweight)
        from_dy += step * width
    return dx, *dweights
