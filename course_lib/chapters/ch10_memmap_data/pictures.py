"""Pictures of chapter 10: storage, the page cache, batches, epochs, documents, and the memory of a step."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from course_lib.show.look import (
    INK,
    NOTE_SIZE,
    PALETTE,
    REFERENCE,
    Picture,
    direct_labels,
    figure,
    label_point,
)

WAYS = {
    "row by row, mapped again": PALETTE["orange"],
    "row by row": PALETTE["pink"],
    "one gather, read": PALETTE["green"],
    "one gather, mapped": PALETTE["blue"],
}
"""Colours of the methods for making a batch, by name."""
_SOURCES = {"disk": PALETTE["orange"], "page cache": PALETTE["blue"], "array": PALETTE["green"]}
PART_COLOURS = {
    "weights": PALETTE["blue"],
    "optimizer": PALETTE["green"],
    "gradients": PALETTE["pink"],
    "activations": PALETTE["orange"],
    "loss": PALETTE["ochre"],
}
"""Colours of the parts of a training step's memory, by name."""


def storage(results: pd.DataFrame) -> Picture:
    """Bytes per token in each form, as bars. Columns: form, bytes_per_token."""
    rows = results.sort_values("bytes_per_token")
    fig, axes = figure(size=(7.6, 2.7))
    bars = axes.barh(rows["form"], rows["bytes_per_token"], color=PALETTE["blue"], height=0.6)
    axes.bar_label(bars, fmt="{:.1f}", padding=4, fontsize=9)
    axes.set(xlabel="bytes per token", xlim=(0, float(rows["bytes_per_token"].max()) * 1.1))
    axes.grid(visible=False, axis="y")
    said = ", ".join(
        f"{form} {size:.1f}" for form, size in zip(rows["form"], rows["bytes_per_token"], strict=True)
    )
    return Picture(fig, caption="The same stories in five forms.", alt=f"Bytes per token: {said}")


def cold_and_warm(results: pd.DataFrame) -> Picture:
    """Time per window by source, one point per repeat. Columns: pattern, source, microseconds."""
    fig, axes = figure(size=(7.6, 3.2))
    patterns = list(dict.fromkeys(results["pattern"]))
    places = {name: place for place, name in enumerate(reversed(patterns))}
    for offset, (source, colour) in zip((0.22, 0.0, -0.22), _SOURCES.items(), strict=True):
        for pattern, place in places.items():
            rows = results[(results["pattern"] == pattern) & (results["source"] == source)]
            axes.plot(rows["microseconds"], [place + offset] * len(rows), "o", color=colour, alpha=0.75)
            label_point(
                axes,
                f"{source}, {rows['microseconds'].median():,.2f}",
                (rows["microseconds"].max(), place + offset),
                (9, 0),
                color=colour,
                va="center",
            )
    axes.set(xscale="log", xlabel="microseconds per window", ylim=(-0.5, len(patterns) - 0.5))
    axes.set_xlim(right=float(results["microseconds"].max()) * 6)
    axes.set_yticks(list(places.values()), list(places))
    axes.xaxis.set_major_formatter("{x:g}")
    medians = results.groupby(["pattern", "source"])["microseconds"].median().reset_index()
    return Picture(
        fig,
        caption="Windows of 256 tokens, copied from a file that is not in memory, from a file in the system's page "
        "cache, and from an array. One point per repeat; numbers are medians.",
        alt="Median microseconds: " + ", ".join(f"{p} {s} {m:.2f}" for p, s, m in medians.to_numpy()),
    )


