"""Interactive figures: controls above a picture that follows them."""

import asyncio
import html
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import traitlets
from matplotlib.figure import Figure

from course_lib.show.blit import BlitFigure
from course_lib.show.cells import close_widgets, close_with_cell
from course_lib.show.controls import Choice, Control, Slider, Text, Toggle
from course_lib.show.look import CSS_PIXELS_PER_INCH, image_bundle

_CACHE_SIZE = 512
_SLOW_SECONDS = 0.2  # a computation slower than this waits until the controls have not moved …
_SETTLE_SECONDS = 0.25  # … for this long
_WAIT_SECONDS = 0.5  # a picture that takes longer than this gets an explanation

_CSS = """<style>
.course-picture img, img.course-picture {display: block; border-radius: 4px; margin: 0}
img.course-outdated {opacity: .45}
.course-error {box-sizing: border-box; width: 100%; height: 100%; overflow: auto; padding: 12px 16px; margin: 0;
  border: 1px solid #c8500a; border-left-width: 6px; border-radius: 4px; white-space: pre-wrap; line-height: 1.45;
  color: var(--jp-ui-font-color1, inherit); font-family: var(--jp-code-font-family, monospace); font-size: 13px}
.course-status {color: var(--jp-ui-font-color2, inherit); font-size: 13px; line-height: 28px; margin: 0 12px}
</style>"""


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class PictureWidget(widgets.Image):  # type: ignore[misc]
    """An image whose ``tooltip`` is its accessible name; the page code also needs a ``description``."""

    description = traitlets.Unicode("").tag(sync=True)


Draw = Callable[[Figure], Callable[..., str | None]]
"""Builds axes and artists in the given figure and returns ``update``, which moves them."""


def explorer(
    draw: Draw,
    *,
    title: str = "",
    compute: Callable[..., Any] | None = None,
    size: tuple[float, float] = (7.6, 3.8),
    **controls: Control,
) -> "Explorer":
    """An interactive figure: controls above a picture that responds at once, without flickering or jumping.

    ``draw(figure)`` is called once. It builds axes and artists, fixes the limits of the axes (so that pictures can be
    compared) and returns ``update``. ``update`` gets the values of the controls as keyword arguments and moves the
    artists (``set_data``, ``set_text``, …); artists that it does not touch are not redrawn. It may return a sentence
    that describes the picture: the alternative text.

    ``controls``: ``Slider``, ``Choice``, ``Toggle`` or ``Text``, by the name of ``update``'s argument.
    ``compute``: the slow part, if there is one. ``compute(**values)`` runs once the controls rest, and its results are
    cached; ``update`` then gets the result as its first argument. ``size``: in inches of 100 CSS pixels.

    In a notebook, an explorer lives until its cell is run again.

    An error in the first picture, or after a control was set from Python, is raised. An error after a control was
    moved on the page is shown in place of the picture.

    Example::

        def draw(figure):
            axes = figure.subplots()
            axes.set(xlim=(0, 1), ylim=(-1, 1), xlabel="time (s)", ylabel="elongation (m)")
            time = np.linspace(0, 1, 500)
            (curve,) = axes.plot([], [])

            def update(frequency, damping):
                curve.set_data(time, np.exp(-damping * time) * np.sin(2 * np.pi * frequency * time))
                return f"A wave of {frequency} Hz that shrinks by exp(-{damping:.1f} t)."

            return update

        show.explorer(
            draw,
            title="A damped wave",
            frequency=show.Slider("frequency", min=1, max=20, unit="Hz"),
            damping=show.Slider("damping", min=0.0, max=5.0, step=0.1, unit="1/s"),
        )
    """
    return Explorer(draw, title=title, compute=compute, size=size, controls=controls)


