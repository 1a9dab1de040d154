"""Right and wrong answers to the exercises of chapter 4."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from course_lib.model import RotaryEmbedding
from tests.exercises.answers import Answers, run_tables

Vector = Sequence[float]

# --- pairs that come round --------------------------------------------------------------------------------------------


def pairs_with_numpy(theta: float, head_dim: int, length: int) -> np.integer[Any]:
    speeds = theta ** (-np.arange(0, head_dim, 2) / head_dim)
    return (speeds * length >= 2 * np.pi).sum()


def pairs_by_logarithm(theta: float, head_dim: int, length: int) -> int:
    pairs = math.floor(head_dim / 2 * math.log(length / math.tau, theta)) + 1
    return min(max(pairs, 0), head_dim // 2)


def pairs_one_by_one(theta: float, head_dim: int, length: int) -> int:
    count = 0
    while count < head_dim // 2 and math.tau * theta ** (2 * count / head_dim) <= length:
        count += 1
    return count


def pairs_in_radians(theta: float, head_dim: int, length: int) -> int:
    return sum(theta ** (2 * i / head_dim) <= length for i in range(head_dim // 2))


def pairs_half_exponent(theta: float, head_dim: int, length: int) -> int:
    return sum(math.tau * theta ** (i / head_dim) <= length for i in range(head_dim // 2))


def pairs_left(theta: float, head_dim: int, length: int) -> int:
    return sum(math.tau * theta ** (2 * i / head_dim) > length for i in range(head_dim // 2))


def pairs_of_all_features(theta: float, head_dim: int, length: int) -> int:
    return sum(math.tau * theta ** (2 * i / head_dim) <= length for i in range(head_dim))


def pairs_unbounded(theta: float, head_dim: int, length: int) -> int:
    return math.floor(head_dim / 2 * math.log(length / math.tau) / math.log(theta)) + 1


def pairs_half_turn(theta: float, head_dim: int, length: int) -> int:
    return sum(math.pi * theta ** (2 * i / head_dim) <= length for i in range(head_dim // 2))


def pairs_from_one(theta: float, head_dim: int, length: int) -> int:
    return sum(math.tau * theta ** (2 * i / head_dim) <= length for i in range(1, head_dim // 2))


def pairs_features(theta: float, head_dim: int, length: int) -> int:
    return 2 * pairs_one_by_one(theta, head_dim, length)


def pairs_listed(theta: float, head_dim: int, length: int) -> list[bool]:
    return [math.tau * theta ** (2 * i / head_dim) <= length for i in range(head_dim // 2)]


def pairs_as_fraction(theta: float, head_dim: int, length: int) -> float:
    return head_dim / 2 * math.log(length / math.tau, theta) + 1


# --- turning ----------------------------------------------------------------------------------------------------------


def rotate_by_library(vector: Vector, position: int, theta: float) -> torch.Tensor:
    rope = RotaryEmbedding(theta, len(vector), max_seq_len=16)
    return rope(torch.tensor([vector]), torch.tensor([position]))[0]


def rotate_with_numpy(vector: Vector, position: int, theta: float) -> np.ndarray:
    x = np.array(vector, dtype=np.float32).reshape(-1, 2)
    angles = position * theta ** (-np.arange(len(x)) * 2 / len(vector))
    cos, sin = np.cos(angles), np.sin(angles)
    return np.stack([x[:, 0] * cos - x[:, 1] * sin, x[:, 0] * sin + x[:, 1] * cos], axis=1).ravel()


def rotate_by_complex(vector: Vector, position: int, theta: float) -> tuple[float, ...]:
    turned: tuple[float, ...] = ()
    for i, (a, b) in enumerate(zip(vector[::2], vector[1::2], strict=True)):
        z = complex(a, b) * complex(math.cos(1), math.sin(1)) ** (position / theta ** (2 * i / len(vector)))
        turned += (z.real, z.imag)
    return turned


def rotate_by_torch_polar(vector: Vector, position: int, theta: float) -> torch.Tensor:
    x = torch.view_as_complex(torch.tensor(vector, dtype=torch.float64).view(-1, 2))
    speeds = theta ** (-torch.arange(len(x), dtype=torch.float64) / len(x))
    return torch.view_as_real(x * torch.polar(torch.ones_like(speeds), position * speeds)).flatten()


def _rotate(vector: Vector, angle_of: Any, sign: int = 1) -> list[float]:
    turned = []
    for i in range(0, len(vector), 2):
        a, b, angle = vector[i], vector[i + 1], angle_of(i)
        turned += [
            a * math.cos(angle) - sign * b * math.sin(angle),
            sign * a * math.sin(angle) + b * math.cos(angle),
        ]
    return turned


def rotate_backwards(vector: Vector, position: int, theta: float) -> list[float]:
    return _rotate(vector, lambda i: position * theta ** (-i / len(vector)), -1)


def rotate_overwriting(vector: Vector, position: int, theta: float) -> list[float]:
    out = list(vector)
    for i in range(0, len(out), 2):
        angle = position * theta ** (-i / len(out))
        out[i] = out[i] * math.cos(angle) - out[i + 1] * math.sin(angle)
        out[i + 1] = out[i] * math.sin(angle) + out[i + 1] * math.cos(angle)
    return out


def rotate_in_place(vector: list[float], position: int, theta: float) -> list[float]:
    vector[:] = _rotate(vector, lambda i: position * theta ** (-i / len(vector)))
    return vector


def rotate_one_speed(vector: Vector, position: int, theta: float) -> list[float]:
    return _rotate(vector, lambda _: position)


def rotate_half_split(vector: Vector, position: int, theta: float) -> np.ndarray:
    x, half = np.array(vector), len(vector) // 2
    angles = position * theta ** (-np.arange(half) / half)
    a, b = x[:half], x[half:]
    return np.concatenate([a * np.cos(angles) - b * np.sin(angles), a * np.sin(angles) + b * np.cos(angles)])


def rotate_half_exponent(vector: Vector, position: int, theta: float) -> list[float]:
    return _rotate(vector, lambda i: position * theta ** (-(i // 2) / len(vector)))


def rotate_twice_exponent(vector: Vector, position: int, theta: float) -> list[float]:
    return _rotate(vector, lambda i: position * theta ** (-2 * i / len(vector)))


def rotate_in_degrees(vector: Vector, position: int, theta: float) -> list[float]:
    return _rotate(vector, lambda i: math.radians(position * theta ** (-i / len(vector))))


def rotate_concatenated(vector: Vector, position: int, theta: float) -> list[float]:
    turned = _rotate(vector, lambda i: position * theta ** (-i / len(vector)))
    return turned[::2] + turned[1::2]


def rotate_faster(vector: Vector, position: int, theta: float) -> list[float]:
    return _rotate(vector, lambda i: position * theta ** (i / len(vector)))


def rotate_reflected(vector: Vector, position: int, theta: float) -> list[float]:
    turned = _rotate(vector, lambda i: position * theta ** (-i / len(vector)))
    return [-x if i % 2 else x for i, x in enumerate(turned)]


def rotate_from_one(vector: Vector, position: int, theta: float) -> list[float]:
    return _rotate(vector, lambda i: (position + 1) * theta ** (-i / len(vector)))


def rotate_pairs(vector: Vector, position: int, theta: float) -> np.ndarray:
    return rotate_with_numpy(vector, position, theta).reshape(-1, 2)


def rotate_beyond(vector: Vector, position: int, theta: float) -> list[float]:
    turned = []
    for i in range(len(vector)):
        a, b, angle = vector[i], vector[i + 1], position * theta ** (-i / len(vector))
        turned += [a * math.cos(angle) - b * math.sin(angle), a * math.sin(angle) + b * math.cos(angle)]
    return turned


# --- reordering -------------------------------------------------------------------------------------------------------


def order_with_numpy(head_dim: int) -> np.ndarray:
    return np.arange(head_dim).reshape(-1, 2).T.ravel()


def order_with_torch(head_dim: int) -> torch.Tensor:
    return torch.cat([torch.arange(0, head_dim, 2), torch.arange(1, head_dim, 2)])


def order_chained(head_dim: int) -> Any:
    return itertools.chain(range(0, head_dim, 2), range(1, head_dim, 2))


def order_by_formula(head_dim: int) -> tuple[int, ...]:
    half = head_dim // 2
    return tuple(2 * (j % half) + j // half for j in range(head_dim))


def order_inverse(head_dim: int) -> np.ndarray:
    return np.argsort(order_with_numpy(head_dim))


def order_odd_first(head_dim: int) -> list[int]:
    return [*range(1, head_dim, 2), *range(0, head_dim, 2)]


def order_unchanged(head_dim: int) -> range:
    return range(head_dim)


def order_of_pairs(head_dim: int) -> np.ndarray:
    return order_with_numpy(head_dim).reshape(2, -1)


def order_backwards(head_dim: int) -> list[int]:
    return [*range(head_dim)][::-1]


def order_swapped(head_dim: int) -> list[int]:
    return [*range(head_dim // 2, head_dim), *range(head_dim // 2)]


def order_from_one(head_dim: int) -> list[int]:
    return [*range(1, head_dim + 1, 2), *range(2, head_dim + 1, 2)]


def order_even_only(head_dim: int) -> list[int]:
    return list(range(0, head_dim, 2))


# --- a new base -------------------------------------------------------------------------------------------------------


def base_by_root(theta: float, head_dim: int, factor: float) -> float:
    power = (head_dim - 2) / head_dim
    return (factor * theta**power) ** (1 / power)


def base_in_float32(theta: float, head_dim: int, factor: float) -> torch.Tensor:
    return torch.tensor(theta) * torch.tensor(factor) ** (head_dim / (head_dim - 2))


def base_by_logarithm(theta: float, head_dim: int, factor: float) -> np.floating[Any]:
    return np.exp(np.log(theta) + np.log(factor) * head_dim / (head_dim - 2))


def base_by_bisection(theta: float, head_dim: int, factor: float) -> float:
    low, high = theta, theta * factor**2 + 1
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        power = (head_dim - 2) / head_dim
        low, high = (low, middle) if middle**power > factor * theta**power else (middle, high)
    return high


def base_times_factor(theta: float, head_dim: int, factor: float) -> float:
    return theta * factor


def base_inverse(theta: float, head_dim: int, factor: float) -> float:
    return theta * factor ** ((head_dim - 2) / head_dim)


def base_power(theta: float, head_dim: int, factor: float) -> float:
    return theta**factor


def base_precedence(theta: float, head_dim: int, factor: float) -> float:
    return theta * factor**head_dim / (head_dim - 2)


def base_one_feature(theta: float, head_dim: int, factor: float) -> float:
    return theta * factor ** (head_dim / (head_dim - 1))


def base_factor_alone(theta: float, head_dim: int, factor: float) -> float:
    return factor ** (head_dim / (head_dim - 2))


def base_divided(theta: float, head_dim: int, factor: float) -> float:
    return theta / factor ** (head_dim / (head_dim - 2))


def base_rounded(theta: float, head_dim: int, factor: float) -> int:
    return round(theta * factor ** (head_dim / (head_dim - 2)))


ANSWERS = {
    "rope-pairs": Answers(
        right=(pairs_with_numpy, pairs_by_logarithm, pairs_one_by_one),
        wrong=(
            (pairs_in_radians, "theta^(2i/d) tokens turn a pair by one radian"),
            (pairs_half_exponent, "The exponent is 2i/d"),
            (pairs_left, "These are the pairs that do not come round"),
            (pairs_of_all_features, "There are d/2 pairs"),
            (pairs_unbounded, "The formula is right between the bounds"),
            (pairs_half_turn, "Even the fastest pair needs 2 pi"),
            (pairs_from_one, "The pairs turn in 6.3, 62.8"),
            (pairs_features, "The pairs turn in 6.3, 62.8"),
            (pairs_listed, "The pairs turn in 6.3, 62.8"),
            (pairs_as_fraction, "The pairs turn in 6.3, 62.8"),
        ),
    ),
    "rope-rotate": Answers(
        right=(rotate_by_library, rotate_with_numpy, rotate_by_complex, rotate_by_torch_polar),
        wrong=(
            (rotate_backwards, "This turns the other way"),
            (rotate_overwriting, "The second element of a pair is computed from the first after"),
            (rotate_in_place, "Whoever called the function still needs its arguments"),
            (rotate_one_speed, "All pairs turn at the speed of the first"),
            (rotate_half_split, "These pairs are half a vector apart"),
            (rotate_half_exponent, "The exponent of pair i is -2i/d, not -i/d"),
            (rotate_twice_exponent, "Pair i turns by theta^(-2i/d). An index"),
            (rotate_in_degrees, "The angle is in radians"),
            (rotate_concatenated, "The pairs are turned correctly but returned in another order"),
            (rotate_faster, "With four features and theta = 100"),
            (rotate_reflected, "The first pair turns by one radian"),
            (rotate_from_one, "The first pair turns by one radian"),
            (rotate_pairs, "The first pair turns by one radian"),
            (rotate_beyond, "The first pair turns by one radian"),
        ),
    ),
    "rope-reorder": Answers(
        right=(order_with_numpy, order_with_torch, order_chained, order_by_formula),
        wrong=(
            (order_inverse, "This is the way back"),
            (order_odd_first, "The first element of each pair comes first"),
            (order_unchanged, "This is the order they are in"),
            (order_of_pairs, "The pairs are (0, 1), (2, 3), (4, 5)"),
            (order_backwards, "The pairs are (0, 1), (2, 3), (4, 5)"),
            (order_swapped, "The pairs are (0, 1), (2, 3), (4, 5)"),
            (order_from_one, "The pairs are (0, 1), (2, 3), (4, 5)"),
            (order_even_only, "The pairs are (0, 1), (2, 3), (4, 5)"),
        ),
    ),
    "rope-ntk": Answers(
        right=(base_by_root, base_in_float32, base_by_logarithm, base_by_bisection),
        wrong=(
            (base_times_factor, "s * theta slows the slowest pair by"),
            (base_inverse, "The exponent is upside down"),
            (base_power, "theta^s is far too much"),
            (base_precedence, "With d = 4 the slowest pair turns in 2 pi sqrt(theta)"),
            (base_one_feature, "With d = 4 the slowest pair turns in 2 pi sqrt(theta)"),
            (base_factor_alone, "With d = 4 the slowest pair turns in 2 pi sqrt(theta)"),
            (base_divided, "With d = 4 the slowest pair turns in 2 pi sqrt(theta)"),
        ),
    ),
}

test_right_answers_pass, test_wrong_answers_are_explained, test_there_are_enough = run_tables(ANSWERS)
