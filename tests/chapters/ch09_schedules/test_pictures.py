"""Chapter 9's pictures draw the runs they were given."""

import numpy as np
import pandas as pd
import pytest

from course_lib.chapters.ch09_schedules import pictures
from course_lib.chapters.ch09_schedules.experiments.shapes import ARMS
from tests.chapters.ch09_schedules.samples import FLOORS, SHAPES, factors, finals


def texts(axes) -> set[str]:
    return {text.get_text() for text in axes.texts}


def test_one_panel_per_shape() -> None:
    panels = pictures.shapes(factors()).figure.axes
    assert [axes.get_title() for axes in panels] == list(SHAPES)
    main = max(panels[1].get_lines(), key=lambda line: line.get_linewidth())
    assert float(np.asarray(main.get_ydata())[-1]) == pytest.approx(0.71)


def test_every_schedule_has_a_colour() -> None:
    assert list(pictures.COLOURS) == list(ARMS)


def test_the_range_test_draws_each_run_and_the_floors() -> None:
    ramp = pd.DataFrame({"seed": 0, "lr": [0.1, 0.2, 0.4], "bits": [5.0, 3.5, 4.0]})
    axes = pictures.range_test(ramp, floors=FLOORS, window=1).figure.axes[0]
    assert list(np.asarray(axes.get_lines()[0].get_ydata())) == [5, 3.5, 4]
    assert texts(axes) == {"bigram"}


def test_averaging_has_a_panel_per_schedule_with_both_losses() -> None:
    points = finals().assign(averaged=lambda frame: frame["bits"] - 0.25)
    picture = pictures.averaging(points, {"constant": "constant rate", "WSD": "decayed"})
    left, right = picture.figure.axes
    assert [left.get_title(), right.get_title()] == ["constant rate", "decayed"]
    last, mean = (np.asarray(line.get_ydata()) for line in left.get_lines())
    np.testing.assert_allclose(last, [3.6, 3.7])
    np.testing.assert_allclose(mean, [3.35, 3.45])
    assert texts(left) == {"last weights", "mean weights"}
    assert "constant rate +0.250" in picture.alt


def test_gains_are_drawn_with_their_intervals() -> None:
    rows = pd.DataFrame({"at": [100, 200], "mean": [0.1, 0.2], "low": [0.0, 0.15], "high": [0.2, 0.25]})
    picture = pictures.gains({"decay": rows}, ylabel="gain", xlabel="steps")
    [axes] = picture.figure.axes
    [line] = [line for line in axes.get_lines() if line.get_label() == "decay"]
    assert list(np.asarray(line.get_ydata())) == [0.1, 0.2]
    assert picture.alt == "gain, at the right end: decay +0.200."


def test_balance_puts_every_run_beside_the_law() -> None:
    rows = pd.DataFrame({"source": ["noise", "novels"], "law": [0.1, 0.2], "rms": [0.1, 0.1]})
    picture = pictures.balance(rows, "rms", law="of nature")
    assert picture.alt == "Measured over law, median: noise 1.00, novels 0.50"


def test_survival_ends_where_the_numbers_say() -> None:
    left = pd.DataFrame({"shape": ["WSD"] * 2, "step": [0, 1], "left": [1.0, 0.25]})
    assert "WSD 25%" in pictures.survival(left).alt
