"""README's figures on tokenizer speed and the picture beside them, made from results/tokenizer_speed.json."""

import hashlib
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.ticker import NullFormatter

from course_lib.show.look import INK, NOTE_SIZE, PALETTE, SETTINGS, figure

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "tokenizer_speed.json"
README = ROOT / "README.md"
PICTURE = ROOT / ".github" / "tokenizer_speed.svg"
BEGIN = "<!-- Made by `python benchmarks/tokenizer_speed.py --readme`: do not edit. -->"
END = "<!-- End of what tokenizer_speed.py makes. -->"
OURS = "course_lib"

Row = dict[str, Any]


def write(results: Path = RESULTS, readme: Path = README, picture: Path = PICTURE) -> None:
    """Put the tables into README between its two marks, and draw the picture."""
    page = readme.read_text(encoding="utf-8")
    found = json.loads(results.read_text(encoding="utf-8"))
    pattern = f"{re.escape(BEGIN)}.*?{re.escape(END)}"
    if len(re.findall(pattern, page, re.DOTALL)) != 1:
        raise ValueError(f"{readme} must have one section between {BEGIN!r} and {END!r}")
    new = re.sub(pattern, lambda _: f"{BEGIN}\n\n{section(found)}\n\n{END}", page, flags=re.DOTALL)
    picture.write_bytes(draw(found["rows"], fingerprint(results)))
    readme.write_text(new, encoding="utf-8")


def fingerprint(results: Path) -> str:
    """SHA-256 of the results; the picture carries it."""
    return hashlib.sha256(results.read_bytes()).hexdigest()


# --- what README says ----------------------------------------------------------------------------------------------


def section(found: dict[str, Any]) -> str:
    """The text between the marks."""
    rows, machine = found["rows"], found["machine"]
    versions = {row["package"]: row["version"] for row in rows if row["package"] != OURS}
    repeats = found["repeats"]
    how = (
        f"Each figure is the median of {repeats} fresh processes that took turns, each ratio the median of the ratios "
        "within a turn"
        if repeats > 1
        else "Each figure is from a single process, and thus provisional"
    )
    paragraphs = [
        f"Measured on {machine['date']}: {machine['processors']} processors ({machine['processor']}, "
        f"{machine['vectors'] or machine['platform']}); CPU seconds on one thread unless it says otherwise. {how}; "
        "`benchmarks/tokenizer_speed.py` says what is measured and what is not. Versions: "
        + ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
        + ".",
        f"![Megabytes per CPU second of each package, encoding and training]({PICTURE.relative_to(ROOT)})",
        training(rows),
        encoding(rows),
        short(rows),
        threads(rows),
        different(rows),
    ]
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def training(rows: Sequence[Row]) -> str:
    """Seconds by package and text."""
    chosen = [row for row in rows if row["job"] == "train" and row["threads"] == 1]
    if not chosen:
        return ""

    def cell(row: Row) -> str:
        seconds = f"{row['cpu']['first_s']:.2g} s"
        return seconds if row["package"] == OURS else f"{seconds} ({times(row['cpu']['first_ratio'])})"

    sizes = {row["text"]: f"{row['text']}, {row['size']:.2g} MB" for row in chosen}
    lines = by_package(chosen, lambda row: row["text"], cell, [*sizes])
    size = f"{int(chosen[0]['argument']):,}"
    faster = [row["cpu"]["first_ratio"] for row in chosen if row["package"] != OURS]
    return (
        table([f"Training {size} tokens", *sizes.values()], lines)
        + "\n\nIn brackets: how many times as long as course_lib. course_lib is the fastest in "
        f"{sum(all(r > 1 for r in ratios(chosen, text)) for text in sizes)} of {len(sizes)} texts; the others take "
        f"{times(min(faster))} to {times(max(faster))} its time. Packages decide differently which of two equally "
        "frequent pairs comes first, and where lines end: "
        f"{percent(min(row['shared'] for row in chosen))} or more of the tokens are those that course_lib learns."
    )


