"""Pictures of chapter 4: scores by position, wavelengths, loss beyond the trained length."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from course_lib.show.look import NOTE_SIZE, PALETTE, REFERENCE, Picture, direct_labels, figure, label_point

_ENCODINGS = {
    "rope": ("RoPE", PALETTE["blue"]),
    "sinusoidal": ("sinusoidal", PALETTE["pink"]),
    "learned": ("learned", PALETTE["orange"]),
    "none": ("none", PALETTE["green"]),
}
METHODS = {
    "as it is": PALETTE["grey"],
    "position interpolation": PALETTE["orange"],
    "NTK-aware": PALETTE["blue"],
    "YaRN": PALETTE["green"],
}
"""Colours of the methods for stretching a context, by name."""
_DTYPES = {"bfloat16": PALETTE["orange"], "float16": PALETTE["blue"], "float32": PALETTE["green"]}


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
    """Error of the scores when query and key move together, by number format. Columns: dtype, shift, error."""
    fig, axes = figure(size=(7.6, 3.5))
    axes.set(
        yscale="log", xlabel="common shift of query and key (tokens)", ylabel="error of the score\n(relative)"
    )
    axes.set_xscale("symlog", linthresh=16, linscale=0.5)
    for name, colour in _DTYPES.items():
        rows = results[results["dtype"] == name]
        axes.plot(rows["shift"], rows["error"], "o-", color=colour, label=name)
    axes.set_xticks(shifts := sorted(results["shift"].unique()))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlim(right=max(shifts) * 4)
    direct_labels(axes)
    last = results[results["shift"] == max(shifts)].set_index("dtype")["error"]
    return Picture(
        fig,
        caption="Angles computed in three number formats, everything else in float64. The score should not change.",
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
    axes.set_xlim(-0.5, float(results["pair"].max()) * 1.22)
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


def beyond_training(results: pd.DataFrame, *, trained: int) -> Picture:
    """Loss by position for each encoding, one line per seed. Columns: encoding, seed, position, loss."""
    fig, axes = figure(size=(8.0, 4.0))
    for encoding, (label, colour) in _ENCODINGS.items():
        rows = results[results["encoding"] == encoding]
        named = encoding != "learned"  # its name would overlap the dashed line
        for number, (_, line) in enumerate(rows.groupby("seed")):
            shown = label if named and number == 0 else f"_{label}"
            axes.plot(line["position"], line["loss"], color=colour, lw=1.4, label=shown)
    learned = results[results["encoding"] == "learned"]
    if len(learned):
        top = float(learned.loc[learned["position"] > trained / 2, "loss"].max())
        label_point(axes, "learned", (trained, top), (-4, 4), ha="right", color=_ENCODINGS["learned"][1])
    _finish(axes, results, trained, room=0.17)
    axes.set_ylabel("loss (nats/byte)")
    direct_labels(axes)
    last = results[results["position"] == results["position"].max()].groupby("encoding")["loss"].mean()
    return Picture(
        fig,
        caption=f"Trained on {trained} bytes. Held-out stories, one line per seed. Learned positions end with "
        "their table.",
        alt="Loss at the last positions: " + ", ".join(f"{name} {loss:.2f}" for name, loss in last.items()),
    )


def stretched(results: pd.DataFrame, *, trained: int) -> Picture:
    """Loss by position for each stretching method, before and after tuning, one line per seed.

    ``results``: columns method, tuned (steps), seed, position, loss.
    """
    fig, panels = figure(1, 2, size=(9.6, 4.0), sharey=True)
    for axes, steps in zip(panels, sorted(results["tuned"].unique()), strict=True):
        part = results[results["tuned"] == steps]
        for method, colour in METHODS.items():
            for number, (_, line) in enumerate(part[part["method"] == method].groupby("seed")):
                label = method if number == 0 else f"_{method}"
                axes.plot(line["position"], line["loss"], color=colour, lw=1.4, label=label)
        _finish(axes, part, trained, room=0.5)
        axes.set_title(f"after {steps} steps at the new length" if steps else "without further training")
    panels[0].set_ylabel("loss (nats/byte)")
    direct_labels(*panels)
    last = results[results["position"] > 2 * trained].groupby(["tuned", "method"])["loss"].mean()
    return Picture(
        fig,
        caption="A context stretched four times: loss by position on held-out stories, one line per seed.",
        alt="Mean loss beyond twice the trained length, by steps of tuning and method: "
        + ", ".join(f"{key}: {loss:.2f}" for key, loss in last.items()),
    )


def _finish(axes: Axes, results: pd.DataFrame, trained: int, *, room: float) -> None:
    axes.axvline(trained, **REFERENCE)
    label_point(axes, "trained up to here", (trained, 0), (4, 4), xycoords=("data", "axes fraction"))
    axes.set(xlabel="position (bytes)", xlim=(0, float(results["position"].max()) * (1 + room)))
    axes.set_xticks(range(0, round(float(results["position"].max())) + 5, trained))


def stretched_frequencies(results: pd.DataFrame, *, factor: float) -> Picture:
    """The factor by which each stretching method slows each pair.

    ``results``: columns method, wavelength (before), ratio (after / before).
    """
    fig, axes = figure(size=(7.6, 3.3))
    for method, colour in METHODS.items():
        rows = results[results["method"] == method]
        axes.plot(rows["wavelength"], rows["ratio"], "o-", color=colour, label=method, markersize=4)
    axes.set(
        xscale="log", xlabel="tokens for a full turn, before", ylabel="speed after / before", ylim=(0, 1.1)
    )
    axes.axhline(1 / factor, **REFERENCE)
    axes.set_xlim(right=float(results["wavelength"].max()) * 40)
    axes.text(float(results["wavelength"].min()), 1 / factor + 0.03, f"1/{factor:g}", fontsize=NOTE_SIZE)
    direct_labels(axes)
    return Picture(
        fig,
        caption="Horizontal: the tokens per turn of each pair of features; vertical: the factor that slows it.",
        alt="Position interpolation slows all pairs equally, NTK-aware the slower ones more; YaRN has a short ramp.",
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
