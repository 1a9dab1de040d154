"""Pictures of chapter 11: parameters, operations and memory by part, and the effect of shape on the loss."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from course_lib.show.look import PALETTE, PAPER, REFERENCE, Picture, direct_labels, figure, label_point

PART_COLOURS = {
    "embedding": PALETTE["ochre"],
    "position": PALETTE["grey"],
    "projections": PALETTE["pink"],
    "attention": PALETTE["blue"],
    "ffn": PALETTE["green"],
    "norms": PALETTE["grey"],
    "head": PALETTE["orange"],
    "weights": PALETTE["green"],
    "gradients": PALETTE["ochre"],
    "optimizer": PALETTE["violet"],
    "activations": PALETTE["blue"],
    "loss": PALETTE["orange"],
}
"""Colours of the parts of parameters, operations and memory, by name."""
_MODEL_COLOURS = (PALETTE["blue"], PALETTE["orange"], PALETTE["green"], PALETTE["pink"])
_RULES = {
    "": PALETTE["grey"],
    "depth": PALETTE["blue"],
    "feed-forward": PALETTE["green"],
    "heads": PALETTE["pink"],
}


def count_text(number: float) -> str:
    """A large number with two or three digits and k, M, G, T, P, E or Z: 124M.

    >>> count_text(124_439_808), count_text(6.7e9), count_text(950)
    ('124M', '6.7G', '950')
    """
    for limit, letter in (
        (1e21, "Z"),
        (1e18, "E"),
        (1e15, "P"),
        (1e12, "T"),
        (1e9, "G"),
        (1e6, "M"),
        (1e3, "k"),
    ):
        if number >= limit:
            value = number / limit
            return f"{value:.1f}{letter}" if value < 10 else f"{value:,.0f}{letter}"
    return f"{number:.0f}"


def billions(parameters: float) -> str:
    """A number of parameters in the usual form: 124M, 6.7B."""
    return count_text(parameters).replace("G", "B")


def stacked_shares(axes: Axes, rows: pd.DataFrame, parts: list[str]) -> None:
    """Horizontal bars of shares that add up to 1, labelled where there is room; ``rows``: indexed by bar name."""
    left = np.zeros(len(rows))
    for part in parts:
        values = rows[part].to_numpy(dtype=float)
        axes.barh(
            rows.index, values, left=left, color=PART_COLOURS[part], height=0.72, edgecolor=PAPER, lw=0.8
        )
        for place, (start, value) in enumerate(zip(left, values, strict=True)):
            if value > 0.055:
                name = f"{part} {value:.0%}" if value > 0.19 else f"{value:.0%}"
                axes.text(start + value / 2, place, name, ha="center", va="center", color="white", fontsize=8)
        left = left + values
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.set(xlim=(0, 1))
    axes.xaxis.set_major_formatter("{x:.0%}")


def parameter_shares(models: pd.DataFrame) -> Picture:
    """Parameters of known models by part. Columns: model, parameters, embedding, attention, ffn, head."""
    fig, axes = figure(size=(8.6, 4.2))
    names = [
        f"{name}, {billions(count)}"
        for name, count in zip(models["model"], models["parameters"], strict=True)
    ]
    parts = ["embedding", "attention", "ffn", "head"]
    stacked_shares(axes, models[parts].set_axis(names), parts)
    axes.set_xlabel("share of the parameters")
    return Picture(
        fig,
        caption="Yellow at the left: token (and position) table; red at the right: the output head, if it has its own "
        "weights.",
        alt="; ".join(f"{row.model}: feed-forward {row.ffn:.0%}" for row in models.itertuples()),
    )


def by_context(results: pd.DataFrame) -> Picture:
    """Attention's share of the operations, and the share that 6 N covers. Columns: model, context, attention, rule."""
    fig, (left, right) = figure(1, 2, size=(9.2, 3.6))
    for colour, (model, rows) in zip(_MODEL_COLOURS, results.groupby("model", sort=False), strict=False):
        left.plot(rows["context"], rows["attention"], color=colour, label=model)
        right.plot(rows["context"], rows["rule"], color=colour, label=model)
    low, high = results["context"].min(), results["context"].max()
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.set(xlabel="context (tokens)", ylim=(0, 1.03), xlim=(low, high * 40))
        axes.set_xticks(sorted(results["context"].unique())[::3])
        axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _place: f"{size / 1024:,.0f}k"))
        axes.yaxis.set_major_formatter("{x:.0%}")
    left.set_title("scores and mixing: share of all operations")
    right.set_title("counted by 6 N: share of all operations")
    direct_labels(left, right)
    return Picture(
        fig,
        caption="A training step, all T x T pairs counted. Both sides of attention's square grow with T; "
        "all other costs per token are constant.",
        alt="; ".join(
            f"{model} at {rows['context'].iloc[-1]:,} tokens: attention {rows['attention'].iloc[-1]:.0%}"
            for model, rows in results.groupby("model", sort=False)
        ),
    )


