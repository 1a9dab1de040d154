"""Explorers of chapter 5: the cache's memory, speed and capacity, and the attention patterns of a trained model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from course_lib.accounting import KNOWN_MODELS, kv_cache_bytes
from course_lib.chapters.ch05_attention.pictures import KIND_COLOURS
from course_lib.show.controls import Choice, Slider
from course_lib.show.interactive import Explorer, explorer
from course_lib.show.look import INK, LABEL_BOX, NOTE_SIZE, PALETTE, REFERENCE, spread

_MODELS = ("Llama 3 8B", "LLaMA 7B", "LLaMA 13B", "LLaMA 65B", "Llama 2 70B")
_CONTEXTS = tuple(2**power for power in range(10, 21))
_PUBLISHED = "published"
_GROUPS = (_PUBLISHED, 1, 2, 4, 8)
Pattern = tuple[Sequence[str], NDArray[np.float32]]
"""T tokens, and attention weights of shape (layers, heads, T, T)."""


def _setting(axes: Axes) -> Text:
    """A line above the picture for the values of the controls, which a page without a kernel does not show."""
    return axes.text(0.0, 1.02, "", transform=axes.transAxes, fontsize=NOTE_SIZE)


# --- memory -----------------------------------------------------------------------------------------------------------


def kv_calculator() -> Explorer:
    """Memory of the KV cache against the context, for published shapes and any grouping, batch size and number format.

    Lines: one key and value head per query head (MHA), the chosen grouping, one for all (MQA), and the weights.
    """
    return explorer(
        _Memory(),
        title="Memory of the KV cache",
        size=(8.2, 4.4),
        model=Choice("shape of", _MODELS),
        group=Slider("query heads / KV heads", _GROUPS),
        context=Slider("tokens per sequence", _CONTEXTS, start=8192),
        batch=Slider("sequences", [2**power for power in range(9)], start=8),
        bits=Slider("bits per number", [4, 8, 16, 32], start=16),
        device=Choice("available memory", {"24 GB": 24, "80 GB": 80, "192 GB": 192}, start=80),
    )


class _Memory:
    """Draws the cache's memory against the context, with the weights and the available memory as horizontal lines."""

    def __call__(self, figure: Figure) -> Callable[..., str]:
        axes = figure.subplots()
        axes.set(xscale="log", xlim=(_CONTEXTS[0], _CONTEXTS[-1] * 6), xlabel="tokens per sequence")
        axes.set(yscale="log", ylim=(2e-3, 3e6), ylabel="memory (GB)")
        axes.set_xticks(_CONTEXTS[::2])
        axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _place: f"{size / 1024:,.0f}k"))
        axes.yaxis.set_major_formatter("{x:,.12g}")
        axes.minorticks_off()
        colours = {"MHA": PALETTE["orange"], "chosen": PALETTE["blue"], "MQA": PALETTE["green"]}
        self._lines = {name: axes.plot([], [], color=colour)[0] for name, colour in colours.items()}
        self._lines["chosen"].set_linewidth(2.6)
        self._names = {
            name: axes.text(0, 0, name, color=colour, fontsize=NOTE_SIZE, va="center", bbox=LABEL_BOX)
            for name, colour in colours.items()
        }
        self._weights = axes.axhline(1, color=PALETTE["grey"], lw=1.2)
        self._limit = axes.axhline(1, **REFERENCE)
        self._notes = [
            axes.text(_CONTEXTS[0] * 1.08, 1, "", fontsize=NOTE_SIZE, color=c, bbox=LABEL_BOX)
            for c in (PALETTE["grey"], INK)
        ]
        (self._dot,) = axes.plot([], [], "o", color=INK, markersize=8, zorder=4)
        self._value = axes.annotate(
            "", (1, 1), xytext=(8, -13), textcoords="offset points", weight="bold", zorder=5, bbox=LABEL_BOX
        )
        self._setting = _setting(axes)
        return self._update

    def _update(self, model: str, group: int | str, context: int, batch: int, bits: int, device: int) -> str:
        known = KNOWN_MODELS[model]
        kept = known.config.kv_heads if isinstance(group, str) else known.config.num_heads // group

        def gigabytes(heads: int, length: int) -> float:
            shape = replace(known.config, num_kv_heads=heads, context_length=length)
            return kv_cache_bytes(shape, batch, dtype="bfloat16") * bits / 16 / 1e9

        heads = known.config.num_heads
        for name, number in (("MHA", heads), ("chosen", kept), ("MQA", 1)):
            sizes = [gigabytes(number, length) for length in _CONTEXTS]
            self._lines[name].set_data(_CONTEXTS, sizes)
            self._names[name].set_position((_CONTEXTS[-1] * 1.3, sizes[-1]))
        self._names["chosen"].set_text("" if kept == heads else f"{kept} KV heads")
        here, held = gigabytes(kept, context), 2 * known.published / 1e9
        self._mark_levels(held, device)
        self._dot.set_data([context], [here])
        self._value.xy = (context, here)
        self._value.set_text(f"{here:,.1f} GB")
        self._setting.set_text(f"{model}, {batch} sequences of {context:,} tokens, {bits} bits per number")
        fits = batch * (device - held) / here
        rest = f"{fits:,.1f} such sequences fit" if fits > 0 else "the weights alone do not fit"
        return (
            f"{model}, {kept} KV heads for {heads} query heads, {batch} sequences of {context:,} tokens: "
            f"the cache takes {here:,.2f} GB beside {held:,.1f} GB of weights; {rest} into {device} GB."
        )

    def _mark_levels(self, held: float, device: float) -> None:
        self._weights.set_ydata([held, held])
        self._limit.set_ydata([device, device])
        texts = (f"weights, 16 bits: {held:,.0f} GB", f"{device} GB available")
        for note, height, other, text in zip(self._notes, (held, device), (device, held), texts, strict=True):
            above = height >= other  # away from the other note
            note.set(y=height * (1.15 if above else 1 / 1.15), va="bottom" if above else "top", text=text)


