"""Pictures of chapter 3: activation functions, gated layers compared, hidden units."""

import textwrap
from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from course_lib.model.config import GATED_ACTIVATIONS
from course_lib.show.look import NOTE_SIZE, PALETTE, REFERENCE, Picture, direct_labels, figure

ACTIVATION_COLOURS = {
    "relu": PALETTE["blue"],
    "gelu": PALETTE["green"],
    "silu": PALETTE["pink"],
    "relu2": PALETTE["orange"],
    "leaky relu": PALETTE["ochre"],
    "bilinear": PALETTE["ochre"],
    "glu": PALETTE["grey"],
    "reglu": PALETTE["blue"],
    "geglu": PALETTE["green"],
    "swiglu": PALETTE["violet"],
}
"""The same activation has the same colour in every picture."""

NAMES = {
    "relu": "ReLU",
    "gelu": "GELU",
    "silu": "SiLU",
    "relu2": "ReLU²",
    "leaky relu": "leaky ReLU",
    "bilinear": "Bilinear",
    "glu": "GLU",
    "reglu": "ReGLU",
    "geglu": "GEGLU",
    "swiglu": "SwiGLU",
}
"""Names as the papers write them."""


def shapes(curves: pd.DataFrame) -> Picture:
    """Activation functions and their slopes. ``curves``: columns activation, z, value, slope."""
    fig, (left, right) = figure(1, 2, size=(9.6, 3.8))
    near = curves[curves["z"].between(-3, 2)]
    for name, curve in near.groupby("activation", sort=False):
        style = {"color": ACTIVATION_COLOURS[str(name)], "label": NAMES[str(name)]}
        left.plot(curve["z"], curve["value"], **style)
        right.plot(curve["z"], curve["slope"], **style)
    left.set(xlim=(-3, 3.1), ylim=(-0.5, 4.2), xlabel="input z", ylabel="value f(z)")
    right.set(xlim=(-3, 3.1), ylim=(-0.5, 4.2), xlabel="input z", ylabel="slope f′(z)")
    left.set_xticks(range(-3, 3))
    right.set_xticks(range(-3, 3))
    direct_labels(left, right)
    return Picture(fig, caption="Four plain activations and their slopes; slopes by autograd.")


def chain(sizes: pd.DataFrame) -> Picture:
    """Size of the activations along a chain of layers. ``sizes``: columns activation, seed, layer, size."""
    fig, axes = figure(size=(7.6, 3.6))
    low, high = 1e-3, 1e6
    last = int(sizes["layer"].max())
    for keys, run in sizes.groupby(["activation", "seed"], sort=False):
        line = _inside(run.set_index("layer")["size"], low, high)
        axes.plot(line.index, line, color=ACTIVATION_COLOURS[str(keys[0])], linewidth=1, alpha=0.5)
    for name, runs in sizes.groupby("activation", sort=False):
        kept = _inside(runs.groupby("layer")["size"].median(), low, high)
        axes.plot(kept.index, kept, color=ACTIVATION_COLOURS[str(name)], label=NAMES[str(name)])
    axes.set(
        yscale="log",
        ylim=(low, high),
        xlim=(0, last * 1.16),
        xlabel="layer",
        ylabel="mean square, relative to the input",
    )
    direct_labels(axes)
    return Picture(
        fig,
        caption="No norms, no residual connections; weights scaled to preserve the size of normal inputs of variance "
        "1. Thin lines: seeds; thick lines: their medians.",
    )


def _inside(line: "pd.Series[float]", low: float, high: float) -> "pd.Series[float]":
    """The line until it first leaves the picture, ``low`` to ``high``."""
    return line[line.between(low, high).cummin()]


def named(points: pd.DataFrame) -> pd.DataFrame:
    """Stored runs with the papers' names in the column activation, and a column kind: "plain" or "gated"."""
    kinds = points["activation"].isin(GATED_ACTIVATIONS).map({False: "plain", True: "gated"})
    return points.assign(kind=kinds, activation=points["activation"].map(NAMES))


def by_name(activations: Iterable[str]) -> dict[str, str]:
    """The colours of activations by the names of the papers."""
    return {NAMES[name]: ACTIVATION_COLOURS[name] for name in activations}


