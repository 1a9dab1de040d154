"""Chapter 6's explorer shows the losses it was given."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from course_lib import show
from course_lib.chapters.ch06_loss import explorers


def losses(rows: NDArray[np.float64], target: int) -> pd.DataFrame:
    """One formula that is right, one that overflows above 50, and one that is wrong below -50."""
    exact = np.logaddexp.reduce(rows, axis=1) - rows[:, target]
    largest = rows.max(axis=1)
    parts = {
        "right": exact,
        "overflows": np.where(largest > 50, np.nan, exact),
        "wrong": np.where(largest < -50, exact + 1, exact),
    }
    return pd.concat(
        pd.DataFrame(
            {"formula": name, "format": "float32", "row": range(len(rows)), "loss": loss, "exact": exact}
        )
        for name, loss in parts.items()
    )


def test_outcomes_tell_right_from_wrong_from_broken() -> None:
    frame = pd.DataFrame(
        {"loss": [1.0, 1.04, 1.2, np.inf, np.nan, 0.02], "exact": [1.0, 1.0, 1.0, 1.0, 1.0, 0.0]}
    )
    assert explorers.outcomes(frame).tolist() == [0, 0, 1, 2, 2, 0]


def bars(explorer: show.Explorer, panel: int) -> list[float]:
    return [float(bar.get_height()) for bar in explorer.figure.axes[panel].patches]  # type: ignore[attr-defined]


def test_the_explorer_shows_probabilities_gradient_and_outcomes() -> None:
    explorer = explorers.logit_explorer(losses)
    assert sum(bars(explorer, 0)) == pytest.approx(1) and sum(bars(explorer, 1)) == pytest.approx(0)
    before = bars(explorer, 0)
    explorer.controls["shift"].value = 100
    assert bars(explorer, 0) == pytest.approx(before)
    assert explorer.alt.endswith("at a shift of 100: overflows in float32.")
    strip = explorer.figure.axes[2].get_images()[0].get_array()
    assert strip is not None and strip[1, -1] == 2 and strip[2, 0] == 1 and (strip[0] == 0).all()
    explorer.controls["shift"].value = -100
    assert explorer.alt.endswith("at a shift of -100: wrong in float32.")
    explorer.controls["shift"].value = 0
    explorer.controls["logit"].value = 20.0
    assert bars(explorer, 0)[0] > 0.99 and abs(bars(explorer, 1)[0]) < 0.01


def test_a_low_temperature_sharpens() -> None:
    explorer = explorers.logit_explorer(losses)
    explorer.controls["temperature"].value = 0.1
    assert bars(explorer, 0)[1] > 0.99
    explorer.controls["temperature"].value = 5.0
    assert max(bars(explorer, 0)) < 0.5
