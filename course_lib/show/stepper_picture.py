"""The first frame of the merge stepper as a picture, for pages that show neither widgets nor styled HTML."""

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from course_lib.show.look import PALETTE, Picture
from course_lib.show.replay import TrainingState, places
from course_lib.show.segments import face
from course_lib.show.token_picture import DPI, drawable, picture_settings, text_width, token_box
from course_lib.tokenizer.reference import Pair

_WIDTH, _ROW, _TOP, _BOTTOM = 7.6, 0.27, 0.85, 0.5  # inches
_MARGIN, _COUNT, _BARS = 0.14, 0.55, 4.85  # inches from the left
_LETTERS = 110  # per line
_MAX_ROWS = 16


def picture_of_state(state: TrainingState, say: str, *, alt: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Draw a corpus with its next merge marked, and the pair counts as bars; Jupyter's (data, metadata)."""
    words, pairs = state.words[:_MAX_ROWS], state.pairs[:_MAX_ROWS]
    best = pairs[0][0] if pairs else None
    height = _TOP + _ROW * max(len(words), len(pairs), 4) + _BOTTOM
    with matplotlib.rc_context(picture_settings()):
        figure = Figure(figsize=(_WIDTH, height), dpi=DPI)
        FigureCanvasAgg(figure)
        _write(figure, _MARGIN, 0.14, textwrap.fill(drawable(say), _LETTERS), size=9)
        _write(figure, _MARGIN, 0.56, "Corpus", weight="bold")
        for row, (tokens, count) in enumerate(words):
            y = _TOP + _ROW * row
            _write(figure, _COUNT - 0.08, y, f"{count} ×", horizontalalignment="right")
            _write_tokens(figure, tokens, best, y)
        _draw_bars(figure, pairs)
        data, metadata = Picture(figure, alt=alt)._repr_mimebundle_()
    return {**data, "text/plain": alt}, metadata


def _draw_bars(figure: Figure, pairs: Sequence[tuple[Pair, int]]) -> None:
    height = figure.get_figheight()
    rows = len(pairs) or 1
    place = (_BARS / _WIDTH, 1 - (_TOP + _ROW * rows) / height, (7.2 - _BARS) / _WIDTH, _ROW * rows / height)
    axes = figure.add_axes(place)
    colours = [PALETTE["orange"], *[PALETTE["grey"]] * (len(pairs) - 1)]
    bars = axes.barh(
        range(len(pairs)), [count for _, count in pairs], color=colours[: len(pairs)], height=0.7
    )
    axes.bar_label(bars, padding=3, fontsize=9)
    labels = [" + ".join(drawable(face(token)) for token in pair) for pair, _ in pairs]
    axes.set_yticks(range(len(pairs)), labels, parse_math=False)
    axes.set(ylim=(rows - 0.5, -0.5), xlabel="occurrences of the pair in the corpus")
    axes.grid(visible=False, axis="y")


def _write_tokens(figure: Figure, tokens: Sequence[bytes], best: Pair | None, y: float) -> None:
    starts = places(tokens, best) if best else []
    chosen = {*starts, *(place + 1 for place in starts)}
    x = _COUNT + 0.08
    for index, token in enumerate(tokens):
        text = drawable(face(token)).replace(" ", "\u00a0")
        width = text_width(figure, text, 11) + 0.1
        colour = PALETTE["orange" if index in chosen else "grey"]
        if x + width > _BARS - 1:
            _write(figure, x, y, "…")
            return
        _write(figure, x + width / 2, y, text, horizontalalignment="center", bbox=token_box(colour))
        x += width + 0.05


def _write(figure: Figure, x: float, y: float, text: str, **options: Any) -> None:
    """Write a line of text at x inches from the left and y inches from the top."""
    options = {"verticalalignment": "top", "parse_math": False, **options}
    figure.text(x / _WIDTH, 1 - y / figure.get_figheight(), text, **options)
