"""The activation explorer: a curve and its slope, with its inputs and outputs in a model."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from course_lib.chapters.ch03_gating.pictures import ACTIVATION_COLOURS, NAMES
from course_lib.show.controls import Choice, Slider
from course_lib.show.interactive import Explorer, explorer
from course_lib.show.look import INK, NOTE_SIZE, PALETTE

# The gate function of each gated unit.
_CURVE_OF = {"glu": "sigmoid", "reglu": "relu", "geglu": "gelu", "swiglu": "silu"}


def activation_explorer(
    curves: pd.DataFrame,
    histograms: pd.DataFrame,
    *,
    title: str = "What an activation does to its inputs",
) -> Explorer:
    """Curve and slope of an activation over its inputs in a model (left), and the resulting hidden values (right).

    Args:
        curves: Columns activation (plain activations, and the gates of gated ones), z, value, slope.
        histograms: Columns activation, when, layer, what ("input" or "hidden"), x (middles of equal bins), share.
            Hidden values are in units of their root mean square.
        title: Title of the figure.

    Raises:
        ValueError: A curve is missing for an activation with histograms.
    """
    names = list(dict.fromkeys(histograms["activation"]))
    known = set(curves["activation"])
    missing = [name for name in names if _CURVE_OF.get(name, name) not in known]
    if missing:
        raise ValueError(f"curves are missing for {missing}; there are {sorted(known)}")
    layers = sorted(set(histograms["layer"]))
    states = list(dict.fromkeys(histograms["when"]))
    return explorer(
        _Drawing(curves, histograms),
        title=title,
        size=(9.6, 4.3),
        activation=Choice("activation", {NAMES[name]: name for name in names}),
        when=Choice("when", states, start=states[-1]),
        layer=Slider("layer", layers, start=layers[-1]),
        z=Slider("input z", min=-4.0, max=4.0, step=0.1, start=1.0),
    )


class _Drawing:
    """Draws two panels, with the distribution of inputs below the curve."""

    def __init__(self, curves: pd.DataFrame, histograms: pd.DataFrame) -> None:
        self._curves = dict(iter(curves.groupby("activation")))
        self._histograms = dict(iter(histograms.groupby(["activation", "when", "layer", "what"])))

    def __call__(self, figure: Figure) -> Callable[..., str]:
        left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
        left.set(xlim=(-4, 4), ylim=(-2.1, 4), xlabel="input z", ylabel="value f(z) and slope f′(z)")
        right.set(xlim=(-3, 6), ylim=(1e-4, 1.5), yscale="log", xlabel="hidden value / root mean square")
        right.set_ylabel("share of the values")
        left.axhline(0, color=PALETTE["grey"], linewidth=0.8)
        (self._inputs,) = left.plot([], [], color=PALETTE["grey"], linewidth=1)
        self._fill = left.fill_between([], [], color=PALETTE["grey"], alpha=0.3, linewidth=0)
        (self._slope,) = left.plot([], [], linewidth=1.2, linestyle=(0, (4, 2)))
        (self._curve,) = left.plot([], [], linewidth=2.4)
        (self._tangent,) = left.plot([], [], color=INK, linewidth=1)
        (self._dot,) = left.plot([], [], "o", color=INK, markersize=6)
        self._note = left.text(0.03, 0.96, "", transform=left.transAxes, va="top", linespacing=1.5)
        below = {"ha": "center", "va": "top", "color": PALETTE["grey"], "fontsize": NOTE_SIZE}
        left.text(0, -1.65, "grey: the model's inputs", **below)
        (self._hidden,) = right.plot([], [], drawstyle="steps-mid")
        self._share = right.text(
            0.97, 0.96, "", transform=right.transAxes, ha="right", va="top", linespacing=1.5
        )
        return self._update

    def _update(self, activation: str, when: str, layer: int, z: float) -> str:
        curve = self._curves[_CURVE_OF.get(activation, activation)]
        colour = ACTIVATION_COLOURS[activation]
        for line, column in ((self._curve, "value"), (self._slope, "slope")):
            line.set_data(curve["z"], curve[column])
            line.set_color(colour)
        value, slope = (float(np.interp(z, curve["z"], curve[column])) for column in ("value", "slope"))
        ends = np.array([z - 0.8, z + 0.8])
        self._tangent.set_data(ends, value + slope * (ends - z))
        self._dot.set_data([z], [value])
        self._note.set_text(
            f"{NAMES[activation]}\nf({z:.1f}) = {value:.2f}\nf′({z:.1f}) = {slope:.2f} (dashed)"
        )

        inputs = self._histograms[activation, when, layer, "input"]
        heights = -1.6 + 1.3 * (inputs["share"] / inputs["share"].max()).to_numpy()
        self._inputs.set_data(inputs["x"], heights)
        self._fill.set_data(inputs["x"], heights, -1.6)
        passed = self._passed(inputs, curve)

        hidden = self._histograms[activation, when, layer, "hidden"]
        self._hidden.set_data(hidden["x"], hidden["share"].clip(lower=1e-9))
        self._hidden.set_color(colour)
        step = float(hidden["x"].iloc[1] - hidden["x"].iloc[0])
        small = float(hidden.loc[hidden["x"].abs() < 0.1 + step / 2, "share"].sum())
        self._share.set_text(f"layer {layer}, {when}\n{small:.0%} near 0")
        gate = " (the curve is its gate)" if activation in _CURVE_OF else ""
        return (
            f"{NAMES[activation]}{gate} at z = {z:.1f}: value {value:.2f}, slope {slope:.2f}. Layer {layer}, {when}: "
            f"the mean squared slope over the inputs is {passed:.2f}, and {small:.0%} of the hidden values are near 0."
        )

    @staticmethod
    def _passed(inputs: pd.DataFrame, curve: pd.DataFrame) -> float:
        slopes = np.interp(inputs["x"], curve["z"], curve["slope"])
        return float((slopes**2 * inputs["share"]).sum() / inputs["share"].sum())
