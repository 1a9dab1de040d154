"""Pictures of chapter 8: spectra, learning rates, loss curves, directions, the iteration and paths."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from course_lib.show.look import INK, NOTE_SIZE, PALETTE, Picture, direct_labels, figure

COLOURS = {"AdamW": PALETTE["orange"], "Muon": PALETTE["blue"]}
"""Colours of the optimizers, by name."""

DIRECTIONS = ("gradient", "momentum", "update")


def spectra(results: pd.DataFrame) -> Picture:
    """Singular values relative to the largest, one line per matrix. Columns: matrix, rank, value."""
    fig, axes = figure(size=(7.6, 3.5))
    axes.set(yscale="log", xlabel="rank of the singular value", ylabel="singular value / largest")
    for name, rows in results.groupby("matrix", sort=False):
        axes.plot(rows["rank"], rows["value"], label=str(name))
    axes.set_xlim(0, float(results["rank"].max()) * 1.3)
    direct_labels(axes)
    last = results.groupby("matrix", sort=False)["value"].min()
    return Picture(
        fig,
        caption="A flat line is an orthogonal matrix: all directions have the same weight.",
        alt="Smallest over largest singular value: "
        + ", ".join(f"{name} {value:.1e}" for name, value in last.items()),
    )


def loss_by_rate(finals: pd.DataFrame) -> Picture:
    """Validation loss against learning rate, one dot per run. Columns as in ``Comparison.finals``."""
    fig, axes = figure(size=(7.6, 3.6))
    axes.set(
        xscale="log", xlabel="learning rate of the hidden matrices", ylabel="validation loss (nats/byte)"
    )
    for name, colour in COLOURS.items():
        rows = finals[finals["optimizer"] == name]
        means = rows.groupby("lr")["validation_loss"].mean()
        axes.plot(rows["lr"], rows["validation_loss"], "o", color=colour, alpha=0.5, markersize=5, mew=0)
        axes.plot(means.index, means, color=colour, label=name)
    rates = sorted(finals["lr"].unique())
    axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(min(rates) / 1.3, max(rates) * 2)
    direct_labels(axes)
    best = finals.groupby(["optimizer", "lr"])["validation_loss"].mean().groupby("optimizer").min()
    return Picture(
        fig,
        caption=f"One dot for each of {finals['seed'].nunique()} seeds, lines through their means. Only the optimizer "
        "of the hidden matrices differs.",
        alt="Best mean loss: " + ", ".join(f"{name} {loss:.3f}" for name, loss in best.items()),
    )


def loss_curves(curves: pd.DataFrame, *, window: int = 8) -> Picture:
    """Training loss by step, smoothed, one line per seed. Columns: optimizer, seed, step, loss."""
    fig, axes = figure(size=(7.6, 3.6))
    for name, colour in COLOURS.items():
        for number, (_, rows) in enumerate(curves[curves["optimizer"] == name].groupby("seed")):
            loss = rows["loss"].rolling(window).mean()
            label = name if number == 0 else f"_{name}"
            axes.plot(rows["step"], loss, color=colour, lw=1.3, label=label)
    last = float(curves["step"].max())
    axes.set(xlabel="step", ylabel="training loss (nats/byte)", xlim=(0, last * 1.15))
    axes.set_ylim(top=float(curves.loc[curves["step"] == 10, "loss"].max()) * 1.1)
    direct_labels(axes)
    return Picture(
        fig, caption=f"Each at its best learning rate; mean over {window} steps, one line per seed."
    )


def variants(finals: pd.DataFrame, order: Sequence[str]) -> Picture:
    """Validation loss of variants, one dot per seed. Columns: variant, seed, validation_loss."""
    fig, axes = figure(size=(7.6, 0.9 + 0.42 * len(order)))
    for place, name in enumerate(order):
        losses = finals.loc[finals["variant"] == name, "validation_loss"]
        axes.plot(losses, [place] * len(losses), "o", color=PALETTE["blue"], alpha=0.55, markersize=7, mew=0)
        axes.plot([losses.mean()], [place], "|", color=INK, markersize=14)
    axes.set(yticks=range(len(order)), yticklabels=list(order), ylim=(len(order) - 0.5, -0.5))
    axes.set_xlabel("validation loss (nats/byte)")
    means = finals.groupby("variant")["validation_loss"].mean()
    return Picture(
        fig,
        caption=f"One dot for each of {finals['seed'].nunique()} seeds; the bar is their mean.",
        alt="Mean loss: " + ", ".join(f"{name} {means[name]:.3f}" for name in order),
    )


def condition_traces(directions: pd.DataFrame) -> Picture:
    """Median condition number of gradients, momenta and updates during training, one line per seed."""
    fig, panels = figure(1, 3, size=(9.0, 3.5), sharey=True)
    runs = directions.groupby(["optimizer", "seed", "direction", "step"])
    medians = runs["condition"].median().reset_index()
    for axes, direction in zip(panels, DIRECTIONS, strict=True):
        _trace(axes, medians[medians["direction"] == direction], "condition")
        axes.set(yscale="log", xlabel="step", title=direction)
        axes.set_xlim(0, float(medians["step"].max()) * (1.45 if direction == DIRECTIONS[-1] else 1.03))
    panels[0].set_ylabel("condition number")
    direct_labels(panels[2])
    late = medians[medians["step"] > medians["step"].max() / 2]
    values = late.groupby(["optimizer", "direction"])["condition"].median()
    return Picture(
        fig,
        caption="Median over all hidden matrices; one line per seed. The gradient comes from the loss, the other two "
        "from the optimizer.",
        alt="Median condition number in the second half: "
        + ", ".join(f"{name}'s {direction} {v:,.0f}" for (name, direction), v in values.items()),
    )


def _trace(axes: Axes, rows: pd.DataFrame, column: str) -> None:
    for name, colour in COLOURS.items():
        for number, (_, line) in enumerate(rows[rows["optimizer"] == name].groupby("seed")):
            label = name if number == 0 else f"_{name}"
            axes.plot(line["step"], line[column], color=colour, lw=1.5, label=label)


def overhead_by_batch(results: pd.DataFrame) -> Picture:
    """Newton-Schulz FLOPs as a share of forward and backward. Columns: d_model, tokens, share."""
    fig, axes = figure(size=(7.6, 3.5))
    for width, rows in results.groupby("d_model"):
        axes.plot(rows["tokens"], rows["share"], label=f"d = {width:,}")
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="tokens in a batch",
        ylabel="FLOPs of Newton-Schulz /\nforward and backward",
    )
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _place: f"{100 * share:g} %"))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlim(right=float(results["tokens"].max()) * 4)
    direct_labels(axes)
    return Picture(
        fig,
        caption="Five steps on every hidden matrix, once per batch. The work for a batch grows with its tokens, "
        "that of the optimizer does not.",
        alt="The share falls in proportion to the tokens in a batch and grows in proportion to the width.",
    )


COEFFICIENT_COLOURS = {
    "cubic": PALETTE["orange"],
    "Jordan": PALETTE["blue"],
    "Polar Express": PALETTE["green"],
}
"""Colours of the designs, by name."""


def error_by_step(results: pd.DataFrame, *, lower: float) -> Picture:
    """The largest |1 - σ| after each step, one line per design. Columns: method, step, error."""
    fig, axes = figure(size=(7.6, 3.5))
    for name, rows in results.groupby("method", sort=False):
        axes.plot(rows["step"], rows["error"], "o-", color=COEFFICIENT_COLOURS[str(name)], label=str(name))
    last = int(results["step"].max())
    axes.set(yscale="log", xlabel="Newton-Schulz steps", ylabel="largest |1 − σ|", xlim=(0, last * 1.22))
    axes.set_xticks(range(last + 1))
    direct_labels(axes)
    ends = results[results["step"] == last].set_index("method")["error"]
    return Picture(
        fig,
        caption=f"The largest distance from 1 among all singular values that start between {lower:g} and 1.",
        alt=f"After {last} steps: " + ", ".join(f"{name} {error:.2g}" for name, error in ends.items()),
    )


def explained(results: pd.DataFrame, *, law: tuple[float, float]) -> Picture:
    """The share of each path on the first two principal axes, compared with the law for a random walk.

    ``results``: columns path, first, second. ``law``: the two shares of a long random walk.
    """
    fig, axes = figure(size=(7.6, 0.9 + 0.42 * len(results)))
    places = range(len(results))
    bars = (("first", PALETTE["blue"]), ("second", PALETTE["orange"]))
    left = np.zeros(len(results))
    for column, colour in bars:
        axes.barh(places, results[column], left=left, color=colour, height=0.6)
        left = left + results[column].to_numpy()
    axes.text(0.01, 0, "first axis", color="white", va="center", fontsize=NOTE_SIZE)
    axes.text(
        float(left[0]) + 0.01, 0, "second axis", color=PALETTE["orange"], va="center", fontsize=NOTE_SIZE
    )
    for edge in np.cumsum(law):
        axes.axvline(float(edge), color=INK, lw=1, ls=(0, (3, 2)))
    axes.set(
        yticks=list(places),
        yticklabels=list(results["path"]),
        xlim=(0, 1.12),
        ylim=(len(results) - 0.5, -0.6),
    )
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_xlabel("share of the squared distances from the end")
    axes.grid(visible=False, axis="y")
    return Picture(
        fig,
        caption="Dashed: the law for a long random walk, which learns nothing and has no direction.",
        alt="First and second axis: "
        + ", ".join(f"{row.path} {row.first:.0%} and {row.second:.0%}" for row in results.itertuples()),
    )
