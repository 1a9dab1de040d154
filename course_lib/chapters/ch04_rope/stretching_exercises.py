"""The exercises of chapter 4 about stretching: a new base, YaRN's speeds. Results come from search and counting."""

import math
from collections.abc import Iterator

import numpy as np

from course_lib.answers.checking import Case, Exercise, Mistake

# --- a new base -------------------------------------------------------------------------------------------------------


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


# --- YaRN's speeds ----------------------------------------------------------------------------------------------------


def _yarn_cases() -> Iterator[Case]:
    # Wavelengths of 8 features at theta = 10,000 are 2 pi times 1, 10, 100 and 1,000.
    for arguments, why in (
        (
            (10_000.0, 8, 4.0, 64, 1.0, 4.0),
            "Within 64 tokens the pairs turn 10.2, 1.02, 0.10 and 0.01 times: kept, hardly on the ramp, interpolated.",
        ),
        ((10_000.0, 8, 1.0, 64, 1.0, 4.0), "A factor of 1 changes nothing."),
        ((10_000.0, 16, 4.0, 64, 1.0, 4.0), "The second of eight pairs turns 3.2 times: 0.74 of the way."),
        ((10_000.0, 128, 16.0, 4096, 1.0, 32.0), "YaRN's thresholds are 1 and 32 turns, the length 4,096."),
        ((500_000.0, 128, 8.0, 8192, 1.0, 4.0), "These are the numbers of Llama 3.1."),
    ):
        yield Case(arguments, _blended(*arguments), why)


def _blended(
    theta: float, head_dim: int, factor: float, length: int, slow: float, fast: float
) -> list[float]:
    """By interpolation on the number of turns, counted from wavelengths."""
    wavelengths = [math.tau * theta ** (2 * i / head_dim) for i in range(head_dim // 2)]
    turns = [length / wavelength for wavelength in wavelengths]
    shares = np.interp(turns, [slow, fast], [1 / factor, 1.0])
    return [math.tau / wavelength * share for wavelength, share in zip(wavelengths, shares, strict=True)]


def _ramp_reversed(
    theta: float, head_dim: int, factor: float, length: int, slow: float, fast: float
) -> list[float]:
    plain = _blended(theta, head_dim, 1.0, length, slow, fast)
    right = _blended(theta, head_dim, factor, length, slow, fast)
    return [speed + speed / factor - one for speed, one in zip(plain, right, strict=True)]


def _radians_for_turns(
    theta: float, head_dim: int, factor: float, length: int, slow: float, fast: float
) -> list[float]:
    return _blended(theta, head_dim, factor, length, slow / math.tau, fast / math.tau)


def _hard_edge(
    theta: float, head_dim: int, factor: float, length: int, slow: float, fast: float
) -> list[float]:
    plain = _blended(theta, head_dim, 1.0, length, slow, fast)
    return [speed if length * speed / math.tau > slow else speed / factor for speed in plain]


def _all_interpolated(
    theta: float, head_dim: int, factor: float, length: int, slow: float, fast: float
) -> list[float]:
    return [speed / factor for speed in _blended(theta, head_dim, 1.0, length, slow, fast)]


def _mixed_wavelengths(
    theta: float, head_dim: int, factor: float, length: int, slow: float, fast: float
) -> list[float]:
    """The mean of wavelengths instead of speeds."""
    plain = _blended(theta, head_dim, 1.0, length, slow, fast)
    kept = np.interp([length * speed / math.tau for speed in plain], [slow, fast], [0.0, 1.0])
    return [speed / (share + (1 - share) * factor) for speed, share in zip(plain, kept, strict=True)]


def _not_clamped(
    theta: float, head_dim: int, factor: float, length: int, slow: float, fast: float
) -> list[float]:
    plain = _blended(theta, head_dim, 1.0, length, slow, fast)
    kept = [(length * speed / math.tau - slow) / (fast - slow) for speed in plain]
    return [speed * share + speed / factor * (1 - share) for speed, share in zip(plain, kept, strict=True)]


def _half_exponent_in_yarn(
    theta: float, head_dim: int, factor: float, length: int, slow: float, fast: float
) -> list[float]:
    return _blended(math.sqrt(theta), head_dim, factor, length, slow, fast)


STRETCHING = (
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
    Exercise(
        id="rope-yarn",
        chapter=4,
        cases=_yarn_cases,
        hint="A pair with the speed w turns length * w / (2 pi) times within the trained length. Where does that lie "
        "between slow (0) and fast (1)? Cut off at 0 and 1, that is the share of w; the rest is that of w / factor.",
        mistakes=(
            Mistake(
                _ramp_reversed,
                "The ramp is reversed: pairs that turn often stay as they are, slow ones are interpolated.",
            ),
            Mistake(_not_clamped, "Between slow and fast this is right; outside, the share stays 0 or 1."),
            Mistake(
                _radians_for_turns,
                "slow and fast count turns, and a turn has 2 pi radians.",
            ),
            Mistake(_hard_edge, "Between slow and fast turns lies a ramp, not an edge."),
            Mistake(
                _all_interpolated, "That is position interpolation: the fast pairs must stay as they are."
            ),
            Mistake(
                _mixed_wavelengths,
                "This takes the mean of wavelengths. Take that of speeds: share * w + (1 - share) * w / factor.",
            ),
            Mistake(_half_exponent_in_yarn, "The exponent of pair i is -2i/d, not -i/d."),
        ),
    ),
)
