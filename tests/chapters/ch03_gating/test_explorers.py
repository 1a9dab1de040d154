"""Chapter 3's explorer follows its controls."""

import numpy as np
import pandas as pd
import pytest

from course_lib import show
from course_lib.chapters.ch03_gating import explorers
from tests.chapters.ch03_gating.samples import curves


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
        with pytest.raises(ValueError, match=r"curves are missing for \['swiglu'\]"):
            explorers.activation_explorer(curves("relu"), histograms("relu", "swiglu"))
