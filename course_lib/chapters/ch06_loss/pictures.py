"""Pictures of chapter 6: one loss by formula, format and unit; logits and log Z during training."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from course_lib.show.look import PALETTE, Picture, direct_labels, figure, label_point

FORMAT_COLOURS = {"float32": PALETTE["green"], "bfloat16": PALETTE["orange"], "float16": PALETTE["blue"]}
"""Colours of number formats, by name."""

_METHODS = {
    "all logits": PALETTE["orange"],
    "chunked loss": PALETTE["ochre"],
    "chunked head and loss": PALETTE["blue"],
}


def price_of_a_guess() -> Picture:
    """Loss against the probability of the target, and the pull on its logit, compared with squared error."""
    fig, (left, right) = figure(1, 2, size=(8.6, 3.6))
    p = np.geomspace(1e-4, 1, 400)
    left.plot(p, -np.log(p), color=PALETTE["blue"])
    for guess, name in ((1 / 256, "1 of 256 bytes"), (0.05, "1 of 20"), (0.5, "a coin")):
        left.plot([guess], [-np.log(guess)], "o", color=PALETTE["blue"])
        label_point(left, f"{name}: {-np.log(guess):.2f}", (guess, -np.log(guess)), (9, 2))
    left.set(xlabel="probability of the target", ylabel="loss (nats)", ylim=(0, 9.4), xlim=(-0.02, 1))
    margin = np.linspace(-10, 10, 400)
    q = 1 / (1 + np.exp(-margin))
    right.plot(margin, 1 - q, color=PALETTE["blue"])
    right.plot(margin, 2 * (1 - q) * q * (1 - q), color=PALETTE["orange"])
    right.set(
        xlabel="target's logit minus the other's (two classes)",
        ylabel="pull on the target's logit",
        ylim=(0, 1.06),
    )
    right.annotate(
        "cross-entropy", (-9.6, 1), xytext=(0, -16), textcoords="offset points", color=PALETTE["blue"]
    )
    right.annotate(
        "squared error", (-9.6, 0.0), xytext=(0, 12), textcoords="offset points", color=PALETTE["orange"]
    )
    return Picture(
        fig,
        caption="Left: the price of a guess. Right: minus the gradient with respect to the target's logit. A model "
        "that is wrong and certain (far left) is corrected by cross-entropy, but hardly by squared error.",
        alt="The loss falls from 9.2 at probability 0.0001 to 0 at 1. For a wrong and certain model the pull of "
        "cross-entropy is 1, that of squared error near 0.",
    )


def losses_over_gap(results: pd.DataFrame) -> Picture:
    """Loss by formula against the gap between two logits. Columns: formula, format, gap, loss, exact."""
    formulas = list(dict.fromkeys(results["formula"]))
    fig, panels = figure(1, len(formulas), size=(9.2, 3.5), sharey=True)
    top = float(results["exact"].max())
    for axes, formula in zip(panels, formulas, strict=True):
        rows = results[results["formula"] == formula]
        axes.plot(results["gap"].unique(), results["gap"].unique(), color="#C9C7BF", lw=5, zorder=1)
        _lines_until_infinite(axes, rows)
        axes.set(
            title=formula, xlabel="target's logit below the other by", xlim=(0, top), ylim=(0, 1.12 * top)
        )
    panels[0].set_ylabel("loss (nats)")
    return Picture(
        fig,
        caption="Grey: the true loss. A line ends, with the name of its format, where the computed loss is infinite.",
        alt="Largest gap with a finite loss: "
        + "; ".join(f"{', '.join(map(str, labels))} {gap:.0f}" for labels, gap in _gaps(results)),
    )


def _gaps(results: pd.DataFrame) -> list[tuple[tuple[str, str], float]]:
    """``last_finite`` as pairs of (formula, format) and gap."""
    gaps = last_finite(results)
    return list(zip(gaps.index.to_list(), gaps.to_list(), strict=True))


def last_finite(results: pd.DataFrame) -> "pd.Series[float]":
    """By formula and format, the largest gap up to which all losses are finite."""
    broken = results[~np.isfinite(results["loss"])].groupby(["formula", "format"], sort=False)["gap"].min()
    every = results.groupby(["formula", "format"], sort=False)["gap"].max()
    first_broken = broken.reindex(every.index, fill_value=np.inf)
    return pd.Series(
        {key: results.loc[results["gap"] < first_broken[key], "gap"].max() for key in every.index},
        dtype=float,
    )


def _lines_until_infinite(axes: Axes, rows: pd.DataFrame) -> None:
    for place, (name, colour) in enumerate(FORMAT_COLOURS.items()):
        part = rows[(rows["format"] == name) & np.isfinite(rows["loss"])]
        axes.plot(part["gap"], part["loss"], color=colour, lw=1.8, zorder=3 - 0.1 * place)
        end = (float(part["gap"].iloc[-1]), float(part["loss"].iloc[-1]))
        if end[0] < rows["gap"].max():
            axes.plot(*end, "x", color=colour, markersize=8, markeredgewidth=2, zorder=4)
            # Formats of equal range end at the same point, so their names are on opposite sides of the line.
            left = name == "bfloat16"
            label_point(
                axes,
                name,
                end,
                (-8 if left else 8, 2 if left else -9),
                color=colour,
                ha="right" if left else "left",
                zorder=5,
            )
    if np.isfinite(rows["loss"]).all():
        label_point(axes, "all three formats", (0.5, 0.5), (8, -14), xycoords="axes fraction")


def units(results: pd.DataFrame) -> Picture:
    """Nats per token, perplexity and bits per byte against vocabulary size, one dot per seed; these are the columns."""
    fig, panels = figure(1, 3, size=(9.2, 3.3))
    for axes, column in zip(panels, ("nats per token", "perplexity", "bits per byte"), strict=True):
        colour = PALETTE["green"] if column == "bits per byte" else PALETTE["grey"]
        axes.plot(results.groupby("vocab_size")[column].mean(), color=colour, lw=1.4)
        axes.plot(results["vocab_size"], results[column], "o", color=colour, markersize=4)
        axes.set(
            xscale="log", title=column, xlabel="vocabulary", ylim=(0, 1.12 * float(results[column].max()))
        )
        sizes = sorted(results["vocab_size"].unique())
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes], fontsize=7.5)
        axes.xaxis.set_minor_formatter(NullFormatter())
    mean = results.groupby("vocab_size")[["perplexity", "bits per byte"]].mean()
    return Picture(
        fig,
        caption="A bigram model on the same held-out stories, split into tokens with vocabularies of five sizes.",
        alt="; ".join(
            f"{size:,} tokens: perplexity {row['perplexity']:.1f}, {row['bits per byte']:.2f} bits per byte"
            for size, row in mean.iterrows()
        ),
    )


def head_memory(results: pd.DataFrame) -> Picture:
    """Peak memory and CPU time of output head and loss against vocabulary size, one line per method."""
    fig, panels = figure(1, 2, size=(9.2, 3.5))
    for axes, column, scale, title in (
        (panels[0], "peak_bytes", 1e-6, "peak memory (MB)"),
        (panels[1], "cpu_seconds", 1, "CPU time (s)"),
    ):
        for method, colour in _METHODS.items():
            rows = results[results["method"] == method]
            axes.plot(rows["vocab_size"], scale * rows[column], "o-", color=colour, label=method)
        axes.set(
            title=title, xlabel="vocabulary V", ylim=0, xlim=(0, 1.72 * float(results["vocab_size"].max()))
        )
        axes.set_xticks(sizes := sorted(results["vocab_size"].unique()), [f"{size:,}" for size in sizes])
    direct_labels(*panels)
    largest = results[results["vocab_size"] == results["vocab_size"].max()].set_index("method")
    return Picture(
        fig,
        caption="Forward and backward pass of the output head and the loss. Memory includes all intermediate "
        "results and the gradients.",
        alt=", ".join(f"{name}: {row['peak_bytes'] / 1e6:.0f} MB" for name, row in largest.iterrows()),
    )


def after_rounding(results: pd.DataFrame) -> Picture:
    """The cost of a common offset once logits are stored in a number format. Columns: format, offset, excess."""
    fig, axes = figure(size=(7.6, 3.4))
    for name, colour in FORMAT_COLOURS.items():
        rows = results[results["format"] == name]
        axes.plot(rows["offset"], rows["excess"], "o-", color=colour, label=name)
    axes.set_xscale("symlog", base=2, linthresh=4, linscale=0.6)
    axes.set_xticks(offsets := sorted(results["offset"].unique()))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set(
        xlabel="offset of all logits", ylabel="loss above the true loss\n(nats)", xlim=(0, max(offsets) * 3.2)
    )
    direct_labels(axes)
    last = results[results["offset"] == max(offsets)].set_index("format")["excess"]
    return Picture(
        fig,
        caption="Logits of a trained model, shifted by an offset that softmax ignores, then stored in three formats.",
        alt=f"Excess loss at an offset of {max(offsets):,.0f}: "
        + ", ".join(f"{name} {value:.2f}" for name, value in last.items()),
    )


_QK = {False: ("without", PALETTE["orange"]), True: ("with QK-norm", PALETTE["blue"])}

_WEIGHT_COLOURS = [PALETTE["grey"], PALETTE["ochre"], PALETTE["blue"], PALETTE["green"], PALETTE["pink"]]


def attention_growth(curves: pd.DataFrame, finals: pd.DataFrame) -> Picture:
    """The largest attention logit during training, one panel per learning rate, and the final losses.

    ``curves``: qk_norm, lr, seed, step, max_logit; ``finals``: qk_norm, lr, seed, validation_loss.
    """
    rates = sorted(curves["lr"].unique())
    fig, panels = figure(1, len(rates) + 1, size=(10.4, 3.6))
    watched = curves.dropna(subset="max_logit")
    top = 2 * float(watched["max_logit"].max())
    for axes, rate in zip(panels[:-1], rates, strict=True):
        for (qk_norm, _), rows in watched[watched["lr"] == rate].groupby(["qk_norm", "seed"]):
            axes.plot(rows["step"], rows["max_logit"], color=_QK[bool(qk_norm)][1], lw=1.3)
        axes.set(yscale="log", ylim=(1, top), xlabel="step", title=f"lr {rate:g}")
    panels[0].set_ylabel("largest attention logit")
    last = watched[watched["lr"] == rates[-1]].groupby("qk_norm")["max_logit"].max()
    for qk_norm, (name, colour) in _QK.items():
        label_point(
            panels[-2],
            name,
            (0.97, np.log(last[qk_norm]) / np.log(top)),
            (0, 5),
            xycoords="axes fraction",
            ha="right",
            color=colour,
        )
    for axes in panels[1:-1]:
        axes.tick_params(labelleft=False)
    _losses_by_rate(panels[-1], finals)
    return Picture(
        fig,
        caption="One line or dot per seed. Right: held-out loss after the last step.",
        alt="Largest logits at the end: "
        + ", ".join(
            f"{_QK[bool(qk_norm)][0]} at lr {rate:g} {value:,.0f}"
            for (qk_norm, rate), value in watched[watched["step"] == watched["step"].max()]
            .groupby(["qk_norm", "lr"])["max_logit"]
            .mean()
            .items()
        ),
    )


def _losses_by_rate(axes: Axes, finals: pd.DataFrame) -> None:
    for qk_norm, (_, colour) in _QK.items():
        rows = finals[finals["qk_norm"] == qk_norm]
        axes.plot(rows.groupby("lr")["validation_loss"].mean(), color=colour, lw=1.3)
        axes.plot(rows["lr"], rows["validation_loss"], "o", color=colour, markersize=4)
    rates = sorted(finals["lr"].unique())
    axes.set(xscale="log", xlabel="learning rate", title="loss (nats/byte)")
    axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(min(rates) / 1.6, max(rates) * 1.6)


def output_drift(curves: pd.DataFrame, finals: pd.DataFrame) -> Picture:
    """Mean log Z during training by weight of the z-loss, and the final losses.

    ``curves``: z_loss, seed, step, log_z; ``finals``: z_loss, seed, validation_loss.
    """
    fig, (left, right) = figure(1, 2, size=(9.2, 3.6), width_ratios=(1.7, 1))
    weights = sorted(curves["z_loss"].unique())
    watched = curves.dropna(subset="log_z")
    for weight, colour in zip(weights, _WEIGHT_COLOURS, strict=False):
        rows = watched[watched["z_loss"] == weight]
        for _, line in rows.groupby("seed"):
            left.plot(line["step"], line["log_z"], color=colour, lw=0.9, alpha=0.55)
        left.plot(
            rows.groupby("step")["log_z"].mean(),
            color=colour,
            label=f"weight {weight:g}" if weight else "none",
        )
        losses = finals[finals["z_loss"] == weight]["validation_loss"]
        right.plot([weights.index(weight)] * len(losses), losses, "o", color=colour)
    left.set(
        xlabel="step", ylabel="log Z, mean over tokens", xlim=(0, 1.3 * float(watched["step"].max())), ylim=0
    )
    ticks = np.arange(0, float(watched["step"].max()) + 1, 30)
    left.set_xticks(ticks)
    right.set_xticks(range(len(weights)), [f"{weight:g}" for weight in weights])
    right.set(
        xlabel="weight of the z-loss", title="held-out loss (nats/byte)", xlim=(-0.5, len(weights) - 0.5)
    )
    low, high = finals["validation_loss"].min(), finals["validation_loss"].max()
    right.set_ylim(low - 0.15, high + 0.15)
    right.yaxis.set_major_formatter("{x:.2f}")
    direct_labels(left)
    end = watched[watched["step"] == watched["step"].max()].groupby("z_loss")["log_z"].mean()
    return Picture(
        fig,
        caption="Thin lines and dots: seeds; thick lines: their mean.",
        alt="log Z at the end: "
        + ", ".join(f"weight {weight:g} {value:.1f}" for weight, value in end.items()),
    )
