"""Argument checks: each names the argument, what is allowed and what was given, always in the same words.

A value of the wrong type raises TypeError, a value out of range ValueError: "steps must be at least 1, not 0".
"""

import math
import operator
from collections.abc import Collection
from numbers import Real
from typing import Any


def check_choice(name: str, value: object, allowed: Collection[str]) -> None:
    """Raise ValueError, with the list of what is allowed, unless ``value`` is one of ``allowed``."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, not {value!r}")


def check_text(name: str, value: object) -> None:
    """Raise TypeError unless ``value`` is a str."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")


def check_integer(name: str, value: object, *, least: int | None = None, most: int | None = None) -> int:
    """Return ``value`` as an int; bounds are inclusive.

    NumPy's integers are integers, booleans are not. Raises TypeError for anything else and ValueError for a value out
    of bounds.
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    _check_bounds(name, number, at_least=least, at_most=most)
    return number


def check_positive(name: str, value: object) -> int:
    """Return ``value`` as an int of at least 1; errors as :func:`check_integer`."""
    return check_integer(name, value, least=1)


def check_number(
    name: str,
    value: object,
    *,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """Return ``value`` as a finite float; the bounds ``least`` and ``most`` are inclusive, the other two are not.

    Raises TypeError unless ``value`` is a real number (booleans are not) and ValueError for a value out of bounds.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, not {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, not {value}")
    _check_bounds(name, value, at_least=least, at_most=most, greater_than=above, less_than=below)
    return number


_HOLDS = {
    "at_least": operator.ge,
    "at_most": operator.le,
    "greater_than": operator.gt,
    "less_than": operator.lt,
}


def _check_bounds(name: str, value: Any, **bounds: float | None) -> None:
    given = {words: bound for words, bound in bounds.items() if bound is not None}
    if not all(_HOLDS[words](value, bound) for words, bound in given.items()):
        allowed = " and ".join(f"{words.replace('_', ' ')} {bound}" for words, bound in given.items())
        raise ValueError(f"{name} must be {allowed}, not {value}")
