"""Explorers of chapter 9: the schedule designer, and SGD on a noisy bowl."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from course_lib.chapters.ch09_schedules.pictures import COLOURS
from course_lib.show.controls import Choice, Slider, Toggle
from course_lib.show.interactive import Explorer, explorer
from course_lib.show.look import INK, NOTE_SIZE, PALETTE, REFERENCE


def designer(
    curves: pd.DataFrame, finals: pd.DataFrame, factors: pd.DataFrame, floors: Mapping[str, float]
) -> Explorer:
    """Rates and loss curves of stored runs, for two schedules and their peak rates.

    Args:
        curves: Columns shape, lr, seed, step, bits (training loss, bits per byte).
        finals: Columns shape, lr, seed, bits (held-out loss).
        factors: Columns shape, step, factor.
        floors: Losses to be passed, by name.
    """
    rates = sorted(float(rate) for rate in curves["lr"].unique())
    names = list(dict.fromkeys(curves["shape"]))
    middle = rates[len(rates) // 2]
    return explorer(
        lambda figure: _Designer(figure, curves, finals, factors, floors).update,
        title="Schedule designer",
        size=(8.4, 5.0),
        shape=Choice("schedule", names, start="WSD" if "WSD" in names else names[-1]),
        lr=Slider("its peak learning rate", rates, start=middle),
        other=Choice("schedule in grey", names, start=names[0]),
        other_lr=Slider("its peak rate (grey)", rates, start=middle),
        late=Toggle("only the second half", start=True),
    )


class _Designer:
    """Draws the rates above, and training losses below, one line per seed."""

    def __init__(
        self,
        figure: Figure,
        curves: pd.DataFrame,
        finals: pd.DataFrame,
        factors: pd.DataFrame,
        floors: Mapping[str, float],
    ) -> None:
        self._curves, self._finals, self._factors = curves, finals, factors
        self._steps, self._seeds = int(factors["step"].max()) + 1, int(curves["seed"].nunique())
        self._upper, self._axes = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.8))
        self._upper.set(ylabel="learning rate")
        self._axes.set(xlabel="step", ylabel="training loss (bits/byte)")
        both = [self._upper] + [self._axes] * self._seeds
        grey = {"color": PALETTE["grey"], "lw": 1.2, "alpha": 0.85}
        self._grey = [axes.plot([], [], **grey)[0] for axes in both]
        self._main = [axes.plot([], [], lw=1.7)[0] for axes in both]
        place = {"ha": "right", "va": "top"}
        self._note = self._axes.text(0.985, 0.97, "", weight="bold", transform=self._axes.transAxes, **place)
        self._grey_note = self._axes.text(
            0.985, 0.88, "", color=PALETTE["grey"], transform=self._axes.transAxes, **place
        )
        for name, value in floors.items():
            self._axes.axhline(value, **REFERENCE)
            self._axes.annotate(
                name,
                (0, value),
                (4, 3),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                fontsize=NOTE_SIZE,
                annotation_clip=True,
            )

    def update(self, shape: str, lr: float, other: str, other_lr: float, late: bool) -> str:
        for line in self._main:
            line.set_color(COLOURS[shape])
        beside = self._show(self._grey, other, other_lr)
        loss = self._show(self._main, shape, lr)
        self._note.set(text=f"{shape}, peak {lr:g}: held out {loss:.3f}", color=COLOURS[shape])
        self._grey_note.set_text(f"{other}, peak {other_lr:g}: {beside:.3f}")
        seen = self._curves[self._curves["step"] >= (self._steps // 2 if late else 0)]
        low, high = float(seen["bits"].min()), float(seen["bits"].quantile(0.98))
        self._upper.set_ylim(0, 1.08 * max(lr, other_lr))
        self._axes.set(xlim=(self._steps / 2 if late else 0, self._steps), ylim=(low / 1.01, high * 1.01))
        return (
            f"{shape} with a peak rate of {lr:g}: held-out loss {loss:.3f} bits/byte, mean over {self._seeds} seeds; "
            f"{other} with {other_lr:g}: {beside:.3f}."
        )

    def _show(self, lines: Sequence[Line2D], shape: str, lr: float) -> float:
        factor = self._factors[self._factors["shape"] == shape]
        lines[0].set_data(factor["step"], lr * factor["factor"])
        runs = self._curves[(self._curves["shape"] == shape) & (self._curves["lr"] == lr)]
        for line, (_, rows) in zip(lines[1:], runs.groupby("seed"), strict=True):
            line.set_data(rows["step"], rows["bits"])
        chosen = (self._finals["shape"] == shape) & (self._finals["lr"] == lr)
        return float(self._finals.loc[chosen, "bits"].mean())


def bowl_explorer(compute: Callable[..., tuple[np.ndarray, pd.DataFrame]], shapes: Sequence[str]) -> Explorer:
    """Expected loss of SGD on a noisy bowl with one steep and one flat direction, for any schedule.

    ``compute(shape, lr, warmup, final, decay, noise, flat)`` returns the rate of each step, and a frame with step,
    total, and one column per direction (steep first).
    """
    return explorer(
        _draw_bowl,
        title="A noisy bowl",
        compute=compute,
        size=(8.4, 4.4),
        shape=Choice("schedule", list(shapes), start="WSD"),
        lr=Slider("peak learning rate", min=0.01, max=1.9, log=True, step=20, start=0.5),
        warmup=Slider("warm-up (share)", min=0.0, max=0.5, step=0.05, start=0.05),
        final=Slider("end (share of the peak)", [0.0, 0.01, 0.03, 0.1, 0.3], start=0.0),
        decay=Slider("WSD's decay (share)", min=0.0, max=0.9, step=0.05, start=0.2),
        noise=Slider("noise", min=0.0, max=2.0, step=0.1, start=1.0),
        flat=Slider("curvature, flat direction", [0.001, 0.003, 0.01, 0.03, 0.1], start=0.01),
    )


def _draw_bowl(figure: Figure) -> Callable[..., str]:
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.8))
    upper.set(ylabel="learning rate", ylim=(0, 2))
    lower.set(xlabel="step", ylabel="expected loss", yscale="log", ylim=(1e-3, 100))
    (rate,) = upper.plot([], [], color=INK)
    styles = (
        ("all", INK, 2.2),
        ("steep direction: noise", PALETTE["orange"], 1.5),
        ("flat direction: progress", PALETTE["blue"], 1.5),
    )
    lines = [lower.plot([], [], color=colour, lw=width)[0] for _, colour, width in styles]
    for (name, colour, _), place in zip(styles, ("left", "center", "right"), strict=True):
        lower.set_title(name, loc=place, color=colour, fontsize=NOTE_SIZE, fontweight="normal")

    def update(result: tuple[np.ndarray, pd.DataFrame], shape: str, lr: float, **_others: float) -> str:
        rates, losses = result
        rate.set_data(np.arange(len(rates)), rates)
        upper.set_xlim(0, len(rates))
        for line, column in zip(lines, losses.columns[1:], strict=True):
            line.set_data(losses["step"], losses[column].clip(1e-6, 1e6))
        last = losses.iloc[-1]
        return f"{shape}, peak rate {lr:.2g}: the expected loss ends at {last['total']:.3g}."

    return update
