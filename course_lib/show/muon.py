"""Chapter 8's pictures: spectra, learning rates, loss curves, directions by layer, the price of orthogonality."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from course_lib.show.controls import Choice
from course_lib.show.interactive import Explorer, explorer
from course_lib.show.look import PALETTE, Picture, direct_labels, figure, spread

COLOURS = {"AdamW": PALETTE["orange"], "Muon": PALETTE["blue"]}
"""Colours of the optimizers, by name."""
_DIRECTIONS = ("gradient", "momentum", "update")
_MEASURES = {
    "condition number": ("condition", "log"),
    "effective rank, share of full": ("effective_rank", "linear"),
    "Frobenius norm": ("norm", "log"),
}


def spectra(results: pd.DataFrame) -> Picture:
    """Singular values over the largest, a line a matrix. Columns: matrix, rank, value."""
    picture, axes = figure(size=(7.6, 3.5))
    axes.set(yscale="log", xlabel="rank of the singular value", ylabel="singular value / largest")
    for name, rows in results.groupby("matrix", sort=False):
        axes.plot(rows["rank"], rows["value"], label=str(name))
    axes.set_xlim(0, float(results["rank"].max()) * 1.3)
    picture.canvas.draw()
    direct_labels(axes)
    last = results.groupby("matrix", sort=False)["value"].min()
    return Picture(
        picture,
        caption="A flat line is an orthogonal matrix: all directions with the same weight.",
        alt="Smallest over largest singular value: "
        + ", ".join(f"{name} {value:.1e}" for name, value in last.items()),
    )


def loss_by_rate(finals: pd.DataFrame) -> Picture:
    """Validation loss against learning rate, a dot a run. Columns as ``Comparison.finals``."""
    picture, axes = figure(size=(7.6, 3.6))
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
    picture.canvas.draw()
    direct_labels(axes)
    best = finals.groupby(["optimizer", "lr"])["validation_loss"].mean().groupby("optimizer").min()
    return Picture(
        picture,
        caption=f"A dot for each of {finals['seed'].nunique()} seeds, lines through their means. Only the hidden "
        "matrices' optimizer differs.",
        alt="Best mean loss: " + ", ".join(f"{name} {loss:.3f}" for name, loss in best.items()),
    )


def loss_curves(curves: pd.DataFrame, *, window: int = 8) -> Picture:
    """Training loss by step, smoothed, a line a seed. Columns: optimizer, seed, step, loss."""
    picture, axes = figure(size=(7.6, 3.6))
    for name, colour in COLOURS.items():
        for number, (_, rows) in enumerate(curves[curves["optimizer"] == name].groupby("seed")):
            loss = rows["loss"].rolling(window).mean()
            label = name if number == 0 else f"_{name}"
            axes.plot(rows["step"], loss, color=colour, lw=1.3, label=label)
    last = float(curves["step"].max())
    axes.set(xlabel="step", ylabel="training loss (nats/byte)", xlim=(0, last * 1.15))
    axes.set_ylim(top=float(curves.loc[curves["step"] == 10, "loss"].max()) * 1.1)
    picture.canvas.draw()
    direct_labels(axes)
    return Picture(
        picture, caption=f"Each at its best learning rate; mean over {window} steps, one line a seed."
    )


def variants(finals: pd.DataFrame, order: Sequence[str]) -> Picture:
    """Validation loss of variants, a dot a seed. Columns: variant, seed, validation_loss."""
    picture, axes = figure(size=(7.6, 0.9 + 0.42 * len(order)))
    for place, name in enumerate(order):
        losses = finals.loc[finals["variant"] == name, "validation_loss"]
        axes.plot(losses, [place] * len(losses), "o", color=PALETTE["blue"], alpha=0.55, markersize=7, mew=0)
        axes.plot([losses.mean()], [place], "|", color="#24292F", markersize=14)
    axes.set(yticks=range(len(order)), yticklabels=list(order), ylim=(len(order) - 0.5, -0.5))
    axes.set_xlabel("validation loss (nats/byte)")
    means = finals.groupby("variant")["validation_loss"].mean()
    return Picture(
        picture,
        caption=f"A dot for each of {finals['seed'].nunique()} seeds; the bar is their mean.",
        alt="Mean loss: " + ", ".join(f"{name} {means[name]:.3f}" for name in order),
    )


def condition_traces(directions: pd.DataFrame) -> Picture:
    """Median condition number of gradients, momenta and updates over training, a line a seed."""
    picture, panels = figure(1, 3, size=(9.0, 3.5), sharey=True)
    medians = (
        directions.groupby(["optimizer", "seed", "direction", "step"])["condition"].median().reset_index()
    )
    for axes, direction in zip(panels, _DIRECTIONS, strict=True):
        _trace(axes, medians[medians["direction"] == direction], "condition")
        axes.set(yscale="log", xlabel="step", title=direction)
        axes.set_xlim(0, float(medians["step"].max()) * (1.45 if direction == _DIRECTIONS[-1] else 1.03))
    panels[0].set_ylabel("condition number")
    picture.canvas.draw()
    direct_labels(panels[2])
    late = medians[medians["step"] > medians["step"].max() / 2]
    values = late.groupby(["optimizer", "direction"])["condition"].median()
    return Picture(
        picture,
        caption="Median over all hidden matrices; one line a seed. The gradient comes from the loss, the other two "
        "from the optimizer.",
        alt="Median condition number in the second half: "
        + ", ".join(f"{name}'s {direction} {v:,.0f}" for (name, direction), v in values.items()),
    )


def _trace(axes: Axes, rows: pd.DataFrame, column: str) -> None:
    for name, colour in COLOURS.items():
        for number, (_, line) in enumerate(rows[rows["optimizer"] == name].groupby("seed")):
            label = name if number == 0 else f"_{name}"
            axes.plot(line["step"], line[column], color=colour, lw=1.5, label=label)


def direction_explorer(directions: pd.DataFrame) -> Explorer:
    """Condition number, effective rank or norm of any matrix's gradient, momentum or update, layer by layer.

    ``directions``: as :func:`course_lib.lab.muon.watch_directions` gives them. Lines are means over seeds (of the
    logarithm, where the axis is one), a shade for each layer; both optimizers in one picture.
    """
    matrices = list(dict.fromkeys(directions["matrix"]))
    return explorer(
        lambda figure: _draw_directions(figure, directions),
        title="Which way, by layer",
        size=(7.6, 3.9),
        measure=Choice("measure", list(_MEASURES)),
        direction=Choice("of the", list(_DIRECTIONS), start="update"),
        matrix=Choice("matrix", matrices),
    )


def _draw_directions(figure: Figure, directions: pd.DataFrame) -> Callable[..., str]:
    axes = figure.subplots()
    layers = sorted(directions["layer"].unique())
    last = float(directions["step"].max())
    axes.set(xlabel="step", xlim=(0, last * 1.24))
    lines = {
        (name, layer): axes.plot(
            [], [], "o-", color=colour, markersize=3, alpha=1 - 0.5 * place / len(layers)
        )[0]
        for name, colour in COLOURS.items()
        for place, layer in enumerate(layers)
    }
    names = {
        (name, layer): axes.text(
            0, 0, f"{name}, layer {layer}", color=COLOURS[name], fontsize=8.5, va="center"
        )
        for name, layer in lines
    }

    def update(measure: str, direction: str, matrix: str) -> str:
        column, scale = _MEASURES[measure]
        rows = directions[directions["direction"] == direction]
        low, high = float(rows[column].min()), float(rows[column].max())
        axes.set(ylabel=measure, yscale=scale, ylim=(low / 3, high * 2) if scale == "log" else (0, 1.03))
        chosen = rows[rows["matrix"] == matrix]
        values = np.log(chosen[column]) if scale == "log" else chosen[column]
        means = values.groupby([chosen["optimizer"], chosen["layer"], chosen["step"]]).mean()
        ends = {}
        for (name, layer), line in lines.items():
            trace = means[name, layer]
            trace = np.exp(trace) if scale == "log" else trace
            line.set_data(trace.index, trace)
            ends[name, layer] = float(trace.iloc[-1])
        for key, place in _apart(ends, axes.get_ylim(), log=scale == "log").items():
            names[key].set_position((last * 1.02, place))
        return f"{measure} of the {direction} of {matrix}, at the end: " + ", ".join(
            f"{name} layer {layer} {value:,.3g}" for (name, layer), value in ends.items()
        )

    return update


def _apart(
    ends: Mapping[tuple[str, int], float], limits: tuple[float, float], *, log: bool
) -> dict[tuple[str, int], float]:
    """Where labels of line ends go so that they do not overlap."""
    there, back = (np.log, np.exp) if log else (np.asarray, np.asarray)
    low, high = (float(there(limit)) for limit in limits)
    order = sorted(ends, key=lambda key: ends[key])
    places = spread([float(there(ends[key])) for key in order], 0.06 * (high - low))
    return {key: float(back(place)) for key, place in zip(order, places, strict=True)}


def overhead_by_batch(results: pd.DataFrame) -> Picture:
    """Newton-Schulz FLOPs as a share of forward and backward. Columns: d_model, tokens, share."""
    picture, axes = figure(size=(7.6, 3.5))
    for width, rows in results.groupby("d_model"):
        axes.plot(rows["tokens"], rows["share"], label=f"d = {width:,}")
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="tokens in a batch",
        ylabel="FLOPs of Newton-Schulz /\nforward and backward",
    )
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _place: f"{100 * share:g} %"))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda n, _place: f"{n:,.0f}"))
    axes.set_xlim(right=float(results["tokens"].max()) * 4)
    picture.canvas.draw()
    direct_labels(axes)
    return Picture(
        picture,
        caption="Five steps on every hidden matrix, once a batch. The work for the batch grows with its tokens, "
        "the optimizer's does not.",
        alt="The share falls in proportion to the tokens in a batch and grows in proportion to the width.",
    )
