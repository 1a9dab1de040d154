"""Chapter 1's pictures of the work that training and encoding take."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes

from course_lib.show.look import PALETTE, Picture, direct_labels, figure

_TRAINERS = {
    "naive": PALETTE["orange"],
    "incremental": PALETTE["ochre"],
    "heap": PALETTE["blue"],
    "engine": PALETTE["green"],
}
_ENCODERS = {
    "rescan": ("rescan (Python)", PALETTE["orange"]),
    "heap": ("heap (Python)", PALETTE["blue"]),
    "engine": ("engine", PALETTE["green"]),
}


def training_work(results: pd.DataFrame) -> Picture:
    """What each trainer looks at, and the CPU time it takes, against the size of the text.

    ``results``: columns trainer, bytes, cpu_seconds, pairs, candidates (missing where they were not counted).
    """
    figure_, (left, middle, right) = figure(1, 3, size=(10.2, 3.9), sharex=True)
    panels = (
        (left, "pairs", "neighbours counted"),
        (middle, "candidates", "pairs compared for the best"),
        (right, "cpu_seconds", "CPU time (s)"),
    )
    for axes, column, label in panels:
        axes.set(xscale="log", yscale="log", xlabel="text (kB)", title=label)
        for trainer, colour in _TRAINERS.items():
            rows = results[(results["trainer"] == trainer) & results[column].notna()]
            if len(rows):
                axes.plot(rows["bytes"] / 1e3, rows[column], "o-", color=colour, label=trainer)
        axes.set_xlim(right=float(results["bytes"].max()) / 1e3 * 8)
    figure_.canvas.draw()
    for axes, _, _ in panels:
        direct_labels(axes)
    return Picture(
        figure_,
        caption="The same merges from four trainers: what each looks at, and what that costs. Incremental and heap "
        "count the same neighbours; naive and incremental compare the same pairs.",
        alt=_summary(results, "trainer"),
    )


def long_words(results: pd.DataFrame, exponents: Mapping[str, float]) -> Picture:
    """CPU time of encoding one pre-token against its length, each curve with its measured exponent.

    ``results``: columns encoder, bytes, cpu_seconds; ``exponents`` by encoder.
    """
    figure_, axes = figure(size=(7.6, 3.8))
    axes.set(xscale="log", yscale="log", xlabel="length of the pre-token (bytes)", ylabel="CPU time (s)")
    for encoder, (label, colour) in _ENCODERS.items():
        rows = results[results["encoder"] == encoder]
        axes.plot(
            rows["bytes"],
            rows["cpu_seconds"],
            "o-",
            color=colour,
            label=f"{label}: slope {exponents[encoder]:.2f}",
        )
    axes.set_xlim(right=float(results["bytes"].max()) * 12)
    figure_.canvas.draw()
    direct_labels(axes)
    return Picture(
        figure_,
        caption="One pre-token of Chinese letters without punctuation, encoded three ways.",
        alt=_summary(results, "encoder"),
    )


def speed(results: pd.DataFrame) -> Picture:
    """Bars of MB per CPU second by package, one panel a job, on logarithmic axes.

    ``results``: columns job, package, pass, MB_per_cpu_second.
    """
    figure_, panels = figure(1, 2, size=(9.6, 3.2))
    for axes, (job, rows) in zip(panels, results.groupby("job", sort=False), strict=True):
        _bars(axes, rows)
        passes = " (first pass solid, caches filled light)" if rows["pass"].max() > 1 else ""
        axes.set(xscale="log", xlabel="MB per CPU second", title=f"{job}{passes}")
    return Picture(
        figure_,
        caption="Packages a reader could use instead, in one process one after the other.",
        alt=_summary(results, "package", "MB_per_cpu_second"),
    )


def _bars(axes: Axes, rows: pd.DataFrame) -> None:
    packages = list(dict.fromkeys(rows["package"]))[::-1]
    for number in sorted(rows["pass"].unique(), reverse=True):
        part = rows[rows["pass"] == number].set_index("package")["MB_per_cpu_second"]
        colours = [
            PALETTE["green"] if name.startswith("course_lib") else PALETTE["grey"] for name in packages
        ]
        axes.barh(packages, part[packages], color=colours, alpha=1 if number == 1 else 0.35, height=0.62)
    first = rows[rows["pass"] == 1].set_index("package")["MB_per_cpu_second"]
    for place, name in enumerate(packages):
        axes.annotate(
            f"{first[name]:,.0f}", (first[name], place), xytext=(-4, 0), textcoords="offset points",
            ha="right", va="center", color="white", fontsize=8.5,
        )  # fmt: skip
    axes.set_xlim(left=float(first.min()) / 4)


def _summary(results: pd.DataFrame, by: str, column: str = "cpu_seconds") -> str:
    last = results.groupby(by, sort=False)[column].last()
    return f"{column}, last measurement: " + ", ".join(f"{name} {value:.3g}" for name, value in last.items())
