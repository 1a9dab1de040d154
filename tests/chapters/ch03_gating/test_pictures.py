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


def test_published_differences_have_dots_and_ours_have_bars() -> None:
    rows = [("ours", "silu", 0.2, 0.1, 0.3), ("ours", "glu", -0.1, -0.3, 0.1)]
    rows += [("theirs", "silu", 0.05, np.nan, np.nan), ("theirs", "glu", -0.02, np.nan, np.nan)]
    frame = pd.DataFrame(rows, columns=["panel", "activation", "difference", "low", "high"])
    picture = pictures.beside_published(frame)
    left, right = picture.figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["GLU", "SiLU"]
    seen = [list(map(float, np.atleast_1d(line.get_xdata()))) for line in left.get_lines()]
    assert [0.1, 0.3] in seen and [0.2] in seen and [0.0, 0.0] in seen
    assert right.get_title() == "theirs" and "ours: GLU, -0.100" in picture.alt


def test_dead_units_are_in_per_cent() -> None:
    rows = [("relu", rate, seed, rate + seed / 10, rate / 2) for rate in (0.1, 0.2) for seed in (0, 1)]
    frame = pd.DataFrame(rows, columns=["activation", "lr", "seed", "dead_early", "dead"])
    left, right = pictures.dead_units(frame).figure.axes
    np.testing.assert_allclose(left.get_lines()[-1].get_ydata(), [15, 25])
    np.testing.assert_allclose(right.get_lines()[-1].get_ydata(), [5, 10])


def test_stored_runs_get_the_names_of_the_papers() -> None:
    frame = pictures.named(pd.DataFrame({"activation": ["relu2", "bilinear"], "bits": [1.0, 2.0]}))
    assert frame["activation"].tolist() == ["ReLU²", "Bilinear"] and frame["kind"].tolist() == [
        "plain",
        "gated",
    ]
    assert set(pictures.by_name(["relu2", "bilinear"])) == set(frame["activation"])


def test_sparsity_is_relative_to_all_units() -> None:
    rows = [("relu", 1.0, 2.0), ("relu", 0.5, 2.1), ("relu", 0.1, 2.5)]
    picture = pictures.sparsity(pd.DataFrame(rows, columns=["activation", "kept", "loss"]))
    (line,) = picture.figure.axes[0].get_lines()
    np.testing.assert_allclose(line.get_xydata(), [[50, 0.1], [10, 0.5]])
    assert picture.png().startswith(b"\x89PNG")
