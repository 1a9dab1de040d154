"""Chapter 8: what the Newton-Schulz iteration does to singular values, to be stepped through."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from course_lib.show.controls import Choice, Slider
from course_lib.show.interactive import Explorer, explorer
from course_lib.show.look import PALETTE, Picture, direct_labels, figure

Triple = tuple[float, float, float]
Apply = Callable[[NDArray[np.float64], Sequence[Triple]], NDArray[np.float64]]

COLOURS = {"cubic": PALETTE["orange"], "Jordan": PALETTE["blue"], "Polar Express": PALETTE["green"]}
"""Colours of the designs, by name."""
_OWN = "a, b, c as set"
_LARGEST = 1e3  # what diverges is drawn at the edge


def error_by_step(results: pd.DataFrame, *, lower: float) -> Picture:
    """The largest |1 - σ| after each step, a line a design. Columns: method, step, error."""
    picture, axes = figure(size=(7.6, 3.5))
    for name, rows in results.groupby("method", sort=False):
        axes.plot(rows["step"], rows["error"], "o-", color=COLOURS[str(name)], label=str(name))
    last = int(results["step"].max())
    axes.set(yscale="log", xlabel="Newton-Schulz steps", ylabel="largest |1 − σ|", xlim=(0, last * 1.22))
    axes.set_xticks(range(last + 1))
    picture.canvas.draw()
    direct_labels(axes)
    ends = results[results["step"] == last].set_index("method")["error"]
    return Picture(
        picture,
        caption=f"Over all singular values from {lower:g} to 1, how far the worst one is from 1.",
        alt=f"After {last} steps: " + ", ".join(f"{name} {error:.2g}" for name, error in ends.items()),
    )


def stepper(
    apply: Apply, designs: Mapping[str, Sequence[Triple]], spectra: Mapping[str, NDArray[np.float64]]
) -> Explorer:
    """Step through the iteration: the composed polynomial, and the singular values of a matrix before and after.

    Args:
        apply: Maps singular values and one (a, b, c) for each step to new singular values.
        designs: Coefficients by name, one triple a step, all equally many.
        spectra: Singular values of matrices by name, in falling order, the largest at most 1.
    """
    most = min(map(len, designs.values()))
    shown = explorer(
        _Drawing(apply, designs, spectra),
        title="Newton-Schulz on singular values",
        size=(8.4, 4.2),
        steps=Slider("steps", min=0, max=most, start=min(5, most)),
        spectrum=Choice("matrix", list(spectra)),
        a=Slider("a", min=1.0, max=5.0, step=0.05, start=3.45),
        b=Slider("b", min=-6.0, max=0.0, step=0.05, start=-4.75),
        c=Slider("c", min=0.0, max=3.0, step=0.05, start=2.05),
        design=Choice("coefficients", [*designs, _OWN], start="Jordan"),
    )

    def use_own(change: Any) -> None:
        if not math.isclose(change["old"], change["new"], abs_tol=1e-6):  # the page rounds what it is given
            shown.controls["design"].value = _OWN

    for name in "abc":  # whoever moves a coefficient wants to see what it does
        shown.controls[name].observe(use_own, names="value")
    return shown


class _Drawing:
    def __init__(
        self,
        apply: Apply,
        designs: Mapping[str, Sequence[Triple]],
        spectra: Mapping[str, NDArray[np.float64]],
    ) -> None:
        self._apply, self._designs, self._spectra = apply, designs, spectra
        self._x = np.geomspace(1e-4, 1, 600)

    def __call__(self, figure: Figure) -> Callable[..., str]:
        left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
        left.set(xscale="log", xlim=(1e-4, 1), ylim=(0, 1.6), xlabel="singular value before")
        left.set(ylabel="singular value after", title="the composed polynomial")
        left.xaxis.set_major_formatter(FuncFormatter(lambda x, _place: f"{x:g}"))
        ranks = max(map(len, self._spectra.values()))
        right.set(yscale="log", xlim=(0, ranks + 1), ylim=(1e-5, 3), xlabel="rank", ylabel="singular value")
        right.set_title("a matrix")
        right.yaxis.set_major_formatter(FuncFormatter(lambda y, _place: f"{y:g}"))
        for axes in (left, right):
            axes.axhline(1, color="#24292F", lw=0.9, ls=(0, (2, 2)))
        (self._curve,) = left.plot([], [], color=PALETTE["blue"], lw=1.8)
        (self._before,) = right.plot([], [], ".", color=PALETTE["grey"], markersize=5)
        (self._after,) = right.plot([], [], ".", color=PALETTE["blue"], markersize=6)
        right.text(0.04, 0.05, "before", color=PALETTE["grey"], transform=right.transAxes)
        self._after_name = right.text(0.04, 0.12, "after", transform=right.transAxes)
        self._note = left.text(0.03, 0.97, "", transform=left.transAxes, va="top", fontsize=8.5)
        return self._update

    def _update(self, steps: int, design: str, spectrum: str, a: float, b: float, c: float) -> str:
        triples = [(a, b, c)] * steps if design == _OWN else list(self._designs[design][:steps])
        colour = COLOURS.get(design, PALETTE["violet"])
        before = self._spectra[spectrum]
        with np.errstate(over="ignore", invalid="ignore"):
            curve, after = (_bounded(self._apply(x, triples)) for x in (self._x, before))
        self._curve.set(data=(self._x, curve), color=colour)
        rank = np.arange(1, len(before) + 1)
        self._before.set_data(rank, before)
        self._after.set(data=(rank, after), color=colour)
        self._after_name.set_color(colour)
        condition = after.max() / max(after.min(), 1e-12)
        self._note.set_text(
            f"condition number {_short(before.max() / max(before.min(), 1e-12))} → {_short(condition)}\n"
            f"singular values {after.min():.2g} to {after.max():.2g}"
        )
        return (
            f"{design}, {steps} steps, {spectrum}: singular values from {after.min():.3g} to {after.max():.3g}, "
            f"condition number {condition:.3g}."
        )


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.1f}"


def _bounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.clip(np.nan_to_num(np.abs(values), nan=_LARGEST, posinf=_LARGEST), 0, _LARGEST))
