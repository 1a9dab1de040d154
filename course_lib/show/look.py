"""The look of the course's figures: style sheet, palette, labels, and finished pictures that display themselves."""

import base64
import io
import math
import textwrap
from collections.abc import Sequence
from importlib.resources import as_file, files
from typing import Any

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation

PALETTE = {
    "blue": "#0077B4",
    "orange": "#CD330C",
    "green": "#006368",
    "pink": "#AC5295",
    "ochre": "#696D00",
    "violet": "#5B4FC4",
    "grey": "#6A6F6C",
}
"""The colour cycle, by name: dark enough for the paper background, and distinct for colour-blind readers."""

CSS_PIXELS_PER_INCH = 100
"""CSS pixels on the page per inch of figure size; pictures are rendered at twice this resolution for sharp screens."""

_CAPTION_LETTERS_PER_INCH = 15.5


def _style_settings() -> matplotlib.RcParams:
    with as_file(files("course_lib.show") / "course.mplstyle") as path:
        return matplotlib.rc_params_from_file(path, use_default_template=False)


SETTINGS = _style_settings()
"""The style sheet, ``course.mplstyle``, as matplotlib settings."""

INK: str = SETTINGS["text.color"]
"""The colour of text, and of marks that belong to no series."""

PAPER: str = SETTINGS["axes.facecolor"]
"""The background colour."""

NOTE_SIZE: float = SETTINGS["legend.fontsize"]
"""Font size of names and notes inside the axes, in points."""

REFERENCE: dict[str, Any] = {"color": INK, "linewidth": 0.9, "linestyle": (0, (2, 2))}
"""Line style of a law, a limit or a baseline: thin, dashed, in ink."""

LABEL_BOX: dict[str, Any] = {"facecolor": PAPER, "alpha": 0.85, "linewidth": 0, "pad": 1.5}
"""The ``bbox`` of a label that must stay readable on top of lines."""


def style() -> None:
    """Use the course's style sheet for all later matplotlib figures; call it once, in the first cell."""
    matplotlib.rcParams.update(SETTINGS)


def figure(
    rows: int = 1, columns: int = 1, *, size: tuple[float, float] = (7.6, 3.6), **subplots: Any
) -> tuple[Figure, Any]:
    """A figure in the course's style and its axes, like ``plt.subplots`` but without pyplot's global state.

    ``size`` is in inches of 100 CSS pixels on the page; other options go to ``Figure.subplots``.
    """
    with matplotlib.rc_context(SETTINGS):
        result = Figure(figsize=size, dpi=CSS_PIXELS_PER_INCH, layout="constrained")
        FigureCanvasAgg(result)
        return result, result.subplots(rows, columns, **subplots)


def label_point(
    axes: Axes, text: str, point: tuple[Any, Any], offset: tuple[float, float], **options: Any
) -> Annotation:
    """Write a small label beside a point: ``offset`` points to the right of it and above it.

    Other options go to ``Axes.annotate``; ``xycoords`` says what the point's coordinates are.
    """
    options = {"fontsize": NOTE_SIZE, **options}
    return axes.annotate(text, point, xytext=offset, textcoords="offset points", **options)


def direct_labels(axes: Axes, *others: Axes, gap: float = 1.15, aligned: bool = False) -> None:
    """Write the name of each labelled line at its right end, in the line's colour, instead of a legend.

    Call it last, once for all the axes of a figure: it lays the figure out and needs the final limits. Names that
    would overlap are moved apart vertically; ``gap`` is their smallest distance in line heights. ``aligned`` writes all
    names of a panel behind the end of its longest line, so that none lies on a line that goes on.
    """
    root = axes.get_figure(root=True)
    assert root is not None
    root.draw_without_rendering()
    height = gap * NOTE_SIZE * root.dpi / 72
    for panel in (axes, *others):
        _label_lines(panel, height, aligned)


