"""The gradient-norm explorer: the norm of the gradient in every layer of a network."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from course_lib.show.controls import Choice, Slider
from course_lib.show.interactive import Explorer, explorer
from course_lib.show.look import NOTE_SIZE, PALETTE

Measure = Callable[..., pd.DataFrame]
PLACEMENT_COLOURS = {
    "post": PALETTE["orange"],
    "pre": PALETTE["blue"],
    "deepnorm": PALETTE["green"],
    "double": PALETTE["violet"],
    "branch": PALETTE["pink"],
    "none": PALETTE["grey"],
}
"""The same placement has the same colour in every picture of the course."""

_LIMITS = (1e-10, 1e10)
"""Norms outside are drawn at the edge."""

_DECADES = 2  # at least, so that an even profile looks even


def gradient_norm_explorer(
    measure: Measure,
    *,
    placements: Sequence[str] = tuple(PLACEMENT_COLOURS),
    depths: Sequence[int] = (2, 4, 8, 16, 32),
    widths: Sequence[int] = (32, 64, 128),
    gains: Sequence[float] = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0),
    states: Sequence[str] = ("at initialization",),
    title: str = "How much gradient reaches each layer?",
) -> Explorer:
    """Gradient norm of every layer, for any placement of the norms, depth, width and gain of the initialization.

    Args:
        measure: Called as ``measure(placement, depth, width, gain, when)`` once the controls rest; returns a frame
            with the columns layer and gradient_norm.
        placements: Choices of the first menu; "pre" is also drawn beside each of the others, for comparison.
        depths: Numbers of layers.
        widths: Widths d.
        gains: Factors by which the standard deviation of the initial matrices is multiplied.
        states: Menu entries for when to measure; passed to ``measure``.
        title: Title of the figure.
    """

    def compute(
        placement: str, depth: int, width: int, gain: float, when: str
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        return measure(placement, depth, width, gain, when), measure("pre", depth, width, gain, when)

    return explorer(
        _Drawing(),
        title=title,
        compute=compute,
        size=(7.6, 4.2),
        placement=Choice("placement", list(placements)),
        when=Choice("when", list(states)),
        depth=Slider("layers L", depths, start=depths[-2]),
        width=Slider("width d", widths, start=widths[len(widths) // 2]),
        gain=Slider("gain of the initialization", gains, start=1.0),
    )


class _Drawing:
    """Draws two curves over the layers, and a note that sums them up."""

    def __call__(self, figure: Figure) -> Callable[..., str]:
        axes = self._axes = figure.subplots()
        axes.set(yscale="log", xlabel="layer", ylabel="gradient norm of the layer")
        (self._reference,) = axes.plot([], [], "o-", color=PALETTE["grey"], markersize=3, linewidth=1)
        (self._curve,) = axes.plot([], [], "o-", markersize=5)
        place: dict[str, Any] = {"transform": axes.transAxes, "va": "bottom"}
        self._note = axes.text(0, 1.02, "", ha="left", **place)
        grey: dict[str, Any] = {"color": PALETTE["grey"], "fontsize": NOTE_SIZE}
        axes.text(1, 1.02, "thin grey: pre-norm, all else equal", ha="right", **place, **grey)
        return self._update

    def _update(
        self,
        result: tuple[pd.DataFrame, pd.DataFrame],
        placement: str,
        depth: int,
        width: int,
        gain: float,
        when: str,
    ) -> str:
        chosen, reference = result
        self._axes.set_xlim(0.5 - depth / 40, depth + 0.5 + depth / 40)
        limits = _decades(pd.concat([chosen, reference])["gradient_norm"])
        self._axes.set_ylim(limits)
        for curve, frame in ((self._reference, reference), (self._curve, chosen)):
            # Norms that overflow or vanish stay visible at the edge.
            norms = frame["gradient_norm"].replace(np.inf, np.nan).fillna(limits[1])
            curve.set_data(frame["layer"], norms.clip(*limits))
        self._curve.set_color(PLACEMENT_COLOURS[placement])
        self._reference.set_visible(placement != "pre")
        first, last = chosen["gradient_norm"].iloc[[0, -1]]
        if np.isfinite(chosen["gradient_norm"]).all():
            ratio = f"first layer / last layer: {first / last:.2g}" if last else "no gradient at all"
            total = f"all layers together: {np.sqrt((chosen['gradient_norm'] ** 2).sum()):.2g}"
        else:
            ratio, total = "the gradient overflows", ""
        self._note.set_text(f"{placement}, L = {depth}, d = {width}, gain {gain:g}, {when}\n{ratio}")
        return f"{placement}, {depth} layers of width {width}, gain {gain:g}, {when}: {ratio}; {total}."


def _decades(norms: "pd.Series[float]") -> tuple[float, float]:
    """Whole decades that hold all finite positive norms, at least two of them."""
    visible = norms[np.isfinite(norms) & (norms > 0)].clip(*_LIMITS)
    if visible.empty:
        return (0.1, 10.0)
    low, high = np.floor(np.log10(visible.min())), np.ceil(np.log10(visible.max()))
    return 10.0 ** min(low, high - _DECADES), 10.0**high
