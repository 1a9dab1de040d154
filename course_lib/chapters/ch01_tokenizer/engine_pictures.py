"""Pictures of chapter 1b: the work of training and encoding, and the engine's speed."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis

from course_lib.show.look import PALETTE, Picture, direct_labels, figure, label_point

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
    """The work of each trainer and its CPU time, against the size of the text.

    ``results``: columns trainer, bytes, cpu_seconds, pairs, candidates (missing where they were not counted).
    """
    fig, (left, middle, right) = figure(1, 3, size=(10.2, 3.9), sharex=True)
    panels = (
        (left, "pairs", "neighbours counted"),
        (middle, "candidates", "pairs compared for the best"),
        (right, "cpu_seconds", "CPU time (s)"),
    )
    for axes, column, label in panels:
        axes.set(xscale="log", yscale="log", xlabel="text (kB)", title=label)
        for names, rows in _curves(results, column).items():
            axes.plot(rows.index / 1e3, rows, "o-", color=_TRAINERS[names[0]], label=", ".join(names))
        axes.set_xlim(right=float(results["bytes"].max()) / 1e3 * 8)
    direct_labels(left, middle, right)
    return Picture(
        fig,
        caption="The same merges from four trainers: the work of each, and its cost. Incremental and heap count the "
        "same neighbours; naive and incremental compare the same pairs.",
        alt=_summary(results, "trainer"),
    )


def _curves(results: pd.DataFrame, column: str) -> dict[tuple[str, ...], "pd.Series[float]"]:
    """The numbers of a column by bytes; trainers with the same numbers are one curve, the longest."""
    curves: dict[tuple[str, ...], pd.Series[float]] = {}
    for trainer in _TRAINERS:
        rows = results[(results["trainer"] == trainer) & results[column].notna()]
        curve = rows.set_index("bytes")[column]
        twin = next((names for names, other in curves.items() if _coincide(curve, other)), None)
        if twin is not None:
            curve = max(curve, curves.pop(twin), key=len)
        if len(curve):
            curves[(*(twin or ()), trainer)] = curve
    return curves


def _coincide(first: "pd.Series[float]", second: "pd.Series[float]") -> bool:
    common = first.index.intersection(second.index)
    return len(common) > 0 and bool((first[common] == second[common]).all())


def long_words(results: pd.DataFrame, exponents: Mapping[str, float]) -> Picture:
    """CPU time of encoding one pre-token against its length, with the measured exponent of each curve.

    ``results``: columns encoder, bytes, cpu_seconds; ``exponents`` by encoder.
    """
    fig, axes = figure(size=(7.6, 3.8))
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
    direct_labels(axes)
    return Picture(
        fig,
        caption="One pre-token of Chinese characters without punctuation, encoded in three ways.",
        alt=_summary(results, "encoder"),
    )


def speed(results: pd.DataFrame) -> Picture:
    """Bars of MB per CPU second by package, one panel per job.

    ``results``: columns job, package, pass, MB_per_cpu_second.
    """
    fig, panels = figure(1, 2, size=(9.6, 3.2))
    for axes, (job, rows) in zip(panels, results.groupby("job", sort=False), strict=True):
        _bars(axes, rows)
        passes = " (first pass solid, later passes light)" if rows["pass"].max() > 1 else ""
        axes.set(xlabel="MB per CPU second", title=f"{job}{passes}")
    return Picture(
        fig,
        caption="Alternative packages, measured one after the other in one process.",
        alt=_summary(results, "package", "MB_per_cpu_second"),
    )


def waterfall(steps: pd.DataFrame, threads: pd.DataFrame, gains: pd.DataFrame) -> Picture:
    """CPU time per byte after each step of the engine; wall time with two threads; what a cache gains.

    ``steps``: columns step and ns_per_byte. ``threads``: column share, the wall time of a single run with two threads
    over that of the run with one thread before it. ``gains``: columns times, how and gain.
    """
    fig, (left, middle, right) = figure(1, 3, size=(10.6, 3.9), width_ratios=[1.6, 0.5, 1])
    times = steps["ns_per_byte"].tolist()
    left.plot(times[0], 0, "|", color=PALETTE["grey"], markersize=22, mew=3)
    label_point(left, f"{times[0]:,.0f} ns", (times[0], 0), (-8, 0), va="center", ha="right")
    for place, (before, after) in enumerate(pairwise(times), 1):
        gained = before >= after
        left.barh(
            place,
            before - after,
            left=after,
            color=PALETTE["blue" if gained else "orange"],
            height=0.62,
            edgecolor=PALETTE["blue" if gained else "orange"],
        )
        factor = f"÷ {before / after:.1f}" if gained else f"× {after / before:.2f}, slower"
        note = f"{factor}    {after:,.0f} ns"
        label_point(left, note, (min(before, after), place), (-6, 0), va="center", ha="right")
    names = [("+ " if place else "") + str(name) for place, name in enumerate(steps["step"])]
    left.set_yticks(range(len(names)), names)
    left.set(xscale="log", xlim=(min(times) / 25, 1.6 * max(times)), xlabel="CPU time (ns per byte)")
    left.set(ylim=(len(names) - 0.4, -0.6), title="one step after the other")
    left.grid(visible=False, axis="y")
    _single_runs(middle, threads["share"])
    for how, colour in (("Python", PALETTE["orange"]), ("engine", PALETTE["green"])):
        rows = gains[gains["how"] == how]
        right.plot(rows["times"], rows["gain"], "o-", color=colour, label=how)
    right.axhline(1, color=PALETTE["grey"], lw=1, ls=(0, (3, 2)))
    right.set(
        xscale="log", yscale="log", xlabel="times that each word occurs", title="time without / with a cache"
    )
    _plain_ticks(right.xaxis, sorted(gains["times"].unique()))
    _plain_ticks(right.yaxis, [1, 2, 5, 10])
    right.set_xlim(right=float(gains["times"].max()) * 3)
    direct_labels(right)
    caption = (
        "Left: encoding the same text, each row with one idea more; a step that loses is orange. Middle: single runs "
        "on all of the novels, wall time; one slower than one thread is orange. Right: texts of the same length from "
        "the same kind of words; above the dashed line, the cache gains."
    )
    alt = f"{_summary(steps, 'step', 'ns_per_byte')}; two threads: {threads['share'].median():.2f} of the wall time"
    return Picture(fig, caption=caption, alt=alt)


def _single_runs(axes: Axes, shares: "pd.Series[float]") -> None:
    """A dot per run, side by side: what two threads need of one thread's wall time."""
    places = [(number + 1) / (len(shares) + 1) for number in range(len(shares))]
    for place, share in zip(places, shares, strict=True):
        axes.plot(place, share, "o", color=PALETTE["blue" if share <= 1 else "orange"], alpha=0.75, mew=0)
    axes.axhline(float(shares.median()), color=PALETTE["blue" if shares.median() <= 1 else "orange"], lw=1.4)
    axes.axhline(1, color=PALETTE["grey"], lw=1, ls=(0, (3, 2)))
    axes.set(xlim=(0, 1), ylim=(0, max(1.15, 1.1 * float(shares.max()))), title="two threads")
    axes.set(xticks=[], xlabel=f"{len(shares)} runs", ylabel="wall time (one thread = 1)")
    label_point(axes, f"median {shares.median():.2f}", (0.5, 0), (0, 8), ha="center")


