"""Right and wrong answers to the exercises of chapter 4."""

import itertools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_lib.model import RopeScaling, RotaryEmbedding, rotary_frequencies
from tests.exercises.answers import Answers, run_tables

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


# --- a module that turns tensors --------------------------------------------------------------------------------------


class WithTables(torch.nn.Module):
    """As in the assignment of Stanford's CS336; its subclasses make one mistake each."""

    exponent = 2.0
    first = 0

    def __init__(self, theta: float, d_k: int, max_seq_len: int) -> None:
        super().__init__()
        pairs = torch.arange(d_k // 2, dtype=torch.float32) + self.first
        angles = torch.outer(torch.arange(max_seq_len).float(), theta ** (-self.exponent * pairs / d_k))
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def tables(self, x: Tensor, token_positions: Tensor) -> tuple[Tensor, Tensor]:
        return self.cos[token_positions], self.sin[token_positions]

    def forward(self, x: Tensor, token_positions: Tensor) -> Tensor:
        cos, sin = self.tables(x, token_positions)
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


class Complex:
    def __init__(self, theta: float, d_k: int, max_seq_len: int) -> None:
        self.speeds = theta ** (-torch.arange(0, d_k, 2) / d_k)

    def forward(self, x: Tensor, token_positions: Tensor) -> Tensor:
        angles = token_positions.unsqueeze(-1) * self.speeds
        pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
        return torch.view_as_real(pairs * torch.exp(1j * angles)).flatten(-2)


class WithNumPy:
    def __init__(self, theta: float, d_k: int, max_seq_len: int) -> None:
        self.angles = np.arange(max_seq_len)[:, None] * theta ** (-np.arange(0, d_k, 2) / d_k)

    def forward(self, x: Tensor, token_positions: Tensor) -> np.ndarray:
        angles, values = self.angles[token_positions.numpy()], x.numpy()
        out = np.empty_like(values)
        out[..., 0::2] = values[..., 0::2] * np.cos(angles) - values[..., 1::2] * np.sin(angles)
        out[..., 1::2] = values[..., 0::2] * np.sin(angles) + values[..., 1::2] * np.cos(angles)
        return out


class ByLibrary(RotaryEmbedding):
    pass


class ByMatrices:
    def __init__(self, theta: float, d_k: int, max_seq_len: int) -> None:
        self.theta, self.width = theta, d_k

    def matrix(self, position: int) -> Tensor:
        blocks = []
        for pair in range(self.width // 2):
            angle = position / self.theta ** (2 * pair / self.width)
            cos, sin = math.cos(angle), math.sin(angle)
            blocks.append(torch.tensor([[cos, -sin], [sin, cos]]))
        return torch.block_diag(*blocks)

    def forward(self, x: Tensor, token_positions: Tensor) -> Tensor:
        places = token_positions.expand(x.shape[:-1])
        turned = [
            self.matrix(int(m)) @ row for m, row in zip(places.flatten(), x.flatten(0, -2), strict=True)
        ]
        return torch.stack(turned).view(x.shape)


class IgnoresPositions(WithTables):
    def tables(self, x: Tensor, token_positions: Tensor) -> tuple[Tensor, Tensor]:
        return self.cos[: x.shape[-2]], self.sin[: x.shape[-2]]


class FromOne(WithTables):
    def tables(self, x: Tensor, token_positions: Tensor) -> tuple[Tensor, Tensor]:
        return self.cos[token_positions + 1], self.sin[token_positions + 1]


class Backwards(WithTables):
    def tables(self, x: Tensor, token_positions: Tensor) -> tuple[Tensor, Tensor]:
        return self.cos[token_positions], -self.sin[token_positions]


class HalfExponent(WithTables):
    exponent = 1.0


class TwiceExponent(WithTables):
    exponent = 4.0


class FirstPairSlow(WithTables):
    first = 1


class OneSpeed(WithTables):
    exponent = 0.0


class HalfSplit(WithTables):
    def forward(self, x: Tensor, token_positions: Tensor) -> Tensor:
        cos, sin = self.tables(x, token_positions)
        a, b = x.chunk(2, -1)
        return torch.cat((a * cos - b * sin, a * sin + b * cos), -1)


class Concatenates(WithTables):
    def forward(self, x: Tensor, token_positions: Tensor) -> Tensor:
        cos, sin = self.tables(x, token_positions)
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.cat((a * cos - b * sin, a * sin + b * cos), -1)


class Overwrites(WithTables):
    def forward(self, x: Tensor, token_positions: Tensor) -> Tensor:
        cos, sin = self.tables(x, token_positions)
        x = x.clone()
        x[..., 0::2] = x[..., 0::2] * cos - x[..., 1::2] * sin
        x[..., 1::2] = x[..., 0::2] * sin + x[..., 1::2] * cos
        return x


class InPlace(WithTables):
    def forward(self, x: Tensor, token_positions: Tensor) -> Tensor:
        return x.copy_(super().forward(x, token_positions))


class CoarsePositions(WithTables):
    def forward(self, x: Tensor, token_positions: Tensor) -> Tensor:
        return super().forward(x, token_positions.bfloat16().long())


class CoarseAngles(WithTables):
    def __init__(self, theta: float, d_k: int, max_seq_len: int) -> None:
        super().__init__(theta, d_k, max_seq_len)
        speeds = (theta ** (-torch.arange(0, d_k, 2) / d_k)).bfloat16()
        angles = torch.outer(torch.arange(max_seq_len).bfloat16(), speeds)
        self.cos, self.sin = angles.cos(), angles.sin()


class OnlyOneSequence(WithTables):
    def tables(self, x: Tensor, token_positions: Tensor) -> tuple[Tensor, Tensor]:
        places = token_positions if token_positions.ndim == 1 else token_positions[0]
        return self.cos[places], self.sin[places]


class Unturned(WithTables):
    def forward(self, x: Tensor, token_positions: Tensor) -> Tensor:
        return x


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


# --- YaRN's speeds ----------------------------------------------------------------------------------------------------


def speeds_and_shares(*given: Any) -> tuple[np.ndarray, np.ndarray]:
    theta, head_dim, _, length, slow, fast = given
    speeds = theta ** (-np.arange(0, head_dim, 2) / head_dim)
    return speeds, (length * speeds / math.tau - slow) / (fast - slow)


def yarn_with_numpy(
    theta: float, head_dim: int, factor: float, length: int, slow: float, fast: float
) -> np.ndarray:
    speeds, kept = speeds_and_shares(theta, head_dim, factor, length, slow, fast)
    kept = kept.clip(0, 1)
    return kept * speeds + (1 - kept) * speeds / factor


def yarn_by_library(
    theta: float, head_dim: int, factor: float, length: int, slow: float, fast: float
) -> torch.Tensor:
    """Llama 3's rule is YaRN's of the paper, without the temperature."""
    rule = RopeScaling("llama3", factor, length, low_freq_factor=slow, high_freq_factor=fast)
    return rotary_frequencies(theta, head_dim, rule)[0]


def yarn_in_a_loop(
    theta: float, head_dim: int, factor: float, length: int, slow: float, fast: float
) -> list[float]:
    found = []
    for i in range(head_dim // 2):
        speed = theta ** (-2 * i / head_dim)
        turns = length * speed / (2 * math.pi)
        if turns >= fast:
            found.append(speed)
        elif turns <= slow:
            found.append(speed / factor)
        else:
            ramp = (fast - turns) / (fast - slow)
            found.append(speed * (1 - ramp + ramp / factor))
    return found


def yarn_reversed(
    theta: float, head_dim: int, factor: float, length: int, slow: float, fast: float
) -> np.ndarray:
    speeds, kept = speeds_and_shares(theta, head_dim, factor, length, slow, fast)
    kept = kept.clip(0, 1)
    return (1 - kept) * speeds + kept * speeds / factor


def yarn_unclamped(
    theta: float, head_dim: int, factor: float, length: int, slow: float, fast: float
) -> np.ndarray:
    speeds, kept = speeds_and_shares(theta, head_dim, factor, length, slow, fast)
    return kept * speeds + (1 - kept) * speeds / factor


def yarn_in_radians(
    theta: float, head_dim: int, factor: float, length: int, slow: float, fast: float
) -> np.ndarray:
    speeds, _ = speeds_and_shares(theta, head_dim, factor, length, slow, fast)
    kept = ((length * speeds - slow) / (fast - slow)).clip(0, 1)
    return kept * speeds + (1 - kept) * speeds / factor


def yarn_with_an_edge(
    theta: float, head_dim: int, factor: float, length: int, slow: float, fast: float
) -> np.ndarray:
    speeds, kept = speeds_and_shares(theta, head_dim, factor, length, slow, fast)
    return np.where(kept > 0, speeds, speeds / factor)


def yarn_everywhere(
    theta: float, head_dim: int, factor: float, length: int, slow: float, fast: float
) -> np.ndarray:
    return speeds_and_shares(theta, head_dim, factor, length, slow, fast)[0] / factor


def yarn_of_wavelengths(
    theta: float, head_dim: int, factor: float, length: int, slow: float, fast: float
) -> np.ndarray:
    speeds, kept = speeds_and_shares(theta, head_dim, factor, length, slow, fast)
    kept = kept.clip(0, 1)
    waves = math.tau / speeds
    return math.tau / (kept * waves + (1 - kept) * waves * factor)


def yarn_half_exponent(
    theta: float, head_dim: int, factor: float, length: int, slow: float, fast: float
) -> np.ndarray:
    return yarn_with_numpy(theta**0.5, head_dim, factor, length, slow, fast)


def yarn_times_factor(
    theta: float, head_dim: int, factor: float, length: int, slow: float, fast: float
) -> np.ndarray:
    speeds, kept = speeds_and_shares(theta, head_dim, factor, length, slow, fast)
    kept = kept.clip(0, 1)
    return kept * speeds + (1 - kept) * speeds * factor


def yarn_as_wavelengths(
    theta: float, head_dim: int, factor: float, length: int, slow: float, fast: float
) -> np.ndarray:
    return math.tau / yarn_with_numpy(theta, head_dim, factor, length, slow, fast)


def yarn_thresholds_swapped(
    theta: float, head_dim: int, factor: float, length: int, slow: float, fast: float
) -> np.ndarray:
    return yarn_with_numpy(theta, head_dim, factor, length, fast, slow)


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
    "rope-module": Answers(
        right=(WithTables, Complex, WithNumPy, ByLibrary, ByMatrices),
        wrong=(
            (IgnoresPositions, "Row t is turned as if it were at position t"),
            (FromOne, "Positions begin with 0, and position 0 turns nothing"),
            (Backwards, "This turns the other way"),
            (HalfExponent, "The exponent of pair i is -2i/d, not -i/d"),
            (TwiceExponent, "Pair i turns by theta^(-2i/d). An index"),
            (FirstPairSlow, "The first pair has i = 0"),
            (OneSpeed, "All pairs turn at the speed of the first"),
            (HalfSplit, "These pairs are half a vector apart"),
            (Concatenates, "The pairs are turned correctly but returned in another order"),
            (Overwrites, "The second element of a pair is computed from the first after"),
            (InPlace, "Whoever called the function still needs its arguments"),
            (CoarsePositions, "Positions are rounded before they become angles"),
            (CoarseAngles, "The first pair turns by one radian"),
            (OnlyOneSequence, "Each row of token_positions (B, T) belongs to one sequence"),
            (Unturned, "The first pair turns by one radian"),
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
    "rope-yarn": Answers(
        right=(yarn_with_numpy, yarn_by_library, yarn_in_a_loop),
        wrong=(
            (yarn_reversed, "The ramp is reversed"),
            (yarn_unclamped, "Between slow and fast this is right"),
            (yarn_in_radians, "slow and fast count turns"),
            (yarn_with_an_edge, "Between slow and fast turns lies a ramp"),
            (yarn_everywhere, "That is position interpolation"),
            (yarn_of_wavelengths, "This takes the mean of wavelengths"),
            (yarn_half_exponent, "The exponent of pair i is -2i/d"),
            (yarn_times_factor, "Within 64 tokens the pairs turn"),
            (yarn_as_wavelengths, "Within 64 tokens the pairs turn"),
            (yarn_thresholds_swapped, "The ramp is reversed"),
        ),
    ),
}

test_right_answers_pass, test_wrong_answers_are_explained, test_there_are_enough = run_tables(ANSWERS)
