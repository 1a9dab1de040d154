"""Chapter 3's pictures show the numbers they were given; the explorer follows its controls."""

import numpy as np
import pandas as pd
import pytest

from course_lib import show
from course_lib.chapters.ch03_gating import explorers, pictures


def curves(*names: str) -> pd.DataFrame:
    z = np.linspace(-4, 4, 81)
    frames = [
        pd.DataFrame({"activation": name, "z": z, "value": np.maximum(z, 0), "slope": 1.0 * (z > 0)})
        for name in names
    ]
    return pd.concat(frames)


def histograms(*names: str) -> pd.DataFrame:
    rows = [
        (name, when, layer, what, x, share)
        for name in names
        for when in ("before training", "after training")
        for layer in (1, 2)
        for what in ("input", "hidden")
        for x, share in zip(
            (-2.0, 0.0, 2.0), (0.5, 0.2, 0.3) if when == "before training" else (0.1, 0.8, 0.1), strict=True
        )
    ]
    return pd.DataFrame(rows, columns=["activation", "when", "layer", "what", "x", "share"])


class TestExplorer:
    @pytest.fixture
    def explorer(self) -> show.Explorer:
        return explorers.activation_explorer(
            curves("relu", "silu", "sigmoid"), histograms("relu", "silu", "glu")
        )

    def lines(self, explorer: show.Explorer, panel: int) -> list[np.ndarray]:
        return [np.asarray(line.get_xydata()) for line in explorer.figure.axes[panel].get_lines()]

    def test_the_dot_and_the_tangent_follow_z(self, explorer: show.Explorer) -> None:
        explorer.controls["z"].value = 2.0
        assert any(line.tolist() == [[2.0, 2.0]] for line in self.lines(explorer, 0))
        assert any(
            np.allclose(line, [[1.2, 1.2], [2.8, 2.8]]) for line in self.lines(explorer, 0) if len(line) == 2
        )
        explorer.controls["z"].value = -2.0
        assert any(np.allclose(line, [[-2.0, 0.0]]) for line in self.lines(explorer, 0))
        assert "value 0.00, slope 0.00" in explorer.alt

    def test_histograms_follow_the_state(self, explorer: show.Explorer) -> None:
        assert "80% of the hidden values are near 0" in explorer.alt
        explorer.controls["when"].value = "before training"
        assert "20% of the hidden values are near 0" in explorer.alt
        (hidden,) = self.lines(explorer, 1)
        assert hidden[:, 1].tolist() == [0.5, 0.2, 0.3]
        # slopes squared over the inputs: only x = 2 has a slope
        assert "mean squared slope over the inputs is 0.30" in explorer.alt

    def test_a_gated_unit_shows_its_gate(self, explorer: show.Explorer) -> None:
        explorer.controls["activation"].value = "glu"
        assert "GLU (the curve is its gate)" in explorer.alt

    def test_layers_are_the_histograms(self, explorer: show.Explorer) -> None:
        explorer.controls["layer"].value = 1
        assert "Layer 1" in explorer.alt

    def test_every_gate_needs_its_curve(self) -> None:
        with pytest.raises(ValueError, match=r"curves lack those of \['swiglu'\]"):
            explorers.activation_explorer(curves("relu"), histograms("relu", "swiglu"))


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