# --- speed and capacity -----------------------------------------------------------------------------------------------


def capacity_explorer(roofline: Callable[..., pd.DataFrame], devices: Mapping[str, Any]) -> Explorer:
    """Tokens per second against the batch, up to the one that fills the memory, for four ways to keep the past.

    ``roofline``: called as ``roofline(config, device, length=…)``; returns the columns kind, batch, tokens_per_second
    and limit. ``devices``: by the name of the menu.
    """
    return explorer(
        _Capacity(roofline, devices),
        title="Speed and capacity",
        size=(8.2, 4.4),
        model=Choice("shape of", _MODELS),
        context=Slider("tokens per sequence", _CONTEXTS[:8], start=4096),
        device=Choice("processor", list(devices)),
    )


class _Capacity:
    """Draws a line per kind that ends where the memory is full."""

    def __init__(self, roofline: Callable[..., pd.DataFrame], devices: Mapping[str, Any]) -> None:
        self._roofline, self._devices = roofline, devices

    def __call__(self, figure: Figure) -> Callable[..., str]:
        axes = figure.subplots()
        axes.set(xscale="log", xlim=(0.9, 5e4), xlabel="sequences in the batch")
        axes.set(yscale="log", ylim=(8, 1e6), ylabel="tokens per second")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:,.0f}")
        axes.minorticks_off()
        self._lines, self._busy, self._dots, self._names = {}, {}, {}, {}
        for kind, colour in KIND_COLOURS.items():
            (self._lines[kind],) = axes.plot([], [], color=colour)
            (self._busy[kind],) = axes.plot([], [], color=colour, lw=6, alpha=0.35)
            (self._dots[kind],) = axes.plot([], [], "o", color=colour, markersize=8)
            self._names[kind] = axes.annotate(
                "",
                (1, 1),
                xytext=(9, 0),
                textcoords="offset points",
                va="center",
                color=colour,
                bbox=LABEL_BOX,
            )
        self._note = axes.text(
            0.5, 0.5, "", transform=axes.transAxes, ha="center", va="center", fontsize=NOTE_SIZE
        )
        self._setting = _setting(axes)
        self._height = 1.2 * NOTE_SIZE * figure.dpi / 72
        self._axes = axes
        return self._update

    def _update(self, model: str, context: int, device: str) -> str:
        found = self._roofline(KNOWN_MODELS[model].config, self._devices[device], length=context)
        said = []
        for kind in KIND_COLOURS:
            rows = found[found["kind"] == kind]
            busy = rows[rows["limit"] == "arithmetic"]
            self._lines[kind].set_data(rows["batch"], rows["tokens_per_second"])
            self._busy[kind].set_data(busy["batch"], busy["tokens_per_second"])
            self._dots[kind].set_data(rows["batch"].tail(1), rows["tokens_per_second"].tail(1))
            self._names[kind].set_text("")
            if len(rows):
                last = rows.iloc[-1]
                self._names[kind].xy = (last["batch"], last["tokens_per_second"])
                self._names[kind].set_text(f"{kind}, {last['batch']:,}")
                said.append(f"{kind} {last['tokens_per_second']:,.0f} with {last['batch']:,}")
        self._keep_apart()
        self._setting.set_text(f"{model} on {device}; {context:,} tokens per sequence")
        fit = "; ".join(said) if said else "nothing: the weights do not fit beside one sequence"
        self._note.set_text("" if said else "The weights do not fit beside one sequence.")
        return f"{model} on {device}, {context:,} tokens per sequence. Tokens per second when memory is full: {fit}."

    def _keep_apart(self) -> None:
        """Move names of neighbouring dots apart."""
        shown = [name for name in self._names.values() if name.get_text()]
        heights = {name: float(self._axes.transData.transform(name.xy)[1]) for name in shown}
        ordered = sorted(shown, key=heights.__getitem__)
        to_points = 72 / self._axes.figure.dpi
        for name, place in zip(ordered, spread([heights[n] for n in ordered], self._height), strict=True):
            name.set_position((9, (place - heights[name]) * to_points))


