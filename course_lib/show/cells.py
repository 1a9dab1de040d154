"""Closes the widgets that a notebook cell made when the cell runs again.

The page drops the old output of a cell, but ipywidgets keeps every widget until it is closed, and with it the figure
and the data of its callbacks; the output history keeps the object itself.
"""

import sys
from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

import ipywidgets as widgets
from IPython.core.getipython import get_ipython
from IPython.core.interactiveshell import ExecutionInfo, InteractiveShell


def close_with_cell(close: Callable[[], None]) -> None:
    """Call ``close`` when the current cell is run again; outside of cells, do nothing."""
    shell = get_ipython()
    if shell is not None:
        if shell not in _WATCHED:
            _WATCHED[shell] = _Cells(shell)
        _WATCHED[shell].add(close)


def close_widgets(root: widgets.Widget) -> None:
    """Close a widget and its parts: children, layouts and styles are widgets of their own."""
    for widget in list(_parts(root, set())):
        widget.unobserve_all()
        widget.close()


def _parts(widget: widgets.Widget, seen: set[int]) -> Iterator[widgets.Widget]:
    seen.add(id(widget))
    for name in widget.keys:
        value = getattr(widget, name)
        for part in value if isinstance(value, list | tuple) else (value,):
            if isinstance(part, widgets.Widget) and id(part) not in seen:
                yield from _parts(part, seen)
    yield widget


class _Cells:
    """The cells of one shell: the running ones, and the ``close`` functions of each."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._made: dict[str, list[Callable[[], None]]] = {}
        now = _cell_that_runs()
        self._running = [] if now is None else [now]  # a cell can run another one
        shell.events.register("pre_run_cell", self._begin)
        shell.events.register("post_run_cell", self._end)

    def add(self, close: Callable[[], None]) -> None:
        if self._running:
            self._made.setdefault(_name(self._running[-1]), []).append(close)

    def _begin(self, info: ExecutionInfo) -> None:
        for close in self._made.pop(_name(info), ()):
            close()
        self._running.append(info)

    def _end(self, result: Any) -> None:
        if self._running and self._running[-1] is result.info:
            self._running.pop()


_WATCHED: "WeakKeyDictionary[InteractiveShell, _Cells]" = WeakKeyDictionary()


def _name(info: ExecutionInfo) -> str:
    """A name that a cell keeps when it runs again: its id on the page, or else its text."""
    return str(info.cell_id or info.raw_cell)


def _cell_that_runs() -> ExecutionInfo | None:
    """The cell that is calling us; needed for the first one, which started before the events were registered."""
    frame = sys._getframe()
    while frame is not None:
        info = frame.f_locals.get("info") if frame.f_code.co_name == "run_cell_async" else None
        if isinstance(info, ExecutionInfo):
            return info
        frame = frame.f_back  # type: ignore[assignment]
    return None
