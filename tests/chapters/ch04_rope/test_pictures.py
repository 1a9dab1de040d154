"""Chapter 4's pictures show the numbers they were given."""

import numpy as np
import pandas as pd

from course_lib.chapters.ch04_rope import pictures


def test_precision_has_one_line_per_format() -> None:
    rows = [(name, shift, 1e-3 * (shift + 1)) for name in ("float32", "bfloat16") for shift in (0, 64, 1024)]
    picture = pictures.precision(pd.DataFrame(rows, columns=["dtype", "shift", "error"]))
    lines = [line for line in picture.figure.axes[0].get_lines() if len(np.asarray(line.get_xdata()))]
    assert [list(np.asarray(line.get_ydata())) for line in lines] == [[1e-3, 0.065, 1.025]] * 2
    assert {text.get_text() for text in picture.figure.axes[0].texts} >= {"float32", "bfloat16"}


def test_positions_beyond_training_are_marked() -> None:
    rows = [(name, seed, p, p / 10) for name in ("rope", "learned") for seed in (0, 1) for p in (3.5, 11.5)]
    results = pd.DataFrame(rows, columns=["encoding", "seed", "position", "loss"])
    picture = pictures.beyond_training(results, trained=8)
    axes = picture.figure.axes[0]
    assert [8.0, 8.0] in [[float(x) for x in np.asarray(line.get_xdata())] for line in axes.get_lines()]
    assert {text.get_text() for text in axes.texts} == {"RoPE", "learned", "trained up to here"}
    assert "rope 1.15" in picture.alt
    assert picture.png().startswith(b"\x89PNG")


def test_stretched_has_a_panel_before_and_after() -> None:
    rows = [(m, t, 0, p, p / 10) for m in pictures.METHODS for t in (0, 40) for p in (3.5, 11.5, 19.5)]
    results = pd.DataFrame(rows, columns=["method", "tuned", "seed", "position", "loss"])
    left, right = pictures.stretched(results, trained=8).figure.axes
    assert left.get_title(loc="left") + left.get_title() == "without further training"
    assert "40 steps" in right.get_title(loc="left") + right.get_title()
    assert left.get_ylim() == right.get_ylim()
