"""The product of a few rows with a weight, which is limited by reading the weight from memory."""

import torch
from torch import Tensor

from course_lib import _kernels

_FEW_ROWS = 4  # with more, a general matrix product is as fast


def has_few_rows(x: Tensor) -> bool:
    """Whether x (..., d_in) is a token or a few, and no gradients are recorded."""
    return not torch.is_grad_enabled() and x.numel() <= _FEW_ROWS * x.shape[-1]


def few_rows_product(x: Tensor, weight: Tensor) -> Tensor:
    """X W^T of x (..., d_in) and weight (d_out, d_in), both eligible: (..., d_out), at the speed of reading the weight.

    Writing a text one token at a time is limited by reading the weights from memory; torch's general matrix product
    reads them at less than half the speed.
    """
    x, weight = x.contiguous(), weight.contiguous()
    outputs, width = weight.shape
    y = x.new_empty(*x.shape[:-1], outputs)
    rows = x.numel() // width
    _kernels.multiply_few_rows(x.data_ptr(), weight.data_ptr(), y.data_ptr(), rows, width, outputs)
    return y