# --- patterns ---------------------------------------------------------------------------------------------------------


def pattern_viewer(patterns: Mapping[str, Pattern], *, distances: int = 24) -> Explorer:
    """The attention weights of a trained model, for any text, layer, head and query.

    Left: all weights of a head. Right: mean weight by distance, over all queries. Below: the text, shaded by the
    weights of the chosen query. ``patterns``: by the name of the text, all of the same shape.

    Raises ValueError if there are no patterns, or their shapes differ.
    """
    shapes = {weights.shape for _, weights in patterns.values()}
    if len(shapes) != 1:
        raise ValueError(
            f"patterns must have weights of one shape (layers, heads, T, T), not {sorted(shapes)}"
        )
    layers, heads, length, _ = next(iter(shapes))
    return explorer(
        _Patterns(patterns, distances),
        title="Attention of a trained model",
        size=(8.2, 6.2),
        text=Choice("text", list(patterns)),
        query=Slider("query (position)", min=1, max=length - 1, start=2 * length // 3),
        layer=Slider("layer", range(layers), start=layers - 1),
        head=Slider("head", range(heads)),
    )


class _Patterns:
    """Draws the three panels of the pattern viewer."""

    def __init__(self, patterns: Mapping[str, Pattern], distances: int) -> None:
        self._patterns = patterns
        self._distances = distances

    def __call__(self, figure: Figure) -> Callable[..., str]:
        length = next(iter(self._patterns.values()))[1].shape[-1]
        grid = figure.add_gridspec(2, 2, height_ratios=(10, 1), width_ratios=(1.25, 1))
        whole, near = (figure.add_subplot(grid[0, i]) for i in range(2))
        strip = figure.add_subplot(grid[1, :])
        norm = PowerNorm(0.5, 0, 1)
        blank = np.zeros((length, length))
        self._image = whole.imshow(blank, cmap="Blues", norm=norm, interpolation="nearest")
        whole.set(xlabel="key (position)", ylabel="query (position)")
        self._row = Rectangle((-0.5, 0), length, 1, fill=False, edgecolor=PALETTE["orange"], lw=1.2)
        whole.add_patch(self._row)
        self._bars = near.bar(
            range(self._distances), [0.0] * self._distances, color=PALETTE["blue"], width=0.8
        )
        near.set(ylim=(0, 1), xlabel="distance (tokens back)", ylabel="mean weight")
        self._note = near.text(
            0.97, 0.96, "", transform=near.transAxes, ha="right", va="top", linespacing=1.4
        )
        self._shade = strip.imshow(
            blank[:1], cmap="Blues", norm=norm, aspect="auto", extent=(-0.5, length - 0.5, 0, 1)
        )
        self._letters = [
            strip.text(i, 0.45, "", ha="center", va="center", family="monospace", fontsize=9)
            for i in range(length)
        ]
        self._box = Rectangle((0, 0), 1, 1, fill=False, edgecolor=PALETTE["orange"], lw=2)
        strip.add_patch(self._box)
        strip.set_axis_off()
        for axes in (whole, strip):
            axes.grid(visible=False)
        return self._update

    def _update(self, text: str, query: int, layer: int, head: int) -> str:
        tokens, all_weights = self._patterns[text]
        weights = all_weights[layer, head]  # (T, T)
        self._image.set_data(weights)
        self._row.set_y(query - 0.5)
        by_distance = [float(np.mean(np.diagonal(weights, -distance))) for distance in range(self._distances)]
        for bar, height in zip(self._bars, by_distance, strict=True):
            bar.set_height(height)
        row = weights[query]
        self._shade.set_data(np.where(np.arange(len(row)) <= query, row, 0.0)[np.newaxis])
        for place, (letter, token) in enumerate(zip(self._letters, tokens, strict=True)):
            letter.set_text({" ": "·", "\n": "↵"}.get(token, token))
            letter.set_color("white" if row[place] > 0.35 else INK if place <= query else "#B9B7AF")
        self._box.set_x(query - 0.5)
        entropy = float(-(row[row > 0] * np.log(row[row > 0])).sum())
        most = int(row.argmax())
        self._note.set_text(
            f"layer {layer}, head {head}\nquery {query} spreads over\n{np.exp(entropy):.1f} tokens"
        )
        return (
            f"Layer {layer}, head {head}: the query {tokens[query]!r} at {query} looks most ({row[most]:.0%}) at "
            f"{tokens[most]!r}, {query - most} back; its weights spread over {np.exp(entropy):.1f} tokens."
        )
