"""Chapter 9's pictures draw the runs they were given, and the designers follow their controls."""

import numpy as np
import pandas as pd
import pytest

from course_lib.chapters.ch09_schedules import explorers, pictures

SHAPES = ("constant", "WSD")


def factors() -> pd.DataFrame:
    rows = [
        (shape, step, 1.0 - 0.01 * step * place) for place, shape in enumerate(SHAPES) for step in range(30)
    ]
    return pd.DataFrame(rows, columns=["shape", "step", "factor"])


def curves() -> pd.DataFrame:
    rows = [
        (shape, lr, seed, step, 3.0 + place + lr + seed)
        for place, shape in enumerate(SHAPES)
        for lr in (0.1, 0.2)
        for seed in (0, 1)
        for step in range(30)
    ]
    return pd.DataFrame(rows, columns=["shape", "lr", "seed", "step", "loss"])


def finals() -> pd.DataFrame:
    last = curves().groupby(["shape", "lr", "seed"], sort=False)["loss"].last().reset_index()
    return last.rename(columns={"loss": "validation_loss"})


def test_a_panel_a_shape() -> None:
    panels = pictures.shapes(factors()).figure.axes
    assert [axes.get_title() for axes in panels] == list(SHAPES)
    main = max(panels[1].get_lines(), key=lambda line: line.get_linewidth())
    assert float(np.asarray(main.get_ydata())[-1]) == pytest.approx(0.71)


def test_the_designer_shows_both_runs_and_their_rates() -> None:
    designer = explorers.designer(curves(), finals(), factors())
    upper, lower = designer.figure.axes
    designer.controls["lr"].value = 0.1
    designer.controls["other_lr"].value = 0.2
    grey, main = upper.get_lines()
    assert np.asarray(main.get_ydata())[0] == pytest.approx(0.1)
    assert np.asarray(grey.get_ydata())[0] == pytest.approx(0.2)
    ends = [float(np.asarray(line.get_ydata())[-1]) for line in lower.get_lines()]
    assert ends == pytest.approx([3.2, 4.2, 4.1, 5.1])
    assert "WSD with a peak rate of 0.1: validation loss 4.600" in designer.alt
    assert "constant with 0.2: 3.700" in designer.alt
    designer.controls["shape"].value = "constant"
    assert "constant with a peak rate of 0.1: validation loss 3.600" in designer.alt
    designer.controls["late"].value = False
    assert lower.get_xlim() == (0, 30)
    designer.controls["late"].value = True
    assert lower.get_xlim() == (15, 30)


def test_the_bowl_follows_its_sliders() -> None:
    def compute(**values: float) -> tuple[np.ndarray, pd.DataFrame]:
        losses = np.array([4.0, 2.0, values["lr"]])
        frame = pd.DataFrame({"step": range(3), "total": losses, "h=1": losses / 2, "h=0.01": losses / 2})
        return np.full(2, values["lr"]), frame

    bowl = explorers.bowl_explorer(compute, SHAPES)
    bowl.controls["lr"].value = 1.0
    assert "ends at 1" in bowl.alt
    total = bowl.figure.axes[1].get_lines()[0]
    assert list(np.asarray(total.get_ydata())) == pytest.approx([4, 2, 1])


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
