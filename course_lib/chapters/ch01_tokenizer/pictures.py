"""Pictures of chapter 1: words, their segmentation, and subwords."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator, PercentFormatter
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from course_lib.show.look import PALETTE, Picture, direct_labels, figure, label_point

_COLOURS = (PALETTE["blue"], PALETTE["orange"], PALETTE["green"], PALETTE["pink"])

_BAND = 2  # standard errors


class PowerLaw(Protocol):
    """The part of a fit that ``rank_frequency`` draws."""

    @property
    def xmin(self) -> int: ...  # noqa: D102
    @property
    def exponent(self) -> float: ...  # noqa: D102
    @property
    def interval(self) -> tuple[float, ...]: ...  # noqa: D102
    def rank(self, counts: ArrayLike, *, shift: float = 0) -> NDArray[np.float64]: ...  # noqa: D102
    def count(self, rank: ArrayLike) -> NDArray[np.float64]: ...  # noqa: D102


def rank_frequency(counts: Mapping[str, pd.DataFrame], fits: Mapping[str, PowerLaw]) -> Picture:
    """Zipf's plot: frequency against rank, with the fitted law, dashed outside the range of the fit.

    ``counts``: by the name of a text, a frame with the columns ``rank``, ``count`` and ``per million``. ``fits``: the
    laws, by the same names; the band extends two standard errors to either side, at the xmin of the fit.
    """
    fig, panels = figure(1, len(counts), size=(7.6, 3.7), sharex=True, sharey=True, squeeze=False)
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
        axes.loglog(beyond, fit.count(beyond) * scale, color=colour, lw=1.2, ls=(0, (4, 3)))
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
        "dotted mark, with ±2 standard errors; dashed: the same law outside the range of the fit."
    )
    slopes = ", ".join(f"{name}: s = {fits[name].exponent:.2f}" for name in counts)
    return Picture(fig, caption=caption, alt=f"Log-log plots of word frequency against rank; {slopes}.")


def growth_and_unknown(growth: Mapping[str, pd.DataFrame], unknown: Mapping[str, pd.DataFrame]) -> Picture:
    """Left: the number of different words in a growing text. Right: the share of words missing from a word list.

    ``growth``: by name, frames with the columns ``seed``, ``words`` and ``different``. ``unknown``: by name, frames
    with ``list size`` and ``unknown`` (a share), and ``seed`` where there are several runs. A name has the
    same colour in both panels.
    """
    fig, (left, right) = figure(1, 2, size=(7.6, 3.7))
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
    direct_labels(left, right)
    caption = (
        "Left: the vocabulary keeps growing with the text. Right: the share of running words outside a list of the "
        "most frequent words, in new text and, for the dictionary, in the text it was counted on."
    )
    return Picture(fig, caption=caption)


def _runs(axes: Axes, frame: pd.DataFrame, x: str, y: str, name: str, colour: str) -> None:
    """Draw one thin line per seed, and label the last one."""
    runs = [run for _, run in frame.groupby("seed")] if "seed" in frame else [frame]
    for index, run in enumerate(runs, 1):
        shown = run[run[y] > 0]
        axes.plot(shown[x], shown[y], color=colour, lw=1.3, label=name if index == len(runs) else "_run")


def boundary_agreement(agreement: pd.DataFrame) -> Picture:
    """Agreement of token boundaries with word boundaries, compared with the same number of random cuts.

    ``agreement``: rows by ``cuts made by``, with the columns ``cuts``, ``precision``, ``recall`` and ``whole words``;
    the row ``every character`` gives the precision of random cuts.
    """
    frame = agreement.set_index("cuts made by")
    base = float(frame["precision"]["every character"])
    frame = frame.drop(index="every character")
    fig, axes = figure(size=(7.6, 0.9 + 1.1 * len(frame)))
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
    caption = "Agreement of BPE tokens with words in Chinese text (dots), and of the same number of random cuts (bars)."
    return Picture(fig, caption=caption)


_LANGUAGES = {"en": "English", "zh": "Chinese"}

_MEASURES = {
    "bytes/token": "bytes per token",
    "unused": "learned pieces never used",
    "below 10": "used fewer than 10 times",
    "precision": "cuts at words or joints",
}

_ALGORITHM_COLOURS = [PALETTE[name] for name in ("blue", "violet", "ochre", "orange", "green", "pink")]


def measures_by_algorithm(results: pd.DataFrame) -> Picture:
    """Compression, unused and rare pieces, precision of boundaries: a panel each, a row per language, a dot per part.

    ``results``: columns language, algorithm, num_bytes, seed (the part of the text), the measures and chance, as from
    ``experiments.subwords.COMPARISON``. Each algorithm has a line for each size, with the mean's 95 % interval
    (Student's t). Raises ValueError for missing columns.
    """
    _check(results, ["language", "seed", "algorithm", "num_bytes", "chance", *_MEASURES])
    languages, algorithms = list(results["language"].unique()), list(results["algorithm"].unique())
    sizes = sorted(results["num_bytes"].unique())
    size = (10.6, 0.9 + 1.9 * len(languages))
    fig, panels = figure(len(languages), len(_MEASURES), size=size, sharex="col", sharey=True, squeeze=False)
    for row, language in zip(panels, languages, strict=True):
        of_language = results[results["language"] == language]
        for axes, measure in zip(row, _MEASURES, strict=True):
            for place, (algorithm, colour) in enumerate(zip(algorithms, _ALGORITHM_COLOURS, strict=False)):
                for line, num_bytes in enumerate(sizes):
                    chosen = of_language[
                        (of_language["algorithm"] == algorithm) & (of_language["num_bytes"] == num_bytes)
                    ]
                    y = place + (line - (len(sizes) - 1) / 2) * 0.36
                    right = _dots_with_interval(axes, chosen[measure], y, colour, filled=line == 0)
                    if num_bytes == sizes[-1]:  # two numbers would overlap
                        form = "{:.2f}" if measure == "bytes/token" else "{:.0%}"
                        note = form.format(chosen[measure].mean())
                        label_point(axes, note, (right, y), (6, 0), va="center", color=colour)
            axes.set(
                yticks=range(len(algorithms)), yticklabels=algorithms, ylim=(len(algorithms) - 0.4, -0.6)
            )
            axes.grid(visible=False, axis="y")
        row[0].set_title(_LANGUAGES.get(language, language), loc="left")
        row[-1].axvline(of_language["chance"].mean(), color=PALETTE["grey"], lw=1, ls=(0, (3, 2)))
    for axes, (measure, label) in zip(panels[-1], _MEASURES.items(), strict=True):
        axes.set_xlabel(label)
        axes.set_xlim(0, 1.3 * results[measure].max())
        if measure != "bytes/token":
            axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    named = " and ".join(
        f"{'full' if line == 0 else 'open'}: {num_bytes / 1e3:,.0f} kB"
        for line, num_bytes in enumerate(sizes)
    )
    caption = (
        f"Tokenizers on held-out text; a dot for each of {results['seed'].nunique()} parts of the text, which share "
        f"nothing ({named} each), with the mean's 95 % interval. Numbers: means for the larger parts. Dashed: the "
        "share for random cuts."
    )
    return Picture(fig, caption=caption)


def _dots_with_interval(
    axes: Axes, values: "pd.Series[float]", y: float, colour: str, *, filled: bool
) -> float:
    """Draw values and their mean's interval at a height; return the right end."""
    middle, n = float(values.mean()), len(values)
    half = float(stdtrit(n - 1, 0.975) * values.std() / n**0.5) if n > 1 else 0.0
    axes.plot([middle - half, middle + half], [y, y], color=colour, lw=1.2)
    axes.plot(
        values,
        [y] * n,
        "o",
        color=colour,
        mfc=colour if filled else "none",
        markersize=5,
        alpha=0.7,
        mew=0 if filled else 1,
        clip_on=False,
    )
    return max(float(values.max()), middle + half)


def _check(frame: pd.DataFrame, columns: list[str]) -> None:
    missing = [name for name in columns if name not in frame]
    if missing:
        raise ValueError(f"the data frame lacks the columns {missing}; it has {list(frame)}")


def likelihood(curves: pd.DataFrame) -> Picture:
    """Bits per byte after each step of EM and each pruning, and the number of pieces.

    ``curves``: columns rule, step, what ("seeds", "EM" or "pruning"), pieces, bits_per_byte and held_out (drawn where
    it is not NaN), as from ``experiments.unigram_em.em_curve``, for one rule or several. Raises ValueError for missing
    columns.
    """
    _check(curves, ["rule", "step", "what", "pieces", "bits_per_byte", "held_out"])
    fig, (upper, lower) = figure(2, 1, size=(7.6, 4.6), sharex=True, height_ratios=(2.2, 1))
    for (rule, rows), colour in zip(curves.groupby("rule", sort=False), _COLOURS, strict=False):
        upper.plot(rows["step"], rows["bits_per_byte"], color=colour, label=f"training: {rule}")
        if rows["held_out"].notna().any():
            upper.plot(
                rows["step"], rows["held_out"], color=colour, ls=(0, (4, 2)), label=f"held out: {rule}"
            )
    pruned = curves[curves["what"] == "pruning"]
    upper.plot(pruned["step"], pruned["bits_per_byte"], "o", color=PALETTE["ochre"], markersize=4.5, zorder=4)
    first = pruned.iloc[min(1, len(pruned) - 1)]
    label_point(upper, "after a pruning", (first["step"], first["bits_per_byte"]), (0, 22), ha="center")
    steps = curves.drop_duplicates("step")
    lower.step(steps["step"], steps["pieces"], where="post", color=PALETTE["grey"])
    lower.set(yscale="log", xlabel="step", ylabel="pieces")
    lower.set_yticks([int(steps["pieces"].max()), int(steps["pieces"].min())])
    lower.yaxis.set_major_formatter("{x:,.0f}")
    lower.yaxis.set_minor_locator(NullLocator())
    upper.set(ylabel="bits per byte", xlim=(0, float(curves["step"].max()) * 1.5))
    direct_labels(upper)
    caption = (
        "How well a Unigram model fits its words (lower is better). Every step of EM improves the fit for the pieces "
        "that it has; dots: after a pruning."
    )
    ends = ", ".join(
        f"{rule}: {rows['bits_per_byte'].iloc[-1]:.2f}" for rule, rows in curves.groupby("rule", sort=False)
    )
    return Picture(
        fig, caption=caption, alt=f"Bits per byte against the step of training; at the end {ends}."
    )


TEXTS = {"novels_en": "novels, English", "classics_zh": "classics, Chinese"}
"""Titles of the texts that models are trained on, by name."""


def bits_against_ratio(arms: pd.DataFrame) -> Picture:
    """Bits per byte of models against the compression ratio of the vocabularies that they read, a panel for each text.

    ``arms``: columns text, model (a line each, if it has more than one vocabulary; the first is labelled with their
    sizes), vocab_size, bytes_per_token, mean and sem (of the bits per byte; where sem is NaN, losses may be out of
    sight), as from ``judged.size_arms``. Raises ValueError for missing columns.
    """
    _check(arms, ["text", "model", "vocab_size", "bytes_per_token", "mean", "sem"])
    arms = arms[arms.groupby("model")["vocab_size"].transform("nunique") > 1]
    texts = list(arms["text"].unique())
    models = list(arms["model"].unique())
    fig, panels = figure(1, len(texts), size=(8.4, 3.8), squeeze=False)
    for axes, text in zip(panels[0], texts, strict=True):
        rows = arms[arms["text"] == text]
        for name, line in rows.groupby("model", sort=False):
            x, y, colour = line["bytes_per_token"], line["mean"], list(PALETTE.values())[models.index(name)]
            axes.errorbar(x, y, 2 * line["sem"].fillna(0), fmt="none", ecolor=colour, capsize=2)
            axes.plot(x, y, "o-", color=colour, markersize=5, label=str(name))
        main = rows[rows["model"] == models[0]]
        for size, x, y in zip(main["vocab_size"], main["bytes_per_token"], main["mean"], strict=True):
            at_end = size == main["vocab_size"].max()  # the line comes from the left, and may rise
            offset, side = ((5, -13), "left") if at_end else ((-8, -14), "center")
            label_point(axes, f"{size:,}", (x, y), offset, ha=side)
        low = float(rows["mean"].min())
        high = float(rows[rows["sem"].notna()]["mean"].max())
        margin = 0.12 * (high - low)
        most = float(rows["bytes_per_token"].max())
        axes.set(title=TEXTS.get(text, text), xlabel="bytes per token", ylim=(low - margin, high + margin))
        axes.set(xlim=(0.6, 1.9 * most), xticks=range(1, round(most) + 1))
        direct_labels(axes)
    panels[0][0].set_ylabel("bits per byte, held out")
    best = "; ".join(
        f"{text}, {name}: {line.sort_values('mean')['vocab_size'].iloc[0]:,}"
        for (text, name), line in arms.groupby(["text", "model"], sort=False)
    )
    return Picture(
        fig,
        caption="Means over seeds at each vocabulary's best rate; bars: two standard errors. Numbers: entries.",
        alt=f"Bits per byte against bytes per token. The fewest bits have the vocabularies with: {best}.",
    )
