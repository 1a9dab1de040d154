"""Chapter 6's pictures of training: attention logits with and without QK-norm, log Z under z-loss."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from course_lib.show.look import PALETTE, Picture, direct_labels, figure

_QK = {False: ("without", PALETTE["orange"]), True: ("with QK-norm", PALETTE["blue"])}
_WEIGHT_COLOURS = [PALETTE["grey"], PALETTE["ochre"], PALETTE["blue"], PALETTE["green"], PALETTE["pink"]]


def attention_growth(curves: pd.DataFrame, finals: pd.DataFrame) -> Picture:
    """The largest attention logit over training, a panel a learning rate, and the losses at the end.

    ``curves``: qk_norm, lr, seed, step, max_logit; ``finals``: qk_norm, lr, seed, validation_loss.
    """
    rates = sorted(curves["lr"].unique())
    figure_, panels = figure(1, len(rates) + 1, size=(10.4, 3.6))
    watched = curves.dropna(subset="max_logit")
    top = 2 * float(watched["max_logit"].max())
    for axes, rate in zip(panels[:-1], rates, strict=True):
        for (qk_norm, _), rows in watched[watched["lr"] == rate].groupby(["qk_norm", "seed"]):
            axes.plot(rows["step"], rows["max_logit"], color=_QK[bool(qk_norm)][1], lw=1.3)
        axes.set(yscale="log", ylim=(1, top), xlabel="step", title=f"lr {rate:g}")
    panels[0].set_ylabel("largest attention logit")
    last = watched[watched["lr"] == rates[-1]].groupby("qk_norm")["max_logit"].max()
    for qk_norm, (name, colour) in _QK.items():
        panels[-2].annotate(
            name, (0.97, np.log(last[qk_norm]) / np.log(top)), xycoords="axes fraction", xytext=(0, 5),
            textcoords="offset points", ha="right", color=colour, fontsize=8.5,
        )  # fmt: skip
    for axes in panels[1:-1]:
        axes.tick_params(labelleft=False)
    _losses_by_rate(panels[-1], finals)
    return Picture(
        figure_,
        caption="A line or dot a seed. Right: held-out loss after the last step.",
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
    axes.set(xscale="log", xlabel="learning rate", title="loss (nats a byte)")
    axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(min(rates) / 1.6, max(rates) * 1.6)


def output_drift(curves: pd.DataFrame, finals: pd.DataFrame) -> Picture:
    """Mean log Z over training by weight of the z-loss, and the losses at the end.

    ``curves``: z_loss, seed, step, log_z; ``finals``: z_loss, seed, validation_loss.
    """
    figure_, (left, right) = figure(1, 2, size=(9.2, 3.6), width_ratios=(1.7, 1))
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
        xlabel="weight of the z-loss", title="held-out loss (nats a byte)", xlim=(-0.5, len(weights) - 0.5)
    )
    low, high = finals["validation_loss"].min(), finals["validation_loss"].max()
    right.set_ylim(low - 0.15, high + 0.15)
    right.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:.2f}"))
    figure_.canvas.draw()
    direct_labels(left)
    end = watched[watched["step"] == watched["step"].max()].groupby("z_loss")["log_z"].mean()
    return Picture(
        figure_,
        caption="Thin lines and dots: seeds; thick lines: their mean.",
        alt="log Z at the end: "
        + ", ".join(f"weight {weight:g} {value:.1f}" for weight, value in end.items()),
    )
