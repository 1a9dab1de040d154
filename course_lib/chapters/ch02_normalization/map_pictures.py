"""Pictures of chapter 2's map of trainability."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from course_lib.show.gradient_explorer import PLACEMENT_COLOURS
from course_lib.show.look import (
    INK,
    NOTE_SIZE,
    PALETTE,
    REFERENCE,
    Picture,
    direct_labels,
    figure,
    label_point,
)

PLACEMENTS = {
    "none": "no norm",
    "post": "post-norm",
    "pre": "pre-norm",
    "double": "double norm",
    "branch": "branch norm",
    "deepnorm": "DeepNorm",
}
"""The placements of norms, in words."""

STARTS = {
    "none": "full rate at once",
    "ramp": "warm-up",
    "half": "half rate, equal distance",
    "wait": "rate 0 for a tenth",
}
"""The starts of a run, in words."""

COLOURS = {
    **{name: PLACEMENT_COLOURS[place] for place, name in PLACEMENTS.items()},
    "full rate at once": PALETTE["grey"],
    "warm-up": PALETTE["orange"],
    "half rate": PALETTE["blue"],
    "waiting": PALETTE["violet"],
    "gradients / 100": PALETTE["green"],
    "gradients x 100": PALETTE["ochre"],
}
"""Colours of the arms of :func:`arms`, by their names."""

_SHADES = {0.25: ":", 0.5: "--", 1.0: "-"}  # of the gains


def trainability(points: pd.DataFrame, *, top: float, floors: Mapping[str, float]) -> Picture:
    """Loss against peak rate: a column per placement, a row per start, a line per gain, a dot per run.

    Args:
        points: Columns placement, gain, start, lr, bits.
        top: Losses above it are drawn at it.
        floors: Losses to be passed, by name.
    """
    placements, starts = points["placement"].unique(), points["start"].unique()
    fig, panels = figure(
        len(starts),
        len(placements),
        size=(10.4, 2.4 * len(starts) + 0.5),
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    rates = sorted(points["lr"].unique())
    for row, start in zip(panels, starts, strict=True):
        for axes, placement in zip(row, placements, strict=True):
            runs = points[(points["placement"] == placement) & (points["start"] == start)]
            _gain_lines(axes, runs, PLACEMENT_COLOURS[str(placement)], top)
            for value in floors.values():
                axes.axhline(value, **REFERENCE)
        row[0].set_ylabel(f"{STARTS[str(start)]}\nloss (bits/byte)")
    for axes, placement in zip(panels[0], placements, strict=True):
        axes.set_title(PLACEMENTS[str(placement)], color=PLACEMENT_COLOURS[str(placement)])
    for axes in panels[-1]:
        axes.set_xlabel("peak rate")
    first = panels[0][0]
    first.set(xscale="log", ylim=(points["bits"].min() - 0.1, top + 0.08))
    first.set_xticks(rates[1::3], [f"{rate:g}" for rate in rates[1::3]])
    first.xaxis.set_minor_locator(NullLocator())
    for name, value in floors.items():
        # Named at the right end of the last panel but one, where curves are low.
        place = {"xytext": (-3, 2), "textcoords": "offset points", "fontsize": NOTE_SIZE, "ha": "right"}
        panels[0][-2].annotate(name, (1, value), xycoords=("axes fraction", "data"), **place)
    means = points.groupby(["placement", "gain", "start", "lr"])["bits"].mean()
    best = means.groupby("placement").agg(["idxmin", "min"])
    return Picture(
        fig,
        caption="Gain of the initialization: full lines 1, dashed 0.5, dotted 0.25. Dots: runs; lines: means over "
        f"seeds; what lies above {top:g}, or diverged, is drawn at the upper edge.",
        alt="Best mean loss in bits per byte: "
        + "; ".join(
            f"{PLACEMENTS[str(name)]} {row['min']:.2f} (gain {row['idxmin'][1]:g}, {STARTS[row['idxmin'][2]]}, "
            f"rate {row['idxmin'][3]:g})"
            for name, row in best.iterrows()
        ),
    )


def _gain_lines(axes: Axes, runs: pd.DataFrame, colour: str, top: float) -> None:
    for gain, rows in runs.groupby("gain"):
        axes.plot(
            rows["lr"], rows["bits"].clip(upper=top), ".", color=colour, alpha=0.35, markersize=3.5, mew=0
        )
        means = rows.groupby("lr")["bits"].mean().clip(upper=top)
        axes.plot(means.index, means, _SHADES[float(str(gain))], color=colour, lw=1.5)


def arms(points: pd.DataFrame, panels: Mapping[str, Mapping[str, pd.DataFrame]], *, top: float) -> Picture:
    """Loss against peak rate, one panel per question, one line per arm.

    Args:
        points: Runs whose rates and losses the common axes are for.
        panels: By title, the runs of each arm, by name (one of :data:`COLOURS`): columns lr, bits.
        top: Losses above it are drawn at it.
    """
    fig, row = figure(1, len(panels), size=(10.2, 3.7), sharex=True, sharey=True, squeeze=False)
    rates = sorted(points["lr"].unique())
    said = []
    for axes, (title, runs_of) in zip(row[0], panels.items(), strict=True):
        for name, runs in runs_of.items():
            bits, colour = runs["bits"].clip(upper=top), COLOURS[name]
            axes.plot(runs["lr"], bits, ".", color=colour, alpha=0.4, markersize=4, mew=0)
            means = runs.groupby("lr")["bits"].mean()
            axes.plot(means.index, means.clip(upper=top), color=colour, label=name)
            said.append(f"{title}, {name} {means.min():.2f} at {means.idxmin():g}")
        axes.set(title=title, xlabel="peak rate")
    first = row[0][0]
    # Room for the names at the lines' ends.
    first.set(xscale="log", xlim=(rates[0] / 1.2, rates[-1] * 60))
    first.set_ylim(points["bits"].min() - 0.1, top + 0.08)
    first.set_xticks(rates[1::3], [f"{rate:g}" for rate in rates[1::3]])
    first.xaxis.set_minor_locator(NullLocator())
    first.set_ylabel("loss (bits/byte)")
    direct_labels(*row[0], aligned=True)
    return Picture(
        fig,
        caption=f"Dots: runs; lines: means over seeds. What lies above {top:g} is drawn at the upper edge.",
        alt=f"Best mean loss in bits per byte: {'; '.join(said)}.",
    )


def moved(
    points: pd.DataFrame, quantities: Mapping[str, str], *, top: float, special: pd.DataFrame, cut: float
) -> Picture:
    """Loss at the end against quantities measured early in the run, one dot per run.

    Args:
        points: Columns placement, bits, and the quantities.
        quantities: Columns and what they are called, a panel each.
        top: Losses above it are drawn at it.
        special: Runs to be marked.
        cut: Value of the first quantity, drawn as a line.
    """
    fig, row = figure(1, len(quantities), size=(10.2, 3.6), sharey=True, squeeze=False)
    for axes, (column, name) in zip(row[0], quantities.items(), strict=True):
        for placement, runs in points.groupby("placement", sort=False):
            finite = runs[np.isfinite(runs[column])]
            axes.plot(
                finite[column],
                finite["bits"].clip(upper=top),
                "o",
                color=PLACEMENT_COLOURS[str(placement)],
                alpha=0.35,
                markersize=3,
                mew=0,
            )
        axes.plot(special[column], special["bits"].clip(upper=top), "s", color=INK, markersize=5, mfc="none")
        finite_values = points[column][np.isfinite(points[column])]
        axes.set(
            xscale="log" if finite_values.max() > 100 * finite_values.min() > 0 else "linear", xlabel=name
        )
    first = row[0][0]
    first.axvline(cut, **REFERENCE)
    label_point(first, f"{cut:.2f}", (cut, 0.8), (4, 0), xycoords=("data", "axes fraction"))
    first.set_ylabel("loss at the end (bits/byte)")
    for place, (placement, colour) in enumerate(
        (name, PLACEMENT_COLOURS[name]) for name in points["placement"].unique()
    ):
        row[0][-1].text(
            1.03,
            0.95 - 0.1 * place,
            PLACEMENTS[placement],
            transform=row[0][-1].transAxes,
            color=colour,
            va="top",
        )
    return Picture(
        fig,
        caption="One dot per run; squares: no norm, and only the matrices that write into the stream made smaller, as "
        "GPT-2 did.",
        alt=f"Losses at the end against {', '.join(quantities.values())}.",
    )
