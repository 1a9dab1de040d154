"""The explorer without a browser: controls are set, or receive a page's messages, and the picture's data is read."""

import asyncio
import base64
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray

from course_lib import show
from tests.pictures import full_drawing, pixels

X = np.linspace(0, 1, 50)


def draw_power(figure: Figure) -> Callable[..., str]:
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 4), xlabel="x (m)", ylabel="y (m)")
    axes.plot(X, X, label="still")
    (curve,) = axes.plot([], [])

    def update(power: int, scale: float) -> str:
        if power == 13:
            raise ArithmeticError("<b>thirteen</b>")
        curve.set_data(X, scale * X**power)
        return f"{scale} x^{power}"

    return update


def power_explorer() -> show.Explorer:
    return show.explorer(
        draw_power,
        title="Powers",
        power=show.Slider("power", min=1, max=20, start=2),
        scale=show.Slider("scale", min=0.5, max=4.0, step=0.5, unit="m", start=1.0),
    )


def curve_of(explorer: show.Explorer) -> NDArray[Any]:
    return np.asarray(explorer.figure.axes[0].get_lines()[1].get_ydata())


def test_setting_a_control_moves_the_artists() -> None:
    explorer = power_explorer()
    np.testing.assert_allclose(curve_of(explorer), X**2)
    before = explorer.picture
    explorer.controls["power"].value = 3
    explorer.controls["scale"].value = 2.5
    np.testing.assert_allclose(curve_of(explorer), 2.5 * X**3)
    assert explorer.values == {"power": 3, "scale": 2.5}
    assert explorer.picture != before
    assert explorer.alt == "2.5 x^3"


def test_the_picture_keeps_its_size_and_is_rendered_at_two_pixels_a_css_pixel() -> None:
    explorer = power_explorer()
    assert pixels(explorer.picture).shape == (760, 1520, 3)
    explorer.controls["power"].value = 7
    assert pixels(explorer.picture).shape == (760, 1520, 3)


def test_a_fast_frame_equals_a_full_drawing() -> None:
    """Including artists that move below others, appear and vanish, twin axes, and text in the frame."""

    def draw(figure: Figure) -> Callable[..., None]:
        axes, other = figure.subplots(1, 2)
        axes.set(xlim=(0, 1), ylim=(0, 2))
        band = axes.axhspan(0, 0.5, zorder=1)
        axes.plot(X, X, zorder=3, linewidth=8, label="over the band")
        axes.legend(loc="upper left")
        twin = axes.twinx()
        twin.plot(X, 1 - X, linewidth=6)
        spots = other.scatter(X, X)
        title = other.set_title("")
        extra: list[Any] = []

        def update(n: int) -> None:
            band.set_height(0.1 * n)
            spots.set_offsets(np.column_stack([X, X**n]))
            title.set_text(f"n = {n}" if n > 3 else "")
            while extra:
                extra.pop().remove()
            if n % 2:
                extra.append(axes.axvline(n / 10, linewidth=5))
            if n == 6:
                other.set_ylim(0, 5)

        return update

    explorer = show.explorer(draw, n=show.Slider("n", min=1, max=9))
    for n in (2, 5, 4, 7, 6, 1, 9):
        explorer.controls["n"].value = n
        np.testing.assert_array_equal(
            pixels(explorer.picture), full_drawing(explorer.figure), err_msg=f"n = {n}"
        )


def test_a_frame_that_was_switched_off_stays_away() -> None:
    def draw(figure: Figure) -> Callable[..., None]:
        axes = figure.subplots()
        axes.set_axis_off()
        (line,) = axes.plot([], [], linewidth=6)
        axes.set(xlim=(0, 10), ylim=(0, 10))
        return lambda n: line.set_data([1, n], [1, n])

    explorer = show.explorer(draw, n=show.Slider("n", min=2, max=9))
    for n in (5, 3):
        explorer.controls["n"].value = n
        np.testing.assert_array_equal(pixels(explorer.picture), full_drawing(explorer.figure))


def test_what_stands_still_is_not_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    explorer = power_explorer()
    explorer.controls["power"].value = 3  # now the figure knows its moving artists
    still, moving = explorer.figure.axes[0].get_lines()
    drawn = []
    for line in (still, moving):
        original = line.draw
        monkeypatch.setattr(
            line, "draw", lambda renderer, line=line, draw=original: (drawn.append(line), draw(renderer))
        )
    explorer.controls["power"].value = 4
    assert drawn == [moving]


def test_an_error_is_raised_when_python_set_the_control() -> None:
    explorer = power_explorer()
    with pytest.raises(ArithmeticError, match="thirteen"):
        explorer.controls["power"].value = 13
    assert isinstance(explorer.error, ArithmeticError)


def test_an_error_is_raised_when_the_first_picture_fails() -> None:
    with pytest.raises(ArithmeticError, match="thirteen"):
        show.explorer(
            draw_power, power=show.Slider("power", (13, 14)), scale=show.Slider("scale", (1.0, 2.0))
        )


def test_an_error_is_shown_in_the_pictures_place_when_the_page_moved_the_control() -> None:
    explorer = power_explorer()
    image, failure = explorer.widget.children[-2:]
    explorer.controls["power"].set_state({"value": 13})
    assert image.layout.display == "none"
    assert failure.layout.display is None
    assert (failure.layout.width, failure.layout.height) == ("760px", "380px")
    assert "ArithmeticError: &lt;b&gt;thirteen&lt;/b&gt;" in failure.value
    assert "<b>" not in failure.value
    explorer.controls["power"].set_state({"value": 4})
    assert image.layout.display is None
    assert failure.layout.display == "none"
    assert explorer.error is None
    np.testing.assert_allclose(curve_of(explorer), X**4)