def loaders(results: pd.DataFrame) -> Picture:
    """CPU time per batch of each method, one point per repeat. Columns: way, microseconds."""
    fig, axes = figure(size=(7.6, 2.8))
    medians = results.groupby("way")["microseconds"].median()
    for place, (way, colour) in enumerate(reversed(WAYS.items())):
        rows = results[results["way"] == way]
        axes.plot(rows["microseconds"], [place] * len(rows), "o", color=colour, alpha=0.75)
        label_point(
            axes,
            f"{medians[way]:,.0f}",
            (rows["microseconds"].max(), place),
            (9, 0),
            color=colour,
            fontsize=9,
            va="center",
        )
    axes.set_yticks(range(len(WAYS)), list(reversed(WAYS)))
    axes.set(xscale="log", xlabel="CPU microseconds per batch", ylim=(-0.6, len(WAYS) - 0.4))
    axes.set_xlim(right=float(results["microseconds"].max()) * 2.2)
    _plain(axes)
    return Picture(
        fig,
        caption="64 windows of 256 tokens from a file of 128 MB. One point per repeat; numbers are medians.",
        alt="Median CPU microseconds per batch: " + ", ".join(f"{w} {m:,.0f}" for w, m in medians.items()),
    )


def resident_growth(results: pd.DataFrame, *, file_megabytes: float) -> Picture:
    """Resident memory against batches drawn. Columns: way, batches, megabytes."""
    fig, axes = figure(size=(7.6, 3.3))
    colours = {"mapped once": "blue", "mapped again": "orange", "read": "green"}
    for way, colour in colours.items():
        rows = results[results["way"] == way]
        axes.plot(rows["batches"], rows["megabytes"], color=PALETTE[colour], label=way)
    last = float(results["batches"].max())
    axes.plot([0, last], [file_megabytes] * 2, **REFERENCE)
    axes.text(last * 0.5, file_megabytes * 1.03, "the whole file", fontsize=NOTE_SIZE)
    axes.set(xlabel="batches drawn", ylabel="added resident\nmemory (MB)", xlim=(0, last * 1.2))
    axes.set_ylim(-0.06 * file_megabytes, 1.2 * file_megabytes)
    direct_labels(axes)
    most = results.groupby("way")["megabytes"].max()
    return Picture(
        fig,
        caption="64 random windows of 256 tokens per batch.",
        alt="Most megabytes: " + ", ".join(f"{way} {size:.0f}" for way, size in most.items()),
    )


def coverage(results: pd.DataFrame) -> Picture:
    """The share of the text not yet seen. Columns: drawn, seed, epoch, unseen."""
    fig, axes = figure(size=(7.6, 3.3))
    for (name, rows), colour in zip(results.groupby("drawn"), ("orange", "blue"), strict=True):
        for number, (_, line) in enumerate(rows.groupby("seed")):
            axes.plot(
                line["epoch"],
                line["unseen"],
                color=PALETTE[colour],
                lw=1.3,
                label=name if number == 0 else f"_{name}",
            )
    epochs = np.linspace(0, float(results["epoch"].max()), 200)
    axes.plot(epochs, np.exp(-epochs), **REFERENCE)
    axes.text(1.45, float(np.exp(-1.35)), "exp(-epochs)", fontsize=NOTE_SIZE)
    axes.set(xlabel="epochs' worth of windows", ylabel="share of windows never seen", ylim=(-0.03, 1.03))
    axes.set_xlim(0, float(epochs[-1]) * 1.3)
    direct_labels(axes)
    one = results[np.isclose(results["epoch"], 1)].groupby("drawn")["unseen"].mean()
    return Picture(
        fig,
        caption="2,000 windows, three seeds. The dashed line is the law for draws with replacement.",
        alt="Unseen after one epoch: " + ", ".join(f"{name} {share:.0%}" for name, share in one.items()),
    )


def dealing(results: pd.DataFrame) -> Picture:
    """The process and batch that read each window. Columns: batch, rank, window, epoch."""
    fig, axes = figure(size=(7.6, 3.6))
    for rank, colour in zip(sorted(results["rank"].unique()), PALETTE.values(), strict=False):
        for epoch in sorted(results["epoch"].unique()):
            part = results[(results["rank"] == rank) & (results["epoch"] == epoch)]
            inside = colour if epoch == 0 else "none"
            label = f"process {rank}" if epoch == 0 else f"_{rank}"
            axes.plot(
                part["batch"],
                part["window"],
                "s",
                color=colour,
                markersize=5,
                label=label,
                markerfacecolor=inside,
            )
    axes.set(xlabel="batch", ylabel="window of the file")
    axes.legend(loc="upper center", ncols=4, bbox_to_anchor=(0.5, 1.13), frameon=False)
    return Picture(
        fig,
        caption="Filled: first epoch; hollow: second. Every row has one filled and one hollow mark: each window is "
        "read once per epoch, by one process. An epoch may end within a batch.",
        alt=f"{results['window'].nunique()} windows dealt to {results['rank'].nunique()} processes",
    )


