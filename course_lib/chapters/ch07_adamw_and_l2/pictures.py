"""Pictures of chapter 7: optimizer races, weight decay, the grid of learning rate and decay, balance, and filter."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from course_lib.show.look import PALETTE, Picture, direct_labels, figure

_COLOURS = list(PALETTE.values())


def race(results: pd.DataFrame) -> Picture:
    """Distance from the minimum against gradient evaluations. Columns: optimizer, evaluation, gap."""
    fig, axes = figure(size=(7.6, 3.6))
    axes.set(xscale="log", yscale="log", ylim=(1e-14, 2), xlabel="evaluations of loss and gradient")
    axes.set_ylabel("loss - minimum (nats)")
    for colour, (name, rows) in zip(_COLOURS, results.groupby("optimizer", sort=False), strict=False):
        rows = rows[rows["gap"] > 1e-13]
        axes.plot(rows["evaluation"], rows["gap"], color=colour, label=name)
    axes.set_xlim(1, float(results["evaluation"].max()) * 4)
    direct_labels(axes)
    return Picture(
        fig,
        caption="A convex problem in full batches: logistic regression, 500 points, 20 features of very different "
        "scales. First-order methods use their best learning rates.",
    )


def learning_rates(results: pd.DataFrame) -> Picture:
    """Validation loss against the learning rate. Columns: optimizer, lr, seed, validation_loss."""
    fig, axes = figure(size=(7.6, 3.4))
    axes.set(xscale="log", xlabel="learning rate", ylabel="validation loss (nats/byte)")
    for colour, (name, rows) in zip(_COLOURS, results.groupby("optimizer", sort=False), strict=False):
        means = rows.groupby("lr")["validation_loss"].mean()
        axes.plot(means.index, means, color=colour, label=name)
        axes.plot(rows["lr"], rows["validation_loss"], "o", color=colour, markersize=5)
    axes.set_ylim(top=min(float(results["validation_loss"].max()) + 0.1, 3.0))
    axes.set_xlim(right=float(results["lr"].max()) * 6)
    direct_labels(axes)
    return Picture(
        fig,
        caption="The same small language model and batches with both optimizers. One point per seed; lines: means.",
    )


def noise_decay(results: pd.DataFrame) -> Picture:
    """Mean weight against steps for gradients of pure noise. Columns: optimizer, gradient_size, step, weight."""
    names = list(dict.fromkeys(results["optimizer"]))
    fig, panels = figure(1, len(names), size=(7.6, 3.4), sharey=True)
    for axes, name in zip(panels, names, strict=True):
        axes.set(title=name, xlabel="step", ylim=(0, 1.05))
        for colour, (size, rows) in zip(
            _COLOURS, results[results["optimizer"] == name].groupby("gradient_size"), strict=False
        ):
            axes.plot(rows["step"], rows["weight"], color=colour, label=f"{size:g}")
        axes.set_xlim(0, float(results["step"].max()) * 1.22)
    panels[0].set_ylabel("weight (mean of 256)")
    direct_labels(*panels)
    return Picture(
        fig,
        caption="Weights that start at 1, with gradients of pure noise of standard deviation 0.01 to 10 (at the "
        "curves). The decay should take all of them to zero equally.",
    )


def decay_grid(results: pd.DataFrame) -> Picture:
    """Heat maps of the validation loss, one per form. Columns: form, lr, decay, seed, validation."""
    forms = list(dict.fromkeys(results["form"]))
    fig, panels = figure(1, len(forms), size=(10.2, 3.9))
    means = results.groupby(["form", "lr", "decay"], sort=False)["validation"].mean()
    low = float(means.min())
    for axes, form in zip(panels, forms, strict=True):
        table = means[form].unstack("decay")
        image = axes.imshow(
            table,
            origin="lower",
            aspect="auto",
            cmap="cividis_r",
            vmin=low,
            vmax=low + 0.35,
            interpolation="nearest",
        )
        axes.set(title=form, xlabel="decay $\\lambda$")
        axes.grid(visible=False)
        axes.set_xticks(range(len(table.columns)), [f"{value:.2g}" for value in table.columns], rotation=45)
        axes.set_yticks(range(len(table.index)), [f"{1e3 * value:.0f}" for value in table.index])
        best = [int(column) for column in np.nanargmin(table.to_numpy(), axis=1)]
        axes.plot(best, range(len(best)), "o", color=PALETTE["orange"], markersize=7, markeredgecolor="white")
    panels[0].set_ylabel("learning rate (1/1000)")
    fig.colorbar(image, ax=panels, label="validation loss (nats)", extend="max", shrink=0.9)
    return Picture(
        fig,
        caption="Validation loss on a small noisy classification for every pair of learning rate and decay, mean over "
        "seeds. Dots: the best decay for each learning rate.",
    )


def balance(results: pd.DataFrame, *, rms: float, angle: float) -> Picture:
    """Length of a weight vector and rotation per step. Columns: start, weight_decay, step, rms, angle."""
    fig, (left, right) = figure(1, 2, size=(7.6, 3.5))
    for colour, ((start, decay), rows) in zip(
        _COLOURS, results.groupby(["start", "weight_decay"], sort=False), strict=False
    ):
        style = "--" if decay == 0 else "-"
        label = f"from {start:g}, no decay" if decay == 0 else f"from {start:g}"
        left.plot(rows["step"], rows["rms"], style, color=colour, label=label)
        right.plot(rows["step"], rows["angle"], style, color=colour, label=label)
    for axes, law, label in (
        (left, rms, "size of the weights (rms)"),
        (right, angle, "turn per step (radians)"),
    ):
        end = float(results["step"].max())
        axes.plot(
            [0, end], [law, law], color=PALETTE["grey"], linewidth=1, linestyle=(0, (1, 2)), label="_law"
        )
        axes.set(yscale="log", xlabel="step", ylabel=label)
        axes.set_xlim(0, end * 1.6)
    direct_labels(left, right)
    return Picture(
        fig,
        caption="AdamW on a vector whose length does not affect the loss, with gradients of pure noise. Dotted: the "
        "calculated balance of noise and decay.",
    )


def traces(
    curves: pd.DataFrame, columns: Sequence[str] = ("gradient_norm", "update_norm", "weight_rms")
) -> Picture:
    """Norms during training, mean over seeds, one line per decay. Columns: weight_decay, step and ``columns``."""
    labels = {
        "gradient_norm": "norm of the gradient",
        "update_norm": "norm of the update",
        "weight_rms": "size of the matrices (rms)",
    }
    fig, panels = figure(1, len(columns), size=(10.2, 3.4))
    means = curves.groupby(["weight_decay", "step"])[list(columns)].mean()
    for axes, column in zip(panels, columns, strict=True):
        for colour, decay in zip(_COLOURS, dict.fromkeys(curves["weight_decay"]), strict=False):
            line = means.loc[decay][column].dropna().rolling(5, min_periods=1).mean()
            axes.plot(line.index, line, color=colour, label=f"$\\lambda$ = {decay:g}")
        axes.set(xlabel="step", ylabel=labels.get(column, column))
        axes.set_xlim(0, float(curves["step"].max()) * 1.28)
        if column == "update_norm":  # it follows the learning rate over orders of magnitude
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
    direct_labels(*panels)
    return Picture(
        fig,
        caption="A small language model with three decays: running means of five steps, mean over seeds.",
    )


def filter_law(results: pd.DataFrame) -> Picture:
    """Step size of the filter, compared with Adam's square root. Columns: gradient_size, rate, law."""
    fig, axes = figure(size=(7.6, 3.2))
    axes.set(xscale="log", yscale="log", xlabel="size of the gradient (rms)", ylabel="step size")
    axes.plot(results["gradient_size"], results["law"], "--", color=PALETTE["grey"], label="Adam: 1 / root")
    axes.plot(results["gradient_size"], results["rate"], "o-", color=PALETTE["blue"], label="Kalman filter")
    axes.set_xlim(right=float(results["gradient_size"].max()) * 40)
    direct_labels(axes)
    return Picture(
        fig,
        caption="The step size that tracks a drifting weight best, and Adam's law. They separate where a single "
        "gradient holds more information than all previous ones.",
    )
