"""The exercises of chapter 8 on singular values and principal axes.

Results are worked out by hand, or come from the library on matrices and paths.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from course_lib.answers.checking import Case, Exercise, Mistake
from course_lib.diagnostics import trajectory_projection
from course_lib.optim import MUON_COEFFICIENTS, newton_schulz

Triple = tuple[float, float, float]

# --- singular values --------------------------------------------------------------------------------------------------


def _by_matrix(values: Sequence[float], coefficients: Triple, steps: int) -> list[float]:
    """The library's result for a random matrix with these singular values, along its singular vectors."""
    generator = torch.Generator().manual_seed(0)
    size = len(values)
    with torch.device("cpu"):
        left, right = (
            torch.linalg.qr(torch.randn(n, size, dtype=torch.float64, generator=generator))[0]
            for n in (size + 2, size + 5)
        )
        matrix = left * torch.tensor(values, dtype=torch.float64) @ right.T
    result = newton_schulz(matrix, steps, coefficients)
    return [float(value) for value in (left.T @ result @ right).diagonal()]


def _spectrum_cases() -> Iterator[Case]:
    cubic = (1.5, -0.5, 0.0)
    yield Case(
        ([4.0, 3.0], cubic, 1),
        [1.5 * 0.8 - 0.5 * 0.8**3, 1.5 * 0.6 - 0.5 * 0.6**3],
        "The Frobenius norm is the root of 16 + 9, which is 5: the values start as 0.8 and 0.6.",
    )
    yield Case(([2.0], MUON_COEFFICIENTS, 0), [1.0], "No step: only the division by the norm.")
    whys = {
        (1.0, 0.1): "Each step is applied to what the last one gave.",
        (3.0, 1.0, 0.01): "Small values grow by about a in every step.",
        (1.0, 1.0, 1.0): "Equal values stay equal; the norm of this matrix is the root of 3.",
        (0.2, 1.0, 0.5): "The results stand in the order of the values given, not in the order of size.",
    }
    for values, why in whys.items():
        for coefficients, steps in ((cubic, 2), (MUON_COEFFICIENTS, 5)):
            yield Case((list(values), coefficients, steps), _by_matrix(values, coefficients, steps), why)


def _polynomial(values: np.ndarray, coefficients: Triple, steps: int) -> list[float]:
    a, b, c = coefficients
    for _ in range(steps):
        values = a * values + b * values**3 + c * values**5
    return [float(value) for value in values]


def _scaled(norm: Callable[[np.ndarray], float]) -> Callable[..., list[float]]:
    """The right way, except divided by another norm."""

    def after(values: Sequence[float], coefficients: Triple, steps: int) -> list[float]:
        with np.errstate(all="ignore"):
            return _polynomial(np.array(values) / norm(np.array(values)), coefficients, steps)

    return after


_right = _scaled(lambda values: float(np.linalg.norm(values)))


def _not_divided_in_python(values: Sequence[float], coefficients: Triple, steps: int) -> list[float]:
    a, b, c = coefficients
    x = list(values)
    for _ in range(steps):
        x = [a * v + b * v**3 + c * v**5 for v in x]  # raises where NumPy gives inf and NaN
    return x


def _other_step(step: Callable[[np.ndarray, float, float, float], np.ndarray]) -> Callable[..., list[float]]:
    """The right way except for the effect of a step on the values."""

    def after(values: Sequence[float], coefficients: Triple, steps: int) -> list[float]:
        x = np.array(values) / np.linalg.norm(values)
        for _ in range(steps):
            x = step(x, *coefficients)
        return [float(value) for value in x]

    return after


def _overwritten(x: np.ndarray, a: float, b: float, c: float) -> np.ndarray:
    x = a * x
    x = x + b * x**3
    return x + c * x**5


def _divided_again(x: np.ndarray, a: float, b: float, c: float) -> np.ndarray:
    x = x / np.linalg.norm(x)
    return a * x + b * x**3 + c * x**5


_NOT_DIVIDED = (
    "These values were not divided by the Frobenius norm first. Above about 1.5 the iteration runs away."
)

