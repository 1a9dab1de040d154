"""Chapter 12's pictures show the numbers they were given."""

import numpy as np
import pandas as pd
from matplotlib.patches import Rectangle

from course_lib.chapters.ch12_capstone import pictures


def test_standings_have_one_bar_each_and_ours_stands_out() -> None:
    rows = pd.DataFrame({"name": ["gzip", "our model"], "bits_per_byte": [2.0, 0.5]})
    picture = pictures.standings(rows)
    bars = [patch for patch in picture.figure.axes[0].patches if isinstance(patch, Rectangle)]
    assert [bar.get_width() for bar in bars] == [2.0, 0.5]
    assert bars[0].get_facecolor() != bars[1].get_facecolor()
    assert "our model, gzip" in picture.alt


def test_survival_shows_the_steps_made_again_and_the_greatest_difference() -> None:
    steps = range(1, 101)
    rows = [(run, step, 5.0 - step / 100) for run in ("never stopped", "resumed") for step in steps]
    rows += [("killed", step, 5.0 - step / 100) for step in range(1, 48)]
    rows += [("two processes", step, 5.0 - step / 100 + (step == 60) * 3e-6) for step in steps]
    picture = pictures.survival(
        pd.DataFrame(rows, columns=["run", "step", "loss"]), killed_at=47, resumed_from=40
    )
    lines = {line.get_label(): np.asarray(line.get_xdata()) for line in picture.figure.axes[0].get_lines()}
    assert lines["killed"].max() == 47 and lines["resumed"].min() == 41
    assert "at most 3e-06 nats" in picture.alt