def training_law(
    measured: Mapping[str, pd.DataFrame],
    predicted: Mapping[str, pd.DataFrame],
    claims: Mapping[str, float],
    stored: Mapping[str, pd.DataFrame],
) -> Picture:
    """Training time against size: measured points, the law through all but the last, and the time that was claimed.

    ``measured``, ``predicted`` and ``stored``: by corpus, columns bytes and cpu_seconds; the last prediction is for the
    corpus itself, and stored points were made once, on another machine. ``claims``: seconds, by corpus.
    """
    fig, axes = figure(size=(8.4, 4.0))
    for (name, points), colour in zip(measured.items(), PALETTE.values(), strict=False):
        law = predicted[name]
        axes.plot(law["bytes"], law["cpu_seconds"], color=colour, lw=1.2, ls=(0, (4, 3)), label=name)
        axes.plot(points["bytes"].iloc[:-1], points["cpu_seconds"].iloc[:-1], "o", color=colour)
        axes.plot(
            points["bytes"].iloc[-1:], points["cpu_seconds"].iloc[-1:], "o", color=colour, mfc="none", mew=1.6
        )
        if name in stored:
            axes.plot(stored[name]["bytes"], stored[name]["cpu_seconds"], "x", color=colour, markersize=6)
        size = float(law["bytes"].iloc[-1])
        axes.plot(size, claims[name], "_", color=colour, markersize=18, mew=2.5)
        label_point(axes, f"claimed: {claims[name]:,.0f} s", (size, claims[name]), (14, 0), va="center")
    axes.set(xscale="log", yscale="log", xlabel="text (bytes)", ylabel="time (s)")
    axes.set(xlim=(None, 8 * axes.get_xlim()[1]), ylim=(None, 2 * axes.get_ylim()[1]))
    direct_labels(axes)
    caption = (
        "Training on one thread (dots, CPU time), the law fitted to all but the largest (rings), stored runs of the "
        "course's machine (crosses), and the times that were claimed for the two corpora (bars, wall time)."
    )
    return Picture(
        fig,
        caption=caption,
        alt=", ".join(f"{name}: {law['cpu_seconds'].iloc[-1]:.3g} s" for name, law in predicted.items()),
    )


def _plain_ticks(axis: Axis, values: Sequence[float]) -> None:
    axis.set_ticks(values, [f"{value:g}" for value in values])
    axis.set_ticks([], minor=True)


def _bars(axes: Axes, rows: pd.DataFrame) -> None:
    packages = list(dict.fromkeys(rows["package"]))[::-1]
    for number in sorted(rows["pass"].unique(), reverse=True):
        part = rows[rows["pass"] == number].set_index("package")["MB_per_cpu_second"]
        colours = [
            PALETTE["green"] if name.startswith("course_lib") else PALETTE["grey"] for name in packages
        ]
        axes.barh(packages, part[packages], color=colours, alpha=1 if number == 1 else 0.35, height=0.62)
    first = rows[rows["pass"] == 1].set_index("package")["MB_per_cpu_second"]
    longest = rows.groupby("package")["MB_per_cpu_second"].max()
    for place, name in enumerate(packages):
        label_point(axes, f"{first[name]:,.0f}", (longest[name], place), (4, 0), va="center")
    axes.set_xlim(0, 1.15 * float(longest.max()))


def _summary(results: pd.DataFrame, by: str, column: str = "cpu_seconds") -> str:
    last = results.groupby(by, sort=False)[column].last()
    return f"{column}, last measurement: " + ", ".join(f"{name} {value:.3g}" for name, value in last.items())
