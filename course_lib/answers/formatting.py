"""Formats values and calls for the messages of a check, shortened to the part that matters."""

import reprlib
from collections.abc import Callable, Sequence
from typing import Any

from course_lib.answers.comparing import difference, is_tensor, plain, where

_ITEMS = 12  # shown from the start of a long list; a list of up to twice as many is shown whole
_BESIDE = 3  # items shown on either side of the place that matters

_writer = reprlib.Repr()
_writer.maxstring = _writer.maxother = 200


def show(value: Any, path: tuple[Any, ...] = (), *, digits: int = 8) -> str:
    """``value`` as Python writes it; for long lists, only the beginning and the items next to ``path``.

    >>> show(list(range(100)), (50,))
    '[0, …, 47, 48, 49, 50, 51, 52, 53, … (100 items)]'
    """
    if isinstance(value, list | tuple | dict | set):
        return _show(value, path, digits)
    shown = _show(plain(value), path, digits)
    if not isinstance(plain(value), list):
        return shown
    if is_tensor(value):
        return f"tensor({shown})"
    return f"array({shown})" if hasattr(value, "__array__") else shown


def show_both(result: Any, expected: Any) -> tuple[str, str, str]:
    """The result, the expected value, and a line that says where they differ if that is not obvious."""
    found = difference(result, expected)
    if found is None:
        return show(result), show(expected), ""
    got, want = show(result, found.path), show(expected, found.path)
    if got.replace(".0", "") == want.replace(".0", ""):  # too few digits, or a number of another type
        got, want = (show(value, found.path, digits=17) for value in (result, expected))
    if found.what:
        return got, want, found.what
    return got, want, f"they first differ at {where(found.path)}" if "…" in got + want and found.path else ""


def show_call(name: str, arguments: Sequence[Any]) -> str:
    """A call with its arguments, shortened."""
    return f"{name}({', '.join(map(show, arguments))})"


def _show(value: Any, path: tuple[Any, ...], digits: int) -> str:
    if isinstance(value, float):
        return repr(float(f"{value:.{digits}g}"))
    if isinstance(value, list | tuple):
        place = path[0] if path and isinstance(path[0], int) else 0
        inner = _shown_items(
            value, place, lambda i: show(value[i], path[1:] if i == place else (), digits=digits)
        )
        if isinstance(value, list):
            return f"[{inner}]"
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, dict):
        keys = list(value)
        place = keys.index(path[0]) if path and path[0] in value else 0
        return f"{{{_shown_items(keys, place, lambda i: _show_entry(value, keys[i], path, digits))}}}"
    return _writer.repr(value)


def _show_entry(value: dict[Any, Any], key: Any, path: tuple[Any, ...], digits: int) -> str:
    return f"{show(key)}: {show(value[key], path[1:] if path and path[0] == key else (), digits=digits)}"


def _shown_items(items: Sequence[Any], place: int, show_item: Callable[[int], str]) -> str:
    if len(items) <= 2 * _ITEMS:
        return ", ".join(map(show_item, range(len(items))))
    first, last = max(0, min(place, len(items) - 1) - _BESIDE), min(len(items), place + _BESIDE + 1)
    if place < _ITEMS - _BESIDE:
        first, last = 0, _ITEMS
    shown = [*map(show_item, range(first, last))]
    if first:
        shown = [show_item(0), "…", *shown] if first > 1 else [show_item(0), *shown]
    rest = ["…"] if last < len(items) else []
    return ", ".join([*shown, *rest]) + f" ({len(items)} items)"
