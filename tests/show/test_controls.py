"""Controls: the widgets they make, and the arguments they reject."""

from typing import Any

import pytest

from course_lib.show import Choice, Slider, Text, Toggle


def test_whole_numbers_give_a_slider_of_whole_numbers() -> None:
    widget = Slider("layers", min=1, max=64).widget()
    assert (widget.value, widget.min, widget.max, widget.step) == (1, 1, 64, 1)
    widget.value = 7
    assert isinstance(widget.value, int)


def test_fractions_give_as_many_digits_as_the_step_has() -> None:
    widget = Slider("decay", min=0.0, max=1.0, step=0.05, start=0.5).widget()
    assert (widget.value, widget.step, widget.readout_format) == (0.5, 0.05, ".2f")


def test_a_log_slider_reaches_both_ends() -> None:
    widget = Slider("learning rate", min=1e-5, max=1.0, log=True, step=4, start=1e-3).widget()
    assert widget.value == pytest.approx(1e-3)
    assert (widget.base**widget.min, widget.base**widget.max) == pytest.approx((1e-5, 1.0))
    assert widget.step == 0.25


def test_a_log_slider_starts_on_the_stop_nearest_to_its_start() -> None:
    """The page moves a value between two stops to one of them, so the picture would differ from the first frame."""
    assert Slider("rate", min=0.01, max=1.9, log=True, step=20, start=0.5).widget().value == pytest.approx(
        10**-0.3
    )
    assert Slider("rate", min=0.01, max=1.9, log=True, step=20, start=1.9).widget().value == pytest.approx(
        1.9, rel=0.1
    )


def test_a_slider_over_given_stops_shows_them_with_thousands_separators() -> None:
    widget = Slider("vocabulary", (512, 1024, 32000), start=1024).widget()
    assert widget.value == 1024
    assert [label for label, _ in widget.options] == ["512", "1,024", "32,000"]


def test_choices_map_names_to_values() -> None:
    widget = Choice("norm", {"before": "pre", "after": "post"}, start="post").widget()
    assert (widget.label, widget.value) == ("after", "post")
    assert Choice("corpus", ["English", "Chinese"]).widget().value == "English"


def test_toggle_and_text_start_where_they_are_told() -> None:
    assert Toggle("tied", start=True).widget().value is True
    assert Text("text", start="abc").widget().value == "abc"


def test_controls_know_whether_the_page_moved_them() -> None:
    widget = Slider("n", min=0, max=9).widget()
    seen: list[tuple[int, bool]] = []
    widget.observe(lambda change: seen.append((change["new"], change["owner"].from_browser)), names="value")
    widget.value = 1
    widget.set_state({"value": 2})
    widget.value = 3
    assert seen == [(1, False), (2, True), (3, False)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min": 3, "max": 3}, "min=3 must be smaller than max=3"),
        ({"min": 0}, "must be smaller than max=None"),
        ({"min": 0, "max": 1, "log": True}, "min=0 must be positive"),
        ({"min": 0, "max": 1, "step": 0}, "step=0 must be positive"),
        ({"min": 0, "max": 1, "start": 2}, "start=2 is outside 0 to 1"),
        ({"values": (1,)}, "at least two values"),
        ({"values": (1, 2), "max": 3}, "not both"),
        ({"values": (1, 2), "start": 3}, "start=3 is not among"),
    ],
)
def test_a_slider_that_makes_no_range_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Slider("n", **arguments)


def test_nameless_and_empty_controls_are_refused() -> None:
    with pytest.raises(ValueError, match="needs a name"):
        Toggle(" ")
    with pytest.raises(ValueError, match="options are empty"):
        Choice("norm", [])
    with pytest.raises(ValueError, match="start='x' is not among"):
        Choice("norm", ["a"], start="x")
    with pytest.raises(ValueError, match="None cannot be an option"):
        Choice("menu", {"nothing": None, "one": 1})
