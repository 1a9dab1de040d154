"""Pictures of chapter 9: shapes of schedules, and their losses."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter, NullLocator

from course_lib.show.look import INK, PALETTE, Picture, direct_labels, figure

COLOURS = {
    "constant": PALETTE["grey"],
    "linear": PALETTE["orange"],
    "cosine": PALETTE["blue"],
    "one restart": PALETTE["violet"],
    "inverse sqrt": PALETTE["ochre"],
    "WSD": PALETTE["green"],
}
"""Colours of the schedules, by name."""


def shapes(factors: pd.DataFrame) -> Picture:
    """Schedules, one panel each. Columns: shape, step, factor."""
    names = list(dict.fromkeys(factors["shape"]))
    fig, panels = figure(2, -(-len(names) // 2), size=(8.2, 3.9), sharex=True, sharey=True, squeeze=False)
    for axes, name in zip(panels.flat, names, strict=False):
        rows = factors[factors["shape"] == name]
        for other in names:
            grey = factors[factors["shape"] == other]
            axes.plot(grey["step"], grey["factor"], color=PALETTE["grey"], lw=0.7, alpha=0.35)
        axes.plot(rows["step"], rows["factor"], color=COLOURS[name], lw=2.2)
        axes.set_title(name)
        axes.set(ylim=(0, 1.08))
    for axes in panels[-1]:
        axes.set_xlabel("step")
    for row in panels:
        row[0].set_ylabel("lr / peak lr")
    means = factors.groupby("shape", sort=False)["factor"].mean()
    return Picture(
        fig,
        caption="The same warm-up, then six different schedules. In grey: the others.",
        alt="Mean factor over the run: " + ", ".join(f"{name} {mean:.2f}" for name, mean in means.items()),
    )


def range_test(results: pd.DataFrame, *, window: int = 5) -> Picture:
    """Loss while the learning rate rises, one line per seed. Columns: seed, lr, loss."""
    fig, axes = figure(size=(7.6, 3.4))
    for _, rows in results.groupby("seed"):
        axes.plot(rows["lr"], rows["loss"].rolling(window).mean(), color=PALETTE["blue"], lw=1.3)
    top = float(results["loss"].iloc[0]) * 1.15
    axes.set(xscale="log", xlabel="learning rate", ylabel="training loss (nats/byte)", ylim=(2, top))
    smallest = results.groupby("seed")["loss"].min()
    return Picture(
        fig,
        caption=f"One line per run; the rate grows by a constant factor in every step. Mean over {window} steps.",
        alt=f"The loss falls to about {smallest.mean():.1f}, then rises steeply as the learning rate keeps growing.",
    )


def loss_by_rate(finals: pd.DataFrame, by: str, colours: Mapping[object, str] | None = None) -> Picture:
    """Validation loss against peak learning rate, one dot per run, and a line through the means per value of ``by``."""
    fig, axes = figure(size=(7.6, 3.9))
    cycle = list(PALETTE.values())
    for number, (name, rows) in enumerate(finals.groupby(by, sort=False)):
        colour = colours[name] if colours else cycle[number]
        means = rows.groupby("lr")["validation_loss"].mean()
        axes.plot(rows["lr"], rows["validation_loss"], "o", color=colour, alpha=0.4, markersize=4, mew=0)
        label = str(name) if colours else f"{by} {name}"
        axes.plot(means.index, means, color=colour, label=label)
    rates = sorted(finals["lr"].unique())
    axes.set(xscale="log", xlabel="peak learning rate", ylabel="validation loss (nats/byte)")
    axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(min(rates) / 1.15, max(rates) * 2)
    direct_labels(axes)
    best = finals.groupby([by, "lr"])["validation_loss"].mean().groupby(by).min()
    return Picture(
        fig,
        caption=f"One dot for each of {finals['seed'].nunique()} seeds, lines through their means.",
        alt="Best mean loss: " + ", ".join(f"{name} {loss:.3f}" for name, loss in best.items()),
    )


def branches(results: pd.DataFrame) -> Picture:
    """Losses of decays that branch off a run at a constant rate, and of averaged weights instead.

    ``results``: columns seed, step, trunk, averaged, decayed.
    """
    fig, axes = figure(size=(7.6, 3.6))
    lines = (
        ("trunk", PALETTE["grey"], "constant rate"),
        ("averaged", PALETTE["orange"], "its weights averaged"),
        ("decayed", PALETTE["green"], "decayed to zero"),
    )
    for number, (_, rows) in enumerate(results.groupby("seed")):
        for column, colour, label in lines:
            name = label if number == 0 else f"_{label}"
            axes.plot(rows["step"], rows[column], "o-", color=colour, lw=1.3, markersize=5, label=name)
        for row in rows.itertuples():
            axes.plot(
                [row.step] * 2, [row.trunk, row.decayed], color=PALETTE["green"], lw=0.8, ls=(0, (2, 2))
            )
    steps = sorted(results["step"].unique())
    axes.set(xlabel="step at which the run is evaluated", ylabel="validation loss (nats/byte)")
    axes.set_xticks(steps)
    axes.set_xlim(min(steps) - 5, max(steps) + 0.35 * (max(steps) - min(steps)))
    direct_labels(axes)
    drop = (results["trunk"] - results["decayed"]).groupby(results["step"]).mean()
    return Picture(
        fig,
        caption="The same run, evaluated in three ways after each number of steps; one line per seed.",
        alt="Mean drop by decaying: " + ", ".join(f"{d:.2f} at {step}" for step, d in drop.items()),
    )


def dots(finals: pd.DataFrame, label: Callable[[pd.Series], str] | str) -> Picture:
    """Validation loss, one row per case and one dot per seed. ``label``: a column, or a function of a row."""
    cases = finals[label] if isinstance(label, str) else finals.apply(label, axis=1)
    order = list(dict.fromkeys(cases))
    fig, axes = figure(size=(7.6, 1.0 + 0.4 * len(order)))
    for place, name in enumerate(order):
        losses = finals.loc[cases == name, "validation_loss"]
        axes.plot(losses, [place] * len(losses), "o", color=PALETTE["blue"], alpha=0.55, markersize=7, mew=0)
        axes.plot([losses.mean()], [place], "|", color=INK, markersize=14)
    axes.set(yticks=range(len(order)), yticklabels=order, ylim=(len(order) - 0.5, -0.5))
    axes.set_xlabel("validation loss (nats/byte)")
    means = finals["validation_loss"].groupby(cases).mean()
    return Picture(
        fig,
        caption=f"One dot for each of {finals['seed'].nunique()} seeds; the bar is their mean.",
        alt="Mean loss: " + ", ".join(f"{name} {means[name]:.3f}" for name in order),
    )


def survival(results: pd.DataFrame) -> Picture:
    """The remaining share of a weight under decay alone, by schedule. Columns: shape, step, left."""
    fig, axes = figure(size=(7.6, 3.4))
    for name, rows in results.groupby("shape", sort=False):
        axes.plot(rows["step"], rows["left"], color=COLOURS[str(name)], label=str(name))
    last = int(results["step"].max())
    axes.set(
        xlabel="step",
        ylabel="remaining share of a\nweight without gradient",
        yscale="log",
        xlim=(0, 1.2 * last),
    )
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _place: f"{100 * share:g} %"))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xticks(np.linspace(0, last, 6))
    direct_labels(axes)
    ends = results.groupby("shape", sort=False)["left"].last()
    return Picture(
        fig,
        caption="The product of 1 − lr·λ over the steps so far, at the same peak rate and λ.",
        alt="Remaining at the end: " + ", ".join(f"{name} {left:.0%}" for name, left in ends.items()),
    )
