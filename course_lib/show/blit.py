"""A figure that redraws quickly: static artists are painted once, and moving artists are painted over a copy.

This is matplotlib's animation blitting, except that moving artists are detected: an artist that ``update`` touched is
``stale``. Everything drawn above a moving artist is repainted with it, so a fast frame equals a full drawing.
"""

import io
from collections.abc import Callable
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from course_lib.show.look import CSS_PIXELS_PER_INCH, SETTINGS


class BlitFigure:
    """A persistent figure of ``size`` inches whose axes and artists ``draw(figure)`` builds, in the course's style.

    ``self.update`` is the function that ``draw`` returned. After each call, ``png()`` gives the picture.
    """

    def __init__(
        self, draw: Callable[[Figure], Callable[..., str | None]], size: tuple[float, float]
    ) -> None:
        self._background: Any = None
        self._still: set[Artist] = set()
        self._frame: Any = None
        with matplotlib.rc_context(SETTINGS):
            self.figure = Figure(figsize=size, dpi=2 * CSS_PIXELS_PER_INCH, layout="constrained")
            self._canvas = FigureCanvasAgg(self.figure)
            self.update = draw(self.figure)
        if not callable(self.update):
            raise TypeError(f"draw must return the function that updates the figure, not {self.update!r}")

    def png(self) -> bytes:
        """The current state of the figure as a PNG file, at two pixels per CSS pixel."""
        with matplotlib.rc_context(SETTINGS):
            if self._background is None:
                self._freeze_layout()
            layers = self._layers()
            moving = [artist for layer in layers for artist in self._moving(layer)]
            still = {artist for layer in layers for artist in layer}.difference(moving)
            if self._background is None or still != self._still or self._limits() != self._frame:
                self._paint_background(still, moving)
            self._canvas.restore_region(self._background)
            for artist in moving:
                artist.draw(self._canvas.get_renderer())
        return self._encode()

    def close(self) -> None:
        """Free the pixels, the artists and everything that ``update`` holds; no picture can be made afterwards."""
        self.update = _closed
        self._background, self._frame = None, None
        self._still.clear()
        self.figure.clear()
        self._canvas = FigureCanvasAgg(self.figure)  # without the old one's pixels

    def _freeze_layout(self) -> None:
        self._canvas.draw()
        self.figure.set_layout_engine("none")

    def _layers(self) -> list[list[Artist]]:
        """The artists in drawing order, grouped by place: overlapping axes (twinx) form one group."""
        places: dict[tuple[float, ...], list[Artist]] = {}
        for axes in sorted(self.figure.axes, key=lambda axes: axes.get_zorder()):
            place = tuple(round(edge, 6) for edge in axes.get_position().bounds)
            places.setdefault(place, []).extend(_children(axes))
        others = [
            a for a in self.figure.get_children() if not isinstance(a, Axes) and a is not self.figure.patch
        ]
        return [*places.values(), sorted(others, key=lambda artist: artist.get_zorder())]

    def _moving(self, layer: list[Artist]) -> list[Artist]:
        touched = (i for i, artist in enumerate(layer) if artist.stale or artist not in self._still)
        return layer[next(touched, len(layer)) :] if self._background is not None else []

    def _limits(self) -> list[Any]:
        return [
            (axes.get_xlim(), axes.get_ylim(), axes.get_xscale(), axes.get_yscale(), axes.get_visible())
            for axes in self.figure.axes
        ]

    def _paint_background(self, still: set[Artist], moving: list[Artist]) -> None:
        for artist in moving:
            artist.set_animated(True)
        self._canvas.draw()
        self._background = self._canvas.copy_from_bbox(self.figure.bbox)
        self._still, self._frame = still, self._limits()
        for artist in still:
            # Also artists that drew nothing, such as empty titles: from now on, stale means touched.
            artist.stale = False

    def _encode(self) -> bytes:
        buffer = io.BytesIO()
        image = Image.frombuffer("RGBA", self._canvas.get_width_height(), self._canvas.buffer_rgba())
        # Light compression: for a picture of this size, stronger compression takes longer than drawing.
        image.convert("RGB").save(buffer, format="png", compress_level=1)
        return buffer.getvalue()


def _closed(*_: Any, **__: Any) -> str | None:
    raise RuntimeError("this figure was closed: its cell was run again")


def _children(axes: Axes) -> list[Artist]:
    children = [artist for artist in axes.get_children() if artist is not axes.patch]
    if not axes.axison:
        frame = (axes.xaxis, axes.yaxis, *axes.spines.values())
        children = [artist for artist in children if artist not in frame]
    return sorted(children, key=lambda artist: artist.get_zorder())
