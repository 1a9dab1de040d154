"""Pictures of chapter 9: shapes of schedules, and losses of runs under them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from course_lib.show.look import PALETTE, REFERENCE, Picture, direct_labels, figure, label_point

COLOURS = {
    "constant": PALETTE["grey"],
    "linear to 0": PALETTE["orange"],
    "linear to 10 %": PALETTE["orange"],
    "cosine to 0": PALETTE["blue"],
    "cosine to 10 %": PALETTE["blue"],
    "WSD": PALETTE["green"],
    "WSD, 1 - sqrt": PALETTE["green"],
    "inverse sqrt": PALETTE["ochre"],
    "one restart": PALETTE["violet"],
}
"""Colours of the schedules, by name: two ends or forms of one shape share a colour."""


def shapes(factors: pd.DataFrame) -> Picture:
    """Schedules, one panel each. Columns: shape, step, factor."""
    names = list(dict.fromkeys(factors["shape"]))
    columns = min(3, len(names))
    fig, panels = figure(
        -(-len(names) // columns), columns, size=(8.2, 5.2), sharex=True, sharey=True, squeeze=False
    )
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
        caption="The same warm-up, then different schedules. In grey: the others.",
        alt="Mean factor over the run: " + ", ".join(f"{name} {mean:.2f}" for name, mean in means.items()),
    )


def range_test(results: pd.DataFrame, *, floors: Mapping[str, float], window: int = 5) -> Picture:
    """Training loss while the learning rate rises, one line per seed. Columns: seed, lr, bits."""
    fig, axes = figure(size=(7.6, 3.4))
    for _, rows in results.groupby("seed"):
        axes.plot(rows["lr"], rows["bits"].rolling(window).mean(), color=PALETTE["blue"], lw=1.3)
    start, lowest = float(results["bits"].iloc[0]), 3.0
    for name, value in floors.items():
        if value > lowest:
            axes.axhline(value, **REFERENCE)
            label_point(axes, name, (0, value), (4, 3), xycoords=("axes fraction", "data"))
    axes.set(xscale="log", xlabel="learning rate", ylabel="training loss (bits/byte)")
    axes.set_ylim(lowest, 1.15 * start)
    smallest = results.groupby("seed")["bits"].min()
    return Picture(
        fig,
        caption=f"One line per run; the rate grows by a constant factor in every step. Mean over {window} steps.",
        alt=f"The loss falls to about {smallest.mean():.1f}, then rises steeply as the learning rate keeps growing.",
    )


def averaging(points: pd.DataFrame, names: Mapping[str, str]) -> Picture:
    """Loss of the last weights and of the mean of the last fifth, against the peak, one panel per schedule.

    Args:
        points: Columns shape, lr, bits, averaged.
        names: The schedules to be drawn, with the titles of their panels.
    """
    fig, panels = figure(1, len(names), size=(8.4, 3.5), sharey=True, squeeze=False)
    gains = []
    for axes, (name, title) in zip(panels[0], names.items(), strict=True):
        means = points[points["shape"] == name].groupby("lr")[["bits", "averaged"]].mean()
        axes.plot(means.index, means["bits"], "o-", color=PALETTE["grey"], label="last weights", markersize=4)
        axes.plot(
            means.index, means["averaged"], "o-", color=PALETTE["orange"], label="mean weights", markersize=4
        )
        axes.set(xscale="log", xlabel="peak learning rate", title=title)
        axes.set_xticks(means.index[1::2], [f"{rate:g}" for rate in means.index[1::2]])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlim(means.index.min() / 1.2, means.index.max() * 7)
        best = means.min()
        gains.append(f"{title} {best['bits'] - best['averaged']:+.3f}")
    panels[0][0].set_ylabel("loss (bits/byte)")
    direct_labels(*panels[0])
    return Picture(
        fig,
        caption="Means over seeds of the loss at the end of the run, and of the same run's weights averaged over its "
        "last fifth.",
        alt=f"Gain by averaging at the best peak, in bits per byte: {', '.join(gains)}.",
    )


def lines(frame: pd.DataFrame, *, floors: Mapping[str, float]) -> Picture:
    """Held-out loss along lines between trained weights. Columns: line, at, bits."""
    fig, axes = figure(size=(7.6, 3.4))
    for (name, rows), colour in zip(frame.groupby("line", sort=False), ("orange", "grey"), strict=False):
        axes.plot(rows["at"], rows["bits"], "o-", color=PALETTE[colour], label=str(name), markersize=4)
    for name, value in floors.items():
        if value < frame["bits"].max():
            axes.axhline(value, **REFERENCE)
            label_point(axes, name, (0, value), (4, 3), xycoords=("axes fraction", "data"))
    axes.set(xlabel="place on the straight line between both ends", ylabel="loss (bits/byte)", xlim=(0, 1.6))
    axes.set_xticks(np.linspace(0, 1, 5))
    direct_labels(axes)
    tops = frame.groupby("line", sort=False)["bits"].max()
    return Picture(
        fig,
        caption="Weights are mixed in proportion; each dot is judged on the same held-out text.",
        alt="Highest loss: " + "; ".join(f"{name} {top:.2f}" for name, top in tops.items()),
    )


def gains(differences: Mapping[str, pd.DataFrame], *, ylabel: str, xlabel: str) -> Picture:
    """Differences with their 95 % intervals along an axis, one line per name.

    ``differences``: columns at, mean, low, high.
    """
    fig, axes = figure(size=(7.6, 3.5))
    colours = list(PALETTE.values())
    axes.axhline(0, **REFERENCE)
    for number, (name, rows) in enumerate(differences.items()):
        axes.plot(rows["at"], rows["mean"], "o-", color=colours[number], label=name, markersize=5)
        axes.fill_between(rows["at"], rows["low"], rows["high"], color=colours[number], alpha=0.15, lw=0)
    places = sorted({float(at) for rows in differences.values() for at in rows["at"]})
    axes.set(xlabel=xlabel, ylabel=ylabel, xscale="log")
    axes.set_xticks(places, [f"{place:,g}" for place in places])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(min(places) / 1.1, max(places) * (max(places) / min(places)) ** 0.35)
    direct_labels(axes)
    ends = [f"{name} {rows['mean'].iloc[-1]:+.3f}" for name, rows in differences.items()]
    return Picture(
        fig,
        caption="Means over seeds with 95 % t-intervals.",
        alt=f"{ylabel}, at the right end: {', '.join(ends)}.",
    )


def balance(measured: pd.DataFrame, column: str, *, law: str) -> Picture:
    """A measured quantity against its law for AdamW fed with noise, real runs beside the null.

    ``measured``: columns source ("noise" or "novels"), law, and the measured ``column``.
    """
    fig, axes = figure(size=(6.4, 3.7))
    low, high = float(measured["law"].min()) / 1.3, float(measured["law"].max()) * 1.3
    axes.plot([low, high], [low, high], **REFERENCE)
    colours = {"noise": PALETTE["grey"], "novels": PALETTE["blue"]}
    for source, rows in measured.groupby("source", sort=False):
        axes.plot(
            rows["law"], rows[column], "o", color=colours[str(source)], alpha=0.6, mew=0, label=str(source)
        )
    axes.set(xscale="log", yscale="log", xlabel=f"{column} by the law {law}", ylabel=f"{column}, measured")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    axes.legend(frameon=False)
    ratio = measured.assign(ratio=measured[column] / measured["law"]).groupby("source")["ratio"].median()
    return Picture(
        fig,
        caption="Each dot is one run; the dashed line is the law.",
        alt="Measured over law, median: " + ", ".join(f"{name} {value:.2f}" for name, value in ratio.items()),
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
