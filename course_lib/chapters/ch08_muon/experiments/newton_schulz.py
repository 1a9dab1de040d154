"""Chapter 8: Newton-Schulz polynomials: their effect on singular values, their design and their cost."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import median

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.measure import take_turns
from course_lib.lab.small_runs import one_thread
from course_lib.optim import MUON_COEFFICIENTS, newton_schulz

Triple = tuple[float, float, float]

CUBIC: Triple = (1.5, -0.5, 0.0)
"""The classical iteration: 1.5·x - 0.5·x³, Newton's method for the inverse square root of x²."""
TAYLOR: Triple = (15 / 8, -10 / 8, 3 / 8)
"""The quintic that is flattest at x = 1: its value there is 1, its first and second derivative are 0."""


def polynomial(x: ArrayLike, coefficients: Triple) -> NDArray[np.float64]:
    """a·x + b·x³ + c·x⁵."""
    a, b, c = coefficients
    square = np.asarray(x, dtype=float) ** 2
    return np.asarray(np.asarray(x, dtype=float) * (a + square * (b + square * c)))


def composed(x: ArrayLike, triples: Sequence[Triple]) -> NDArray[np.float64]:
    """Singular values ``x`` after one step with each of ``triples``."""
    values = np.asarray(x, dtype=float)
    for triple in triples:
        values = polynomial(values, triple)
    return values


def polar_express(lower: float, steps: int) -> list[Triple]:
    """The best coefficients for each of ``steps`` steps if all singular values lie between ``lower`` and 1.

    Amsel et al. 2025, "The Polar Express", theorem 3.1: the best composition takes, in every step, the odd quintic with
    the smallest maximal distance from 1 on the interval that results from the step before.

    Raises:
        ValueError: ``lower`` is not between 0 and 1, or ``steps`` is negative.
    """
    if not 0 < lower < 1:
        raise ValueError(f"lower is {lower}; it must be between 0 and 1")
    if steps < 0:
        raise ValueError(f"steps is {steps}; it must be at least 0")
    low, high = lower, 1.0
    triples = []
    for _ in range(steps):
        triple, error = best_quintic(low, high)
        triples.append(triple)
        low, high = 1 - error, 1 + error
    return triples


def best_quintic(low: float, high: float) -> tuple[Triple, float]:
    """The odd quintic p with the smallest maximal |1 - p(x)| on [low, high], and that error.

    Remez' algorithm: find p with errors of equal size and alternating sign at four points, move the two inner points to
    the extrema of p, repeat.
    """
    if high - low < 1e-4 * high:  # the four points are nearly equal; use the known limit
        middle = (low + high) / 2
        a, b, c = TAYLOR
        triple = (a / middle, b / middle**3, c / middle**5)
        return triple, max(float(np.abs(1 - polynomial([low, high], triple)).max()), 1e-15)
    inner = np.array([0.75 * low + 0.25 * high, 0.25 * low + 0.75 * high])
    signs = np.array([1.0, -1.0, 1.0, -1.0])
    error = np.inf
    while True:
        points = np.array([low, *inner, high])
        equations = np.column_stack([points, points**3, points**5, signs])
        a, b, c, new_error = np.linalg.solve(equations, np.ones(4))
        if abs(error - new_error) < 1e-14:
            return (float(a), float(b), float(c)), abs(float(new_error))
        error = new_error
        root = np.sqrt(9 * b**2 - 20 * a * c)  # p' = a + 3b·x² + 5c·x⁴
        inner = np.sqrt((-3 * b + np.array([-1, 1]) * root) / (10 * c))


def methods(lower: float = 1e-3, steps: int = 5) -> dict[str, list[Triple]]:
    """The designs that the chapter compares, by name, as one triple per step."""
    return {
        "cubic": [CUBIC] * steps,
        "Jordan": [MUON_COEFFICIENTS] * steps,
        "Polar Express": polar_express(lower, steps),
    }


