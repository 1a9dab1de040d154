"""Pictures of chapter 2: gradients by placement, training curves, what layers do."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from course_lib.show.gradient_explorer import PLACEMENT_COLOURS
from course_lib.show.look import PALETTE, Picture, direct_labels, figure

Law = Callable[[NDArray[np.float64]], NDArray[np.float64]]

_DEPTH_LAWS: dict[str, tuple[Law, str]] = {
    "post": (lambda depth: depth**0.0, "constant"),
    "pre": (lambda depth: depth**-0.5, "∝ 1/√L"),
}
_WIDTH_LAWS: dict[str, tuple[Law, str]] = dict.fromkeys(
    ("post", "pre"), (lambda width: width * np.sqrt(np.log(width)), "∝ d √ln d")
)

_NAMES = {"post": "post-norm", "pre": "pre-norm", "deepnorm": "DeepNorm"}


def gradient_laws(by_depth: pd.DataFrame, by_width: pd.DataFrame) -> Picture:
    """Gradient of the last layer against depth and against width, one dot per seed, with the two laws.

    Both frames: columns placement, depth, width, seed, loss, gradient_norm. The laws are drawn through the
    measurements' geometric mean; only their slope is a prediction.
    """
    fig, (left, right) = figure(1, 2, size=(9.6, 4.0), sharey=True)
    for axes, results, by, laws in (
        (left, by_depth, "depth", _DEPTH_LAWS),
        (right, by_width, "width", _WIDTH_LAWS),
    ):
        rows = results[results["loss"] == "one token"]
        for placement, runs in rows.groupby("placement", sort=False):
            _points_with_law(axes, runs, by, str(placement), *laws[str(placement)])
        sizes = sorted(set(rows[by]))
        axes.set(xscale="log", yscale="log", xlim=(sizes[0] / 1.2, sizes[-1] * 2.6))
        axes.set_xticks(sizes, labels=map(str, sizes))
        axes.minorticks_off()
    left.set(xlabel="layers L", ylabel="gradient norm, last FFN matrix")
    right.set(xlabel="width d")
    direct_labels(left, right)
    return Picture(
        fig,
        caption="Before the first step, with the loss of one token. Small dots: seeds; large dots: geometric means. "
        f"Lines: how the theorem's bounds grow, shifted to the measurements. Left d = {by_depth['width'].iloc[0]}, "
        f"right L = {by_width['depth'].iloc[0]}.",
    )


def _points_with_law(axes: Axes, runs: pd.DataFrame, by: str, placement: str, law: Law, label: str) -> None:
    colour = PLACEMENT_COLOURS[placement]
    axes.plot(runs[by], runs["gradient_norm"], ".", color=colour, alpha=0.3, markersize=4)
    means = np.exp(np.log(runs["gradient_norm"]).groupby(runs[by]).mean())
    sizes = means.index.to_numpy(dtype=float)
    predicted = law(sizes)
    predicted = predicted * np.exp(np.mean(np.log(means.to_numpy() / predicted)))
    axes.plot(means.index, means, "o", color=colour, markersize=6)
    axes.plot(sizes, predicted, color=colour, linewidth=1, label=f"{_NAMES[placement]}: {label}")


def token_collapse(results: pd.DataFrame) -> Picture:
    """Gradient of the mean loss over that of one token, and the similarity of tokens, against depth.

    ``results``: columns attends ("all", or "self", dashed), placement, depth, seed, loss, gradient_norm, similarity.
    """
    fig, (left, right) = figure(1, 2, size=(9.6, 3.8))
    for (placement, attends), runs in results.groupby(["placement", "attends"], sort=False):
        norms = runs.groupby(["depth", "loss"])["gradient_norm"].mean().unstack()
        alike = runs.groupby("depth")["similarity"].mean()
        look = {"color": PLACEMENT_COLOURS[str(placement)], "linestyle": "-" if attends == "all" else "--"}
        label = f"{_NAMES[str(placement)]}{'' if attends == 'all' else ', alone'}"
        left.plot(norms.index, norms["all tokens"] / norms["one token"], marker="o", label=label, **look)
        right.plot(alike.index, alike, marker="o", label=label, **look)
    sizes = sorted(set(results["depth"]))
    for axes in (left, right):
        axes.set(xscale="log", xlabel="layers L", xlim=(sizes[0] / 1.2, sizes[-1] * 3.2), ylim=(0, 1.04))
        axes.set_xticks(sizes, labels=map(str, sizes))
        axes.minorticks_off()
    left.set(ylabel="gradient, mean loss / one token")
    right.set(ylabel="cosine of two tokens")
    direct_labels(left, right)
    return Picture(
        fig,
        caption="Left: the gradient of the mean loss relative to that of one token's loss. Right: mean cosine between "
        "the vectors of two different tokens after the last layer. Dashed: each token attends only to itself.",
    )


def deep_networks(results: pd.DataFrame) -> Picture:
    """Gradient of the first layer over that of the last, and the effect of one step on the output, against depth.

    ``results``: columns arm, depth, seed, first_over_last, rule, change; the rule of the right panel is "sgd".
    """
    fig, (left, right) = figure(1, 2, size=(9.6, 3.8))
    steps = results[results["rule"] == "sgd"]
    for axes, column in ((left, "first_over_last"), (right, "change")):
        for arm, runs in steps.groupby("arm", sort=False):
            means = np.exp(np.log(runs[column]).groupby(runs["depth"]).mean())
            colour = PLACEMENT_COLOURS[str(arm)]
            axes.plot(runs["depth"], runs[column], ".", color=colour, alpha=0.4)
            axes.plot(means.index, means, "o-", color=colour, label=_NAMES[str(arm)])
        depths = sorted(set(steps["depth"]))
        axes.set(xscale="log", yscale="log", xlabel="layers", xlim=(depths[0] / 1.2, depths[-1] * 4))
        axes.set_xticks(depths, labels=[f"{depth:,}" for depth in depths])
        axes.minorticks_off()
    left.set_ylabel("gradient, first layer / last layer")
    right.set_ylabel("relative change of the logits\nper unit of SGD's rate")
    direct_labels(left, right)
    return Picture(
        fig,
        caption="Networks of width 32 before training. Right: how far a small step of SGD moves the logits, divided by "
        "its learning rate.",
    )


def parts_of_a_step(results: pd.DataFrame) -> Picture:
    """The effect of moving only the matrices or only the norms' weights against depth: a panel for SGD, one for Adam.

    ``results``: columns depth, seed, rule ("sgd", "adam"), part ("matrices", "norms"), change; all of one arm.
    """
    fig, panels = figure(1, 2, size=(9.6, 3.8))
    colours = {"matrices": PALETTE["green"], "norms": PALETTE["violet"]}
    labels = {"matrices": "matrices", "norms": "weights of the norms"}
    for axes, (rule, name) in zip(panels, (("sgd", "SGD"), ("adam", "Adam, first step")), strict=True):
        steps = results[results["rule"] == rule]
        for part, runs in steps.groupby("part", sort=False):
            means = np.exp(np.log(runs["change"]).groupby(runs["depth"]).mean())
            colour = colours[str(part)]
            axes.plot(runs["depth"], runs["change"], ".", color=colour, alpha=0.4)
            axes.plot(means.index, means, "o-", color=colour, label=labels[str(part)])
        depths = sorted(set(steps["depth"]))
        axes.set(xscale="log", yscale="log", xlabel="layers", title=name)
        axes.set_xlim(depths[0] / 1.2, depths[-1] * 5)
        axes.set_xticks(depths, labels=[f"{depth:,}" for depth in depths])
        axes.minorticks_off()
    panels[0].set_ylabel("relative change of the logits\nper unit of the rate")
    direct_labels(*panels)
    return Picture(fig, caption="DeepNorm, one small step that moves only a part of the network.")