def ratios(rows: Iterable[Row], text: str) -> list[float]:
    return [row["cpu"]["first_ratio"] for row in rows if row["text"] == text and row["package"] != OURS]


def encoding(rows: Sequence[Row]) -> str:
    """Ours beside the fastest other, by vocabulary and text; only packages that give the same ids."""
    chosen = [row for row in rows if row["job"] == "encode" and row["same"]]
    if not chosen:
        return ""
    lines, won = [], {"first": 0, "again": 0}
    groups = grouped(chosen, lambda row: (row["argument"], row["text"]))
    for (vocabulary, text), group in groups.items():
        mine = next(row for row in group if row["package"] == OURS)
        cells = [f"{vocabulary}, {text}"]
        for label in won:
            other = min(
                (row for row in group if row["package"] != OURS),
                key=lambda row, label=label: row["cpu"][f"{label}_ratio"],
                default=None,
            )
            cells.append(rate(mine, label))
            if other is None:
                cells.append("")
                continue
            ratio = other["cpu"][f"{label}_ratio"]
            won[label] += ratio > 1
            cells.append(f"{rate(other, label)} {other['package']} ({ratio:.2f})")
        lines.append(cells)
    return (
        table(
            [
                "Encoding, MB per CPU second",
                "first pass: course_lib",
                "fastest other",
                "caches filled: course_lib",
                "fastest other",
            ],
            lines,
        )
        + f"\n\nIn brackets: the speed of course_lib divided by that of the other. It is the fastest in "
        f"{won['first']} of {len(groups)} comparisons of the first pass, and in {won['again']} of {len(groups)} with "
        "filled caches."
    )


def short(rows: Sequence[Row]) -> str:
    """Microseconds per call."""
    chosen = [row for row in rows if row["job"].startswith("short") and row["same"]]
    if not chosen:
        return ""

    def cell(row: Row) -> str:
        return f"{1e6 * row['cpu']['again_s'] / row['size']:.2f}"

    columns = sorted({(row["argument"], row["job"].removeprefix("short, ")) for row in chosen})
    lines = by_package(
        chosen, lambda row: (row["argument"], row["job"].removeprefix("short, ")), cell, columns
    )
    return table(
        ["A call with 24 tokens, microseconds", *(f"{name}, {form}" for name, form in columns)], lines
    )


def threads(rows: Sequence[Row]) -> str:
    """Wall time on one and two threads."""
    chosen = [row for row in rows if row["job"] in ("batch", "file") and row["same"]]
    if not chosen:
        return ""

    def column(row: Row) -> tuple[str, str, str]:
        return row["job"], row["argument"], row["text"]

    columns = [*grouped(chosen, column)]
    lines = []
    for package in dict.fromkeys(row["package"] for row in chosen):
        cells = [package]
        for wanted in columns:
            rates = [
                f"{row['size'] / row['wall']['again_s']:.0f}"
                for number in (1, 2)
                for row in chosen
                if (row["package"], column(row), row["threads"]) == (package, wanted, number)
            ]
            cells.append(" → ".join(rates))
        lines.append(cells)
    heads = [f"{job}, {vocabulary}, {text}" for job, vocabulary, text in columns]
    return table(["MB per second of wall time, 1 → 2 threads, caches filled", *heads], lines)


def different(rows: Sequence[Row]) -> str:
    """Encodings that were left out because their ids are others."""
    found = sorted(
        {(row["package"], row["argument"]) for row in rows if row["job"] != "train" and not row["same"]}
    )
    checked = sum(row["job"] != "train" and row["package"] != OURS for row in rows)
    if not found:
        return f"In all {checked} measurements of other packages, the ids were the same as ours."
    named = ", ".join(f"{package} with {vocabulary}" for package, vocabulary in found)
    return f"Not in the tables, because the ids of at least one text differ from ours, thus from tiktoken's: {named}."


# --- small tools ---------------------------------------------------------------------------------------------------


