"""Muon's experiments: the optimizer of each parameter, and measured directions against the real updates."""

import pytest
import torch

from course_lib.chapters.ch08_muon.experiments import muon
from course_lib.chapters.ch08_muon.experiments.muon import HiddenOptimizer
from course_lib.lab.small_runs import SmallRun, new_model
from course_lib.optim import AdamW, Muon


def test_hidden_matrices_and_the_rest_get_their_own_optimizer_and_no_parameter_two() -> None:
    model = new_model(SmallRun(), 0)
    for name, kind in (("Muon", Muon), ("AdamW", AdamW)):
        hidden, rest = HiddenOptimizer(name, 0.01).make(model)
        assert type(hidden) is kind and type(rest) is AdamW
        owned = [id(p) for o in (hidden, rest) for group in o.param_groups for p in group["params"]]
        assert sorted(owned) == sorted(map(id, model.parameters()))
        assert rest.param_groups[0]["lr"] == muon.REST_LR


def test_an_unknown_optimizer_is_named() -> None:
    with pytest.raises(ValueError, match="name is 'Lion'"):
        HiddenOptimizer("Lion", 0.1)


def test_rates_are_compared_on_the_same_seeds() -> None:
    runs = muon.compare_rates({"AdamW": (0.01,), "Muon": (0.01, 0.03)}, seeds=(0,), steps=4)
    table = muon.summary(runs, ["optimizer", "lr"])
    assert table[["optimizer", "lr"]].values.tolist() == [["AdamW", 0.01], ["Muon", 0.01], ["Muon", 0.03]]
    first = runs.curves[runs.curves["step"] == 0]["loss"]
    assert first.nunique() == 1, "the same weights and batches before the first step"


def test_directions_are_gradient_momentum_and_what_the_step_did() -> None:
    watched = muon.watch_directions(seeds=(0,), steps=5, every=2)
    frame = watched.directions
    assert set(frame["step"]) == {0, 2}
    assert set(frame["direction"]) == {"gradient", "momentum", "update"}
    assert len(frame) == 2 * 2 * 3 * 2 * 7  # optimizers, steps, directions, layers, matrices
    assert [len(path) for path in watched.snapshots.values()] == [4, 4]
    first = frame[frame["step"] == 0].set_index(["optimizer", "layer", "matrix", "direction"])["norm"]
    gradient = first["AdamW", 0, "q_proj", "gradient"]
    assert gradient == first["Muon", 0, "q_proj", "gradient"]
    # After one step from zero, both averages hold 1 - beta of the gradient; Adam then moves every entry by the rate.
    assert first["AdamW", 0, "q_proj", "momentum"] == pytest.approx(0.1 * gradient, rel=1e-4)
    assert first["Muon", 0, "q_proj", "momentum"] == pytest.approx(0.05 * gradient, rel=1e-4)
    assert first["AdamW", 0, "w1", "update"] == pytest.approx(
        frame[(frame["matrix"] == "w1") & (frame["direction"] == "update")]["norm"].iloc[0]
    )
    updates = frame[frame["direction"] == "update"].set_index(["optimizer", "step"])["rms"]
    assert updates["AdamW", 0].median() == pytest.approx(1, abs=0.05)
    assert updates["Muon", 0].median() == pytest.approx(0.2, abs=0.05)


def test_watching_does_not_change_the_run() -> None:
    watched = muon.watch_directions(optimizers=("Muon",), seeds=(1,), steps=4, every=1)
    plain = muon.compare_options({"plain": muon.best("Muon")}, seeds=(1,), steps=4)
    assert watched.runs["Muon", 1].validation_loss == plain.finals["validation_loss"].item()


def test_spectra_and_shards() -> None:
    matrix = torch.diag(torch.tensor([4.0, 2.0, 1.0]))
    assert muon.spectra({"m": matrix})["value"].tolist() == [1.0, 0.5, 0.25]
    halves = muon.shards(torch.ones(4, 2), 2, lambda part: part * len(part))
    assert torch.equal(halves, torch.full((4, 2), 2.0))
