"""The exercises of chapter 4, RoPE. Results come from complex numbers, search and counting, not from the formulas."""

import cmath
import math
from collections.abc import Iterator, Sequence

from course_lib.answers.checking import Case, Exercise, Mistake


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


def _turn(vector: Sequence[float], position: float, theta: float) -> list[float]:
    """Multiplication by complex numbers."""
    turned: list[float] = []
    for i in range(len(vector) // 2):
        number = complex(*vector[2 * i : 2 * i + 2])
        number *= cmath.exp(1j * position * theta ** (-2 * i / len(vector)))
        turned += [number.real, number.imag]
    return turned


def _rotate_cases() -> Iterator[Case]:
    yield Case(
        ([1.0, 0.0], 1, 10_000.0), [math.cos(1), math.sin(1)], "The first pair turns by one radian per token."
    )
    yield Case(([3.0, -2.0, 5.0, 7.0], 0, 10_000.0), [3.0, -2.0, 5.0, 7.0], "Position 0 turns nothing.")
    yield Case(
        ([0.0, 1.0, 0.0, 1.0], 2, 100.0),
        [-math.sin(2), math.cos(2), -math.sin(0.2), math.cos(0.2)],
        "With four features and theta = 100 the second pair turns by 100^(-2/4) = 0.1 a token.",
    )
    for vector, position, theta in (
        ([0.5, -1.5, 2.0, 0.25, -0.75, 1.0], 7, 10_000.0),
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 13, 500.0),
    ):
        yield Case(
            (vector, position, theta),
            _turn(vector, position, theta),
            "Pair i turns by position * theta^(-2i/d): (a, b) becomes (a cos - b sin, a sin + b cos).",
        )


def _backwards(vector: Sequence[float], position: int, theta: float) -> list[float]:
    return _turn(vector, -position, theta)


def _one_speed(vector: Sequence[float], position: int, theta: float) -> list[float]:
    return [x for i in range(0, len(vector), 2) for x in _turn(vector[i : i + 2], position, theta)]


def _overwritten(vector: Sequence[float], position: int, theta: float) -> list[float]:
    """The second line of each pair reads what the first has just written."""
    turned = list(vector)
    for i in range(0, len(vector), 2):
        angle = position * theta ** (-i / len(vector))
        turned[i] = turned[i] * math.cos(angle) - turned[i + 1] * math.sin(angle)
        turned[i + 1] = turned[i] * math.sin(angle) + turned[i + 1] * math.cos(angle)
    return turned


def _twice_the_exponent(vector: Sequence[float], position: int, theta: float) -> list[float]:
    return _turn(vector, position, theta**2)


def _in_degrees(vector: Sequence[float], position: int, theta: float) -> list[float]:
    return _turn(vector, math.radians(position), theta)


def _first_elements_first(vector: Sequence[float], position: int, theta: float) -> list[float]:
    turned = _turn(vector, position, theta)
    return turned[0::2] + turned[1::2]


def _half_apart(vector: Sequence[float], position: int, theta: float) -> list[float]:
    half = len(vector) // 2
    turned = _turn(
        [x for pair in zip(vector[:half], vector[half:], strict=True) for x in pair], position, theta
    )
    return turned[0::2] + turned[1::2]


def _half_speed_exponent(vector: Sequence[float], position: int, theta: float) -> list[float]:
    return _turn(vector, position, math.sqrt(theta))


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


def _slowest(theta: float, head_dim: int) -> float:
    """Tokens that the slowest pair needs for a radian."""
    return max(float(theta ** (2 * i / head_dim)) for i in range(head_dim // 2))


def _search(theta: float, head_dim: int, factor: float) -> float:
    """By bisection on a logarithmic scale."""
    low, high = theta, theta * factor**3
    for _ in range(200):
        middle = math.sqrt(low * high)
        slow_enough = _slowest(middle, head_dim) >= factor * _slowest(theta, head_dim)
        low, high = (low, middle) if slow_enough else (middle, high)
    return high


def _ntk_cases() -> Iterator[Case]:
    # With four features the slowest pair has the wavelength 2 pi sqrt(theta).
    yield Case(
        (10_000.0, 4, 2.0),
        40_000.0,
        "With d = 4 the slowest pair turns in 2 pi sqrt(theta) tokens; for twice as many the base must be 4 theta.",
    )
    yield Case((10_000.0, 4, 1.0), 10_000.0, "A factor of 1 changes nothing.")
    for theta, head_dim, factor in ((10_000.0, 128, 4.0), (10_000.0, 64, 8.0), (500_000.0, 128, 16.0)):
        yield Case(
            (theta, head_dim, factor),
            _search(theta, head_dim, factor),
            "The slowest of d/2 pairs has i = d/2 - 1, so its wavelength is 2 pi theta^((d - 2)/d).",
        )


def _times_factor(theta: float, head_dim: int, factor: float) -> float:  # noqa: ARG001
    return theta * factor


def _inverse_exponent(theta: float, head_dim: int, factor: float) -> float:
    return float(theta * factor ** ((head_dim - 2) / head_dim))


def _whole_power(theta: float, head_dim: int, factor: float) -> float:  # noqa: ARG001
    return float(theta**factor)


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
        id="rope-rotate",
        chapter=4,
        cases=_rotate_cases,
        hint="For i = 0, 2, 4, … the angle is position * theta^(-i/d); (a, b) becomes (a cos - b sin, a sin + b cos). "
        "Both results need the old a and b.",
        mistakes=(
            Mistake(
                _backwards, "This turns the other way: (a, b) must become (a cos - b sin, a sin + b cos)."
            ),
            Mistake(
                _overwritten,
                "The second element of a pair is computed from the first after that has been overwritten: keep the old "
                "a until b is done.",
            ),
            Mistake(
                _first_elements_first,
                "The pairs are turned correctly but returned in another order: 0 and 1 stay side by side.",
            ),
            Mistake(
                _twice_the_exponent,
                "Pair i turns by theta^(-2i/d). An index that runs over 0, 2, 4, … is 2i already.",
            ),
            Mistake(
                _in_degrees, "The angle is in radians: a position of 1 turns the first pair by one radian."
            ),
            Mistake(
                _one_speed, "All pairs turn at the speed of the first. Pair i turns by theta^(-2i/d) a token."
            ),
            Mistake(
                _half_apart,
                "These pairs are half a vector apart. Here neighbours are pairs: 0 and 1, 2 and 3.",
            ),
            Mistake(_half_speed_exponent, "The exponent of pair i is -2i/d, not -i/d."),
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
    Exercise(
        id="rope-ntk",
        chapter=4,
        cases=_ntk_cases,
        hint="The slowest pair has i = d/2 - 1, its exponent is (d - 2)/d. Set theta'^((d - 2)/d) equal to "
        "s theta^((d - 2)/d).",
        mistakes=(
            Mistake(
                _times_factor, "s * theta slows the slowest pair by s^((d - 2)/d), a little less than s."
            ),
            Mistake(
                _inverse_exponent,
                "The exponent is upside down: solve theta'^((d - 2)/d) = s theta^((d - 2)/d) for theta'.",
            ),
            Mistake(_whole_power, "theta^s is far too much: the factor multiplies the wavelength."),
        ),
    ),
)
