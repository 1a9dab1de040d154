"""The controls of interactive figures: small descriptions that turn into ipywidgets."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import ipywidgets as widgets

_STYLE = {"description_width": "164px"}
_MENU_STYLE = {"description_width": "130px"}  # menus have short labels and long entries
_WIDTH = "370px"


class _FromBrowser:
    """Mixed into every control: tells whether the current change was made on the page or in Python."""

    from_browser = False

    def set_state(self, sync_data: dict[str, Any]) -> None:
        self.from_browser = True
        try:
            super().set_state(sync_data)  # type: ignore[misc]
        finally:
            self.from_browser = False


class _IntSlider(_FromBrowser, widgets.IntSlider):  # type: ignore[misc]
    pass


class _FloatSlider(_FromBrowser, widgets.FloatSlider):  # type: ignore[misc]
    pass


class _FloatLogSlider(_FromBrowser, widgets.FloatLogSlider):  # type: ignore[misc]
    pass


class _SelectionSlider(_FromBrowser, widgets.SelectionSlider):  # type: ignore[misc]
    pass


class _Dropdown(_FromBrowser, widgets.Dropdown):  # type: ignore[misc]
    pass


class _Checkbox(_FromBrowser, widgets.Checkbox):  # type: ignore[misc]
    pass


class _Text(_FromBrowser, widgets.Text):  # type: ignore[misc]
    pass


def _check_label(control: Any) -> None:
    if not control.label.strip():
        raise ValueError(
            f"label={control.label!r} is empty: every control needs a name that a reader understands"
        )


@dataclass(frozen=True)
class Slider:
    """A slider over ``values`` (any stops: numbers or strings) or from ``min`` to ``max``, both ends included.

    ``step``: the distance between neighbouring stops; with ``log=True``, the number of stops per decade (10 by
    default), and the slider starts at the stop nearest to ``start``. If ``min``, ``max`` and ``step`` are whole
    numbers, so are the values. ``unit`` is shown after the label. ``start``: the initial value (by default the first
    stop, or ``min``). Raises ValueError for ends that do not form a range.
    """

    label: str
    values: Sequence[Any] | None = None
    _: KW_ONLY
    min: float | None = None
    max: float | None = None
    step: float | None = None
    unit: str = ""
    log: bool = False
    start: Any = None

    def __post_init__(self) -> None:
        _check_label(self)
        if self.values is not None:
            if self.min is not None or self.max is not None or len(self.values) < 2:
                raise ValueError(f"{self.label}: give at least two values, or min and max, not both")
            if self.start is not None and self.start not in self.values:
                raise ValueError(
                    f"{self.label}: start={self.start!r} is not among the values {list(self.values)}"
                )
            return
        if self.min is None or self.max is None or not self.min < self.max:
            raise ValueError(f"{self.label}: min={self.min!r} must be smaller than max={self.max!r}")
        if self.log and self.min <= 0:
            raise ValueError(f"{self.label}: min={self.min!r} must be positive on a log scale")
        if self.step is not None and self.step <= 0:
            raise ValueError(f"{self.label}: step={self.step!r} must be positive")
        if self.start is not None and not self.min <= self.start <= self.max:
            raise ValueError(f"{self.label}: start={self.start!r} is outside {self.min!r} to {self.max!r}")

    def widget(self) -> Any:
        """A new ipywidget for this slider."""
        common = {
            "description": f"{self.label} ({self.unit})" if self.unit else self.label,
            "style": _STYLE,
            "layout": widgets.Layout(width=_WIDTH),
        }
        if self.values is not None:
            stops = [(f"{v:,}" if isinstance(v, int | float) else str(v), v) for v in self.values]
            return _SelectionSlider(options=stops, value=self._start(self.values[0]), **common)
        assert self.min is not None and self.max is not None
        start = self._start(self.min)
        if self.log:
            low, high, step = math.log10(self.min), math.log10(self.max), 1 / (self.step or 10)
            # The page moves any other value to the nearest stop.
            stop = low + step * round((math.log10(start) - low) / step)
            return _FloatLogSlider(
                value=10 ** min(stop, high), min=low, max=high, step=step, readout_format=".2g", **common
            )
        step = self.step or (
            1 if isinstance(self.min, int) and isinstance(self.max, int) else (self.max - self.min) / 50
        )
        if all(isinstance(number, int) for number in (self.min, self.max, step)):
            return _IntSlider(
                value=start, min=self.min, max=self.max, step=step, readout_format=",d", **common
            )
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        return _FloatSlider(
            value=start, min=self.min, max=self.max, step=step, readout_format=f".{decimals}f", **common
        )

    def _start(self, default: Any) -> Any:
        return default if self.start is None else self.start


@dataclass(frozen=True)
class Choice:
    """A menu. ``options``: names, or a mapping from display name to value; ``start``: the initial value.

    None cannot be a value: to ipywidgets it means that nothing is chosen, and the menu would be empty.
    """

    label: str
    options: Sequence[Any] | Mapping[str, Any]
    _: KW_ONLY
    start: Any = None

    def __post_init__(self) -> None:
        _check_label(self)
        if not self.options:
            raise ValueError(f"{self.label}: options are empty")
        if None in self._pairs().values():
            raise ValueError(f"{self.label}: None cannot be an option: options={self.options!r}")
        if self.start is not None and not any(
            self.start is v or self.start == v for v in self._pairs().values()
        ):
            raise ValueError(
                f"{self.label}: start={self.start!r} is not among the options {list(self._pairs())}"
            )

    def _pairs(self) -> dict[str, Any]:
        if isinstance(self.options, Mapping):
            return dict(self.options)
        return {str(option): option for option in self.options}

    def widget(self) -> Any:
        """A new ipywidget for this menu."""
        pairs = self._pairs()
        return _Dropdown(
            options=list(pairs.items()),
            value=next(iter(pairs.values())) if self.start is None else self.start,
            description=self.label,
            style=_MENU_STYLE,
            layout=widgets.Layout(width=_WIDTH),
        )


@dataclass(frozen=True)
class Toggle:
    """A checkbox."""

    label: str
    _: KW_ONLY
    start: bool = False

    def __post_init__(self) -> None:
        _check_label(self)

    def widget(self) -> Any:
        """A new ipywidget for this checkbox."""
        return _Checkbox(
            value=self.start,
            description=self.label,
            indent=False,
            layout=widgets.Layout(width=_WIDTH, padding="0 0 0 12px"),
        )


@dataclass(frozen=True)
class Text:
    """A line of text; every key press redraws."""

    label: str
    _: KW_ONLY
    start: str = ""

    def __post_init__(self) -> None:
        _check_label(self)

    def widget(self) -> Any:
        """A new ipywidget for this text field."""
        return _Text(
            value=self.start,
            description=self.label,
            continuous_update=True,
            style=_STYLE,
            layout=widgets.Layout(width=_WIDTH),
        )


Control = Slider | Choice | Toggle | Text
"""Any control of an explorer."""
