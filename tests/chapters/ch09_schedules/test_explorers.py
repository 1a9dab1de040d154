"""Chapter 9's explorers follow their controls."""

import numpy as np
import pandas as pd
import pytest

from course_lib.chapters.ch09_schedules import explorers
from tests.chapters.ch09_schedules.samples import FLOORS, SHAPES, curves, factors, finals


def test_the_designer_shows_both_runs_and_their_rates() -> None:
    designer = explorers.designer(curves(), finals(), factors(), FLOORS)
    upper, lower = designer.figure.axes
    designer.controls["lr"].value = 0.1
    designer.controls["other_lr"].value = 0.2
    grey, main = upper.get_lines()
    assert np.asarray(main.get_ydata())[0] == pytest.approx(0.1)
    assert np.asarray(grey.get_ydata())[0] == pytest.approx(0.2)
    ends = [float(np.asarray(line.get_ydata())[-1]) for line in lower.get_lines()[:4]]
    assert ends == pytest.approx([3.2, 4.2, 4.1, 5.1])
    assert "WSD with a peak rate of 0.1: held-out loss 4.600" in designer.alt
    assert "constant with 0.2: 3.700" in designer.alt
    designer.controls["shape"].value = "constant"
    assert "constant with a peak rate of 0.1: held-out loss 3.600" in designer.alt
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
