"""The compression-ratio explorer: benefits and costs of a larger vocabulary."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from course_lib.show.controls import Choice, Slider, Toggle
from course_lib.show.interactive import Explorer, explorer
from course_lib.show.look import INK, LABEL_BOX, NOTE_SIZE, PALETTE, REFERENCE, spread

COLUMNS = ("tokenizer", "corpus", "vocab_size", "bytes", "tokens")
"""The columns that ``compression_explorer`` needs; one row per measurement."""

WIDTHS = (64, 128, 256, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192)
_ASPECT = 64  # d_model / layers
_FADED = 0.35
_LOW = 18  # per cent: a note below such a point would stand on the axis
_NEAR = 3  # points nearer than this factor have no room for their names between them


def compression_explorer(
    results: pd.DataFrame, *, title: str = "What a larger vocabulary buys, and what it costs"
) -> Explorer:
    """Compression ratio and embedding share against vocabulary size, for any corpus and model width.

    ``results``: a tidy data frame with the columns ``tokenizer``, ``corpus``, ``vocab_size``, ``bytes`` (UTF-8 bytes of
    the corpus) and ``tokens``. A tokenizer measured at several vocabulary sizes becomes a curve, one with a single size
    a labelled point. Upper panel: bytes per token, more is better. Lower panel: the share of the parameters that the
    embedding and the output head take in a decoder of the chosen width d with d/64 layers of 12 d² parameters each.

    Raises ValueError if a column is missing or no tokenizer was measured at several sizes.
    """
    missing = [name for name in COLUMNS if name not in results]
    if missing:
        raise ValueError(f"results lack the columns {missing}; needed are {list(COLUMNS)}")
    data = results.assign(ratio=results["bytes"] / results["tokens"]).sort_values("vocab_size")
    sizes = data.groupby("tokenizer", sort=False)["vocab_size"].nunique()
    curves = list(sizes[sizes > 1].index)
    if not curves:
        raise ValueError(
            "results contain no tokenizer measured at several vocabulary sizes, so there is no curve to draw"
        )
    stops = sorted({int(size) for size in data.loc[data["tokenizer"].isin(curves), "vocab_size"]})
    return explorer(
        _Drawing(data, curves),
        title=title,
        size=(7.6, 4.4),
        corpus=Choice("corpus", list(dict.fromkeys(results["corpus"]))),
        tokenizer=Choice("tokenizer", curves),
        vocab_size=Slider("vocabulary size", stops, start=stops[len(stops) // 2]),
        d_model=Slider("model width d", WIDTHS, start=512),
        tied=Toggle("tie embedding and output head"),
    )


def embedding_share(vocab_size: Any, d_model: int, *, tied: bool) -> Any:
    """Share of a decoder's parameters in embedding and output head, with d/64 layers (at least one) of 12 d² each."""
    tables = (1 if tied else 2) * np.asarray(vocab_size) * d_model
    layers = max(1, round(d_model / _ASPECT))
    return tables / (tables + layers * 12 * d_model**2)