def grouped(rows: Iterable[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    """Rows by key, in the order in which keys appear."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def by_package(
    rows: Sequence[Row],
    column: Callable[[Row], Any],
    cell: Callable[[Row], str],
    columns: Sequence[Any],
) -> list[list[str]]:
    """A line for each package, and a cell for each column; empty where nothing was measured."""
    cells = {(row["package"], column(row)): cell(row) for row in rows}
    packages = dict.fromkeys(row["package"] for row in rows)
    return [[name, *(cells.get((name, wanted), "") for wanted in columns)] for name in packages]


def table(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    marks = ["---", *["---:"] * (len(titles) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (titles, marks, *lines))


def rate(row: Row, label: str) -> str:
    return f"{row['size'] / row['cpu'][f'{label}_s']:.0f}"


def times(ratio: float) -> str:
    return f"{ratio:.0f}×" if ratio >= 9.95 else f"{ratio:.1f}×"


def percent(share: float) -> str:
    return f"{math.floor(100 * share)}%"


# --- the picture ---------------------------------------------------------------------------------------------------


def draw(rows: Sequence[Row], source: str) -> bytes:
    """An SVG file: a panel for each text, a line for each package, MB per CPU second; encoding above, training below.

    Its background is the course's paper, so that it can be read on light and on dark pages. ``source`` is written into
    its metadata.
    """
    encoded = [row for row in rows if row["job"] == "encode" and row["argument"] == "gpt2" and row["same"]]
    trained = [row for row in rows if row["job"] == "train" and row["threads"] == 1]
    texts = [*dict.fromkeys(row["text"] for row in (*encoded, *trained))]
    fig, panels = figure(
        2,
        len(texts),
        size=(2.4 * len(texts), 5.4),
        sharex="row",
        sharey="row",
        squeeze=False,
        height_ratios=[1.1, 1],
    )
    for (above, below), text in zip(panels.T, texts, strict=True):
        dots(above, [row for row in encoded if row["text"] == text], packages(encoded))
        dots(below, [row for row in trained if row["text"] == text], packages(trained))
        above.set_title(text)
        below.set_xlabel("MB per CPU second")
    panels[0, 0].set_ylabel("encoding, GPT-2\n(hollow: first pass)")
    panels[1, 0].set_ylabel("training")
    settings = {**SETTINGS, "svg.hashsalt": "tokenizer_speed", "svg.fonttype": "path"}
    with matplotlib.rc_context(settings), io.BytesIO() as buffer:
        metadata = {"Date": None, "Creator": None, "Description": f"sha256 of the results: {source}"}
        fig.savefig(buffer, format="svg", facecolor=fig.get_facecolor(), metadata=metadata)
        return buffer.getvalue()


def packages(rows: Sequence[Row]) -> list[str]:
    """The fastest, over all texts, last, which is the top of the picture."""
    groups = grouped(rows, lambda row: row["package"])
    return sorted(groups, key=lambda name: -sum(math.log(row["cpu"]["first_ratio"]) for row in groups[name]))


def dots(axes: Any, rows: Sequence[Row], order: Sequence[str]) -> None:
    """One panel: the first pass hollow if there are later ones, those full."""
    for row in rows:
        colour = PALETTE["orange"] if row["package"] == OURS else PALETTE["blue"]
        height = order.index(row["package"])
        speeds = {
            label: row["size"] / row["cpu"][f"{label}_s"]
            for label in ("first", "again")
            if f"{label}_s" in row["cpu"]
        }
        axes.plot([*speeds.values()], [height] * len(speeds), color=colour, linewidth=1)
        last = [*speeds][-1]
        for label, speed in speeds.items():
            axes.plot(
                speed, height, "o", color=colour, markersize=5, fillstyle="full" if label == last else "none"
            )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(range(len(order)), order, fontsize=NOTE_SIZE, color=INK)
    axes.set_ylim(-0.6, len(order) - 0.4)
