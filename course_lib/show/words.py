"""Chapter 1's pictures of words: rank against frequency, vocabulary growth, unknown words, boundaries."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike, NDArray

from course_lib.show.look import PALETTE, Picture, direct_labels, figure

_COLOURS = (PALETTE["blue"], PALETTE["orange"], PALETTE["green"], PALETTE["pink"])
_BAND = 2  # standard errors


class PowerLaw(Protocol):
    """What ``rank_frequency`` draws of a fit."""

    @property
    def xmin(self) -> int: ...  # noqa: D102
    @property
    def exponent(self) -> float: ...  # noqa: D102
    @property
    def interval(self) -> tuple[float, ...]: ...  # noqa: D102
    def rank(self, counts: ArrayLike, *, shift: float = 0) -> NDArray[np.float64]: ...  # noqa: D102


def rank_frequency(counts: Mapping[str, pd.DataFrame], fits: Mapping[str, PowerLaw]) -> Picture:
    """Zipf's picture: frequency against rank, with the fitted law where it was fitted and dashed beyond.

    ``counts``: by the name of a text, a frame with the columns ``rank``, ``count`` and ``per million``. ``fits``: the
    laws, by the same names; the band is two standard errors wide to either side, at the fit's own xmin.
    """
    result, panels = figure(1, len(counts), size=(7.6, 3.7), sharex=True, sharey=True, squeeze=False)
    for axes, (name, frame), colour in zip(panels[0], counts.items(), _COLOURS, strict=False):
        fit = fits[name]
        scale = float(frame["per million"].iloc[0] / frame["count"].iloc[0])
        axes.loglog(frame["rank"], frame["per million"], ".", color=PALETTE["grey"], markersize=3.5)
        grid = np.geomspace(fit.xmin, float(frame["count"].max()), 80)
        axes.fill_betweenx(
            grid * scale,
            fit.rank(grid, shift=-_BAND),
            fit.rank(grid, shift=_BAND),
            color=colour,
            alpha=0.3,
            lw=0,
        )
        axes.loglog(fit.rank(grid), grid * scale, color=colour)
        start = float(fit.rank(fit.xmin))
        beyond = np.geomspace(start, float(frame["rank"].max()), 20)
        axes.loglog(
            beyond, fit.xmin * scale * (beyond / start) ** -fit.exponent, color=colour, lw=1.2, ls=(0, (4, 3))
        )
        axes.axvline(start, color=PALETTE["grey"], lw=0.7, ls=":")
        spread = f"\n95 % {fit.interval[0]:.2f} to {fit.interval[1]:.2f}" if fit.interval else ""
        axes.text(
            0.96,
            0.94,
            f"s = {fit.exponent:.2f}{spread}",
            transform=axes.transAxes,
            ha="right",
            va="top",
            color=colour,
        )
        axes.set(title=name, xlabel="rank of the word")
    panels[0, 0].set_ylabel("occurrences per million words")
    caption = (
        "Word frequency against rank (dots). Line: the power law fitted by maximum likelihood to the words left of the "
        "dotted mark, with ±2 standard errors; dashed: the same law where it was not fitted."
    )
    slopes = ", ".join(f"{name}: s = {fits[name].exponent:.2f}" for name in counts)
    return Picture(result, caption=caption, alt=f"Log-log plots of word frequency against rank; {slopes}.")


def growth_and_unknown(growth: Mapping[str, pd.DataFrame], unknown: Mapping[str, pd.DataFrame]) -> Picture:
    """Left, how many different words a growing text holds; right, what a word list of a given size does not know.

    ``growth``: by name, frames with the columns ``seed``, ``words`` and ``different``. ``unknown``: by name, frames
    with ``list size`` and ``unknown`` (a share), and ``seed`` where there are several runs. A name has one colour in
    both.
    """
    result, (left, right) = figure(1, 2, size=(7.6, 3.7))
    names = list(dict.fromkeys([*growth, *unknown]))
    colours = dict(zip(names, _COLOURS, strict=False))
    for name, frame in growth.items():
        _runs(left, frame, "words", "different", name, colours[name])
    for name, frame in unknown.items():
        _runs(right, frame, "list size", "unknown", name, colours[name])
    left.set(xscale="log", yscale="log", xlabel="words of text read", ylabel="different words seen")
    right.set(xscale="log", yscale="log", xlabel="size of the word list", ylabel="words not in the list")
    right.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    for axes in (left, right):
        low, high = axes.get_xlim()
        axes.set_xlim(low, high * (high / low) ** 0.35)
        direct_labels(axes)
    caption = (
        "Left: the vocabulary keeps growing with the text. Right: the share of running words outside a list of the "
        "most frequent words, in new text and, for the dictionary, in the text it was counted on."
    )
    return Picture(result, caption=caption)


def _runs(axes: Axes, frame: pd.DataFrame, x: str, y: str, name: str, colour: str) -> None:
    """One thin line a seed; the last one carries the name."""
    runs = [run for _, run in frame.groupby("seed")] if "seed" in frame else [frame]
    for index, run in enumerate(runs, 1):
        shown = run[run[y] > 0]
        axes.plot(shown[x], shown[y], color=colour, lw=1.3, label=name if index == len(runs) else "_run")


def boundary_agreement(agreement: pd.DataFrame) -> Picture:
    """How far token boundaries are word boundaries, each against what the same number of random cuts would give.

    ``agreement``: rows by ``cuts made by``, with the columns ``cuts``, ``precision``, ``recall`` and ``whole words``;
    the row ``every character`` gives the precision of random cuts.
    """
    frame = agreement.set_index("cuts made by")
    base = float(frame["precision"]["every character"])
    frame = frame.drop(index="every character")
    result, axes = figure(size=(7.6, 0.9 + 1.1 * len(frame)))
    labels: dict[int, str] = {}
    for name, colour in zip(map(str, frame.index), _COLOURS, strict=False):
        rows = (
            ("token cuts that are word cuts", frame["precision"][name], base),
            ("word cuts that are token cuts", frame["recall"][name], frame["cuts"][name]),
        )
        for meaning, value, by_chance in rows:
            y = -len(labels)
            labels[y] = f"{name}: {meaning}"
            axes.plot([by_chance, value], [y, y], color=colour, lw=1.6)
            axes.plot(by_chance, y, "|", color=PALETTE["grey"], markersize=14, mew=2)
            axes.plot(value, y, "o", color=colour, markersize=8)
            axes.annotate(
                f"{value:.0%}",
                (value, y),
                xytext=(9, 0),
                textcoords="offset points",
                va="center",
                color=colour,
            )
    axes.set_yticks(list(labels), list(labels.values()))
    low = float(min(base, frame["cuts"].min(), frame["recall"].min(), frame["precision"].min()))
    axes.set(xlim=(low - 0.1, 1.06), ylim=(0.6 - len(labels), 0.6), xlabel="share of the boundaries")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(visible=False, axis="y")
    caption = "Agreement of BPE tokens with words in Chinese text (dots), and of as many cuts at random places (bars)."
    return Picture(result, caption=caption)
