"""The pictures and the explorer of the map of trainability show the runs they were given."""

import numpy as np
import pandas as pd
import pytest

from course_lib.chapters.ch02_normalization import explorers, map_pictures

RATES = (0.001, 0.002, 0.004)


def runs(placements: tuple[str, ...] = ("post", "pre", "double")) -> pd.DataFrame:
    """Losses that differ by place, gain, start, rate and seed; post-norm at gain 1 and the last rate diverges."""
    rows = [
        {
            "placement": placement,
            "gain": gain,
            "start": start,
            "lr": lr,
            "seed": seed,
            "bits": 3 + 0.1 * place - 0.2 * gain + 0.05 * (start == "ramp") - 100 * lr + 0.02 * seed,
            "first": 100 * lr * gain,
        }
        for place, placement in enumerate(placements)
        for gain in (0.25, 1.0)
        for start in ("none", "ramp")
        for lr in RATES
        for seed in (-1, 1)
    ]
    frame = pd.DataFrame(rows)
    gone = (frame["placement"] == "post") & (frame["gain"] == 1.0) & (frame["lr"] == RATES[-1])
    return frame.assign(bits=frame["bits"].mask(gone, np.inf))


def test_the_map_has_a_panel_for_each_place_and_start_and_a_line_for_each_gain() -> None:
    picture = map_pictures.trainability(runs(), top=4.0, floors={"unigram": 3.5})
    panels = picture.figure.axes
    assert [panel.get_title() for panel in panels[:3]] == ["post-norm", "pre-norm", "double norm"]
    lines = [
        line for line in panels[0].get_lines() if line.get_linestyle() in ("-", ":") and line.get_lw() == 1.5
    ]
    dotted, full = lines
    np.testing.assert_allclose(dotted.get_ydata(), [3 - 0.05 - 100 * lr for lr in RATES])
    assert full.get_ydata()[-1] == 4.0  # what diverged is drawn at the upper edge
    assert "post-norm 2.55 (gain 0.25, full rate at once, rate 0.004)" in picture.alt


def test_arms_are_lines_with_their_names() -> None:
    post = runs()[runs()["placement"] == "post"]
    of_start = {
        name: post[post["start"] == start] for name, start in (("warm-up", "ramp"), ("waiting", "none"))
    }
    picture = map_pictures.arms(runs(), {"one": of_start, "two": of_start}, top=4.0)
    left, right = picture.figure.axes
    assert left.get_title() == "one" and right.get_title() == "two"
    named = {str(line.get_label()): line for line in left.get_lines()}
    means = of_start["warm-up"].groupby("lr")["bits"].mean().clip(upper=4.0)
    np.testing.assert_allclose(named["warm-up"].get_ydata(), means)
    assert {"warm-up", "waiting"} <= {text.get_text() for text in left.texts}


def test_what_moved_has_a_panel_for_each_quantity() -> None:
    frame = runs().assign(alike=0.5)
    special = frame[frame["lr"] == RATES[0]].head(2)
    picture = map_pictures.moved(
        frame, {"first": "first move", "alike": "likeness"}, top=4.0, special=special, cut=0.2
    )
    left, right = picture.figure.axes
    assert [left.get_xlabel(), right.get_xlabel()] == ["first move", "likeness"]
    squares = [line for line in left.get_lines() if line.get_marker() == "s"]
    np.testing.assert_allclose(squares[0].get_xdata(), special["first"])
    assert any(list(line.get_xdata()) == [0.2, 0.2] for line in left.get_lines())
    assert max(map(max, (line.get_ydata() for line in left.get_lines()))) == 4.0


class TestExplorer:
    @pytest.fixture
    def walk(self) -> "explorers.Explorer":
        return explorers.map_explorer(runs(), {"first": "first move"}, floors={"unigram": 3.5}, top=4.0)

    def test_it_opens_on_post_norm_at_the_largest_gain(self, walk: "explorers.Explorer") -> None:
        assert walk.alt.startswith("Gain 1, full rate at once, best mean loss")
        assert "post-norm 2.60 at 0.002; pre-norm 2.50 at 0.004" in walk.alt

    def test_controls_choose_the_runs(self, walk: "explorers.Explorer") -> None:
        for name, value in {"gain": 0.25, "start": "ramp", "placement": "pre", "against": "first"}.items():
            walk.controls[name].value = value
        assert "Gain 0.25, warm-up" in walk.alt and "pre-norm 2.70 at 0.004" in walk.alt
        (axes,) = walk.figure.axes
        assert axes.get_xlabel() == "first move"
        thick = [line for line in axes.get_lines() if line.get_lw() == 2.6]
        np.testing.assert_allclose(thick[0].get_xdata(), [25 * lr for lr in RATES])
        assert any("pre-norm, gain 0.25, warm-up: best 2.70" in text.get_text() for text in axes.texts)
