"""Explorers of chapter 10: the cost of batches, and the memory of a training step by time and by part."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from course_lib.chapters.ch10_memmap_data.pictures import PART_COLOURS, WAYS
from course_lib.show.controls import Choice, Slider, Toggle
from course_lib.show.interactive import Explorer, explorer
from course_lib.show.look import INK, NOTE_SIZE, PALETTE, REFERENCE, label_point

Parts = Callable[..., pd.Series]
"""From d_model, num_layers, batch, context_length, vocab_size and loss_chunk to megabytes by part."""
Timeline = Callable[..., tuple[pd.DataFrame, float]]
"""From num_layers, batch, vocab_size and loss_chunk to a frame for ``step_timeline`` and the expected peak."""


def loader_explorer(speed: pd.DataFrame, resident: pd.DataFrame) -> Explorer:
    """Time per batch of each method, and the resident memory after ten batches, for measured sizes.

    Args:
        speed: Columns way, pattern, batch, context, microseconds.
        resident: Columns way, pattern, batch, context, megabytes; the same sizes.
    """
    keys = ["pattern", "batch", "context", "way"]
    times = speed.groupby(keys)["microseconds"].median()
    grown = resident.groupby(keys)["megabytes"].median()
    patterns = list(dict.fromkeys(speed["pattern"]))
    batches = sorted(speed["batch"].unique().tolist())
    contexts = sorted(speed["context"].unique().tolist())
    return explorer(
        partial(_draw_loaders, times, grown),
        title="What does a batch cost?",
        size=(9.2, 3.0),
        batch=Slider("windows in a batch", batches, start=batches[len(batches) // 2]),
        context=Slider("tokens in a window", contexts, start=contexts[len(contexts) // 2]),
        pattern=Choice("windows begin", patterns),
    )


def _draw_loaders(times: pd.Series, grown: pd.Series, figure: Figure) -> Callable[..., str]:
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.3, 1))
    names = list(reversed(WAYS))
    low, most = float(times.min()) / 1.6, max(float(grown.max()), 1.0)
    left.set(xscale="log", xlim=(low, float(times.max()) * 14), xlabel="CPU microseconds per batch")
    left.xaxis.set_major_formatter("{x:,.0f}")
    right.set(xlim=(0, most * 1.25), xlabel="resident after ten batches (MB)")
    panels = []
    for axes, start in ((left, low), (right, 0.0)):
        axes.grid(visible=False, axis="y")
        bars = axes.barh(
            names, [0.0] * len(names), left=start, color=[WAYS[name] for name in names], height=0.6
        )
        texts = [axes.text(start, place, "", va="center", fontsize=NOTE_SIZE) for place in range(len(names))]
        panels.append(list(zip(names, bars, texts, strict=True)))

    def update(batch: int, context: int, pattern: str) -> str:
        here = times.loc[(pattern, batch, context)]
        for name, bar, text in panels[0]:
            spent = float(here[name])
            bar.set_width(spent - low)
            text.set_text(f"{spent:,.0f}  ({batch * context / spent:,.0f} M tokens/s)")
            text.set_x(spent * 1.1)
        kept = grown.loc[(pattern, batch, context)]
        for name, bar, text in panels[1]:
            size = max(float(kept[name]), 0.0)  # the process may have freed memory meanwhile
            bar.set_width(size)
            text.set_text(f"{size:,.0f}")
            text.set_x(size + 0.015 * most)
        best, fullest = str(here.idxmin()), str(kept.idxmax())
        return (
            f"{batch} windows of {context} tokens, {pattern}: {best} is fastest, {here[best]:,.0f} microseconds; "
            f"{fullest} leaves the most in memory, {max(kept[fullest], 0.0):,.0f} MB."
        )

    return update


def timeline_explorer(measure: Timeline) -> Explorer:
    """Memory during two training steps, measured for any shape that fits a small machine."""
    return explorer(
        _draw_timeline,
        title="Memory during two training steps",
        compute=lambda layers, batch, vocabulary, chunked: measure(
            num_layers=layers, batch=batch, vocab_size=vocabulary, loss_chunk=256 if chunked else None
        ),
        size=(8.4, 3.7),
        layers=Slider("layers", [1, 2, 4, 6, 8], start=4),
        batch=Slider("sequences", [1, 2, 4, 8], start=8),
        vocabulary=Slider("vocabulary", [256, 1000, 2000, 4000, 8000], start=2000),
        chunked=Toggle("logits in chunks", start=False),
    )


def _draw_timeline(figure: Figure) -> Callable[..., str]:
    axes = figure.subplots()
    axes.set(xlabel="share of the two steps' time", ylabel="memory (MB)", xlim=(0, 1), ylim=(0, 100))
    axes.yaxis.set_label_coords(-0.075, 0.5)  # room for four digits
    axes.xaxis.set_major_formatter("{x:.0%}")
    made = axes.fill_between([], [], step="post", color=PALETTE["orange"], alpha=0.35, lw=0)
    kept = axes.fill_between([], [], color=PALETTE["blue"], alpha=0.35, lw=0)
    (line,) = axes.step([], [], where="post", color=PALETTE["orange"], lw=1.2)
    (dashed,) = axes.plot([], [], **REFERENCE)
    edges = axes.vlines([], 0, 1, color=INK, lw=0.6, alpha=0.5, transform=axes.get_xaxis_transform())
    phases = [
        axes.text(
            0, 0.96, "", fontsize=NOTE_SIZE, ha="center", va="top", transform=axes.get_xaxis_transform()
        )
        for _ in range(6)
    ]
    expected = label_point(axes, "", (1, 0), (-4, 3), ha="right")
    fixed_note = axes.text(
        0.01, 0.79, "", color=PALETTE["blue"], fontsize=NOTE_SIZE, transform=axes.transAxes
    )

    def update(result: tuple[pd.DataFrame, float], **_shape: object) -> str:
        step, peak = result
        times = (step["seconds"] / step["seconds"].iloc[-1]).to_numpy()
        held, fixed = step["megabytes"].to_numpy(), float(step["fixed_megabytes"].iloc[0])
        axes.set_ylim(0, _round_up(1.25 * max(peak, float(held.max()))))
        made.set_data(times, np.full(len(times), fixed), held)
        kept.set_data(times[[0, -1]], [0.0, 0.0], [fixed, fixed])
        line.set_data(times, held)
        dashed.set_data([0, 1], [peak, peak])
        expected.xy = (1, peak)
        expected.set_text(f"the formula's peak, {peak:,.0f} MB")
        fixed_note.set_text(f"weights and optimizer\nstate, {fixed:,.0f} MB")
        changes = step["phase"].ne(step["phase"].shift()).to_numpy()
        starts = times[changes]
        edges.set_segments([[(start, 0), (start, 1)] for start in starts])
        ends = [*starts[1:], 1.0]
        for place, text in enumerate(phases):
            wide = place < len(starts) and ends[place] - starts[place] > 0.07
            text.set_text(str(step["phase"][changes].iloc[place]) if wide else "")
            text.set_x((starts[place] + ends[place]) / 2 if wide else 0)
        top = int(held.argmax())
        return (
            f"The measured peak is {held[top]:,.0f} MB, in the {step['phase'].iloc[top]} pass; the formula says "
            f"{peak:,.0f} MB. Permanent: {fixed:,.0f} MB."
        )

    return update


def _size(megabytes: float) -> str:
    return f"{megabytes / 1e3:,.1f} GB" if megabytes >= 1e3 else f"{megabytes:,.0f} MB"


def _round_up(value: float) -> float:
    """The next round number, so that the axis rarely changes."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * digit for digit in (1, 1.5, 2, 3, 5, 7, 10) if power * digit >= value)


