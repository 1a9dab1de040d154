"""Singular values, and quantities derived from them."""

import torch
from torch import Tensor


def singular_values(matrix: Tensor) -> Tensor:
    """Singular values in descending order: (..., m, n) → (..., min(m, n)), in float32, or float64 for a float64 matrix.

    Raises:
        ValueError: ``matrix`` has fewer than two dimensions, or holds NaN or infinity.
    """
    if matrix.ndim < 2:
        raise ValueError(f"matrix has shape {tuple(matrix.shape)}; at least two dimensions are needed")
    if not matrix.isfinite().all():
        raise ValueError("matrix holds NaN or infinity; it has no singular values")
    values: Tensor = torch.linalg.svdvals(
        matrix.detach().to(torch.promote_types(matrix.dtype, torch.float32))
    )
    return values


def condition_number(matrix: Tensor) -> Tensor:
    """Largest over smallest singular value, (..., m, n) → (...): 1 for orthogonal matrices, infinite for singular ones.

    A smallest value below rounding error, ``eps · max(m, n)`` times the largest, counts as zero, since it is only
    noise. Raises what :func:`singular_values` raises.
    """
    values = singular_values(matrix)
    largest, smallest = values[..., 0], values[..., -1]
    noise = torch.finfo(values.dtype).eps * max(matrix.shape[-2:]) * largest
    return torch.where(smallest > noise, largest / smallest, torch.inf)


def effective_rank(matrix: Tensor) -> Tensor:
    """exp(entropy) of the singular values taken as probabilities, (..., m, n) → (...), from 1 to min(m, n).

    Roy & Vetterli 2007, "The effective rank: a measure of effective dimensionality", definition 1. NaN for a zero
    matrix. Raises what :func:`singular_values` raises.
    """
    values = singular_values(matrix)
    shares = values / values.sum(-1, keepdim=True)
    rank: Tensor = torch.special.entr(shares).sum(-1).exp()
    return rank
