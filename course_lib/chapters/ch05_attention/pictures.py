"""Pictures of chapter 5: scale, masks, operations per byte, decoding speed, uptraining, attention's costs."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from course_lib.show.look import (
    INK,
    NOTE_SIZE,
    PALETTE,
    PAPER,
    REFERENCE,
    Picture,
    direct_labels,
    figure,
    label_point,
)

_SCALED = {False: ("q·k", PALETTE["orange"]), True: ("q·k / √d", PALETTE["blue"])}
_FORMS = {
    "whole matrix": PALETTE["orange"],
    "online, in Python": PALETTE["blue"],
    "fused": PALETTE["green"],
}
WAY_COLOURS = {"mean": PALETTE["blue"], "first": PALETTE["green"], "random": PALETTE["orange"]}
"""Colours of the methods for merging heads, by name."""


def scale_effect(results: pd.DataFrame) -> Picture:
    """Scores with and without the factor 1/√d, by head size.

    ``results``: columns head_dim, scaled, seed, score_std, largest_weight, sensitivity.
    """
    fig, panels = figure(1, 3, size=(10.2, 3.6), sharex=True)
    titles = {
        "score_std": "standard deviation of a score",
        "largest_weight": "largest of 64 weights",
        "sensitivity": "gradient through the softmax",
    }
    largest = float(results["head_dim"].max())
    for axes, (column, title) in zip(panels, titles.items(), strict=True):
        axes.set(xscale="log", xlabel="head size d", title=title)
        for scaled, (label, colour) in _SCALED.items():
            rows = results[results["scaled"] == scaled].groupby("head_dim")[column].mean()
            axes.plot(rows.index, rows, "o-", color=colour, label=label)
        axes.set_xlim(right=largest * 12)
        axes.xaxis.set_major_formatter("{x:,.0f}")
    law = np.geomspace(float(results["head_dim"].min()), largest, 20)
    panels[0].set_yscale("log")
    panels[0].plot(law, np.sqrt(law), color=INK, lw=0.8, ls=(0, (3, 3)))
    panels[0].text(law[5], np.sqrt(law[5]) * 1.9, "√d", fontsize=9)
    panels[1].set_ylim(0, 1.05)
    panels[2].set_ylim(bottom=0)
    direct_labels(*panels)
    last = results[results["head_dim"] == largest].groupby("scaled")["largest_weight"].mean()
    return Picture(
        fig,
        caption="Standard normal queries and keys, 64 keys per query, mean over seeds. Right: Frobenius norm of the "
        "derivative of the weights with respect to the scores.",
        alt=f"At d = {largest:,.0f} the largest weight is {last[False]:.2f} without 1/√d, {last[True]:.2f} with it.",
    )


def masks(allowed: Mapping[str, ArrayLike]) -> Picture:
    """The keys that each query may see: one panel per mask, booleans of shape (queries, keys)."""
    fig, panels = figure(1, len(allowed), size=(2.6 * len(allowed) + 0.6, 3.0), squeeze=False)
    for axes, (name, mask) in zip(panels[0], allowed.items(), strict=True):
        array = np.asarray(mask)
        axes.pcolormesh(array, cmap="Blues", vmin=0, vmax=1.6, edgecolors=PAPER, linewidth=0.8)
        axes.set(title=name, aspect="equal", xlabel="key")
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.set_xticks([])
        axes.set_yticks([])
    panels[0, 0].set_ylabel("query")
    shares = ", ".join(
        f"{name}: {np.asarray(mask).mean():.0%} of the pairs" for name, mask in allowed.items()
    )
    return Picture(fig, caption="Filled: the query (row) sees the key (column).", alt=shares)


def intensity(results: pd.DataFrame, *, balance: float, device: str) -> Picture:
    """Operations per byte against batch size, for reading a prompt and for writing, by number of key and value heads.

    ``results``: columns phase, kv_heads, batch, intensity. ``balance``: operations of ``device`` per byte moved.
    """
    fig, axes = figure(size=(8.0, 4.2))
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="sequences in the batch",
        ylabel="operations per byte of memory traffic",
    )
    heads = sorted(results["kv_heads"].unique(), reverse=True)
    colours = dict(zip(heads, (PALETTE["orange"], PALETTE["blue"], PALETTE["green"]), strict=False))
    for number in heads:
        rows = results[(results["phase"] == "decode") & (results["kv_heads"] == number)]
        axes.plot(
            rows["batch"], rows["intensity"], "o-", color=colours[number], label=f"write, {number} KV heads"
        )
    read = results[(results["phase"] == "prefill") & (results["kv_heads"] == heads[-1])]
    axes.plot(read["batch"], read["intensity"], color=PALETTE["grey"], label="read (prefill)")
    axes.axhline(balance, **REFERENCE)
    axes.text(1, balance * 1.25, f"{device}: {balance:,.0f} operations per byte", fontsize=NOTE_SIZE)
    axes.set_xlim(right=float(results["batch"].max()) * 12)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    direct_labels(axes)
    last = results[(results["phase"] == "decode") & (results["batch"] == results["batch"].max())]
    return Picture(
        fig,
        caption="Below the dashed line, memory limits the speed; above it, arithmetic does. Shape of Llama 3 8B, 4,096 "
        "tokens so far in each sequence, 16 bits; counted, not timed.",
        alt="Decoding with the largest batch: "
        + ", ".join(f"{k} heads {i:.0f}" for k, i in zip(last["kv_heads"], last["intensity"], strict=True)),
    )


def decode_speed(results: pd.DataFrame) -> Picture:
    """Speed of generation relative to one key and value head per query head, one panel per setting.

    ``results``: columns d_model, length, batch, kv_heads, tokens_per_second, relative, cache_mb, weights_mb.
    """
    groups = list(results.groupby(["d_model", "length", "batch"], sort=False))
    fig, panels = figure(1, len(groups), size=(9.6, 3.5), sharey=True)
    for axes, ((d_model, length, batch), rows) in zip(panels, groups, strict=True):
        names = [str(number) for number in rows["kv_heads"]]
        axes.bar(names, rows["relative"], color=PALETTE["blue"], width=0.62)
        for place, (relative, speed) in enumerate(
            zip(rows["relative"], rows["tokens_per_second"], strict=True)
        ):
            label_point(axes, f"{speed:,.0f}", (place, relative), (0, 3), ha="center")
        first = rows.iloc[0]
        axes.set_title(f"d = {d_model}, {length:,} tokens, batch {batch}")
        axes.set_xlabel(
            f"KV heads (of 8)\ncache {first['cache_mb']:,.1f} MB with 8, weights {first['weights_mb']:,.0f} MB"
        )
    panels[0].set(ylabel="speed relative to 8 KV heads", ylim=(0, float(results["relative"].max()) * 1.18))
    return Picture(
        fig,
        caption="Above the bars: tokens per CPU second, one thread, four layers.",
        alt="; ".join(
            f"d {key[0]}, {key[1]} tokens, batch {key[2]}: {rows['relative'].iloc[-1]:.2f} times as fast with one head"
            for key, rows in groups
        ),
    )


def uptraining(results: pd.DataFrame, levels: Mapping[str, float]) -> Picture:
    """Loss after conversion, against steps of further training: one line per model, and a bold mean per method.

    ``results``: columns how, model, tuned, loss. ``levels``: losses to compare with, by name, as dashed lines.
    """
    fig, axes = figure(size=(7.8, 4.0))
    for how, colour in WAY_COLOURS.items():
        rows = results[results["how"] == how]
        for _, line in rows.groupby("model"):
            axes.plot(line["tuned"], line["loss"], color=colour, lw=0.8, alpha=0.5, label=f"_{how}")
        mean = rows.groupby("tuned")["loss"].mean()
        axes.plot(mean.index, mean, "o-", color=colour, label=how)
    last = float(results["tuned"].max())
    # There is room at the left: before tuning, every loss is far above these levels.
    for place, (name, level) in enumerate(sorted(levels.items(), key=lambda item: -item[1])):
        axes.axhline(level, color=PALETTE["grey"], lw=1, ls=(0, (4, 3)))
        label_point(
            axes,
            name,
            (0, level),
            (0, 3 if place == 0 else -3),
            color=PALETTE["grey"],
            va="bottom" if place == 0 else "top",
        )
    axes.set(xlabel="steps of further training", ylabel="held-out loss (nats/byte)", xlim=(-0.5, last * 1.2))
    axes.margins(y=0.09)
    direct_labels(axes)
    final = results[results["tuned"] == last].groupby("how")["loss"].mean()
    return Picture(
        fig,
        caption="Key and value heads of trained models merged in three ways; thin lines are single models.",
        alt=f"After {last:.0f} steps: " + ", ".join(f"{how} {loss:.3f}" for how, loss in final.items()),
    )


def attention_costs(results: pd.DataFrame) -> Picture:
    """Peak memory and CPU time against the length, one line per form. Columns: form, length, bytes, cpu_seconds."""
    fig, panels = figure(1, 2, size=(9.6, 3.7), sharex=True)
    for axes, column, factor, title in (
        (panels[0], "bytes", 1e-6, "peak memory (MB)"),
        (panels[1], "cpu_seconds", 1e3, "CPU time (ms)"),
    ):
        axes.set(xscale="log", yscale="log", xlabel="tokens T", title=title)
        for form, colour in _FORMS.items():
            rows = results[results["form"] == form]
            axes.plot(rows["length"], rows[column] * factor, "o-", color=colour, label=form)
        _ticks(axes, results["length"])
    direct_labels(*panels)
    last = results[results["length"] == results["length"].max()]
    return Picture(
        fig,
        caption="Causal attention, 4 heads of 32 features, one thread; memory allocated beyond the inputs.",
        alt=", ".join(
            f"{form} {size / 1e6:.1f} MB" for form, size in zip(last["form"], last["bytes"], strict=True)
        ),
    )


def _ticks(axes: Axes, lengths: "pd.Series[int]") -> None:
    axes.set_xticks(sorted(lengths.unique()))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlim(right=float(lengths.max()) * 5)
    axes.minorticks_off()