def _label_lines(axes: Axes, height: float, aligned: bool) -> None:
    """Name the lines of one panel, at least ``height`` pixels apart; ``aligned``: where the longest one ends."""
    named = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
    points = [(line, np.asarray(line.get_xydata())) for line in named]
    lines = [(line, (float(data[-1, 0]), float(data[-1, 1]))) for line, data in points if len(data)]
    if aligned and lines:
        right = max(x for _, (x, _) in lines)
        lines = [(line, (right, y)) for line, (_, y) in lines]
    ends = [axes.transData.transform(end) for _, end in lines]
    order = sorted(range(len(lines)), key=lambda index: ends[index][1])
    inside = (axes.bbox.y0 + height / 2, axes.bbox.y1 - height / 2)
    places = spread([ends[index][1] for index in order], height, within=inside)
    to_points = 72 / axes.get_figure(root=True).dpi  # type: ignore[union-attr]
    for index, place in zip(order, places, strict=True):
        line, end = lines[index]
        label_point(
            axes,
            str(line.get_label()),
            end,
            (6, (place - ends[index][1]) * to_points),
            color=line.get_color(),
            verticalalignment="center",
            annotation_clip=False,
        )


def spread(
    places: Sequence[float], gap: float, *, within: tuple[float, float] = (-math.inf, math.inf)
) -> list[float]:
    """Move ascending ``places`` apart until neighbours are at least ``gap`` apart; each cluster keeps its middle.

    Places outside ``within`` are moved into it, as far as there is room (else they go over the upper end).
    """
    clusters: list[list[float]] = []  # [middle, count]
    for place in places:
        clusters.append([place, 1])
        while (
            len(clusters) > 1
            and clusters[-1][0] - clusters[-2][0] < gap * (clusters[-1][1] + clusters[-2][1]) / 2
        ):
            middle, count = clusters.pop()
            below, below_count = clusters[-1]
            total = count + below_count
            clusters[-1] = [(middle * count + below * below_count) / total, total]
    apart = [middle + gap * (i - (count - 1) / 2) for middle, count in clusters for i in range(int(count))]
    low, high = within
    apart = [min(place, high - gap * (len(apart) - 1 - i)) for i, place in enumerate(apart)]
    return [max(place, low + gap * i) for i, place in enumerate(apart)]


class Picture:
    """A finished static figure that displays itself: PNG at 2x, alternative text, and plain text where no image shows.

    ``caption``: a sentence printed below the figure. ``alt``: a description of the picture for readers who cannot see
    it (by default the caption).
    """

    def __init__(self, figure: Figure, *, caption: str = "", alt: str = "") -> None:
        self.figure = figure
        self.caption = caption
        self.alt = alt or caption
        if caption:
            width = int(figure.get_figwidth() * _CAPTION_LETTERS_PER_INCH)
            figure.supxlabel(
                textwrap.fill(caption, width),
                x=0.012,
                horizontalalignment="left",
                fontsize=NOTE_SIZE,
                color=SETTINGS["xtick.labelcolor"],
                linespacing=1.35,
            )

    def png(self) -> bytes:
        """The picture as a PNG file, at two pixels per CSS pixel."""
        buffer = io.BytesIO()
        with matplotlib.rc_context(SETTINGS):
            self.figure.savefig(
                buffer, format="png", dpi=2 * CSS_PIXELS_PER_INCH, metadata={"Software": None}
            )
        return buffer.getvalue()

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> tuple[dict[str, str], dict[str, Any]]:
        return image_bundle(
            self.png(), self.figure.get_size_inches().tolist(), alt=self.alt, text=f"[figure] {self.alt}"
        )


def image_bundle(
    png: bytes, size: Sequence[float], *, alt: str, text: str
) -> tuple[dict[str, str], dict[str, Any]]:
    """Jupyter's (data, metadata) for a picture of ``size`` inches with alternative text and a plain-text fallback."""
    width, height = (round(side * CSS_PIXELS_PER_INCH) for side in size)
    data = {"image/png": base64.b64encode(png).decode("ascii"), "text/plain": text}
    return data, {"image/png": {"width": width, "height": height, "alt": alt}}
