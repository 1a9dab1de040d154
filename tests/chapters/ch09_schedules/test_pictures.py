"""Chapter 9's pictures draw the runs they were given."""

import numpy as np
import pandas as pd
import pytest

from course_lib.chapters.ch09_schedules import pictures
from tests.chapters.ch09_schedules.samples import SHAPES, factors, finals


def test_one_panel_per_shape() -> None:
    panels = pictures.shapes(factors()).figure.axes
    assert [axes.get_title() for axes in panels] == list(SHAPES)
    main = max(panels[1].get_lines(), key=lambda line: line.get_linewidth())
    assert float(np.asarray(main.get_ydata())[-1]) == pytest.approx(0.71)


def test_static_pictures_hold_every_run() -> None:
    axes = pictures.loss_by_rate(finals(), "shape", pictures.COLOURS).figure.axes[0]
    dots, means = axes.get_lines()[:2]
    assert len(np.asarray(dots.get_xdata())) == 4
    assert list(np.asarray(means.get_ydata())) == pytest.approx([3.6, 3.7])
    assert {text.get_text() for text in axes.texts} == set(SHAPES)
    by_batch = finals().rename(columns={"shape": "batch"})
    assert {text.get_text() for text in pictures.loss_by_rate(by_batch, "batch").figure.axes[0].texts} == {
        "batch constant",
        "batch WSD",
    }
    rows = pictures.dots(finals(), "shape").figure.axes[0]
    assert [label.get_text() for label in rows.get_yticklabels()] == list(SHAPES)
    ramp = pd.DataFrame({"seed": 0, "lr": [0.1, 0.2, 0.4], "loss": [5.0, 3.0, 4.0]})
    line = pictures.range_test(ramp, window=1).figure.axes[0].get_lines()[0]
    assert list(np.asarray(line.get_ydata())) == [5, 3, 4]


def test_branches_and_survival_end_where_the_numbers_say() -> None:
    frame = pd.DataFrame(
        {"seed": 0, "step": [10, 20], "trunk": [3.0, 2.5], "averaged": [2.9, 2.4], "decayed": [2.8, 2.3]}
    )
    picture = pictures.branches(frame)
    assert {text.get_text() for text in picture.figure.axes[0].texts} == {
        "constant rate",
        "its weights averaged",
        "decayed to zero",
    }
    assert "0.20 at 10" in picture.alt
    left = pd.DataFrame({"shape": ["WSD"] * 2, "step": [0, 1], "left": [1.0, 0.25]})
    assert "WSD 25%" in pictures.survival(left).alt
