"""Tensors with gradients, and gradients in which no symmetry hides an error."""

import torch
from torch import Tensor


def leaf(*shape: int) -> Tensor:
    return torch.randn(shape, requires_grad=True)


def gradients(y: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Of a sum with fixed weights."""
    weights = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view(y.shape).sin()
    return torch.autograd.grad((y * weights).sum(), inputs)