class _Drawing:
    """Draws the two panels."""

    def __init__(self, data: pd.DataFrame, curves: list[str]) -> None:
        self._data = data
        self._curve_names = curves
        self._point_names = [name for name in dict.fromkeys(data["tokenizer"]) if name not in curves]
        self._colours = dict(zip(curves, list(PALETTE.values()) * len(curves), strict=False))

    def __call__(self, figure: Figure) -> Callable[..., str]:
        self._upper, self._lower = figure.subplots(2, 1, sharex=True, height_ratios=(1.5, 1))
        self._build_axes()
        upper, lower = self._upper, self._lower
        self._curves = {n: upper.plot([], [], color=c)[0] for n, c in self._colours.items()}
        self._points = {
            n: upper.plot([], [], "D", color=PALETTE["grey"], markersize=5)[0] for n in self._point_names
        }
        self._names = {n: upper.text(0, 0, n, fontsize=NOTE_SIZE, color=c) for n, c in self._colours.items()}
        self._names |= {
            n: upper.text(0, 0, n, fontsize=NOTE_SIZE, color=PALETTE["grey"]) for n in self._point_names
        }
        self._leaders = {
            n: upper.plot([], [], color=PALETTE["grey"], linewidth=0.6)[0] for n in self._point_names
        }
        (self._share,) = lower.plot([], [], color=PALETTE["grey"])
        self._markers = [axes.axvline(1, **REFERENCE) for axes in (upper, lower)]
        self._dots = [axes.plot([], [], "o", color=INK, markersize=7, zorder=4)[0] for axes in (upper, lower)]
        self._notes = [
            axes.annotate(
                "",
                (1, 1),
                xytext=(8, -11),
                textcoords="offset points",
                va="center",
                bbox=LABEL_BOX,
                zorder=5,
                weight="bold",
            )
            for axes in (upper, lower)
        ]
        return self._update

    def _build_axes(self) -> None:
        sizes = self._data["vocab_size"]
        low, high = float(sizes.min()), float(sizes.max())
        self._grid = np.geomspace(low, high, 200)
        upper, lower = self._upper, self._lower
        upper.set(
            xscale="log",
            xlim=(low / 1.15, high * (high / low) ** (0.22 if self._point_names else 0.12)),
            ylim=(0, float(self._data["ratio"].max()) * 1.18),
            ylabel="compression\n(bytes/token)",
        )
        ticks = [2.0**power for power in range(int(np.ceil(np.log2(low))), int(np.log2(high)) + 1)]
        upper.xaxis.set_major_locator(NullLocator())
        lower.set_xticks(ticks[:: 1 + len(ticks) // 9])
        lower.xaxis.set_major_formatter("{x:,.0f}")
        lower.xaxis.set_minor_locator(NullLocator())
        lower.set(
            ylim=(0, 100), xlabel="vocabulary size (tokens)", ylabel="embedding share\n(% of parameters)"
        )

    def _update(self, corpus: str, tokenizer: str, vocab_size: int, d_model: int, tied: bool) -> str:
        here = self._data[self._data["corpus"] == corpus]
        for name, curve in self._curves.items():
            rows = here[here["tokenizer"] == name]
            curve.set_data(rows["vocab_size"], rows["ratio"])
            curve.set(alpha=1 if name == tokenizer else _FADED, linewidth=2.4 if name == tokenizer else 1.5)
            self._names[name].set_weight("bold" if name == tokenizer else "normal")
        for name, point in self._points.items():
            rows = here[here["tokenizer"] == name]
            point.set_data(rows["vocab_size"], rows["ratio"])
        self._place_names(here)
        chosen = here[here["tokenizer"] == tokenizer]
        ratio = float("nan")
        if len(chosen):
            ratio = float(np.interp(vocab_size, chosen["vocab_size"], chosen["ratio"]))
        share = 100 * float(embedding_share(vocab_size, d_model, tied=tied))
        self._share.set_data(self._grid, 100 * embedding_share(self._grid, d_model, tied=tied))
        # Behind the ends of the curves stand their names, below the lower axis its numbers.
        at_end = len(chosen) > 0 and vocab_size >= chosen["vocab_size"].max()
        self._mark(0, vocab_size, ratio, f"{ratio:.2f}", right=not at_end)
        percent = f"{share:.0f}" if share >= 1 else f"{share:.1g}"
        self._mark(1, vocab_size, share, f"{percent} % (d = {d_model:,})", above=share < _LOW)
        return (
            f"{tokenizer} with {vocab_size:,} tokens on {corpus}: {ratio:.2f} bytes per token; embedding and head "
            f"take {percent} % of a model of width {d_model}{' with tied embeddings' if tied else ''}."
        )

    def _place_names(self, here: pd.DataFrame) -> None:
        """Name curves behind their ends, near points in a column behind the last one, and other points beside them."""
        ends = here.groupby("tokenizer", sort=False).last()
        height = self._upper.get_ylim()[1]
        sizes = ends["vocab_size"]
        points = [name for name in self._points if name in ends.index]
        largest = max((sizes[name] for name in points), default=0)
        near = [name for name in points if sizes[name] * _NEAR > largest]
        for name in set(points) - set(near):
            self._names[name].set(position=(1.12 * sizes[name], ends["ratio"][name]), ha="left", va="center")
        groups = (([name for name in self._curves if name in ends.index], 1.1), (near, 1.25))
        for names, gap in groups:
            names = sorted(names, key=lambda name: ends["ratio"][name])
            column = gap * max((sizes[name] for name in names), default=1)
            values = [float(ends["ratio"][name]) for name in names]
            for name, place in zip(names, spread(values, 0.08 * height), strict=True):
                self._names[name].set(position=(column, place), ha="left", va="center")
                if name in self._leaders:
                    self._leaders[name].set_data([sizes[name], column / 1.03], [ends["ratio"][name], place])
        for name, label in self._names.items():
            label.set_visible(name in ends.index)
        for name, leader in self._leaders.items():
            leader.set_visible(name in near)

    def _mark(
        self, panel: int, x: float, y: float, text: str, *, right: bool = True, above: bool = False
    ) -> None:
        self._markers[panel].set_xdata([x, x])
        self._dots[panel].set_data([x], [y])
        note = self._notes[panel]
        note.xy = (x, y)
        note.set(text=text, ha="left" if right else "right")
        note.set_position((8 if right else -8, 12 if above else -11))