def memory_bars(results: pd.DataFrame, *, limit: float | None = None) -> Picture:
    """The parts of a training step's peak, in gigabytes. Columns: case, the parts, total; ``limit`` draws a line."""
    fig, axes = figure(size=(8.6, 0.9 + 0.5 * len(results)))
    parts = ["weights", "gradients", "optimizer", "activations", "loss"]
    left = np.zeros(len(results))
    widest = float(results["total"].max())
    for part in parts:
        values = results[part].to_numpy(dtype=float)
        axes.barh(
            results["case"], values, left=left, color=PART_COLOURS[part], height=0.7, edgecolor=PAPER, lw=0.8
        )
        for place, (start, value) in enumerate(zip(left, values, strict=True)):
            if value > 0.09 * widest:
                axes.text(start + value / 2, place, part, ha="center", va="center", color="white", fontsize=8)
        left = left + values
    for place, total in enumerate(results["total"]):
        label_point(axes, f"{total:.1f} GB", (total, place), (5, 0), va="center")
    if limit is not None:
        axes.axvline(limit, **REFERENCE)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set(xlabel="peak memory of a step (GB)", xlim=(0, 1.14 * widest))
    return Picture(
        fig,
        caption="From left to right: weights (green), optimizer (violet), activations (blue), loss (red). Gradients "
        "appear only as activations are freed, so they are absent at the peak.",
        alt=", ".join(f"{row.case}: {row.total:.1f} GB" for row in results.itertuples()),
    )


def utilization(results: pd.DataFrame) -> Picture:
    """Utilization and tokens per second against width. Columns: width, MFU, tokens_per_second."""
    fig, (left, right) = figure(1, 2, size=(8.6, 3.3))
    for axes, column, label in (
        (left, "MFU", "share of the matrix product's speed"),
        (right, "tokens_per_second", "tokens per second"),
    ):
        axes.plot(results["width"], results[column], "o-", color=PALETTE["blue"])
        axes.set(xscale="log", xlabel="width D", title=label)
        axes.set_xticks(results["width"], [str(width) for width in results["width"]])
        axes.xaxis.set_minor_formatter(NullFormatter())
    left.set_ylim(0, 1.15)
    left.yaxis.set_major_formatter("{x:.0%}")
    right.set(yscale="log")
    low, high = results["tokens_per_second"].min(), results["tokens_per_second"].max()
    ticks = [digit * 10.0**power for power in range(8) for digit in (1, 2, 5)]
    right.set_yticks([tick for tick in ticks if low / 2.5 < tick < high * 2.5])
    right.yaxis.set_major_formatter("{x:,.0f}")
    right.yaxis.set_minor_formatter(NullFormatter())
    right.set_ylim(low / 1.3, high * 1.3)
    return Picture(
        fig,
        caption="Training steps of a two-layer model on one thread of this machine.",
        alt=", ".join(f"D = {row.width}: {row.MFU:.0%}" for row in results.itertuples()),
    )


def ablation(finals: pd.DataFrame, shapes: pd.DataFrame) -> Picture:
    """Held-out loss of each shape at each learning rate, one dot per seed.

    ``finals``: shape, lr, seed, validation_loss; ``shapes``: shape, rule.
    """
    rates = sorted(finals["lr"].unique())
    fig, panels = figure(1, len(rates), size=(9.2, 3.8), sharex=True, sharey=True)
    names = list(shapes["shape"])
    for axes, rate in zip(panels, rates, strict=True):
        base = float(finals[(finals["lr"] == rate) & (finals["shape"] == names[0])]["validation_loss"].mean())
        axes.axvline(base, **REFERENCE)
        for place, (name, rule) in enumerate(zip(names, shapes["rule"], strict=True)):
            losses = finals[(finals["lr"] == rate) & (finals["shape"] == name)]["validation_loss"]
            axes.plot(losses, [place] * len(losses), "o", color=_RULES[rule], markersize=4.5)
            axes.plot([losses.mean()], [place], "|", color=_RULES[rule], markersize=15, markeredgewidth=2)
        axes.set(xlabel="held-out loss (nats/byte)", title=f"learning rate {rate:g}")
        axes.set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    best = finals.groupby(["shape", "lr"])["validation_loss"].mean().groupby("shape").min()
    return Picture(
        fig,
        caption="Equal parameters in the layers; colours: the rule that is broken. Dots are seeds, bars their means, "
        "the dashed line is the base's mean.",
        alt="Best over learning rates: " + ", ".join(f"{name} {best[name]:.2f}" for name in names),
    )
