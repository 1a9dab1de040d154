"""The explorer of chapter 6: a logit, a common shift of all logits, and the temperature."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from course_lib.show.controls import Slider
from course_lib.show.interactive import Explorer, explorer
from course_lib.show.look import INK, NOTE_SIZE, PALETTE, PAPER

Losses = Callable[[NDArray[np.float64], int], pd.DataFrame]
"""From logits (N, V) and a target to the columns formula, format, row, loss, exact."""

_OTHERS = (2.0, 1.0, 0.0, -1.0)  # logits of the tokens that are not the target
_NAMES = ("target", "b", "c", "d", "e")
_SHIFTS = np.arange(-300, 301, 2)
_RIGHT, _OFF, _BROKEN = 0, 1, 2
_OUTCOMES = ListedColormap(["#9FC6DD", "#E0D48A", PALETTE["orange"]])


def logit_explorer(losses: Losses) -> Explorer:
    """Probabilities and gradient of five tokens, and where each formula and number format gives the right loss.

    The logits are (x + shift) / temperature; the gradient is taken with respect to them. ``losses`` computes the
    loss of many rows of logits by every formula and format: ``experiments.cross_entropy.in_formats``.
    """
    return explorer(
        partial(_draw, losses),
        title="One loss, three formulas, three number formats",
        size=(8.8, 5.6),
        logit=Slider("target's logit", min=-20.0, max=20.0, step=0.5, start=1.5),
        shift=Slider("shift of all logits", min=-300, max=300, step=2, start=0),
        temperature=Slider("temperature", [0.1, 0.2, 0.5, 1.0, 2.0, 5.0], start=1.0),
    )


def outcomes(results: pd.DataFrame) -> NDArray[np.int64]:
    """0 where a loss is within 5 % (or 0.05 nats), 1 where it is finite but further off, 2 where it is not finite."""
    loss, exact = results["loss"].to_numpy(), results["exact"].to_numpy()
    finite = np.isfinite(loss)
    near = np.abs(np.where(finite, loss, 0) - exact) <= np.maximum(0.05 * exact, 0.05)
    return np.where(finite, np.where(near, _RIGHT, _OFF), _BROKEN)


def _draw(losses: Losses, figure: Figure) -> Callable[..., str]:
    grid = figure.add_gridspec(2, 2, height_ratios=(1, 1.35))
    left, right = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
    colours = [PALETTE["blue"], *[PALETTE["grey"]] * len(_OTHERS)]
    probabilities = _bars(left, colours, "probability", (0, 1.12))
    gradients = _bars(right, colours, "gradient", (-1.45, 1.45))
    right.axhline(0, color=INK, lw=0.8)
    strips = _Strips(figure.add_subplot(grid[1, :]), losses(np.zeros((1, 5)), 0))

    def update(logit: float, shift: float, temperature: float) -> str:
        logits = np.array([logit, *_OTHERS])
        scaled = logits / temperature
        p = np.exp(scaled - scaled.max())
        p /= p.sum()
        probabilities(p, "{:.2f}")
        gradients(p - np.eye(len(p))[0], "{:+z.2f}")
        rows = (logits + _SHIFTS[:, None]) / temperature
        results = losses(np.vstack([rows, (logits + shift) / temperature]), 0)
        return strips.show(results, shift)

    return update


def _bars(
    axes: Axes, colours: list[str], label: str, limits: tuple[float, float]
) -> Callable[[NDArray[np.float64], str], None]:
    bars = axes.bar(_NAMES, np.zeros(len(_NAMES)), color=colours, width=0.62)
    axes.set(ylabel=label, ylim=limits)
    axes.grid(visible=False, axis="x")
    texts = [axes.text(place, 0, "", ha="center", fontsize=NOTE_SIZE) for place in range(len(_NAMES))]

    def show(values: NDArray[np.float64], form: str) -> None:
        for bar, text, value in zip(bars, texts, values, strict=True):
            bar.set_height(value)
            text.set_text(form.format(value))
            text.set_y(value + (0.02 if value >= 0 else -0.02) * (limits[1] - limits[0]))
            text.set_verticalalignment("bottom" if value >= 0 else "top")

    return show


class _Strips:
    """One strip per formula and format over the shifts, coloured by outcome, and the loss at the chosen shift."""

    def __init__(self, axes: Axes, results: pd.DataFrame) -> None:
        self._keys = list(dict.fromkeys(zip(results["formula"], results["format"], strict=True)))
        step = (_SHIFTS[1] - _SHIFTS[0]) / 2
        self._image = axes.imshow(
            np.zeros((len(self._keys), len(_SHIFTS))),
            cmap=_OUTCOMES,
            vmin=0,
            vmax=2,
            aspect="auto",
            interpolation="nearest",
            extent=(_SHIFTS[0] - step, _SHIFTS[-1] + step, len(self._keys) - 0.5, -0.5),
        )
        axes.grid(visible=False)
        axes.set_yticks(range(len(self._keys)), [f"{formula}, {name}" for formula, name in self._keys])
        axes.set_xlabel(
            "shift of all logits      blue: within 5 %      yellow: finite, but wrong      red: inf or NaN"
        )
        for edge in range(1, len(self._keys)):
            axes.axhline(edge - 0.5, color=PAPER, lw=3.5 if edge % 3 == 0 else 1)
        (self._line,) = axes.plot([], [], color=INK, lw=1.6)
        axes.text(1.012, 1.03, "loss", transform=axes.transAxes, fontsize=NOTE_SIZE, weight="bold")
        self._texts = [
            axes.annotate(
                "", (1.012, place), xycoords=("axes fraction", "data"), va="center", fontsize=NOTE_SIZE
            )
            for place in range(len(self._keys))
        ]
        self._line_rows = len(self._keys)

    def show(self, results: pd.DataFrame, shift: float) -> str:
        shape = (len(self._keys), len(_SHIFTS) + 1)  # the last column is the shift that the reader chose
        outcome, loss = outcomes(results).reshape(shape), results["loss"].to_numpy().reshape(shape)
        self._image.set_data(outcome[:, :-1])
        self._line.set_data([shift, shift], [-0.5, self._line_rows - 0.5])
        for text, value, verdict in zip(self._texts, loss[:, -1], outcome[:, -1], strict=True):
            text.set_text(f"{value:z.2f}" if np.isfinite(value) else "inf" if np.isinf(value) else "NaN")
            text.set_color(PALETTE["orange"] if verdict == _BROKEN else INK)
            text.set_fontweight("bold" if verdict != _RIGHT else "normal")
        exact = float(results["exact"].iloc[-1])
        wrong = [
            f"{formula} in {name}"
            for (formula, name), verdict in zip(self._keys, outcome[:, -1], strict=True)
            if verdict != _RIGHT
        ]
        failed = ", ".join(wrong) or "none"
        return f"The loss is {exact:z.2f} nats. Wrong or not finite at a shift of {shift:.0f}: {failed}."
