"""Newton-Schulz iteration: the nearest (semi-)orthogonal matrix, using only matrix products."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

Coefficients = tuple[float, float, float] | Sequence[tuple[float, float, float]]

MUON_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""a, b, c of the quintic a·x + b·x³ + c·x⁵ with the steepest start (Jordan 2024): singular values go to about 0.7 …
1.2."""


@torch.no_grad()
def newton_schulz(
    matrix: Tensor,
    steps: int = 5,
    coefficients: Coefficients = MUON_COEFFICIENTS,
    *,
    eps: float = 1e-7,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Push all singular values of ``matrix`` towards 1 and keep its singular vectors (Newton-Schulz, 牛顿-舒尔茨迭代).

    X ← a·X + b·(XXᵀ)X + c·(XXᵀ)²X applies the polynomial a·x + b·x³ + c·x⁵ to every singular value. X starts as the
    matrix divided by its Frobenius norm, which makes them at most 1.

    Args:
        matrix: (..., m, n). Leading dimensions are a batch of independent matrices.
        steps: Number of iterations.
        coefficients: (a, b, c), or one such triple per step, as designed by Polar Express (Amsel et al. 2025,
            arXiv:2505.16932).
        eps: Smallest norm to divide by; a zero matrix stays zero.
        dtype: Dtype of the iteration. By default bfloat16 on an accelerator and float32 on a CPU (float64 for a float64
            matrix), so that results do not depend on the processor: with bfloat16 instructions (AVX512-BF16, AMX)
            bfloat16 is about twice as fast there as float32, without them many times slower.

    Returns:
        A tensor of the shape and dtype of ``matrix``, approximately U Vᵀ where matrix = U S Vᵀ.

    Raises:
        ValueError: ``matrix`` has fewer than two dimensions, steps is negative, or coefficients do not fit the steps.
    """
    if matrix.ndim < 2:
        raise ValueError(f"matrix has shape {tuple(matrix.shape)}; at least two dimensions are needed")
    triples = coefficients_by_step(coefficients, steps)
    if dtype is None:
        dtype = (
            torch.promote_types(matrix.dtype, torch.float32)
            if matrix.device.type == "cpu"
            else torch.bfloat16
        )
    x = matrix.to(dtype)
    tall = x.shape[-2] > x.shape[-1]
    if tall:  # X Xᵀ is then the smaller of the two Gram matrices
        x = x.mT
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=eps)
    for a, b, c in triples:
        gram = x @ x.mT
        polynomial = _multiply_add(gram, gram, gram, b, c)  # b·XXᵀ + c·(XXᵀ)²
        x = _multiply_add(x, polynomial, x, a, 1.0)
    return (x.mT if tall else x).to(matrix.dtype)


def coefficients_by_step(coefficients: Coefficients, steps: int) -> list[tuple[float, float, float]]:
    """One (a, b, c) per step. Raises ValueError where ``coefficients`` do not fit ``steps``."""
    if steps < 0:
        raise ValueError(f"steps is {steps}; it must be at least 0")
    one = len(coefficients) == 3 and all(isinstance(number, int | float) for number in coefficients)
    rows: list[Any] = [coefficients] * steps if one else list(coefficients)
    if len(rows) != steps or any(not isinstance(row, Sequence) or len(row) != 3 for row in rows):
        raise ValueError(
            f"coefficients is {coefficients}; it must be (a, b, c), or {steps} such triples, one per step"
        )
    return rows


def _multiply_add(base: Tensor, left: Tensor, right: Tensor, beta: float, alpha: float) -> Tensor:
    """beta·base + alpha·(left @ right), in one kernel: rounded once in low precision."""
    if base.ndim == 2:
        return torch.addmm(base, left, right, beta=beta, alpha=alpha)
    flat = [tensor.flatten(0, -3) for tensor in (base, left, right)]
    return torch.baddbmm(*flat, beta=beta, alpha=alpha).view(base.shape)


def update_scale(shape: Sequence[int], rule: str) -> float:
    """The factor on Muon's orthogonal update of a (rows, cols) matrix.

    "jordan": sqrt(max(1, rows / cols)) (Jordan 2024). "moonlight": 0.2·sqrt(max(rows, cols)), which gives the
    update the root mean square 0.2 that AdamW's updates typically have, so that AdamW's learning rate and decay can
    be kept (Liu et al. 2025, section 2.2).
    """
    rows, cols = shape
    match rule:
        case "moonlight":
            return 0.2 * math.sqrt(max(rows, cols))
        case "jordan":
            return math.sqrt(max(1, rows / cols))
    raise ValueError(f"scale is {rule!r}; it must be 'moonlight' or 'jordan'")
