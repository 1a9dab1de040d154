"""Pictures of chapter 5: scale, masks, speed and capacity, small caches, uptraining, attention's costs."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator
from numpy.typing import ArrayLike

from course_lib.show.look import (
    INK,
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
WAY_COLOURS = {
    "mean": PALETTE["blue"],
    "first": PALETTE["green"],
    "random": PALETTE["orange"],
    "not converted": PALETTE["violet"],
}
"""Colours of the methods for merging heads, by name."""


def scale_effect(results: pd.DataFrame) -> Picture:
    """Scores with and without the factor 1/√d, by head size.

    ``results``: columns head_dim, scaled, seed, score_std, largest_weight, sensitivity.
    """
    fig, panels = figure(1, 3, size=(10.2, 3.6), sharex=True)
    titles = {
        "score_std": "standard deviation of a score",
        "largest_weight": "largest of 64 weights",
        "sensitivity": "reaction of the weights",
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


KIND_COLOURS = {
    "MHA": PALETTE["orange"],
    "GQA": PALETTE["blue"],
    "MQA": PALETTE["green"],
    "MLA": PALETTE["violet"],
}
"""Colours of the ways to keep keys and values, by name."""
SCALE_COLOURS = {
    "with 1/√d": PALETTE["blue"],
    "without": PALETTE["orange"],
    "without, flat start": PALETTE["green"],
    "with, sharp start": PALETTE["pink"],
}
"""Colours of the runs with and without the factor 1/√d."""


def capacity(results: pd.DataFrame, *, device: str, model: str, length: int) -> Picture:
    """Tokens per second against the batch, up to the one that fills the memory: one line per way to keep the past.

    ``results``: columns kind, batch, tokens_per_second, limit.
    """
    fig, axes = figure(size=(8.0, 4.4))
    axes.set(xscale="log", yscale="log", xlabel="sequences in the batch", ylabel="tokens per second")
    said = []
    for kind, rows in results.groupby("kind", sort=False):
        colour, last = KIND_COLOURS[str(kind)], rows.iloc[-1]
        label = f"{kind}, {last['batch']:,.0f}"
        axes.plot(rows["batch"], rows["tokens_per_second"], color=colour, label=label)
        axes.plot(last["batch"], last["tokens_per_second"], "o", color=colour, markersize=8, label="_full")
        busy = rows[rows["limit"] == "arithmetic"]
        axes.plot(busy["batch"], busy["tokens_per_second"], color=colour, lw=5, alpha=0.35, label="_busy")
        said.append(f"{kind} {last['tokens_per_second']:,.0f} with {last['batch']:,.0f} sequences")
    axes.set_xlim(right=float(results["batch"].max()) * 6)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    direct_labels(axes)
    waits = " Wide: the step waits for arithmetic." if (results["limit"] == "arithmetic").any() else ""
    return Picture(
        fig,
        caption=f"Shape of {model}, {length:,} tokens so far in each sequence, 16 bits; counted, not timed. A line "
        f"ends at the dot, where the memory of the {device} is full; its label says with how many sequences."
        + waits,
        alt=f"Tokens per second on {device} when its memory is full: " + "; ".join(said) + ".",
    )


def decode_law(results: pd.DataFrame) -> Picture:
    """Measured speed of generation against the batch, without the cost of calls, and the counted law.

    ``results``: columns kv_heads, batch, tokens_per_second (measured, without dispatch), law.
    """
    fig, axes = figure(size=(7.8, 4.0))
    axes.set(xscale="log", yscale="log", xlabel="sequences in the batch", ylabel="tokens per CPU second")
    colours = (PALETTE["orange"], PALETTE["blue"], PALETTE["green"])
    names = {
        heads: "1 KV head" if heads == 1 else f"{heads} KV heads" for heads in results["kv_heads"].unique()
    }
    for (heads, rows), colour in zip(results.groupby("kv_heads", sort=False), colours, strict=False):
        axes.plot(rows["batch"], rows["tokens_per_second"], "o-", color=colour, label=names[heads])
        axes.plot(rows["batch"], rows["law"], color=colour, lw=1, ls=(0, (4, 3)), label="_law")
    ticks = sorted(results["batch"].unique())
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(right=max(ticks) * 2)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_minor_formatter("{x:,.0f}")
    direct_labels(axes)
    last = results[results["batch"] == max(ticks)]
    return Picture(
        fig,
        caption="Dots: measured on one thread, less the time of the calls. Dashed: bytes over this machine's speed of "
        "copying, or operations over that of its matrix product: the longer time.",
        alt=f"With {max(ticks)} sequences: "
        + ", ".join(
            f"{names[heads]} {speed:,.0f} tokens per second, by the law {law:,.0f}"
            for heads, speed, law in zip(
                last["kv_heads"], last["tokens_per_second"], last["law"], strict=True
            )
        ),
    )


def streamed(results: pd.DataFrame) -> Picture:
    """How much loss models lose that read through smaller caches: one row per cache, a dot per model.

    ``results``: columns model, cache, loss; the first cache is the one that others are compared with.
    """
    by_cache = results.pivot(index="model", columns="cache", values="loss")
    whole, *names = results["cache"].unique()
    changes = by_cache[names].sub(by_cache[whole], axis=0)
    fig, axes = figure(size=(7.6, 0.4 * len(names) + 1.7))
    for place, name in enumerate(names):
        axes.plot(changes[name], [place] * len(changes), "o", color=PALETTE["blue"])
        axes.plot(changes[name].mean(), place, "|", color=INK, markersize=18)
    axes.axvline(0, **REFERENCE)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel=f"loss (nats/byte) above that with {whole}", ylabel="kept", ylim=(len(names) - 0.5, -0.5))
    return Picture(
        fig,
        caption="Models of 64 positions read token by token through caches that keep fewer. A dot per model; the bar "
        "is their mean.",
        alt="; ".join(f"{name}: {change:+.3f}" for name, change in changes.mean().items()),
    )


def uptraining(results: pd.DataFrame, levels: Mapping[str, float]) -> Picture:
    """Loss after conversion, against steps of further training: one line per model, and a bold mean per method.

    ``results``: columns how, model, tuned, loss. ``levels``: losses to compare with, by name, as dashed lines.
    """
    fig, axes = figure(size=(7.8, 4.0))
    for how, rows in results.groupby("how", sort=False):
        colour = WAY_COLOURS[str(how)]
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
        caption="Key and value heads of trained models merged in three ways, and the same training without it. "
        "Thin lines are single models.",
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


def heads_by_place(looks: pd.DataFrame, places: Mapping[str, str]) -> Picture:
    """How much of its weight each head gives to some places: a panel per place, a dot per head of each model.

    ``looks``: as from ``induction.where_heads_look``. ``places``: titles of the panels, by the name of a column.
    """
    rows = {
        f"{of}, layer {layer}": looks[
            (looks["state"] == state) & (looks["strings"] == strings) & (looks["layer"] == layer)
        ]
        for (state, strings), of in _LOOKED.items()
        for layer in sorted(looks["layer"].unique())
    }
    fig, panels = figure(1, len(places), size=(8.4, 0.34 * len(rows) + 1.4), sharey=True, sharex=True)
    for axes, (place, title) in zip(panels, places.items(), strict=True):
        for number, (name, heads) in enumerate(rows.items()):
            colour = PALETTE["orange"] if name.endswith("1") else PALETTE["blue"]
            axes.plot(heads[place], [number] * len(heads), "o", color=colour, alpha=0.6, mew=0)
        axes.axvline(0, **REFERENCE)
        axes.set(title=title, xlabel="share of the weight")
    panels[0].set_yticks(range(len(rows)), list(rows))
    panels[0].set_ylim(len(rows) - 0.5, -0.5)
    return Picture(
        fig,
        caption=f"A dot for each head of {looks['seed'].nunique()} models; queries that have seen one period. "
        "Random strings: the same distances, though nothing repeats.",
        alt="; ".join(
            f"{name}: " + ", ".join(f"{title} {heads[place].mean():.2f}" for place, title in places.items())
            for name, heads in rows.items()
        ),
    )


_LOOKED = {
    ("trained", "repeat"): "trained",
    ("trained", "random"): "random strings",
    ("untrained", "repeat"): "untrained",
}
