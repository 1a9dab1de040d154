"""Comparing an answer's result with the expected one by value, in any container: list, array or tensor.

This module does not import torch: a result can only be a tensor if torch has been imported already.
"""

import array
import cmath
import math
import sys
from collections import deque
from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

RELATIVE = 1e-5
"""Relative tolerance for a float: about 80 roundings of float32."""

FLOOR = 1e-6
"""Tolerance for a float in a list, relative to the largest number of the list: after cancellation, a small result
is as inexact as the large numbers that it was computed from."""

_INTEGER = Fraction(1, 1_000_000)  # how far a float may be from a whole number that must be exact

_Near = Callable[[Any, Any, float | None], bool]


@dataclass(frozen=True)
class Difference:
    """The first place where two values differ. ``path``: the indexes and keys that lead there, from the outside in.

    ``what``: a clause for differences that the two values do not show by themselves (a shape, a type, a missing key).
    """

    path: tuple[Any, ...]
    what: str = ""


def same(result: Any, expected: Any) -> bool:
    """Whether a result is right. Containers of any kind are compared by their values.

    A list is as good as a tuple, a range, an array or a tensor, and a number as good as an array without dimensions.
    Floats may be off by :data:`RELATIVE`, and inside a list by :data:`FLOOR` of its largest number; where whole numbers
    are expected, a float must be within a millionth of them. NaN equals NaN. A bool is not a number.

    >>> same([0.1 + 0.2, "a"], (0.3, "a")), same(np.float32(1 / 3), 1 / 3), same(767.99, 768), same(True, 1)
    (True, True, False, False)
    """
    return difference(result, expected) is None


def difference(result: Any, expected: Any) -> Difference | None:
    """Where ``result`` first differs from ``expected``, by the rules of :func:`same`; None if it does not."""
    return _difference(result, expected, _near)


def unchanged(now: Any, before: Any) -> bool:
    """Whether every value is exactly what it was before."""
    return _difference(now, before, lambda a, b, _: bool(a == b) or (a != a and b != b)) is None


def right_but_coarse(result: Any, expected: Any) -> str:
    """The 16-bit type whose precision explains the difference, or "" if none does."""
    name = str(getattr(result, "dtype", "")).removeprefix("torch.")
    if name not in _COARSE:
        return ""
    allowed = _COARSE[name]

    def near(got: Any, want: Any, scale: float | None) -> bool:
        got, want = _float(got), _float(want)
        return _near(got, want, scale) or _size(got - want) <= allowed * (_size(want) + (scale or 0))

    return "" if _difference(result, expected, near) else name


_COARSE = {"float16": 4 * 2.0**-11, "bfloat16": 4 * 2.0**-8}  # four roundings


def rounded(value: Any, digits: int) -> Any:
    """A plain value with every float in it rounded to ``digits`` decimal places."""
    if isinstance(value, float):
        return round(value, digits)
    if isinstance(value, list | tuple):
        return [rounded(item, digits) for item in value]
    if isinstance(value, dict):
        return {key: rounded(item, digits) for key, item in value.items()}
    return value


def settle(value: Any) -> Any:
    """``value`` with lists for its iterators (generators, map, zip) and dict views: some can be read only once."""
    if isinstance(value, Iterator | KeysView | ValuesView | ItemsView):
        return [settle(item) for item in value]
    if type(value) in (list, tuple):
        return type(value)(map(settle, value))
    return value


