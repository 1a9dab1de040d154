"""The exercises of chapter 4, RoPE. Results come from complex numbers, search and counting, not from the formulas."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from course_lib.answers.checking import Case, Exercise, Mistake
from course_lib.answers.methods import Methods
from course_lib.chapters.ch04_rope.stretching_exercises import STRETCHING

# --- pairs that come round --------------------------------------------------------------------------------------------


def _pairs_cases() -> Iterator[Case]:
    # Wavelengths of 8 features at theta = 10,000 are 2 pi times 1, 10, 100 and 1,000.
    yield Case(
        (10_000.0, 8, 100), 2, "The pairs turn in 6.3, 62.8, 628 and 6,283 tokens: two of them within 100."
    )
    yield Case((10_000.0, 8, 6), 0, "Even the fastest pair needs 2 pi = 6.28 tokens for a turn.")
    yield Case((10_000.0, 8, 62), 1, "The second pair needs 62.8 tokens.")
    yield Case((10_000.0, 8, 10_000), 4, "The slowest pair needs 6,283 tokens: all come round.")
    yield Case((500_000.0, 128, 8192), 35, "Llama 3: wavelengths grow by 500,000^(1/64), about 1.23, a pair.")
    yield Case((16.0, 4, 26), 2, "The pairs turn in 2 pi and in 4 * 2 pi = 25.1 tokens.")
    yield Case((100.0, 6, 1000), 3, "There are only three pairs; they turn in 6.3, 29 and 135 tokens.")
    yield Case((16.0, 4, 1), 0, "Nothing comes round within one token, and no count is below 0.")


def _turn_in_one_radian(theta: float, head_dim: int, length: int) -> int:
    return sum(theta ** (2 * i / head_dim) <= length for i in range(head_dim // 2))


def _half_the_exponent(theta: float, head_dim: int, length: int) -> int:
    return sum(2 * math.pi * theta ** (i / head_dim) <= length for i in range(head_dim // 2))


def _pairs_that_do_not(theta: float, head_dim: int, length: int) -> int:
    return sum(2 * math.pi * theta ** (2 * i / head_dim) > length for i in range(head_dim // 2))


def _as_many_as_features(theta: float, head_dim: int, length: int) -> int:
    return sum(2 * math.pi * theta ** (2 * i / head_dim) <= length for i in range(head_dim))


def _without_bounds(theta: float, head_dim: int, length: int) -> int:
    return math.floor(head_dim / 2 * math.log(length / (2 * math.pi)) / math.log(theta)) + 1


# --- a module that turns tensors --------------------------------------------------------------------------------------

_Made = tuple[float, int, int]
_Given = tuple[Tensor, Tensor]


def _module_cases() -> Iterator[Case]:
    def case(theta: float, x: Tensor, positions: Tensor, why: str, length: int = 16) -> Case:
        made = (theta, x.shape[-1], length)
        return Case((made, (x, positions)), _result(_turned(x, positions, theta)), why)

    yield case(
        10_000.0,
        _floats([[1.0, 0.0], [0.0, 1.0]]),
        _positions([0, 1]),
        "The first pair turns by one radian per position: (0, 1) at position 1 becomes (-sin 1, cos 1).",
    )
    yield case(
        100.0,
        _floats([[3.0, -2.0, 5.0, 7.0], [0.5, 1.0, 0.25, -1.0]]),
        _positions([2, 0]),
        "With four features and theta = 100 the second pair turns by 100^(-2/4) = 0.1 per position.",
    )
    yield case(
        10_000.0,
        _numbers(2, 3, 6),
        _positions([[0, 1, 2], [7, 3, 11]]),
        "Each row of token_positions (B, T) belongs to one sequence of x (B, T, d).",
    )
    yield case(
        500.0,
        _numbers(2, 2, 3, 8),
        _positions([4, 5, 6]),
        "x may have any number of leading dimensions, such as batch and heads: (B, H, T, d).",
    )
    yield case(
        10_000.0,
        _numbers(3, 2),
        _positions([501, 3, 0]),
        "Position 501 is within max_seq_len = 512, and is not 500 or 502: angles need float32.",
        length=512,
    )


def _numbers(*shape: int) -> Tensor:
    generator = torch.Generator("cpu").manual_seed(len(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")


def _floats(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32, device="cpu")  # whatever torch's defaults are


def _positions(numbers: list[int] | list[list[int]]) -> Tensor:
    return torch.tensor(numbers, device="cpu")


def _result(x: Tensor) -> dict[str, Tensor]:
    return {"forward": x.float()}


def _turned(
    x: Tensor,
    positions: Tensor,
    theta: float,
    exponent: Callable[[int, int], float] = lambda pair, width: 2 * pair / width,
) -> Tensor:
    """Multiplication by complex numbers, in float64."""
    width = x.shape[-1]
    pairs = torch.view_as_complex(torch.unflatten(x.double(), -1, (-1, 2)).contiguous())
    speeds = torch.tensor(
        [theta ** -exponent(pair, width) for pair in range(width // 2)], dtype=torch.float64, device=x.device
    )
    angles = positions.double().unsqueeze(-1) * speeds
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2)


def _ignores_positions(made: _Made, given: _Given) -> dict[str, Tensor]:
    x, _ = given
    return _result(_turned(x, torch.arange(x.shape[-2]), made[0]))


def _counts_from_one(made: _Made, given: _Given) -> dict[str, Tensor]:
    return _result(_turned(given[0], given[1] + 1, made[0]))


def _backwards(made: _Made, given: _Given) -> dict[str, Tensor]:
    return _result(_turned(given[0], -given[1], made[0]))


def _half_exponent(made: _Made, given: _Given) -> dict[str, Tensor]:
    return _result(_turned(*given, made[0], lambda pair, width: pair / width))


def _twice_exponent(made: _Made, given: _Given) -> dict[str, Tensor]:
    return _result(_turned(*given, made[0], lambda pair, width: 4 * pair / width))


def _from_the_second_power(made: _Made, given: _Given) -> dict[str, Tensor]:
    return _result(_turned(*given, made[0], lambda pair, width: 2 * (pair + 1) / width))


def _one_speed(made: _Made, given: _Given) -> dict[str, Tensor]:
    return _result(_turned(*given, made[0], lambda _pair, _width: 0.0))


def _half_apart(made: _Made, given: _Given) -> dict[str, Tensor]:
    x, positions = given
    neighbours = torch.unflatten(x, -1, (2, -1)).transpose(-1, -2).flatten(-2)
    turned = _turned(neighbours, positions, made[0])
    return _result(torch.unflatten(turned, -1, (-1, 2)).transpose(-1, -2).flatten(-2))


def _first_elements_first(made: _Made, given: _Given) -> dict[str, Tensor]:
    turned = _turned(*given, made[0])
    return _result(torch.cat((turned[..., 0::2], turned[..., 1::2]), -1))


def _overwritten(made: _Made, given: _Given) -> dict[str, Tensor]:
    """The second line reads what the first has just written."""
    (theta, width, _), (x, positions) = made, given
    powers = torch.arange(0, width, 2, dtype=torch.float64) / width
    angles = positions.double().unsqueeze(-1) * theta**-powers
    turned = x.double().clone()
    turned[..., 0::2] = turned[..., 0::2] * angles.cos() - turned[..., 1::2] * angles.sin()
    turned[..., 1::2] = turned[..., 0::2] * angles.sin() + turned[..., 1::2] * angles.cos()
    return _result(turned)


def _coarse_positions(made: _Made, given: _Given) -> dict[str, Tensor]:
    return _result(_turned(given[0], given[1].bfloat16(), made[0]))


# --- the permutation --------------------------------------------------------------------------------------------------


def _reorder_cases() -> Iterator[Case]:
    yield Case(
        (6,), [0, 2, 4, 1, 3, 5], "The pairs are (0, 1), (2, 3), (4, 5): first the 0, 2, 4, then the 1, 3, 5."
    )
    yield Case((4,), [0, 2, 1, 3], "Rows 0 and 1 are a pair: they move to rows 0 and 2.")
    yield Case((2,), [0, 1], "One pair stays as it is.")
    for head_dim in (8, 10):
        order = sorted(range(head_dim), key=lambda row: (row % 2, row))
        yield Case(
            (head_dim,), order, "The first elements of all pairs come first, then the second elements."
        )


def _inverse_order(head_dim: int) -> list[int]:
    return [row for i in range(head_dim // 2) for row in (i, i + head_dim // 2)]


def _odd_first(head_dim: int) -> list[int]:
    return [*range(1, head_dim, 2), *range(0, head_dim, 2)]


EXERCISES = (
    Exercise(
        id="rope-pairs",
        chapter=4,
        cases=_pairs_cases,
        hint="Pair i turns by theta^(-2i/d) radians per token; a full turn is 2 pi. How many tokens does that take? "
        "Count the pairs for which it is at most T.",
        mistakes=(
            Mistake(
                _turn_in_one_radian,
                "theta^(2i/d) tokens turn a pair by one radian; a full turn has 2 pi of them.",
            ),
            Mistake(_half_the_exponent, "The exponent is 2i/d: i counts pairs, d counts features."),
            Mistake(
                _as_many_as_features,
                "There are d/2 pairs, so i runs from 0 to d/2 - 1; here it runs to d - 1.",
            ),
            Mistake(
                _without_bounds,
                "The formula is right between the bounds: at least 0 pairs turn, and at most d/2.",
            ),
            Mistake(_pairs_that_do_not, "These are the pairs that do not come round."),
        ),
    ),
    Exercise(
        id="rope-module",
        chapter=4,
        cases=_module_cases,
        methods=Methods(("forward",), several=True),
        hint="In __init__: angles = outer(positions 0 … max_seq_len - 1, theta^(-2i/d) for i = 0, …, d/2 - 1), their "
        "cosines and sines as buffers. In forward: cos[token_positions] and sin[token_positions] have shape (..., T, "
        "d/2); x[..., 0::2] and x[..., 1::2] are the first and second elements of the pairs.",
        mistakes=(
            Mistake(
                _ignores_positions,
                "Row t is turned as if it were at position t. Where it is, token_positions says.",
            ),
            Mistake(_counts_from_one, "Positions begin with 0, and position 0 turns nothing."),
            Mistake(
                _backwards, "This turns the other way: (a, b) must become (a cos - b sin, a sin + b cos)."
            ),
            Mistake(
                _overwritten,
                "The second element of a pair is computed from the first after that has been overwritten: keep the old "
                "one until both are done.",
            ),
            Mistake(
                _first_elements_first,
                "The pairs are turned correctly but returned in another order: 0 and 1 stay side by side.",
            ),
            Mistake(
                _half_apart,
                "These pairs are half a vector apart. Here neighbours are pairs: 0 and 1, 2 and 3.",
            ),
            Mistake(
                _one_speed, "All pairs turn at the speed of the first. Pair i turns by theta^(-2i/d) a token."
            ),
            Mistake(_half_exponent, "The exponent of pair i is -2i/d, not -i/d."),
            Mistake(
                _twice_exponent,
                "Pair i turns by theta^(-2i/d). An index that runs over 0, 2, 4, … is 2i already.",
            ),
            Mistake(_from_the_second_power, "The first pair has i = 0: it turns by a whole radian."),
            Mistake(
                _coarse_positions,
                "Positions are rounded before they become angles: bfloat16 cannot tell 501 from 502. Compute angles "
                "in float32.",
            ),
        ),
    ),
    Exercise(
        id="rope-reorder",
        chapter=4,
        cases=_reorder_cases,
        hint="Where do the first elements of the pairs stand now, and where must they go? range takes a step.",
        mistakes=(
            Mistake(
                _inverse_order,
                "This is the way back, from half-split to interleaved. Row j is taken from order[j].",
            ),
            Mistake(lambda head_dim: list(range(head_dim)), "This is the order they are in: nothing moves."),
            Mistake(_odd_first, "The first element of each pair comes first: the even rows."),
        ),
    ),
    *STRETCHING,
)