def errors(designs: Mapping[str, Sequence[Triple]], lower: float) -> pd.DataFrame:
    """The largest |1 - σ| over singular values from ``lower`` to 1, after each step. Columns: method, step, error."""
    x = np.geomspace(lower, 1, 20_001)
    rows = [
        (name, step, float(np.abs(1 - composed(x, triples[:step])).max()))
        for name, triples in designs.items()
        for step in range(len(triples) + 1)
    ]
    return pd.DataFrame(rows, columns=["method", "step", "error"])


@float32_on_cpu()
def with_spectrum(values: ArrayLike, rows: int, columns: int, seed: int = 0) -> Tensor:
    """A random (rows, columns) matrix with the given min(rows, columns) singular values, float64."""
    generator = torch.Generator().manual_seed(seed)
    size = min(rows, columns)
    left, right = (
        torch.linalg.qr(torch.randn(n, size, dtype=torch.float64, generator=generator))[0]
        for n in (rows, columns)
    )
    matrix: Tensor = left * torch.as_tensor(np.asarray(values, dtype=float)) @ right.mT
    return matrix


def polar_factor(matrix: Tensor) -> Tensor:
    """U Vᵀ of the singular value decomposition: the exact result that Newton-Schulz approaches."""
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    factor: Tensor = left @ right
    return factor


def step_flops(rows: int, columns: int, steps: int = 5) -> int:
    """Floating-point operations of ``steps`` Newton-Schulz steps: 4·m²·n + 2·m³ each, m the shorter side."""
    short, long = sorted((rows, columns))
    return steps * (4 * short**2 * long + 2 * short**3)


@float32_on_cpu()
def counted_flops(rows: int, columns: int, steps: int = 5) -> int:
    """The same, counted by torch while the library's function runs."""
    with FlopCounterMode(display=False) as counter:
        newton_schulz(torch.ones(rows, columns), steps)
    return int(counter.get_total_flops())


def overhead(d_model: int, tokens: int, *, d_ff: int | None = None, steps: int = 5) -> float:
    """Newton-Schulz FLOPs relative to those of forward and backward, for the matrices of one layer.

    Training takes six FLOPs per weight and token (2 forward, 4 backward); a layer has four matrices of attention and
    three of SwiGLU.

    Args:
        d_model: Width.
        tokens: Tokens per batch; the optimizer works once per batch.
        d_ff: Width of the hidden layer, by default 8/3 of d_model.
        steps: Number of Newton-Schulz steps.
    """
    hidden = round(8 * d_model / 3) if d_ff is None else d_ff
    shapes = [(d_model, d_model)] * 4 + [(hidden, d_model)] * 3
    training = sum(6 * rows * columns * tokens for rows, columns in shapes)
    return sum(step_flops(rows, columns, steps) for rows, columns in shapes) / training


@float32_on_cpu()
def timings(size: int = 256, repeats: int = 5) -> pd.DataFrame:
    """CPU time to orthogonalize a square matrix on one thread: float32, bfloat16, and by SVD.

    Returns:
        One row per way: way, milliseconds (median), error (largest |σ - 1| of the result).
    """
    matrix = torch.randn(size, size, generator=torch.Generator().manual_seed(0))
    ways: dict[str, Callable[[], Tensor]] = {
        "Newton-Schulz, float32": partial(newton_schulz, matrix, dtype=torch.float32),
        "Newton-Schulz, bfloat16": partial(newton_schulz, matrix, dtype=torch.bfloat16),
        "SVD, float32": partial(polar_factor, matrix),
    }
    rows = []
    with one_thread():
        seconds = take_turns(ways, repeats)
        for name, way in ways.items():
            error = (torch.linalg.svdvals(way()) - 1).abs().max()
            rows.append((name, 1e3 * median(seconds[name]), float(error)))
    return pd.DataFrame(rows, columns=["way", "milliseconds", "error"])
