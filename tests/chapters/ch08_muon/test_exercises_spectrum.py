"""Right and wrong answers to chapter 8's exercises on singular values and principal axes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from course_lib.chapters.ch08_muon.experiments import trajectories
from course_lib.optim import MUON_COEFFICIENTS
from tests.exercises.answers import Answers, run_tables

# In a notebook NumPy warns of an overflow and goes on.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

Triple = tuple[float, float, float]
Path = Sequence[Sequence[float]]

# --- singular values --------------------------------------------------------------------------------------------------


def spectrum_in_python(values: Sequence[float], coefficients: Triple, steps: int) -> list[float]:
    a, b, c = coefficients
    norm = sum(x * x for x in values) ** 0.5
    result = []
    for x in values:
        x /= norm
        for _ in range(steps):
            x = x * (a + x * x * (b + c * x * x))
        result.append(x)
    return result


def spectrum_in_float32(values: Sequence[float], coefficients: Triple, steps: int) -> torch.Tensor:
    a, b, c = coefficients
    x = torch.nn.functional.normalize(torch.tensor(values), dim=0)
    for _ in range(steps):
        x = a * x + b * x.pow(3) + c * x.pow(5)
    return x


def spectrum_of_a_matrix(values: Sequence[float], coefficients: Triple, steps: int) -> np.ndarray:
    a, b, c = coefficients
    x = np.diag(values) / np.linalg.norm(np.diag(values))
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return np.diag(x)


def spectrum_recursive(values: Sequence[float], coefficients: Triple, steps: int) -> tuple[float, ...]:
    if steps == 0:
        return tuple(x / sum(y**2 for y in values) ** 0.5 for x in values)
    a, b, c = coefficients
    return tuple(a * x + b * x**3 + c * x**5 for x in spectrum_recursive(values, coefficients, steps - 1))


def _iterate(x: Any, coefficients: Triple, steps: int) -> Any:
    a, b, c = coefficients
    for _ in range(steps):
        x = a * x + b * x**3 + c * x**5
    return x


def spectrum_not_divided(values: Sequence[float], coefficients: Triple, steps: int) -> np.ndarray:
    return _iterate(np.array(values), coefficients, steps)


def spectrum_not_divided_in_python(values: Sequence[float], coefficients: Triple, steps: int) -> list[float]:
    return [_iterate(x, coefficients, steps) for x in values]


def spectrum_over_the_largest(values: Sequence[float], coefficients: Triple, steps: int) -> np.ndarray:
    return _iterate(np.array(values) / np.linalg.norm(np.diag(values), 2), coefficients, steps)


def spectrum_over_the_sum(values: Sequence[float], coefficients: Triple, steps: int) -> list[float]:
    return [_iterate(x / sum(values), coefficients, steps) for x in values]


def spectrum_over_the_squares(values: Sequence[float], coefficients: Triple, steps: int) -> list[float]:
    return [_iterate(x / sum(y * y for y in values), coefficients, steps) for x in values]


def spectrum_divided_always(values: Sequence[float], coefficients: Triple, steps: int) -> np.ndarray:
    if steps == 0:
        return np.array(values) / np.linalg.norm(values)
    x = np.array(values)
    for _ in range(steps):
        x = _iterate(x / np.linalg.norm(x), coefficients, 1)
    return x


def spectrum_of_one_step(values: Sequence[float], coefficients: Triple, steps: int) -> np.ndarray:
    return _iterate(np.array(values) / np.linalg.norm(values), coefficients, 1 if steps else 0)


def spectrum_of_all_powers(values: Sequence[float], coefficients: Triple, steps: int) -> np.ndarray:
    a, b, c = coefficients
    x = np.array(values) / np.linalg.norm(values)
    for _ in range(steps):
        x = a * x + b * x**2 + c * x**3
    return x


def spectrum_overwritten(values: Sequence[float], coefficients: Triple, steps: int) -> list[float]:
    a, b, c = coefficients
    x = np.array(values) / np.linalg.norm(values)
    for _ in range(steps):
        x *= a
        x += b * x**3
        x += c * x**5
    return list(x)


def spectrum_of_muon(values: Sequence[float], coefficients: Triple, steps: int) -> np.ndarray:
    return _iterate(np.array(values) / np.linalg.norm(values), MUON_COEFFICIENTS, steps)


def spectrum_sorted(values: Sequence[float], coefficients: Triple, steps: int) -> np.ndarray:
    return np.linalg.svd(np.diag(spectrum_of_a_matrix(values, coefficients, steps)), compute_uv=False)


def spectrum_coefficients_reversed(values: Sequence[float], coefficients: Triple, steps: int) -> np.ndarray:
    return _iterate(np.array(values) / np.linalg.norm(values), coefficients[::-1], steps)


# --- the share of the first axis --------------------------------------------------------------------------------------


def axis_by_eigenvalues(path: Path) -> np.float64:
    points = np.array(path) - np.array(path[-1])
    values = np.linalg.eigvalsh(points @ points.T)
    return values.max() / np.trace(points @ points.T)


def axis_in_float32(path: Path) -> torch.Tensor:
    points = torch.tensor(path)
    squares = torch.linalg.svdvals(points - points[-1]) ** 2
    return squares[0] / squares.sum()


def axis_by_power_iteration(path: Path) -> float:
    points = [[x - y for x, y in zip(point, path[-1], strict=True)] for point in path]
    gram = [[sum(a * b for a, b in zip(p, q, strict=True)) for q in points] for p in points]
    v = [1.0 + i for i in range(len(points))]
    for _ in range(400):
        v = [sum(a * b for a, b in zip(row, v, strict=True)) for row in gram]
        norm = sum(x * x for x in v) ** 0.5
        v = [x / norm for x in v]
    return norm / sum(gram[i][i] for i in range(len(gram)))


def _squares(path: Path, start: Any) -> np.ndarray:
    return np.linalg.svd(np.array(path) - start, compute_uv=False) ** 2


def axis_from_the_mean(path: Path) -> float:
    variances = np.linalg.eigvalsh(np.cov(np.array(path).T))
    return variances[-1] / variances.sum()


def axis_from_the_start(path: Path) -> float:
    return _squares(path, np.array(path[0]))[0] / _squares(path, np.array(path[0])).sum()


def axis_from_zero(path: Path) -> float:
    return _squares(path, 0.0)[0] / _squares(path, 0.0).sum()


def axis_of_singular_values(path: Path) -> float:
    values = np.linalg.svd(np.array(path) - np.array(path)[-1])[1]
    return values[0] / values.sum()


def axis_under_a_root(path: Path) -> float:
    squares = _squares(path, np.array(path[-1]))
    return np.sqrt(squares[0]) / np.sqrt(squares.sum())


def axis_not_divided(path: Path) -> float:
    return _squares(path, np.array(path[-1]))[0]


def axis_of_coordinates(path: Path) -> float:
    squares = np.square(np.array(path) - np.array(path[-1])).sum(0)
    return max(squares) / sum(squares)


def axis_of_steps(path: Path) -> float:
    squares = np.linalg.svd(np.diff(path, axis=0), compute_uv=False) ** 2
    return squares[0] / squares.sum()


def axis_both(path: Path) -> float:
    squares = _squares(path, np.array(path[-1]))
    return squares[:2].sum() / squares.sum()


ANSWERS = {
    "muon-spectrum": Answers(
        right=(spectrum_in_python, spectrum_in_float32, spectrum_of_a_matrix, spectrum_recursive),
        wrong=(
            (spectrum_not_divided, "These values were not divided by the Frobenius norm first."),
            (spectrum_not_divided_in_python, "These values were not divided by the Frobenius norm first."),
            (spectrum_over_the_largest, "This divides by the largest singular value."),
            (spectrum_over_the_sum, "This divides by the sum of the values."),
            (spectrum_over_the_squares, "This divides by the sum of the squares."),
            (spectrum_divided_always, "The norm is divided out once"),
            (spectrum_of_one_step, "This is the result of a single step"),
            (spectrum_of_all_powers, "These are powers 1, 2 and 3."),
            (spectrum_overwritten, "x has changed before its powers were taken."),
            (spectrum_of_muon, "These are always Muon's coefficients"),
            (spectrum_sorted, "These are sorted."),
            (spectrum_coefficients_reversed, "The Frobenius norm is the root of 16 + 9"),
        ),
    ),
    "muon-first-axis": Answers(
        right=(axis_by_eigenvalues, axis_in_float32, axis_by_power_iteration),
        wrong=(
            (axis_from_the_mean, "This measures from the mean"),
            (axis_from_the_start, "This measures from the first point"),
            (axis_from_zero, "This measures from the origin of the coordinates."),
            (axis_of_singular_values, "These are shares of singular values."),
            (axis_under_a_root, "The root is taken of the share."),
            (axis_not_divided, "This is the sum of squares along the first axis."),
            (axis_of_coordinates, "This is the largest coordinate's share."),
            (axis_of_steps, "Seen from its end, (5, -2)"),
            (axis_both, "This is the share of the first two axes"),
        ),
    ),
}

test_right_answers_pass, test_wrong_answers_are_explained, test_there_are_enough = run_tables(ANSWERS)


def test_the_walk_that_the_task_suggests_can_be_measured() -> None:
    for steps in (20, 200):
        path = trajectories.random_walk([1.0] * steps, size=1000).tolist()
        assert abs(float(axis_by_eigenvalues(path)) - trajectories.random_walk_law(1)) < 0.05
