"""Chapter 1's pictures of the three subword algorithms: measures side by side, and how frequent their tokens are."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.ticker import PercentFormatter

from course_lib.show.look import PALETTE, Picture, direct_labels, figure

_LANGUAGES = {"en": "English", "zh": "Chinese"}
_MEASURES = {
    "bytes/token": "bytes per token",
    "unused": "learned pieces never used",
    "precision": "cuts where words or parts meet",
}
_COLOURS = [PALETTE[name] for name in ("blue", "orange", "green", "pink")]


def measures_by_algorithm(results: pd.DataFrame) -> Picture:
    """Compression, unused pieces and precision of the boundaries: a panel each, a row a language, a dot a seed.

    ``results``: as :func:`course_lib.lab.subwords.compare` gives them. Raises ValueError for missing columns.
    """
    _check(results, ["language", "seed", "algorithm", "chance", *_MEASURES])
    languages, algorithms = list(results["language"].unique()), list(results["algorithm"].unique())
    size = (7.6, 0.8 + 1.6 * len(languages))
    result, panels = figure(
        len(languages), len(_MEASURES), size=size, sharex="col", sharey=True, squeeze=False
    )
    for row, language in zip(panels, languages, strict=True):
        of_language = results[results["language"] == language]
        for axes, measure in zip(row, _MEASURES, strict=True):
            for place, (algorithm, colour) in enumerate(zip(algorithms, _COLOURS, strict=False)):
                values = of_language.loc[of_language["algorithm"] == algorithm, measure]
                axes.plot(
                    values,
                    [place] * len(values),
                    "o",
                    color=colour,
                    markersize=7,
                    alpha=0.55,
                    mew=0,
                    clip_on=False,
                )
                form = "{:.2f}" if measure == "bytes/token" else "{:.0%}"
                axes.annotate(
                    form.format(values.mean()),
                    (values.max(), place),
                    xytext=(7, 0),
                    textcoords="offset points",
                    va="center",
                    color=colour,
                    fontsize=8.5,
                )
            axes.set(
                yticks=range(len(algorithms)), yticklabels=algorithms, ylim=(len(algorithms) - 0.4, -0.6)
            )
            axes.grid(visible=False, axis="y")
        row[0].set_title(_LANGUAGES.get(language, language), loc="left")
        row[2].axvline(of_language["chance"].mean(), color=PALETTE["grey"], lw=1, ls=(0, (3, 2)))
    for axes, (measure, label) in zip(panels[-1], _MEASURES.items(), strict=True):
        axes.set_xlabel(label)
        axes.set_xlim(0, 1.22 * results[measure].max())
        if measure != "bytes/token":
            axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    caption = (
        f"Four tokenizers of the same size on held-out stories, a dot for each of {results['seed'].nunique()} seeds. "
        "Dashed: the share of cuts at random places."
    )
    return Picture(result, caption=caption)


def frequency_profile(profiles: Mapping[str, pd.DataFrame]) -> Picture:
    """Token frequency against rank, log-log, a panel for each text and a line for each algorithm.

    ``profiles``: by the name of a text, frames as :func:`course_lib.lab.subwords.frequencies` gives them. Raises
    ValueError for missing columns.
    """
    result, panels = figure(1, len(profiles), size=(7.6, 3.6), sharey=True, squeeze=False)
    for axes, (name, frame) in zip(panels[0], profiles.items(), strict=True):
        _check(frame, ["algorithm", "rank", "share"])
        groups = frame.groupby("algorithm", sort=False)
        for (algorithm, group), colour in zip(groups, _COLOURS, strict=False):
            axes.loglog(group["rank"], 1e6 * group["share"], color=colour, label=str(algorithm))
        axes.set(title=name, xlabel="rank of the token", xlim=(1, 12 * frame["rank"].max()))
        axes.set_xticks([1, 10, 100, 1000])
        direct_labels(axes)
    panels[0, 0].set_ylabel("occurrences per million tokens")
    return Picture(
        result, caption="How frequent the tokens of each tokenizer are, in the text that they learned from."
    )


def _check(frame: pd.DataFrame, columns: list[str]) -> None:
    missing = [name for name in columns if name not in frame]
    if missing:
        raise ValueError(f"the data frame lacks the columns {missing}; it has {list(frame)}")
