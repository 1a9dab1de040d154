"""The declared experiments of chapter 3: their points and their dead units."""

import math

import pytest
import torch

from course_lib.chapters.ch03_gating.experiments import gating, reference
from course_lib.lab.small_runs import new_model, novels_run, small_config
from course_lib.model import TransformerLM


def test_all_arms_have_about_as_many_parameters_and_the_same_rates() -> None:
    counts = [
        TransformerLM(small_config(activation=arm, d_ff=gating.equal_width(arm))).num_parameters()
        for arm in reference.ARMS
    ]
    assert max(counts) < 1.005 * min(counts)
    for experiment in (reference.ACTIVATIONS, reference.ACTIVATIONS_LONGER):
        rates = {
            arm: [point["lr"] for point in experiment.grid if point["activation"] == arm]
            for arm in reference.ARMS
        }
        assert all(tried == rates["relu"] and len(tried) >= 3 for tried in rates.values())
    assert len(reference.ACTIVATIONS.seeds) >= 6


def test_a_run_returns_the_numbers_of_its_point() -> None:
    found = reference.activation_run(seed=0, activation="swiglu", lr=0.008, steps=12)
    assert 3 < found["bits"] < 6 and found["dead"] == found["dead_early"] == 0
    assert math.isnan(found["back"])
    dead = reference.activation_run(seed=0, activation="relu", lr=0.5, steps=30)
    assert dead["dead_early"] > 0 and 0 <= dead["back"] <= 1


@pytest.mark.parametrize("activation", ["relu", "reglu"])
def test_a_unit_is_dead_if_its_gate_is_closed_for_every_token(activation: str) -> None:
    width = gating.equal_width(activation)
    config = small_config(activation=activation, d_ff=width, num_layers=2)
    model = new_model(novels_run(config=config), 0)
    assert not reference.dead_units(model).any()
    layer = model.layers[1].ffn
    layer.act = lambda x: torch.relu(x - torch.cat([torch.full((3,), 1e4), torch.zeros(width - 3)]))
    assert reference.dead_units(model).nonzero().flatten().tolist() == [width, width + 1, width + 2]
