"""What a reader of chapter 10 can move: the size of a batch, and the shape of a model in memory."""

from collections.abc import Callable
from functools import partial

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from course_lib.show.controls import Slider, Toggle
from course_lib.show.interactive import Explorer, explorer
from course_lib.show.memmap import PART_COLOURS, WAYS

Parts = Callable[..., pd.Series]
"""From d_model, num_layers, batch, context_length, vocab_size and loss_chunk to megabytes by part."""


def loader_explorer(results: pd.DataFrame) -> Explorer:
    """Time to make a batch in each way, for measured sizes. Columns: way, batch, context, microseconds."""
    medians = results.groupby(["batch", "context", "way"])["microseconds"].median()
    batches, contexts = sorted(results["batch"].unique()), sorted(results["context"].unique())
    return explorer(
        partial(_draw_loaders, medians),
        title="How long does a batch take?",
        size=(8.0, 3.2),
        batch=Slider("windows in a batch", [int(b) for b in batches], start=int(batches[len(batches) // 2])),
        context=Slider(
            "tokens in a window", [int(c) for c in contexts], start=int(contexts[len(contexts) // 2])
        ),
    )


def _draw_loaders(medians: pd.Series, figure: Figure) -> Callable[..., str]:
    axes = figure.subplots()
    names = list(reversed(WAYS))
    low = float(medians.min()) / 1.6
    bars = axes.barh(names, [1.0] * len(names), left=low, color=[WAYS[name] for name in names], height=0.6)
    axes.set(xscale="log", xlim=(low, float(medians.max()) * 8), xlabel="CPU microseconds a batch")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:,.0f}"))
    axes.grid(visible=False, axis="y")
    texts = [axes.text(low, place, "", va="center", fontsize=9) for place in range(len(names))]

    def update(batch: int, context: int) -> str:
        times = medians.loc[(batch, context)]
        for name, bar, text in zip(names, bars, texts, strict=True):
            bar.set_width(float(times[name]) - low)
            rate = batch * context / float(times[name])
            text.set_text(f"{times[name]:,.0f}  ({rate:,.0f} million tokens/s)")
            text.set_x(float(times[name]) * 1.08)
        best = times.idxmin()
        return f"{batch} windows of {context} tokens: {best} is fastest, {times[best]:,.0f} microseconds."

    return update


def step_memory_explorer(parts: Parts) -> Explorer:
    """The peak of a training step by part, for any shape of the model; ``parts`` computes it."""
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
    axes.set(xlim=(0, 1), ylim=(-0.75, 0.9), xlabel="share of the peak", yticks=[])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:.0%}"))
    axes.grid(visible=False)
    bars = {name: axes.barh(0, 0, color=colour, height=0.6)[0] for name, colour in PART_COLOURS.items()}
    texts = {
        name: axes.text(0, 0, "", ha="center", va="center", fontsize=9, color="white")
        for name in PART_COLOURS
    }
    headline = axes.text(0.0, 0.62, "", fontsize=11)

    def update(width: int, layers: int, batch: int, context: int, vocabulary: int, chunked: bool) -> str:
        sizes = parts(
            d_model=width, num_layers=layers, batch=batch, context_length=context, vocab_size=vocabulary,
            loss_chunk=256 if chunked else None,
        )  # fmt: skip
        total, left = float(sizes.sum()), 0.0
        for name, bar in bars.items():
            share = float(sizes.get(name, 0.0)) / total
            bar.set_x(left)
            bar.set_width(share)
            texts[name].set_x(left + share / 2)
            texts[name].set_text(f"{name}\n{share:.0%}" if share > 0.09 else "")
            left += share
        shown = f"{total / 1e3:,.1f} GB" if total >= 1e3 else f"{total:,.0f} MB"
        headline.set_text(f"{shown} at the peak")
        largest = str(sizes.idxmax())
        return f"{shown} at the peak; the largest part is {largest}, {sizes[largest] / total:.0%}."

    return update