def boundaries(results: pd.DataFrame) -> Picture:
    """Mixed documents and padding by window length. Columns: context, foreign_context, mixed_windows, padding."""
    fig, axes = figure(size=(7.6, 3.4))
    lines = {
        "mixed_windows": ("windows with two documents", "pink"),
        "foreign_context": ("targets that see another document", "orange"),
        "padding": ("wasted by one document per window", "blue"),
    }
    for column, (label, colour) in lines.items():
        axes.plot(results["context"], results[column], "o-", color=PALETTE[colour], label=label)
    axes.set(xscale="log", xlabel="tokens in a window", ylabel="share", ylim=(-0.03, 1.05))
    axes.set_xticks(results["context"].tolist())
    axes.set_xlim(right=float(results["context"].max()) * 12)
    _plain(axes)
    direct_labels(axes)
    last = results.iloc[-1]
    return Picture(
        fig,
        caption="Generated stories, cut into windows regardless of where they end.",
        alt=f"With {last['context']:.0f} tokens per window, {last['foreign_context']:.0%} of the targets see another "
        f"document; one document per window would waste {last['padding']:.0%}",
    )


def step_timeline(results: pd.DataFrame, *, expected_megabytes: float) -> Picture:
    """Memory during two training steps. Columns: seconds, megabytes, phase, fixed_megabytes."""
    fig, axes = figure(size=(8.4, 3.7))
    times, total = results["seconds"] * 1e3, results["megabytes"]
    fixed = float(results["fixed_megabytes"].iloc[0])
    axes.fill_between(times, fixed, total, step="post", color=PALETTE["orange"], alpha=0.35, lw=0)
    axes.fill_between(times, 0, fixed, color=PALETTE["blue"], alpha=0.35, lw=0)
    axes.step(times, total, where="post", color=PALETTE["orange"], lw=1.2)
    axes.axhline(expected_megabytes, **REFERENCE)
    axes.text(
        float(times.iloc[-1]), expected_megabytes * 1.02, "expected peak", fontsize=NOTE_SIZE, ha="right"
    )
    changes = results["phase"].ne(results["phase"].shift())
    starts = list(zip(times[changes], results["phase"][changes], strict=True))
    for (start, phase), end in zip(starts, [*(s for s, _ in starts[1:]), float(times.iloc[-1])], strict=True):
        axes.axvline(start, color=INK, lw=0.6, alpha=0.5)
        if end - start > 0.03 * float(times.iloc[-1]):
            axes.text((start + end) / 2, expected_megabytes * 1.12, phase, fontsize=NOTE_SIZE, ha="center")
    axes.text(float(times.iloc[-1]) * 0.01, fixed * 0.35, "weights and optimizer state", fontsize=NOTE_SIZE)
    axes.set(xlabel="milliseconds", ylabel="memory (MB)", ylim=(0, expected_megabytes * 1.22))
    axes.set_xlim(0, float(times.iloc[-1]))
    return Picture(
        fig,
        caption="Two steps of training, every allocation recorded. Blue: permanent. Orange: allocated and freed within "
        "a step.",
        alt=f"Memory between {fixed:.0f} and {total.max():.0f} MB; expected peak {expected_megabytes:.0f} MB",
    )


def _plain(axes: Axes) -> None:
    """Plain numbers with thousands separators on a logarithmic axis."""
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_minor_locator(LogLocator(subs="all"))
    axes.xaxis.set_minor_formatter(NullFormatter())