SPECTRUM = Exercise(
    id="muon-spectrum",
    chapter=8,
    cases=_spectrum_cases,
    hint="The Frobenius norm of a matrix is the root of the sum of its squared singular values: divide by it once, at "
    "the start. Then replace every value x by a·x + b·x³ + c·x⁵, as often as there are steps.",
    mistakes=(
        Mistake(_scaled(lambda _: 1.0), _NOT_DIVIDED),
        Mistake(_not_divided_in_python, _NOT_DIVIDED),
        Mistake(
            _scaled(lambda values: float(values.max())),
            "This divides by the largest singular value. The library does not know it; it divides by the "
            "Frobenius norm, the root of the sum of their squares.",
        ),
        Mistake(
            _scaled(lambda values: float(values.sum())),
            "This divides by the sum of the values. The Frobenius norm is the root of the sum of their squares.",
        ),
        Mistake(
            _scaled(lambda values: float((values**2).sum())),
            "This divides by the sum of the squares. The Frobenius norm is the root of it.",
        ),
        Mistake(
            _other_step(_divided_again), "The norm is divided out once, at the start, not in every step."
        ),
        Mistake(
            lambda values, coefficients, steps: _right(values, coefficients, min(steps, 1)),
            "This is the result of a single step; there are several.",
        ),
        Mistake(
            _other_step(lambda x, a, b, c: a * x + b * x**2 + c * x**3),
            "These are powers 1, 2 and 3. Products of X and XXᵀ give odd powers only: 1, 3 and 5.",
        ),
        Mistake(
            _other_step(_overwritten),
            "x has changed before its powers were taken. All three terms need the x of the beginning of the step.",
        ),
        Mistake(
            lambda values, _coefficients, steps: _right(values, MUON_COEFFICIENTS, steps),
            "These are always Muon's coefficients; use those that are given.",
        ),
        Mistake(
            lambda values, coefficients, steps: sorted(_right(values, coefficients, steps), reverse=True),
            "These are sorted. The results belong in the order of the values given.",
        ),
    ),
)

# --- the share of the first axis --------------------------------------------------------------------------------------


def _axis_cases() -> Iterator[Case]:
    yield Case(([[1.0, 0.0], [2.0, 2.0], [4.0, 6.0]],), 1.0, "A straight path lies on one axis.")
    yield Case(
        ([[8.0, -2.0], [5.0, -1.0], [5.0, -2.0]],),
        0.9,
        "Seen from its end, (5, -2), the path has squares 9 along x and 1 along y: 9 of 10.",
    )
    yield Case(
        ([[3.0, 1.0], [-1.0, 1.0], [1.0, 3.0], [1.0, -1.0], [1.0, 1.0]],),
        0.5,
        "Seen from its end, (1, 1), the path has squares 8 along x and 8 along y.",
    )
    for seed in (0, 1):
        path = np.random.default_rng(seed).normal(size=(12, 40)).cumsum(0).round(3)
        share = trajectory_projection(list(torch.from_numpy(path))).explained[0]
        yield Case((path.tolist(),), float(share), "A random walk: the library finds another share.")


def _seen_from(origin: str) -> Callable[[Sequence[Sequence[float]]], np.ndarray]:
    """The squares along the principal axes of a path that is measured from somewhere."""

    def squares(path: Sequence[Sequence[float]]) -> np.ndarray:
        points = np.array(path)
        start = {"mean": points.mean(0), "end": points[-1], "start": points[0], "zero": 0 * points[0]}[origin]
        return np.linalg.svd(points - start, compute_uv=False) ** 2

    return squares


def _first_share(squares: np.ndarray) -> float:
    return float(squares[0] / squares.sum())


def _largest_coordinate(path: Sequence[Sequence[float]]) -> float:
    squares = ((np.array(path) - np.array(path[-1])) ** 2).sum(0)
    return float(squares.max() / squares.sum())


FIRST_AXIS = Exercise(
    id="muon-first-axis",
    chapter=8,
    cases=_axis_cases,
    hint="Subtract the last point from all. The squared singular values of that matrix are the sums of squares along "
    "its principal axes: the first over the sum of all.",
    mistakes=(
        Mistake(
            lambda path: _first_share(_seen_from("mean")(path)),
            "This measures from the mean of the path. The plane of this chapter goes through its last point.",
        ),
        Mistake(
            lambda path: _first_share(_seen_from("start")(path)),
            "This measures from the first point; take the last.",
        ),
        Mistake(
            lambda path: _first_share(_seen_from("zero")(path)),
            "This measures from the origin of the coordinates. Subtract the last point from all.",
        ),
        Mistake(
            lambda path: _first_share(_seen_from("end")(path) ** 0.5),
            "These are shares of singular values. Squared distances are the squares of singular values.",
        ),
        Mistake(
            lambda path: _first_share(_seen_from("end")(path)) ** 0.5,
            "The root is taken of the share. A share of *squared* distances is asked for.",
        ),
        Mistake(
            lambda path: float(_seen_from("end")(path)[0]),
            "This is the sum of squares along the first axis. Divide by the sum of all.",
        ),
        Mistake(
            lambda path: float(_seen_from("end")(path)[:2].sum() / _seen_from("end")(path).sum()),
            "This is the share of the first two axes, as in the picture of section 7. Take the first alone.",
        ),
        Mistake(
            _largest_coordinate,
            "This is the largest coordinate's share. A principal axis may lie oblique to all coordinates: take "
            "singular values.",
        ),
    ),
)
