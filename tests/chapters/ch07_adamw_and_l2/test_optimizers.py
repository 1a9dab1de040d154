"""Chapter 7's races, costs and filter."""

import math

import numpy as np
import pytest
import torch

from course_lib.chapters.ch07_adamw_and_l2.experiments import optimizers as lab


def test_the_convex_race_counts_evaluations_and_finds_the_minimum() -> None:
    frame = lab.convex_race(evaluations=40)
    groups = frame.groupby("optimizer")
    assert set(groups.groups) == {"gradient descent", "Nesterov momentum", "Adam", "L-BFGS"}
    assert (groups["evaluation"].max() <= 40).all()
    for _, rows in groups:
        assert rows["gap"].is_monotonic_decreasing and (rows["gap"] > 0).all()
    assert groups["gap"].min()["L-BFGS"] < 1e-6
    assert groups["gap"].first().nunique() == 1  # all start at the same point


def test_adam_falls_into_the_trap_and_says_yes_to_every_new_point() -> None:
    frame = lab.adaptive_trap(points=100, seeds=(5,)).set_index("optimizer")
    assert (frame["train_error"] == 0).all() and frame["test_error"]["SGD + momentum"] == 0
    labels = torch.rand(100, generator=torch.Generator().manual_seed(1005)) < 0.7
    assert frame["test_error"]["Adam"] == pytest.approx(1 - labels.float().mean().item())


def test_the_language_models_get_the_same_start_and_their_own_rates() -> None:
    frame = lab.language_model_race({"SGD + momentum": (1e-9,), "AdamW": (1e-9, 0.01)}, seeds=(0,), steps=12)
    losses = frame.set_index(["optimizer", "lr"])["validation_loss"]
    assert losses["SGD + momentum"][1e-9] == pytest.approx(losses["AdamW"][1e-9], abs=1e-4)
    assert losses["AdamW"][0.01] < losses["AdamW"][1e-9] - 0.5


def test_decay_shrinks_matrices_and_the_norms_are_watched() -> None:
    finals, curves = lab.language_model_decay((0.0, 3.0), seeds=(0,), steps=15)
    size = finals.set_index("weight_decay")["weight_rms"]
    assert size[3.0] < 0.9 * size[0.0]
    assert list(curves["step"]) == [*range(15), *range(15)]
    assert curves["update_norm"].isna().sum() == 2  # nothing has moved before the first step
    assert (curves["gradient_norm"] > 0).all()


def test_the_three_forms_of_a_step_hold_two_moments() -> None:
    frame = lab.step_costs(num_parameters=1000, repeats=1)
    assert frame["form"].tolist() == ["readable", "lists of tensors", "fused kernel"]
    assert (frame["state_bytes"] == 8).all() and (frame["cpu_ns"] > 0).all()


@pytest.mark.parametrize("shrink", [0.0, 0.01])
def test_the_filters_rate_solves_its_equation(shrink: float) -> None:
    """In balance p = predicted / (1 + predicted g²) with predicted = (1 - shrink)² p + q: a quadratic in p."""
    q = 1e-4
    for row in lab.filter_rates([0.3, 1.0, 30.0], drift=q, shrink=shrink).itertuples():
        a, g2 = (1 - shrink) ** 2, row.gradient_size**2
        b = 1 + q * g2 - a
        assert row.rate == pytest.approx((-b + math.sqrt(b * b + 4 * a * g2 * q)) / (2 * a * g2), rel=1e-5)
        assert row.law == pytest.approx(math.sqrt(q) / row.gradient_size)
    assert np.all(lab.filter_rates([1.0], drift=1e-8)["rate"] < 1e-3)
