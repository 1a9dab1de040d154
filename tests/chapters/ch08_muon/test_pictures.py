"""Chapter 8's pictures draw the numbers they were given, and its explorers follow their controls."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from course_lib.chapters.ch08_muon import explorers, pictures


def directions() -> pd.DataFrame:
    rows = [
        {
            "optimizer": optimizer, "seed": seed, "step": step, "layer": layer, "matrix": matrix,
            "direction": direction, "condition": 10.0 * (1 + place + step), "effective_rank": 0.5, "norm": 2.0,
        }
        for place, optimizer in enumerate(("AdamW", "Muon"))
        for seed in (0, 1)
        for step in (0, 10)
        for layer in (0, 1)
        for matrix in ("q_proj", "w1")
        for direction in ("gradient", "momentum", "update")
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_traces_are_medians_a_line_a_seed() -> None:
    picture = pictures.condition_traces(directions())
    for axes in picture.figure.axes:
        assert [list(np.asarray(line.get_ydata())) for line in axes.get_lines()] == [[10, 110]] * 2 + [
            [20, 120]
        ] * 2
    assert {text.get_text() for text in picture.figure.axes[2].texts} == {"AdamW", "Muon"}


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


def test_rates_curves_and_variants_hold_every_run() -> None:
    finals = pd.DataFrame(
        [
            (name, lr, seed, 2 + lr + seed / 10)
            for name in ("AdamW", "Muon")
            for lr in (0.1, 0.3)
            for seed in (0, 1)
        ],
        columns=["optimizer", "lr", "seed", "validation_loss"],
    )
    dots, means = pictures.loss_by_rate(finals).figure.axes[0].get_lines()[:2]
    assert len(np.asarray(dots.get_xdata())) == 4
    assert list(np.asarray(means.get_ydata())) == pytest.approx([2.15, 2.35])
    variants = finals.assign(variant=finals["optimizer"])
    axes = pictures.variants(variants, ["Muon", "AdamW"]).figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Muon", "AdamW"]
    curves = pd.DataFrame({"optimizer": "Muon", "seed": 0, "step": range(30), "loss": np.arange(30.0)})
    line = (
        pictures.loss_curves(pd.concat([curves, curves.assign(optimizer="AdamW")]), window=3)
        .figure.axes[0]
        .get_lines()[0]
    )
    assert np.asarray(line.get_ydata())[-1] == 28


def test_spectra_errors_and_overhead_are_named_lines() -> None:
    frame = pd.DataFrame({"matrix": ["m"] * 2, "rank": [1, 2], "value": [1.0, 0.1]})
    assert pictures.spectra(frame).figure.axes[0].texts[0].get_text() == "m"
    errors = pd.DataFrame({"method": ["cubic"] * 2, "step": [0, 1], "error": [1.0, 0.5]})
    assert "cubic 0.5" in pictures.error_by_step(errors, lower=0.1).alt
    share = pd.DataFrame({"d_model": [64] * 2, "tokens": [512, 1024], "share": [0.5, 0.25]})
    assert pictures.overhead_by_batch(share).figure.axes[0].texts[0].get_text() == "d = 64"


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


def test_shares_are_bars_beside_the_law() -> None:
    frame = pd.DataFrame({"path": ["run", "walk"], "first": [0.9, 0.8], "second": [0.05, 0.1]})
    axes = pictures.explained(frame, law=(0.81, 0.09)).figure.axes[0]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.9, 0.8, 0.05, 0.1])
    assert [float(np.asarray(line.get_xdata())[0]) for line in axes.get_lines()] == pytest.approx([0.81, 0.9])
