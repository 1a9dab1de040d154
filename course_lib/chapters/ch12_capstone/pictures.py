"""Pictures of chapter 12: the model compared with its baselines, and a run that is killed and resumed."""

import numpy as np
import pandas as pd

from course_lib.show.look import PALETTE, Picture, figure

_EQUAL = 1e-8  # differences of zero are drawn here on a log axis


def standings(rows: pd.DataFrame) -> Picture:
    """Bits per byte, one bar each, the best at the bottom. Columns: name, bits_per_byte."""
    fig, axes = figure(size=(7.6, 0.42 * len(rows) + 1.2))
    ours = rows["name"] == "our model"
    colours = np.where(ours, PALETTE["blue"], PALETTE["grey"])
    bars = axes.barh(rows["name"], rows["bits_per_byte"], color=colours, height=0.62)
    axes.bar_label(bars, fmt="%.2f", padding=4)
    axes.invert_yaxis()
    axes.set(
        xlabel="bits per byte of unseen text",
        xlim=(0, 1.12 * rows["bits_per_byte"].max()),
    )
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    best = rows.sort_values("bits_per_byte")["name"]
    return Picture(
        fig,
        caption="Fewer is better. All used the same training text; the n-grams and the model share a tokenizer.",
        alt="Bits per byte on held-out text, best first: " + ", ".join(best) + ".",
    )


def survival(losses: pd.DataFrame, *, killed_at: int, resumed_from: int) -> Picture:
    """The runs around the kill, and the difference between one and two processes. Columns: run, step, loss."""
    wide = losses.pivot(index="step", columns="run", values="loss")
    fig, (near, far) = figure(1, 2, size=(8.2, 3.6), width_ratios=(3, 2))
    around = wide.loc[killed_at - 25 : killed_at + 25]
    near.plot(
        around.index, around["never stopped"], color=PALETTE["grey"], lw=5, alpha=0.4, label="never stopped"
    )
    before = around["killed"].dropna()
    near.plot(before.index, before, color=PALETTE["orange"], lw=1.6, label="killed")
    after = around.loc[resumed_from + 1 :, "resumed"]
    near.plot(after.index, after, "--", color=PALETTE["blue"], lw=1.6, label="resumed")
    near.axvline(resumed_from, color=PALETTE["grey"], lw=0.8, ls=":")
    near.set(
        xlabel="step", ylabel="training loss (nats/token)", title="Killed, and resumed from a checkpoint"
    )
    near.legend()
    difference = (wide["two processes"] - wide["never stopped"]).abs()
    far.plot(
        difference.index,
        difference.clip(lower=_EQUAL),
        ".",
        color=PALETTE["green"],
        markersize=4,
        clip_on=False,
    )
    far.set(yscale="log", ylim=(_EQUAL, 1e-2), xlabel="step", title="Two processes instead of one")
    far.set_ylabel("difference of the losses (nats)")
    return Picture(
        fig,
        caption="Left: the dotted line is the last checkpoint before the kill; the steps after it are repeated. "
        "Right: sums in a different order round differently; equal losses are at the lower edge.",
        alt=f"The losses of the resumed run equal those of the run that was never stopped. Two processes differ from "
        f"one by at most {difference.max():.1g} nats.",
    )
