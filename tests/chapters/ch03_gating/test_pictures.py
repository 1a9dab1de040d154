"""Chapter 3's pictures show the numbers they were given."""

import numpy as np
import pandas as pd

from course_lib.chapters.ch03_gating import pictures
from tests.chapters.ch03_gating.samples import curves


def test_shapes_have_a_line_each_and_their_names() -> None:
    picture = pictures.shapes(curves("relu", "relu2"))
    left, right = picture.figure.axes
    assert {text.get_text() for text in left.texts} == {"ReLU", "ReLU²"}
    assert len(right.get_lines()) == 2


def test_a_chain_ends_where_it_leaves_the_picture() -> None:
    rows = [("relu2", 0, layer, size) for layer, size in enumerate((1.0, 10.0, 1e9, 0.0, 1.0))]
    picture = pictures.chain(pd.DataFrame(rows, columns=["activation", "seed", "layer", "size"]))
    for line in picture.figure.axes[0].get_lines():
        assert list(map(float, line.get_ydata())) == [1.0, 10.0]


def test_comparison_marks_seeds_means_and_zero() -> None:
    rows = [("silu", 0, -0.1), ("silu", 1, 0.3), ("glu", 0, 0.2), ("glu", 1, 0.2)]
    picture = pictures.comparison(pd.DataFrame(rows, columns=["activation", "seed", "difference"]))
    axes = picture.figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["GLU", "SiLU"]
    seen = [list(map(float, np.atleast_1d(line.get_xdata()))) for line in axes.get_lines()]
    assert [-0.1, 0.3] in seen and any(np.allclose(x, [0.1]) for x in seen) and [0.0, 0.0] in seen


def test_dead_units_are_in_per_cent() -> None:
    rows = [("relu", rate, seed, rate + seed / 10) for rate in (0.1, 0.2) for seed in (0, 1)]
    picture = pictures.dead_units(pd.DataFrame(rows, columns=["activation", "lr", "seed", "dead"]))
    _, means = picture.figure.axes[0].get_lines()
    np.testing.assert_allclose(means.get_ydata(), [15, 25])


def test_sparsity_is_relative_to_all_units() -> None:
    rows = [("relu", 1.0, 2.0), ("relu", 0.5, 2.1), ("relu", 0.1, 2.5)]
    picture = pictures.sparsity(pd.DataFrame(rows, columns=["activation", "kept", "loss"]))
    (line,) = picture.figure.axes[0].get_lines()
    np.testing.assert_allclose(line.get_xydata(), [[50, 0.1], [10, 0.5]])
    assert picture.png().startswith(b"\x89PNG")