def step_memory_explorer(parts: Parts) -> Explorer:
    """The peak memory of a training step by part, for any model shape; ``parts`` computes it."""
    return explorer(
        partial(_draw_step, parts),
        title="What fills the memory of a training step?",
        size=(8.0, 2.6),
        width=Slider("width D", [64, 128, 256, 512, 1024, 2048, 4096], start=256),
        layers=Slider("layers", [1, 2, 4, 6, 8, 12, 24, 32], start=6),
        batch=Slider("sequences", [1, 2, 4, 8, 16, 32, 64], start=8),
        context=Slider("tokens in a sequence", [64, 128, 256, 512, 1024, 2048], start=256),
        vocabulary=Slider("vocabulary", [256, 2000, 8000, 32000, 128000], start=8000),
        chunked=Toggle("logits in chunks", start=False),
    )


def _draw_step(parts: Parts, figure: Figure) -> Callable[..., str]:
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(-0.9, 0.9), xlabel="share of the peak", yticks=[])
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.grid(visible=False)
    bars = {name: axes.barh(0, 0, color=colour, height=0.6)[0] for name, colour in PART_COLOURS.items()}
    texts = {
        name: axes.text(0, 0, "", ha="center", va="center", fontsize=9, color="white")
        for name in PART_COLOURS
    }
    headline = axes.text(0.0, 0.62, "", fontsize=11)
    amounts = {
        name: axes.text(place / len(PART_COLOURS), -0.55, "", color=colour, va="center", fontsize=9)
        for place, (name, colour) in enumerate(PART_COLOURS.items())
    }

    def update(width: int, layers: int, batch: int, context: int, vocabulary: int, chunked: bool) -> str:
        sizes = parts(
            d_model=width,
            num_layers=layers,
            batch=batch,
            context_length=context,
            vocab_size=vocabulary,
            loss_chunk=256 if chunked else None,
        )
        total, left = float(sizes.sum()), 0.0
        for name, bar in bars.items():
            share = float(sizes.get(name, 0.0)) / total
            bar.set_x(left)
            bar.set_width(share)
            texts[name].set_x(left + share / 2)
            texts[name].set_text(f"{share:.0%}" if share > 0.03 else "")
            amounts[name].set_text(f"{name} {_size(share * total)}")
            left += share
        shown = _size(total)
        headline.set_text(f"{shown} at the peak")
        largest = str(sizes.idxmax())
        return f"{shown} at the peak; the largest part is {largest}, {sizes[largest] / total:.0%}."

    return update
