"""Chapter 8's explorers follow their controls."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from course_lib.chapters.ch08_muon import explorers
from tests.chapters.ch08_muon.samples import directions


def test_the_direction_explorer_follows_its_menus() -> None:
    frame = directions()
    frame.loc[(frame["matrix"] == "w1") & (frame["direction"] == "momentum"), "condition"] = 7.0
    explorer = explorers.direction_explorer(frame)
    lines = explorer.figure.axes[0].get_lines()
    assert list(np.asarray(lines[0].get_ydata())) == pytest.approx([10, 110])
    explorer.controls["matrix"].value = "w1"
    explorer.controls["direction"].value = "momentum"
    assert all(list(np.asarray(line.get_ydata())) == pytest.approx([7, 7]) for line in lines)
    explorer.controls["measure"].value = "effective rank, share of full"
    assert list(np.asarray(lines[0].get_ydata())) == [0.5, 0.5]
    assert explorer.figure.axes[0].get_yscale() == "linear" and "0.5" in explorer.alt


def test_the_stepper_applies_as_many_steps_as_asked() -> None:
    def apply(x: np.ndarray, triples: object) -> np.ndarray:
        return x * 2 ** len(list(triples))  # type: ignore[call-overload]

    stepper = explorers.stepper(apply, {"Jordan": [(2, 0, 0)] * 6}, {"one": np.array([0.5, 0.25])})
    assert "from 8 to 16" in stepper.alt
    stepper.controls["steps"].value = 1
    assert "from 0.5 to 1," in stepper.alt
    stepper.controls["steps"].value = 0
    assert "from 0.25 to 0.5" in stepper.alt


def test_own_coefficients_reach_the_iteration_and_what_runs_away_is_drawn_at_the_edge() -> None:
    seen = []

    def apply(x: np.ndarray, triples: list[tuple[float, float, float]]) -> np.ndarray:
        seen.append(triples)
        return x * np.inf

    stepper = explorers.stepper(apply, {"Jordan": [(1, 0, 0)] * 2}, {"one": np.array([0.5])})
    stepper.controls["a"].value = 2.0  # moving a coefficient chooses the own ones
    assert stepper.values["design"] == "a, b, c as set"
    assert seen[-1] == [(2.0, -4.75, 2.05)] * 2
    assert "from 1e+03 to 1e+03" in stepper.alt
    stepper.reset()
    assert stepper.values["design"] == "Jordan" and seen[-1] == [(1, 0, 0)] * 2


def plane(scale: float) -> SimpleNamespace:
    grid = pd.DataFrame(
        [(x, y, 2 + x * x + y * y) for y in (0.0, 1.0) for x in (0.0, scale)], columns=["x", "y", "loss"]
    )
    along = pd.DataFrame(
        {
            "snapshot": [0, 1],
            "x": [scale, 0.0],
            "y": [1.0, 0.0],
            "loss": [3.0, 2.0],
            "shadow_loss": [4.0, 2.0],
        }
    )
    return SimpleNamespace(
        grid=grid, along=along, projection=SimpleNamespace(explained=torch.tensor([0.75, 0.125]))
    )


def test_the_viewer_shows_plane_path_and_both_losses() -> None:
    viewer = explorers.trajectory_viewer({("Muon", "PCA"): plane(1), ("Muon", "random"): plane(3)})
    left, right = viewer.figure.axes[:2]
    assert "88%" in left.get_title()
    assert list(np.asarray(right.get_lines()[1].get_ydata())) == [4.0, 2.0]
    viewer.controls["view"].value = "random"
    assert left.get_xlim() == (0, 3)
    assert left.images[0].get_array().shape == (2, 2)
    viewer.controls["until"].value = 1
    assert list(np.asarray(left.get_lines()[0].get_xdata())) == [3.0]
    assert "loss 3.00, its shadow on the plane 4.00" in viewer.alt