class Explorer:
    """The figure made by ``explorer``: it displays itself, and its controls can be set from Python.

    ``controls[name].value`` reads or sets a control (setting it redraws, and raises any error); ``values`` holds all
    values; ``result`` is the result of ``compute`` for the current picture; ``figure`` the matplotlib Figure;
    ``picture`` the PNG; ``alt`` its alternative text; ``error`` the exception shown in place of the picture, or None;
    ``frames`` the number of pictures drawn.
    """

    def __init__(
        self,
        draw: Draw,
        *,
        title: str,
        compute: Callable[..., Any] | None,
        size: tuple[float, float],
        controls: dict[str, Control],
    ) -> None:
        for name, control in controls.items():
            if not isinstance(control, Slider | Choice | Toggle | Text):
                raise TypeError(f"{name}={control!r} is not a control: use Slider, Choice, Toggle or Text")
        self.title = title
        self.alt = title
        self.error: Exception | None = None
        self.result: Any = None
        self.frames = 0
        self._blit = BlitFigure(draw, size)  # before the widgets, which a failure would leave behind
        self.figure = self._blit.figure
        self.controls: dict[str, Any] = {name: control.widget() for name, control in controls.items()}
        self._start = self.values
        self._compute = compute
        self._results: OrderedDict[Hashable, Any] = OrderedDict()
        self._compute_seconds = 0.0
        self._pending: asyncio.TimerHandle | None = None
        self._home = _running_loop()
        self._waiting = threading.Lock()
        self._hold = False
        self._size = size
        self._closed = False
        self._build_widgets()
        close_with_cell(self.close)  # also if the first picture is an error
        self._redraw()
        self._first_frame = image_bundle(self.picture, size, alt=self.alt, text=self._text())
        for widget in self.controls.values():
            widget.observe(self._moved, names="value")

    @property
    def values(self) -> dict[str, Any]:
        """The values of the controls, by name."""
        return {name: widget.value for name, widget in self.controls.items()}

    @property
    def picture(self) -> bytes:
        """The current picture as a PNG file, at two pixels per CSS pixel."""
        return bytes(self._image.value)

    def reset(self) -> None:
        """Set every control back to its first value, with a single redraw."""
        self._hold = True
        try:
            for name, value in self._start.items():
                self.controls[name].value = value
        finally:
            self._hold = False
        self._redraw()

    def close(self) -> None:
        """Remove the figure from the page and free its data; a cell that runs again closes the explorers it made."""
        if self._closed:
            return
        self._closed = True
        self._cancel_pending()
        close_widgets(self.widget)
        self._blit.close()
        self._results.clear()
        self._compute, self.result, self._image.value = None, None, b""
        self._first_frame = ({"text/plain": f"[closed figure] {self.title}: its cell was run again"}, {})

    def _build_widgets(self) -> None:
        width, height = (f"{round(side * CSS_PIXELS_PER_INCH)}px" for side in self._size)
        self._image = PictureWidget(format="png", width=width[:-2], height=height[:-2])
        self._image.add_class("course-picture")
        self._failure = widgets.HTML(
            layout=widgets.Layout(width=width, height=height, margin="0", display="none")
        )
        self._status = widgets.HTML(layout=widgets.Layout(height="28px"))
        reset = widgets.Button(
            description="Reset",
            tooltip="Set every control back to its first value",
            layout=widgets.Layout(width="80px"),
        )
        reset.on_click(lambda _button: self._at_home(lambda: self._report_errors(self.reset)))
        rows = widgets.Box(
            list(self.controls.values()),
            layout=widgets.Layout(flex_flow="row wrap", max_width=width, grid_gap="0 4px"),
        )
        tools = widgets.HBox(
            [reset, self._status], layout=widgets.Layout(height="34px", align_items="center")
        )
        self.widget = widgets.VBox([rows, tools, self._image, self._failure])
        self._say("")

    def _moved(self, change: Any) -> None:
        if self._hold:
            return
        if change["owner"].from_browser:
            self._at_home(self._schedule)
        else:
            self._cancel_pending()
            self._redraw()

    def _at_home(self, action: Callable[[], None]) -> None:
        """Run in the thread that made this explorer (the one that runs cells), after the current cell.

        JupyterLab passes events on the page to another thread of the kernel (a "subshell"), even while a cell runs.
        Random seeds, matplotlib's settings and torch's profiler belong to the whole process: a picture computed
        during a cell could change the results of the cell, or crash the kernel.
        """
        here = _running_loop()
        if self._home is None or self._home is here or self._home.is_closed():
            action()
            return
        begun: list[bool] = []

        def begin() -> None:
            with self._waiting:
                begun.append(True)
            action()

        def say_why() -> None:
            with self._waiting:
                if not begun:
                    self._say("waiting for the cell that runs…")

        self._home.call_soon_threadsafe(begin)
        if here is not None:
            here.call_later(_WAIT_SECONDS, say_why)

    def _schedule(self) -> None:
        """Redraw soon: pending messages are read first, so that only the newest state is drawn."""
        self._cancel_pending()
        slow = self._is_new() and self._compute_seconds > _SLOW_SECONDS
        if slow:
            self._say("computing…")
        loop = _running_loop()
        if loop is None:  # so no messages can be pending
            self._report_errors(self._redraw)
            return
        self._pending = loop.call_later(_SETTLE_SECONDS if slow else 0, self._report_errors, self._redraw)

    def _cancel_pending(self) -> None:
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None

    def _redraw(self) -> None:
        """Redraw for the current values; an error is shown in place of the picture, and raised."""
        self._pending = None
        try:
            values = self.values
            results = () if self._compute is None else (self._result(values),)
            sentence = self._blit.update(*results, **values)
            picture = self._blit.png()
        except Exception as error:
            self._show_error(error)
            raise
        self.result = results[0] if results else None
        self.alt = sentence or self._describe()
        with self._image.hold_sync():  # one message, because the page redraws for each
            self._image.value = picture
            self._image.tooltip = self.alt
        self.frames += 1
        self.error = None
        self._failure.layout.display = "none"
        self._image.layout.display = None
        self._say("")

    def _result(self, values: dict[str, Any]) -> Any:
        assert self._compute is not None
        key = self._key()
        if key in self._results:
            self._results.move_to_end(key)
            return self._results[key]
        self._say("computing…")
        started = time.perf_counter()
        result = self._compute(**values)
        self._compute_seconds = time.perf_counter() - started
        self._results[key] = result
        if len(self._results) > _CACHE_SIZE:
            self._results.popitem(last=False)
        return result

    def _key(self) -> Hashable:
        """The state of the controls: menu labels rather than values, which may not be hashable."""
        return tuple(getattr(widget, "label", widget.value) for widget in self.controls.values())

    def _is_new(self) -> bool:
        return self._compute is not None and self._key() not in self._results

    def _report_errors(self, action: Callable[[], None]) -> None:
        """Run an action of the page. No caller can catch an error, so it is shown, unless ``_redraw`` has done so."""
        if self._closed:
            return
        try:
            action()
        except Exception as error:
            if self.error is not error:
                self._show_error(error)

    def _show_error(self, error: Exception) -> None:
        self.error = error
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = (
            f"This picture could not be drawn.\n\n{type(error).__name__}: {error}\n\n"
            f"in {where.name}, {Path(where.filename).name}, line {where.lineno}\nwith {self._describe()}"
        )
        self._failure.value = f'<div class="course-error" role="alert">{html.escape(text)}</div>'
        self._image.layout.display = "none"
        self._failure.layout.display = None
        self._say("")

    def _say(self, status: str) -> None:
        self._status.value = f'{_CSS}<div class="course-status" role="status">{html.escape(status)}</div>'
        (self._image.add_class if status else self._image.remove_class)("course-outdated")

    def _describe(self) -> str:
        state = ", ".join(
            f"{widget.description} = {getattr(widget, 'label', widget.value)}"
            for widget in self.controls.values()
        )
        return f"{self.title}: {state}" if self.title else state

    def _text(self) -> str:
        return f"[interactive figure] {self._describe()}\n{self.alt}\n(Run the cell to move the controls.)"

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The live widget, and the first frame for pages without a kernel."""
        data, metadata = self._first_frame
        if self._closed:
            return data, metadata
        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        return {"application/vnd.jupyter.widget-view+json": view, **data}, metadata
