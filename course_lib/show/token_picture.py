"""The first frame of the token highlighter as a picture, for pages that show neither widgets nor styled HTML."""

import functools
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font

from course_lib.show.look import PALETTE, SETTINGS, Picture
from course_lib.show.segments import Row, Token

_CJK_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "PingFang SC", "Hiragino Sans GB"),
    *("Microsoft YaHei", "WenQuanYi Zen Hei", "SimHei", "Arial Unicode MS"),
)
_COLOURS = list(PALETTE.values())[:6]
_WIDTH = 7.6  # inches
_LINE, _HEADER, _MARGIN = 0.40, 0.34, 0.14
_MAX_TOKENS = 160
DPI = 200
"""Dots per inch of these pictures."""

_Placed = tuple[str, float, float, dict[str, Any]]
"""A text, its x and y (from the top) in inches, and options for ``Figure.text``."""


def token_box(colour: str) -> dict[str, Any]:
    """The ``bbox`` option of a token's text."""
    return {"facecolor": colour, "alpha": 0.28, "linewidth": 0, "boxstyle": "round,pad=0.12"}


def picture_of_rows(rows: Sequence[Row], *, alt: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Draw the rows' first tokens as coloured boxes with their ids; Jupyter's (data, metadata)."""
    with matplotlib.rc_context(picture_settings()):
        figure = Figure(figsize=(_WIDTH, 1), dpi=DPI)
        FigureCanvasAgg(figure)
        places: list[_Placed] = []
        y = _MARGIN
        for row in rows:
            summary = row.error or f"{row.count:,} tokens · {row.ratio:.2f} bytes/token"
            places.append((drawable(row.name), _MARGIN, y, {"weight": "bold"}))
            places.append((summary, _WIDTH - _MARGIN, y, {"size": 9, "horizontalalignment": "right"}))
            y += _HEADER
            boxes, y = _flow(figure, row.tokens[:_MAX_TOKENS], y)
            places += boxes
            y += _MARGIN
        figure.set_figheight(y)
        for text, x, top, options in places:
            figure.text(
                x / _WIDTH, 1 - top / y, text, **{"verticalalignment": "top", "parse_math": False, **options}
            )
        data, metadata = Picture(figure, alt=alt)._repr_mimebundle_()
    return {**data, "text/plain": alt}, metadata


def picture_settings() -> Any:
    """The style sheet for pictures of tokens: with a Chinese font as a fallback, and without automatic layout."""
    return {  # matplotlib's type hints list every allowed key
        **dict[Any, Any](SETTINGS),
        "font.family": _families(),
        "font.size": 11,
        "figure.constrained_layout.use": False,
    }


def _flow(figure: Figure, tokens: Sequence[Token], y: float) -> tuple[list[_Placed], float]:
    """Place boxes one after another, in lines; return them and the y below the last line."""
    boxes: list[_Placed] = []
    x = _MARGIN
    for index, token in enumerate(tokens):
        face = "".join(drawable(part.text) for part in token.parts).replace(" ", "\u00a0")
        width = max(text_width(figure, face, 11), text_width(figure, str(token.id), 7)) + 0.09
        if x + width > _WIDTH - _MARGIN and x > _MARGIN:
            x, y = _MARGIN, y + _LINE
        middle = {"horizontalalignment": "center"}
        below = {**middle, "size": 7, "color": SETTINGS["xtick.labelcolor"]}
        boxes.append((face, x + width / 2, y, {**middle, "bbox": token_box(_COLOURS[index % 6])}))
        boxes.append((str(token.id), x + width / 2, y + 0.225, below))
        x += width + 0.04
        if token.breaks:
            x, y = _MARGIN, y + _LINE
    return boxes, y + _LINE


def text_width(figure: Figure, text: str, size: float) -> float:
    """The width of a line of text in inches; for figures of ``DPI`` dots an inch."""
    artist = figure.text(0, 0, text, size=size, parse_math=False)
    width = artist.get_window_extent().width / DPI
    artist.remove()
    return float(width)


@functools.cache
def _families() -> list[str]:
    installed = set(fontManager.get_font_names())
    return ["DejaVu Sans", *[name for name in _CJK_FONTS if name in installed][:1]]


def drawable(text: str) -> str:
    """The text with characters that no installed font can draw replaced by their code point."""
    fonts = [get_font(findfont(FontProperties(family=family))) for family in _families()]
    return "".join(
        letter if any(font.get_char_index(ord(letter)) for font in fonts) else f"⟨U+{ord(letter):04X}⟩"
        for letter in text
    )
