"""Gradient clipping (梯度裁剪) by the norm over all parameters."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from course_lib.errors import NonFiniteGradientError
from course_lib.optim.base import cache_sized


def clip_grad_norm(params: Tensor | Iterable[Any], max_norm: float) -> Tensor:
    """Scale all gradients, in place, so that their common Euclidean norm is at most ``max_norm``; return the norm
    before.

    Pascanu et al. 2013, "On the difficulty of training recurrent neural networks", algorithm 1. Equals
    :func:`torch.nn.utils.clip_grad_norm_`, but raises an error for NaN, which would otherwise make every weight NaN
    in the next step.

    Args:
        params: Parameters, (name, parameter) pairs (``model.named_parameters()``), or parameter groups
            (``optimizer.param_groups``). With names, errors call parameters by them.
        max_norm: Largest norm that is left unchanged; ``inf`` only measures.

    Returns:
        The norm before clipping, a scalar tensor on the CPU.

    Raises:
        NonFiniteGradientError: A gradient holds NaN or infinity.
        ValueError: ``max_norm`` is not positive.
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm is {max_norm}; it must be positive")
    named = [(name, param.grad) for name, param in _named(params) if param.grad is not None]
    if not named:
        return torch.tensor(0.0, dtype=torch.float32, device="cpu")
    grads = [grad for _, grad in named]
    # Squares of half-precision numbers need float32, and their sum over many tensors the range of float64.
    dtype = torch.float64 if any(grad.dtype == torch.float64 for grad in grads) else torch.float32
    norms = torch._foreach_norm(grads, 2, dtype=dtype)
    sizes = torch.stack([norm.to(norms[0].device) for norm in norms]).tolist()
    value = math.sqrt(sum(size**2 for size in sizes))
    if not math.isfinite(value):
        for (name, grad), size in zip(named, sizes, strict=True):
            if not math.isfinite(size):
                reason = "NaN" if math.isnan(size) else "infinite or too large for its norm"
                raise NonFiniteGradientError(name, tuple(grad.shape), reason)
    if value > max_norm:
        scale = max_norm / (value + 1e-6)
        for (pieces,) in cache_sized(grads):
            torch._foreach_mul_(pieces, scale)
    return torch.tensor(value, dtype=dtype, device="cpu")


def _named(params: Tensor | Iterable[Any]) -> Iterable[tuple[str | int, Tensor]]:
    """Each parameter with its name, or its number where it has none."""
    for index, item in enumerate([params] if isinstance(params, Tensor) else params):
        if isinstance(item, dict):
            members = item["params"]
            members = [members] if isinstance(members, Tensor) else members
            names = item.get("param_names")
            yield from _named(zip(names, members, strict=True) if names else members)
        elif isinstance(item, Tensor):
            yield index, item
        else:
            name, param = item
            yield name, param