def beside_published(differences: pd.DataFrame) -> Picture:
    """Differences from ReLU, ours with intervals beside published ones: one panel each.

    ``differences``: columns panel, activation, difference, low, high (NaN: no interval is known).
    """
    panels = list(dict.fromkeys(differences["panel"]))
    names = list(dict.fromkeys(differences["activation"]))[::-1]
    fig, grid = figure(1, len(panels), size=(9.6, 3.9), sharey=True, squeeze=False)
    for axes, panel in zip(grid[0], panels, strict=True):
        for row in differences[differences["panel"] == panel].itertuples():
            place, colour = names.index(row.activation), ACTIVATION_COLOURS[row.activation]
            axes.plot([row.low, row.high], [place, place], color=colour, linewidth=3, alpha=0.45)
            axes.plot(row.difference, place, "o", color=colour, markersize=6)
        axes.axvline(0, **REFERENCE)
        axes.set_title(textwrap.fill(panel, 24), fontsize=NOTE_SIZE)
        axes.set_xlabel("less ReLU's loss")
        axes.grid(visible=False, axis="y")
        axes.set_xlim(*_with_room(differences, panel))
        axes.xaxis.set_major_locator(MaxNLocator(3))
    grid[0][0].set_yticks(range(len(names)), labels=[NAMES[name] for name in names])
    grid[0][0].set_ylim(-0.6, len(names) - 0.4)
    lowest = differences.loc[differences.groupby("panel", sort=False)["difference"].idxmin()]
    told = "; ".join(
        f"{row.panel}: {NAMES[str(row.activation)]}, {row.difference:+.3f}" for row in lowest.itertuples()
    )
    return Picture(
        fig,
        caption="Loss less ReLU's; left of the line is better than ReLU. Bars: 95 % intervals of ours.",
        alt=f"The lowest loss in each panel, less ReLU's. {told}.",
    )


def _with_room(differences: pd.DataFrame, panel: str) -> tuple[float, float]:
    """Limits that a panel shares with all others with intervals, or with all others without."""
    published = differences["low"].isna()
    inside = differences[published == published[differences["panel"] == panel].all()]
    ends = inside[["difference", "low", "high"]].to_numpy(float)
    left, right = min(float(np.nanmin(ends)), 0.0), max(float(np.nanmax(ends)), 0.0)
    room = 0.06 * (right - left)
    return left - room, right + room


def dead_units(points: pd.DataFrame) -> Picture:
    """Dead units early in a run and at its end, against the rate. Columns: activation, lr, dead_early, dead."""
    fig, panels = figure(1, 2, size=(8.4, 3.5), sharey=True)
    rates = sorted(set(points["lr"]))
    told = []
    titles = {"dead_early": "after a tenth of the run", "dead": "at its end"}
    for axes, (column, title) in zip(panels, titles.items(), strict=True):
        for name, runs in points.groupby("activation", sort=False):
            colour = ACTIVATION_COLOURS[str(name)]
            axes.plot(runs["lr"], 100 * runs[column], ".", color=colour, alpha=0.5)
            means = 100 * runs.groupby("lr")[column].mean()
            line = "--" if name in GATED_ACTIVATIONS else "-"
            axes.plot(means.index, means, "o" + line, color=colour, label=NAMES[str(name)])
            told.append(f"{NAMES[str(name)]} {title} {means.iloc[-1]:.0f} %")
        axes.set(
            xscale="log", xlim=(rates[0] / 1.2, rates[-1] * 2.6), xlabel="peak learning rate", title=title
        )
        axes.set_xticks(rates, labels=[f"{rate:g}" for rate in rates])
        axes.minorticks_off()
    panels[0].set_ylabel("dead units (%)")
    direct_labels(*panels)
    return Picture(
        fig,
        caption="Units of both layers whose output is 0 for all of 4,096 held-out tokens; dots are seeds.",
        alt=f"Dead units at the highest rate: {', '.join(told)}.",
    )


def sparsity(results: pd.DataFrame) -> Picture:
    """Loss added when only the largest hidden values are used. ``results``: columns activation, kept, loss."""
    fig, axes = figure(size=(7.6, 3.6))
    for name, run in results.groupby("activation", sort=False):
        full = run.loc[run["kept"] == 1.0, "loss"].iloc[0]
        part = run[run["kept"] < 1].sort_values("kept", ascending=False)
        axes.plot(
            100 * part["kept"],
            part["loss"] - full,
            "o-",
            color=ACTIVATION_COLOURS[str(name)],
            label=NAMES[str(name)],
        )
    shares = sorted(100 * share for share in set(results["kept"]) if share < 1)
    axes.set(xscale="log", xlim=(shares[-1] * 1.2, shares[0] / 1.5), ylim=(-0.01, None))
    axes.set(xlabel="hidden units kept for each token (%)", ylabel="loss added (nats/byte)")
    axes.set_xticks(shares, labels=[f"{share:.0f}" for share in shares])
    axes.minorticks_off()
    direct_labels(axes)
    return Picture(fig, caption="Each token keeps its largest hidden values; the others are set to 0.")
