"""The picture of a tuned comparison: loss against rate, one curve per arm, seeds as points."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from course_lib.show.look import LABEL_BOX, NOTE_SIZE, PALETTE, REFERENCE, Picture, direct_labels, figure

_LABELS = 12  # rates that a figure has room for below its panels


def rate_curves(
    points: pd.DataFrame,
    *,
    arm: str,
    panel: str | None = None,
    rate: str = "lr",
    loss: str = "loss",
    unit: str = "nats/byte",
    floors: Mapping[str, float] | None = None,
    top: float | None = None,
    colours: Mapping[str, str] | None = None,
) -> Picture:
    """Loss against learning rate for each arm of a comparison, with the best rate of each arm marked.

    Args:
        points: One row per run.
        arm: Column whose values are compared.
        panel: Column with a panel for each of its values, side by side on the same axes; default: one panel.
        rate: Column with the rate, on a logarithmic axis.
        loss: Column with the loss; runs that diverged (infinite losses) are drawn at the upper edge.
        unit: Of the loss.
        floors: Losses to be passed, by name, such as the unigram's; drawn where the axis shows them.
        top: Upper end of the loss axis; default: a little above the largest finite loss.
        colours: Of the arms.
    """
    finite = points[np.isfinite(points[loss])][loss]
    low, high = float(finite.min()), float(finite.max()) if top is None else top
    margin = 0.06 * (high - low)
    shown = points.assign(**{loss: points[loss].clip(upper=high)})
    groups = (
        [(str(name), rows) for name, rows in shown.groupby(panel, sort=False)] if panel else [("", shown)]
    )
    size = (7.6, 3.9) if len(groups) == 1 else (8.4, 3.7) if len(groups) == 2 else (10.2, 3.7)
    fig, panels = figure(1, len(groups), size=size, sharey=True, squeeze=False)
    best = []
    for axes, (title, rows) in zip(panels[0], groups, strict=True):
        for name, (at, value) in _curves(axes, rows, arm, rate, loss, colours).items():
            where = f"{title}, {name}" if panel else name
            best.append(f"{where} {value:.3f} at {at:g}")
        rates = sorted(points[rate].unique())
        # Room for the names at the lines' ends.
        right = max(rates) * (max(rates) / min(rates)) ** (0.16 if len(groups) == 1 else 0.42)
        axes.set(xscale="log", xlabel="peak learning rate", title=title)
        axes.set(xlim=(min(rates) / 1.15, right), ylim=(low - margin, high + margin))
        every = -(-len(rates) * len(groups) // _LABELS)
        axes.set_xticks(rates, ["" if place % every else f"{value:g}" for place, value in enumerate(rates)])
        axes.xaxis.set_minor_locator(NullLocator())
        for name, value in (floors or {}).items():
            if low - margin < value < high + margin:
                axes.axhline(value, **REFERENCE)
                below = value > high - margin  # above it is the title
                axes.annotate(
                    name,
                    (0, value),
                    xycoords=("axes fraction", "data"),
                    xytext=(4, -3 if below else 3),
                    textcoords="offset points",
                    va="top" if below else "bottom",
                    fontsize=NOTE_SIZE,
                    bbox=LABEL_BOX,
                )
    panels[0][0].set_ylabel(f"loss ({unit})")
    direct_labels(*panels[0])
    return Picture(
        fig,
        caption="Dots: runs; lines: means over seeds; rings: the best rate of each.",
        alt=f"Best mean loss in {unit}: {'; '.join(best)}.",
    )


def _curves(
    axes: Axes, rows: pd.DataFrame, arm: str, rate: str, loss: str, colours: Mapping[str, str] | None
) -> dict[str, tuple[float, float]]:
    """Draw one panel; returns the best rate and its mean loss for each arm."""
    best: dict[str, tuple[float, float]] = {}
    for number, (name, runs) in enumerate(rows.groupby(arm, sort=False)):
        colour = colours[str(name)] if colours else list(PALETTE.values())[number]
        means = runs.groupby(rate)[loss].mean()
        axes.plot(runs[rate], runs[loss], "o", color=colour, alpha=0.4, markersize=4, mew=0)
        axes.plot(means.index, means, color=colour, label=str(name))
        best[str(name)] = float(means.index.to_numpy()[means.argmin()]), float(means.min())
        axes.plot(*best[str(name)], "o", color=colour, markersize=8, mfc="none", mew=1.6, zorder=4)
    return best
