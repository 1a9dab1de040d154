"""The explorer of chapter 2: a walk through the map of trainability."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from course_lib.chapters.ch02_normalization.map_pictures import PLACEMENTS, STARTS
from course_lib.show.controls import Choice, Slider
from course_lib.show.gradient_explorer import PLACEMENT_COLOURS
from course_lib.show.interactive import Explorer, explorer
from course_lib.show.look import INK, NOTE_SIZE, REFERENCE, label_point

_RATE = "peak rate"


def map_explorer(
    points: pd.DataFrame, quantities: Mapping[str, str], *, floors: Mapping[str, float], top: float
) -> Explorer:
    """Loss of every placement against the peak rate, or against a quantity that was measured early in the run.

    Args:
        points: Columns placement, gain, start, lr, seed, bits, and the quantities.
        quantities: Columns that may stand on the horizontal axis, and what they are called.
        floors: Losses to be passed, by name.
        top: Losses above it are drawn at it.
    """
    gains = sorted(float(gain) for gain in points["gain"].unique())
    starts = list(points["start"].unique())
    placements = list(points["placement"].unique())
    return explorer(
        lambda figure: _Map(figure, points, quantities, floors, top).update,
        title="The map of trainability",
        size=(8.4, 4.4),
        placement=Choice("placement", {PLACEMENTS[name]: name for name in placements}, start="post"),
        start=Choice("start", {STARTS[name]: name for name in starts}, start="none"),
        gain=Slider("gain of the initialization", gains, start=gains[-1]),
        against=Choice(
            "against", {_RATE: "lr", **{text: name for name, text in quantities.items()}}, start="lr"
        ),
    )


class _Map:
    """Draws one line per placement, the chosen one in front."""

    def __init__(
        self,
        figure: Figure,
        points: pd.DataFrame,
        quantities: Mapping[str, str],
        floors: Mapping[str, float],
        top: float,
    ) -> None:
        self._points, self._top = points, top
        self._names = {"lr": _RATE, **quantities}
        self._axes = axes = figure.subplots()
        low = points["bits"].min() - 0.08
        axes.set(xscale="log", ylim=(low, top + 0.62), ylabel="held-out loss (bits/byte)")
        axes.set_yticks(np.arange(np.ceil(2 * low) / 2, top, 0.5))
        axes.xaxis.set_minor_locator(NullLocator())
        for name, value in floors.items():
            axes.axhline(value, **REFERENCE)
            label_point(axes, name, (0, value), (4, 3), xycoords=("axes fraction", "data"))
        self._lines = {}
        # The names of all lines share the strip above the losses.
        for column, name in enumerate(map(str, points["placement"].unique())):
            colour = PLACEMENT_COLOURS[name]
            (self._lines[name],) = axes.plot([], [], "o-", color=colour, markersize=3)
            at = (0.01 + 0.2 * column, 0.91)
            axes.text(
                *at, PLACEMENTS[name], color=colour, fontsize=NOTE_SIZE, va="top", transform=axes.transAxes
            )
        (self._seeds,) = axes.plot([], [], ".", color=INK, markersize=5, zorder=4)
        self._note = axes.text(0.01, 0.985, "", weight="bold", va="top", transform=axes.transAxes)

    def update(self, placement: str, start: str, gain: float, against: str) -> str:
        here = self._points[(self._points["start"] == start) & (self._points["gain"] == gain)]
        best = {}
        for name, line in self._lines.items():
            runs = here[here["placement"] == name]
            means = runs.groupby("lr")["bits"].mean()
            best[name] = float(means.min()), float(str(means.idxmin()))
            places = means.index.to_series() if against == "lr" else runs.groupby("lr")[against].mean()
            shown = np.isfinite(places)
            line.set_data(places[shown], means[shown].clip(upper=self._top))
            chosen = name == placement
            line.set(lw=2.6 if chosen else 1.1, alpha=1 if chosen else 0.55, zorder=3 if chosen else 2)
        mine = here[here["placement"] == placement].replace(np.inf, np.nan).dropna(subset=[against])
        self._seeds.set_data(mine[against], mine["bits"].fillna(self._top).clip(upper=self._top))
        inside = here[np.isfinite(here[against]) & (here[against] > 0)][against]
        self._axes.set_xlim(inside.min() / 1.25, inside.max() * 1.25)
        self._axes.set_xlabel(self._names[against])
        bits, rate = best[placement]
        setting = f"gain {gain:g}, {STARTS[start]}"
        self._note.set_text(f"{PLACEMENTS[placement]}, {setting}: best {bits:.2f} at a peak rate of {rate:g}")
        self._note.set_color(PLACEMENT_COLOURS[placement])
        others = "; ".join(f"{PLACEMENTS[name]} {low:.2f} at {at:g}" for name, (low, at) in best.items())
        return f"G{setting[1:]}, best mean loss in bits per byte and its peak rate: {others}."