def test_while_a_redraw_waits_only_the_newest_state_is_kept() -> None:
    explorer = power_explorer()
    frames = explorer.frames

    async def drag() -> None:
        for power in range(3, 11):
            explorer.controls["power"].set_state({"value": power})
        assert explorer.frames == frames
        await asyncio.sleep(0.05)

    asyncio.run(drag())
    assert explorer.frames == frames + 1
    np.testing.assert_allclose(curve_of(explorer), X**10)


def test_setting_from_python_overtakes_a_waiting_redraw() -> None:
    explorer = power_explorer()
    frames = explorer.frames

    async def both() -> None:
        explorer.controls["power"].set_state({"value": 5})
        explorer.controls["power"].value = 6
        await asyncio.sleep(0.05)

    asyncio.run(both())
    assert explorer.frames == frames + 1
    np.testing.assert_allclose(curve_of(explorer), X**6)


def computing_explorer(calls: list[int], statuses: list[str]) -> show.Explorer:
    def draw(figure: Figure) -> Callable[..., None]:
        (line,) = figure.subplots().plot([], [])

        def update(result: int, n: int) -> None:
            line.set_data([0, n], [0, result])

        return update

    def compute(n: int) -> int:
        calls.append(n)
        statuses.append(explorer_box[0].widget.children[1].children[1].value if explorer_box else "")
        return n * n

    explorer_box: list[show.Explorer] = []
    explorer_box.append(show.explorer(draw, compute=compute, n=show.Slider("n", min=1, max=9)))
    return explorer_box[0]


def test_computed_results_are_remembered_by_values_and_announced() -> None:
    calls: list[int] = []
    statuses: list[str] = []
    explorer = computing_explorer(calls, statuses)
    for n in (2, 3, 2, 1, 3):
        explorer.controls["n"].value = n
        assert list(explorer.figure.axes[0].get_lines()[0].get_ydata()) == [0, n * n]
    assert calls == [1, 2, 3]
    assert all("computing…" in status for status in statuses[1:])
    assert "computing…" not in explorer.widget.children[1].children[1].value


def test_a_slow_computation_waits_until_the_controls_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    explorer = computing_explorer(calls, [])
    monkeypatch.setattr(explorer, "_compute_seconds", 9.0)
    monkeypatch.setattr("course_lib.show.interactive._SETTLE_SECONDS", 0.05)

    async def drag() -> None:
        for n in (2, 3, 4):
            explorer.controls["n"].set_state({"value": n})
            await asyncio.sleep(0.005)
        assert calls == [1]
        await asyncio.sleep(0.2)

    asyncio.run(drag())
    assert calls == [1, 4]


def test_reset_puts_everything_back_with_one_redraw() -> None:
    explorer = power_explorer()
    first = explorer.picture
    explorer.controls["power"].value = 9
    explorer.controls["scale"].value = 3.0
    frames = explorer.frames
    button = explorer.widget.children[1].children[0]
    button.click()
    assert explorer.values == {"power": 2, "scale": 1.0}
    assert explorer.frames == frames + 1
    assert explorer.picture == first


def test_it_displays_as_a_widget_and_as_a_picture_where_no_kernel_runs() -> None:
    explorer = power_explorer()
    first = explorer.picture
    explorer.controls["power"].value = 5
    data, metadata = explorer._repr_mimebundle_()
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == explorer.widget.model_id
    assert base64.b64decode(data["image/png"]) == first
    assert (
        "Powers" in data["text/plain"]
        and "power = 2" in data["text/plain"]
        and "1.0 x^2" in data["text/plain"]
    )
    assert metadata["image/png"] == {"width": 760, "height": 380, "alt": "1.0 x^2"}


def test_the_picture_has_alternative_text_and_the_controls_have_labels_and_units() -> None:
    explorer = power_explorer()
    image = explorer.widget.children[2]
    explorer.controls["power"].value = 5
    assert image.tooltip == "1.0 x^5"
    assert explorer.controls["power"].description == "power"
    assert explorer.controls["scale"].description == "scale (m)"


def test_without_a_sentence_from_update_the_state_is_the_alternative_text() -> None:
    explorer = computing_explorer([], [])
    assert explorer.alt == "n = 1"


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(TypeError, match="power=3 is not a control"):
        show.explorer(draw_power, power=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must return the function"):
        show.explorer(lambda figure: None, n=show.Slider("n", min=0, max=1))  # type: ignore[arg-type,return-value]


def test_a_picture_is_drawn_in_the_thread_of_the_cells_and_after_the_cell() -> None:
    threads: list[str] = []
    log: list[str] = []

    def draw(figure: Figure) -> Callable[..., None]:
        figure.subplots()

        def update(n: int) -> None:
            threads.append(threading.current_thread().name)
            log.append(f"drew {n}")

        return update

    def page(explorer: show.Explorer) -> None:
        """Like JupyterLab: the messages of the page are read in a thread with its own event loop."""

        async def drag() -> None:
            for n in (2, 3, 4):
                explorer.controls["n"].set_state({"value": n})
            await asyncio.sleep(0.7)
            log.append(explorer.widget.children[1].children[1].value)

        asyncio.run(drag())

    async def cells() -> None:
        explorer = show.explorer(draw, n=show.Slider("n", min=1, max=9))
        other = threading.Thread(target=page, args=(explorer,))
        other.start()
        time.sleep(1)  # a slow cell, which blocks the loop
        log.append("the cell ends")
        await asyncio.sleep(0.1)
        assert "waiting" not in explorer.widget.children[1].children[1].value
        other.join()

    asyncio.run(cells())
    assert set(threads) == {threading.current_thread().name}
    first, status, end, last = log
    assert (first, end, last) == ("drew 1", "the cell ends", "drew 4")
    assert "waiting for the cell that runs" in status
