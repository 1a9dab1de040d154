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
from course_lib.show.look import INK, NOTE_SIZE, REFERENCE

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
        against=Choice("against", {_RATE: "lr", **{text: name for name, text in quantities.items()}}, start="lr"),
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
        axes.set(xscale="log", ylim=(points["bits"].min() - 0.08, top + 0.1), ylabel="held-out loss (bits/byte)")
        axes.xaxis.set_minor_locator(NullLocator())
        for name, value in floors.items():
            axes.axhline(value, **REFERENCE)
            axes.annotate(
                name,
                (0, value),
                (4, 3),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                fontsize=NOTE_SIZE,
            )
        self._lines = {
            str(name): axes.plot([], [], "o-", markersize=3, lw=1.1, alpha=0.55, color=PLACEMENT_COLOURS[str(name)])[0]
            for name in points["placement"].unique()
        }
        (self._seeds,) = axes.plot([], [], ".", color=INK, markersize=5, zorder=4)
        self._note = axes.text(0.985, 0.97, "", transform=axes.transAxes, ha="right", va="top", weight="bold")
        self._setting = axes.text(
            0.985, 0.90, "", transform=axes.transAxes, ha="right", va="top", fontsize=NOTE_SIZE
        )

    def update(self, placement: str, start: str, gain: float, against: str) -> str:
        here = self._points[(self._points["start"] == start) & (self._points["gain"] == gain)]
        best = {}
        for name, line in self._lines.items():
            rows = here[here["placement"] == name].groupby("lr")[["bits", *({against} - {"lr"})]].mean().reset_index()
            finite = rows[np.isfinite(rows[against])]
            line.set_data(finite[against], finite["bits"].clip(upper=self._top))
            chosen = name == placement
            line.set(lw=2.6 if chosen else 1.1, alpha=1 if chosen else 0.55, zorder=3 if chosen else 2)
            best[name] = rows.loc[rows["bits"].idxmin(), ["bits", "lr"]]
        mine = here[here["placement"] == placement].replace(np.inf, np.nan).dropna(subset=[against])
        self._seeds.set_data(mine[against], mine["bits"].fillna(self._top).clip(upper=self._top))
        shown = here[np.isfinite(here[against]) & (here[against] > 0)][against]
        self._axes.set_xlim(shown.min() / 1.25, shown.max() * 1.25)
        self._axes.set_xlabel(self._names[against])
        bits, rate = best[placement]
        self._note.set(
            text=f"{PLACEMENTS[placement]}: {bits:.2f} at {rate:g}", color=PLACEMENT_COLOURS[placement]
        )
        self._setting.set_text(f"gain {gain:g}, {STARTS[start]}; dots: its runs")
        others = "; ".join(f"{PLACEMENTS[name]} {row['bits']:.2f} at {row['lr']:g}" for name, row in best.items())
        return f"Gain {gain:g}, {STARTS[start]}, best mean loss in bits per byte and its peak rate: {others}."
