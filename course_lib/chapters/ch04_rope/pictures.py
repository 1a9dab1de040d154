"""Pictures of chapter 4: scores by position, wavelengths, and what is read beyond the trained length."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from course_lib.show.look import NOTE_SIZE, PALETTE, REFERENCE, Picture, direct_labels, figure, label_point

ENCODINGS = {
    "rope": PALETTE["blue"],
    "sinusoidal": PALETTE["pink"],
    "learned": PALETTE["orange"],
    "none": PALETTE["green"],
}
"""Colours of the position encodings."""
ARMS = {
    "rope": PALETTE["blue"],
    "theta 100": PALETTE["violet"],
    "theta 1e6": PALETTE["pink"],
    "partial": PALETTE["ochre"],
    "p-rope": PALETTE["orange"],
    "one layer": PALETTE["green"],
    "none": PALETTE["grey"],
}
"""Colours of which pairs turn."""
METHODS = {
    "as it is": PALETTE["grey"],
    "theta 1e6": PALETTE["violet"],
    "interpolation x4": PALETTE["orange"],
    "NTK x4": PALETTE["pink"],
    "NTK x8": PALETTE["pink"],
    "NTK x12": PALETTE["pink"],
    "YaRN x4": PALETTE["green"],
    "Llama 3 x4": PALETTE["blue"],
}
"""Colours of the ways of stretching."""
_ROUNDED = {
    "bfloat16 angles": PALETTE["orange"],
    "float16 angles": PALETTE["pink"],
    "float32 angles": PALETTE["green"],
    "bfloat16 table, query and key": PALETTE["blue"],
}


def placed_scores(scores: Mapping[str, NDArray[np.float64]], spreads: Mapping[str, float]) -> Picture:
    """The score of one query and one key for each pair of positions, one panel per position encoding.

    ``scores``: (length, length) matrices by name, rows are the query's positions; ``spreads``: by name, the
    variation among pairs of the same offset.
    """
    fig, panels = figure(1, len(scores), size=(7.6, 3.9), sharey=True)
    for axes, (name, matrix) in zip(panels, scores.items(), strict=True):
        middle, half = float(matrix.mean()), float(np.abs(matrix - matrix.mean()).max())
        axes.imshow(matrix, cmap="PuOr", vmin=middle - half, vmax=middle + half, interpolation="nearest")
        axes.set(
            title=f"positions {name}",
            xlabel=f"position of the key\nleft within an offset: {spreads[name]:.0%}",
        )
        axes.grid(visible=False)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    panels[0].set_ylabel("position of the query")
    return Picture(
        fig,
        caption="The same query and key everywhere; colour is their score (on a separate scale in each panel). Below: "
        "the share of the scores' standard deviation that remains among pairs of the same offset.",
        alt=f"Heat maps of scores; variation left within an offset: {dict(spreads)}",
    )


def precision(results: pd.DataFrame) -> Picture:
    """Error of the scores when query and key move together, by what is rounded. Columns: rounded, shift, error."""
    fig, axes = figure(size=(7.6, 3.6))
    axes.set(
        yscale="log", xlabel="common shift of query and key (tokens)", ylabel="error of the score\n(relative)"
    )
    axes.set_xscale("symlog", linthresh=16, linscale=0.5)
    for name, colour in _ROUNDED.items():
        rows = results[results["rounded"] == name]
        axes.plot(rows["shift"], rows["error"], "o-", color=colour, label=name)
    axes.set_xticks(shifts := sorted(results["shift"].unique()))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlim(right=max(shifts) * 40)
    direct_labels(axes)
    last = results[results["shift"] == max(shifts)].set_index("rounded")["error"]
    return Picture(
        fig,
        caption="What is rounded; everything else is computed in float64. The score should not change.",
        alt=f"Relative error at a shift of {max(shifts)}: "
        + ", ".join(f"{n} {e:.1e}" for n, e in last.items()),
    )


def spectrum(results: pd.DataFrame, *, length: int) -> Picture:
    """Wavelength of each pair, one line per theta, and the trained length. Columns: theta, pair, wavelength."""
    fig, axes = figure(size=(7.6, 3.7))
    axes.set(yscale="log", xlabel="pair i of the features", ylabel="tokens for a full turn")
    for theta, rows in results.groupby("theta"):
        axes.plot(rows["pair"], rows["wavelength"], label=f"theta = {theta:,.0f}")
    axes.axhline(length, **REFERENCE)
    axes.text(0.4, length * 1.25, f"context: {length:,} tokens", fontsize=NOTE_SIZE)
    count = int(results["pair"].max()) + 1
    axes.set_xlim(-0.5, count * 1.22)
    axes.set_xticks([*range(0, count, count // 4), count - 1])
    direct_labels(axes)
    slow = results[results["wavelength"] > length].groupby("theta").size()
    return Picture(
        fig,
        caption="A straight line on this scale is a geometric series. Pairs above the dashed line turn less than once.",
        alt="Pairs that do not complete a turn: "
        + ", ".join(f"theta {t:,.0f}: {n}" for t, n in slow.items()),
    )


def decay(results: pd.DataFrame) -> Picture:
    """Scores by offset, independent and equal vectors, and the bound. Columns: vectors, offset, mean, std, bound."""
    fig, (left, right) = figure(1, 2, size=(8.6, 3.6), width_ratios=(1.5, 1))
    for name, colour, label in (
        ("equal", PALETTE["blue"], "key = query"),
        ("independent", PALETTE["orange"], "key independent"),
    ):
        rows = results[results["vectors"] == name]
        left.plot(rows["offset"], rows["mean"], color=colour, label=label)
        left.fill_between(
            rows["offset"],
            rows["mean"] - rows["std"],
            rows["mean"] + rows["std"],
            color=colour,
            alpha=0.2,
            lw=0,
        )
    rows = results[results["vectors"] == "equal"]
    right.plot(rows["offset"], rows["bound"], color=PALETTE["green"])
    for axes in (left, right):
        axes.set_xscale("symlog", linthresh=1)
        axes.set_xlabel("offset (tokens)")
        axes.set_xticks([0, 1, 10, 100, 1000, 10000])
        axes.xaxis.set_major_formatter("{x:,.0f}")
    left.set(ylabel="score: mean, one standard deviation", title="Scores")
    left.set_xlim(0, float(rows["offset"].max()) * 30)
    right.set(ylabel="share of its value at offset 0", title="RoFormer's bound", ylim=(0, 1.05))
    direct_labels(left)
    return Picture(
        fig,
        caption="Normal vectors of 64 features, 4,000 draws per offset, theta = 10,000.",
        alt=f"Mean score of equal vectors: {rows['mean'].iloc[0]:.1f} at offset 0, {rows['mean'].iloc[-1]:.1f} at "
        f"{rows['offset'].iloc[-1]:,}; the bound is lowest at {rows['bound'].min():.2f} and rises again.",
    )


def near_and_far(results: pd.DataFrame, *, chance: float) -> Picture:
    """Shares predicted in long strings, near and far, as models are and through a window: a row per arm.

    ``results``: columns arm, seed, way (two of them), near, far. ``chance``: the share that a guess gets right.
    """
    arms, ways = list(dict.fromkeys(results["arm"])), list(dict.fromkeys(results["way"]))
    fig, panels = figure(1, 2, size=(8.2, 0.9 + 0.36 * len(arms)), sharey=True)
    for axes, column, title in zip(
        panels, ("near", "far"), ("periods 8–32, as trained", "periods 70–100"), strict=True
    ):
        for number, way in enumerate(ways):
            rows = results[results["way"] == way]
            places = rows["arm"].map(arms.index) + 0.28 * (number - 0.5)
            colour = (PALETTE["blue"], PALETTE["orange"])[number]
            axes.plot(rows[column], places, "o", color=colour, alpha=0.55, markersize=5, mew=0)
        axes.axvline(chance, **REFERENCE)
        axes.set(xlim=(-0.03, 1.03), title=title, xlabel="share of symbols predicted")
    label_point(panels[1], "chance", (chance, -0.62), (4, 0), va="center")
    panels[0].set_yticks(range(len(arms)), arms)
    panels[0].set_ylim(len(arms) - 0.5, -0.85)
    means = results.groupby(["arm", "way"], sort=False)[["near", "far"]].mean()
    return Picture(
        fig,
        caption=f"Strings of four times the trained length; a dot per seed. Blue: {ways[0]}; orange: {ways[1]}.",
        alt="; ".join(
            f"{arm}, {way}: near {near:.2f}, far {far:.2f}" for (arm, way), near, far in means.itertuples()
        ),
    )


def one_pair(results: pd.DataFrame, *, plain: float, trained: int, read: int) -> Picture:
    """The share predicted when one pair alone is interpolated, against that pair's wavelength.

    ``results``: columns pair, wavelength, seed, near, far. ``plain``: the mean of far, with all pairs as trained;
    ``trained`` and ``read``: the lengths.
    """
    fig, axes = figure(size=(7.6, 3.9))
    means = results.groupby("wavelength")["far"].mean()
    axes.plot(
        results["wavelength"], results["far"], "o", color=PALETTE["blue"], alpha=0.4, markersize=5, mew=0
    )
    axes.plot(means.index, means, color=PALETTE["blue"])
    axes.axhline(plain, **REFERENCE)
    axes.axvspan(trained, read, color=PALETTE["ochre"], alpha=0.13, lw=0)
    pairs = results.groupby("wavelength")["pair"].first()
    for wavelength, pair in pairs.items():
        label_point(axes, f"{pair}", (wavelength, 0), (0, 4), xycoords=("data", "axes fraction"), ha="center")
    top = {"xycoords": ("data", "axes fraction"), "va": "top"}
    label_point(axes, f"a turn in {trained}\nto {read} tokens", (trained, 1), (-4, -4), ha="right", **top)
    label_point(axes, "all pairs as trained", (float(pairs.index.max()), plain), (0, -32), ha="right")
    axes.set(
        xscale="log",
        xlabel="tokens for a full turn (numbers: the pairs)",
        ylim=(-0.08, 1.15 * float(results["far"].max())),  # room for the numbers below all dots
    )
    axes.set_ylabel("share predicted,\nperiods 70–100")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlim(right=float(pairs.index.max()) * 1.6)
    best = means.sort_values().index[-2:]
    return Picture(
        fig,
        caption="One pair is slowed to a quarter, all others turn as trained. Dots: seeds; line: their mean.",
        alt=f"As trained {plain:.2f}; most with pairs {', '.join(str(pairs[one]) for one in best)}: "
        f"{', '.join(f'{means[one]:.2f}' for one in best)}.",
    )


def ways_to_stretch(results: pd.DataFrame, slowed: pd.DataFrame, *, plain: float) -> Picture:
    """How each way of stretching slows the pairs, a panel each, with what is then read far and near.

    ``results``: columns way, seed, near, far; ``slowed``: columns way, wavelength, ratio; ``plain``: far, unstretched.
    """
    ways = list(dict.fromkeys(slowed["way"]))
    fig, panels = figure(2, 3, size=(8.4, 4.9), sharex=True, sharey=True)
    means = results.groupby("way")[["near", "far"]].mean()
    for axes, way in zip(panels.flat, ways, strict=True):
        rows = slowed[slowed["way"] == way]
        for other in ways:
            grey = slowed[slowed["way"] == other]
            axes.plot(grey["wavelength"], grey["ratio"], color=PALETTE["grey"], lw=0.7, alpha=0.35)
        axes.plot(rows["wavelength"], rows["ratio"], "o-", color=METHODS[way], markersize=4, lw=1.8)
        axes.set(title=way, ylim=(0, 1.3), xscale="log")
        told = f"far {means.far[way]:.2f}, near {means.near[way]:.2f}"
        axes.text(0.97, 0.96, told, transform=axes.transAxes, ha="right", va="top", fontsize=NOTE_SIZE)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    for axes in panels[-1]:
        axes.set_xlabel("tokens for a full turn")
    for row in panels:
        row[0].set_ylabel("speed after / before")
    return Picture(
        fig,
        caption=f"Eight pairs each; in grey the other ways. Share of symbols predicted, unstretched: far {plain:.2f}.",
        alt=f"Unstretched far {plain:.2f}; "
        + "; ".join(f"{way}: far {means.far[way]:.2f}, near {means.near[way]:.2f}" for way in ways),
    )


def novels_beyond(results: pd.DataFrame) -> Picture:
    """Bits far out in novels, a row per encoding and way of reading. Columns: encoding, way, seed, bits."""
    shown = results.assign(row=results["encoding"] + ", " + results["way"])
    order = shown.groupby("row")["bits"].mean().sort_values().index.tolist()
    fig, axes = figure(size=(7.6, 0.9 + 0.27 * len(order)))
    for encoding, rows in shown.groupby("encoding", sort=False):
        places = rows["row"].map(order.index)
        axes.plot(rows["bits"], places, "o", color=ENCODINGS[str(encoding)], alpha=0.55, markersize=5, mew=0)
    axes.set_yticks(range(len(order)), order)
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.set_xlabel("bits per byte, bytes 129 to 256")
    means = shown.groupby("row")["bits"].mean()
    return Picture(
        fig,
        caption="Models trained on 64 bytes read 256; a dot per seed, the best on top.",
        alt="; ".join(f"{row} {means[row]:.2f}" for row in order),
    )


def costs(results: pd.DataFrame) -> Picture:
    """CPU time of several ways to rotate the same tensor. Columns: form, milliseconds."""
    fig, axes = figure(size=(7.6, 3.0))
    rows = results.iloc[::-1]
    axes.barh(rows["form"], rows["milliseconds"], color=PALETTE["blue"], height=0.6)
    for place, value in enumerate(rows["milliseconds"]):
        label_point(axes, f"{value:.2g} ms", (value, place), (4, 0), va="center")
    axes.set(xscale="log", xlabel="CPU time (ms), one thread")
    axes.set_xlim(float(rows["milliseconds"].min()) / 3, float(rows["milliseconds"].max()) * 4)
    return Picture(
        fig,
        caption="Queries of 2 sequences, 8 heads, 512 tokens, 64 features, rotated by one formula; all results agree.",
        alt=", ".join(
            f"{form}: {ms:.2g} ms" for form, ms in zip(results["form"], results["milliseconds"], strict=True)
        ),
    )