def is_tensor(value: Any) -> bool:
    """Whether ``value`` is a torch tensor, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def plain(value: Any) -> Any:
    """``value`` in Python's own numbers, lists, tuples, dicts and sets; anything else is returned unchanged."""
    if value is None or isinstance(value, str):
        return value if value is None else str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if is_tensor(value) or isinstance(value, np.generic | np.ndarray) or hasattr(value, "__array__"):
        return _plain_array(value)
    if isinstance(value, Decimal):
        return math.nan if value.is_nan() else float(value)
    if isinstance(value, Mapping):
        return {_hashable(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    if isinstance(value, AbstractSet):
        return frozenset(_hashable(plain(item)) for item in value)
    if isinstance(value, Sequence | deque | array.array):
        return list(map(plain, value))
    return value


def _plain_array(value: Any) -> Any:
    try:
        if is_tensor(value):
            value = value.detach()
            return (value if str(value.layout) == "torch.strided" else value.to_dense()).tolist()
        listed = np.asarray(value).tolist()
    except Exception:  # a value that cannot be listed cannot be right either: leave it as it is
        return value
    if isinstance(listed, np.generic):  # a long double, which has no Python type
        return float(listed)
    return value if listed is value else plain(listed)


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list | tuple) else value


def _difference(result: Any, expected: Any, near: _Near) -> Difference | None:
    got, want = plain(result), plain(expected)
    found = _compare(got, want, (), None, near)
    if found is None:
        return None
    what = "" if isinstance(want, tuple) else _other_shape(_shape(got), _shape(want))
    return replace(found, what=what) if what else found


def _compare(
    got: Any, want: Any, path: tuple[Any, ...], scale: float | None, near: _Near
) -> Difference | None:
    if _kind(got) != _kind(want) and not (isinstance(want, complex) and is_number(got)):
        return Difference(path, f"{_place(path)} is {_name(got)}, not {_name(want)}")
    if isinstance(want, list | tuple):
        return _compare_items(got, want, path, scale, near)
    if isinstance(want, dict):
        return _compare_entries(got, want, path, near)
    if is_number(want):
        if scale is None and not isinstance(want, int):
            scale = _largest([want]) or 1.0
        return None if near(got, want, scale) else Difference(path)
    return None if _equal(got, want) else Difference(path)


def _compare_items(
    got: Sequence[Any], want: Sequence[Any], path: tuple[Any, ...], scale: float | None, near: _Near
) -> Difference | None:
    # The numbers of a list belong together, as in a vector or matrix; the members of a tuple need not.
    if isinstance(want, tuple):
        scale = None
    elif scale is None and _holds_floats(want):
        scale = _largest(want) or 1.0
    places = enumerate(zip(got, want, strict=False))
    found = (_compare(a, b, (*path, index), scale, near) for index, (a, b) in places)
    first = next((item for item in found if item), None)
    if len(got) == len(want):
        return first
    place = first.path if first else (*path, min(len(got), len(want)))
    return Difference(place, f"{_place(path)} has {_items(len(got))}, not {len(want)}")


def _compare_entries(
    got: Mapping[Any, Any], want: Mapping[Any, Any], path: tuple[Any, ...], near: _Near
) -> Difference | None:
    for key, value in want.items():
        if key not in got:
            return Difference((*path, key), f"the key {key!r} is missing")
        found = _compare(got[key], value, (*path, key), None, near)
        if found:
            return found
    spare = next((key for key in got if key not in want), None)
    return (
        Difference((*path, spare), f"the key {spare!r} should not be there") if len(got) > len(want) else None
    )


def _near(got: Any, want: Any, scale: float | None) -> bool:
    """``scale``: the largest of the numbers that belong together if they are floats; None for whole numbers."""
    if scale is None:
        if isinstance(got, int):
            return bool(got == want)
        return math.isfinite(got) and abs(Fraction(got) - want) <= _INTEGER
    got, want = _float(got), _float(want)
    if cmath.isnan(want) or cmath.isnan(got):
        return bool(cmath.isnan(want) and cmath.isnan(got))
    if cmath.isinf(want) or cmath.isinf(got):
        return bool(got == want)
    return _size(got - want) <= RELATIVE * _size(want) + FLOOR * scale


def _float(number: Any) -> Any:
    try:
        return number if isinstance(number, complex) else float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _size(number: complex) -> float:
    return math.hypot(number.real, number.imag)  # abs of a complex number can be an error


def _equal(got: Any, want: Any) -> bool:
    try:
        return bool(got == want)
    except Exception:  # an object that cannot be compared is not the one expected
        return False


def _holds_floats(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_holds_floats, value))
    return is_number(value) and not isinstance(value, int)


def _largest(value: Any) -> float:
    """The largest finite magnitude in nested lists; 0 if there is none."""
    if isinstance(value, list):
        return max(map(_largest, value), default=0.0)
    size = _size(_float(value)) if is_number(value) else 0.0
    return size if math.isfinite(size) else 0.0


def is_number(value: Any) -> bool:
    """Whether a plain value is a number; a bool is not."""
    return isinstance(value, int | float | complex | Fraction) and not isinstance(value, bool)


def _kind(value: Any) -> Any:
    """The kind of a plain value: only values of the same kind can be compared."""
    if is_number(value):
        return complex if isinstance(value, complex) else float
    return list if isinstance(value, tuple) else type(value)


_NAMES = {
    type(None): "None",
    complex: "a complex number",
    list: "a list",
    tuple: "a tuple",
    dict: "a dict",
    frozenset: "a set",
    bytes: "bytes",
}


def _name(value: Any) -> str:
    if is_number(value) and not isinstance(value, complex):
        return "a number"
    return _NAMES.get(type(value)) or f"a {type(value).__name__}"


def where(path: tuple[Any, ...]) -> str:
    """A path as it is written in Python.

    >>> where((2, "a"))
    "[2]['a']"
    """
    return "".join(f"[{key!r}]" for key in path)


def _place(path: tuple[Any, ...]) -> str:
    return f"result{where(path)}" if path else "the result"


def _items(count: int) -> str:
    return "1 item" if count == 1 else f"{count} items"


def _shape(value: Any) -> tuple[int, ...] | None:
    """The shape of a number or of evenly nested lists of numbers; None for anything else."""
    if is_number(value):
        return ()
    if not isinstance(value, list | tuple):
        return None
    shapes = {_shape(item) for item in value}
    if len(shapes) > 1:
        return None
    inner = shapes.pop() if shapes else ()
    return None if inner is None else (len(value), *inner)


def _other_shape(got: tuple[int, ...] | None, want: tuple[int, ...] | None) -> str:
    if got is None or want is None or got == want:
        return ""
    if not got:
        return f"the result is a single number; the expected shape is {want}"
    if not want:
        return f"the result has the shape {got}; a single number is expected"
    # For two flat lists, the different lengths have been reported already.
    return f"the result has the shape {got}, not {want}" if len(got) + len(want) > 2 else ""
