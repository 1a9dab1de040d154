"""The chapter's runs: what a record holds, runs that share their first steps, weights that come back."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from course_lib.chapters.ch09_schedules.experiments import runs
from course_lib.chapters.ch09_schedules.experiments.shapes import arm
from course_lib.diagnostics import snapshot
from course_lib.lab.small_runs import held_out_loss, new_model, novels_run, train_small


def test_a_record_holds_the_run_and_the_mean_of_its_last_weights() -> None:
    record = runs.shape_run(seed=3, shape="WSD", lr=0.004, steps=24, batch_size=2)
    kept: list[dict[str, torch.Tensor]] = []

    def keep(step: int, model: torch.nn.Module) -> dict[str, float]:
        kept.append(snapshot(model))
        return {}

    settings = novels_run(24, lr=0.004, batch_size=2, schedule=arm("WSD", 24), watch=keep)
    trained = train_small(settings, seed=3)
    assert record["bits"] == trained.bits_per_byte
    losses = trained.curve["loss"].to_numpy() / math.log(2)
    assert record["training_01"] == pytest.approx(losses[:2].mean())
    assert record["training_12"] == pytest.approx(losses[22:].mean())
    mean = {name: torch.stack([one[name] for one in kept[19:]]).mean(0) for name in kept[0]}
    trained.model.load_state_dict(mean, strict=False)
    averaged = held_out_loss(trained.model, settings) / math.log(2)
    assert record["averaged"] == pytest.approx(averaged, rel=1e-6)


def test_runs_share_their_steps_until_the_decay() -> None:
    constant, wsd = (
        runs.shape_run(seed=0, shape=shape, lr=0.01, steps=24, batch_size=2) for shape in ("constant", "WSD")
    )
    same = [name for name in constant if constant[name] == wsd[name]]
    assert same == [f"training_{number:02}" for number in range(1, 11)]  # WSD is constant for four fifths


def test_branches_leave_the_trunk_where_their_decay_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "ENDS", (40, 50))
    found = runs.branch_run(seed=1, lr=0.01)
    assert list(found) == ["trunk_40", "averaged_40", "trunk_50", "averaged_50", "decayed_40", "decayed_50"]
    for end in (40, 50):
        alone = novels_run(end, lr=0.01, schedule=lambda step: min(1.0, (step + 1) / 30))
        assert found[f"trunk_{end}"] == pytest.approx(train_small(alone, seed=1).bits_per_byte, rel=1e-5)
        assert len({round(found[f"{kind}_{end}"], 6) for kind in ("trunk", "averaged", "decayed")}) == 3


def test_weights_come_back_after_the_mean_was_judged() -> None:
    settings = novels_run(1, validation_windows=16)
    model = new_model(settings, 0)
    average = runs._Average(first=0)
    average.watch(0, model)
    before = snapshot(model)
    with torch.no_grad():
        for param in model.parameters():
            param.add_(0.02)
    average.watch(1, model)
    after = snapshot(model)
    loss = average.loss(model, settings)
    assert all(torch.equal(after[name], value) for name, value in snapshot(model).items())
    model.load_state_dict({name: (before[name] + after[name]) / 2 for name in before}, strict=False)
    assert loss == pytest.approx(held_out_loss(model, settings), rel=1e-5)


def test_every_start_ends_differently() -> None:
    found = {
        runs.warmup_run(seed=0, placement="pre", warmup=kind, lr=0.01, steps=120, layers=1)["bits"]
        for kind in runs.WARMUPS
    }
    assert len(found) == len(runs.WARMUPS)


def test_starts_differ_from_the_ramp_only_as_long_as_it_lasts() -> None:
    steps, ramp = runs.start_schedule("20 %", 100)
    assert runs.start_schedule("hold 20 %", 100)[0] == steps == 100
    hold = runs.start_schedule("hold 20 %", 100)[1]
    assert [hold(step) for step in range(20)] == [1.0] * 20
    assert [hold(step) for step in range(20, 100)] == [ramp(step) for step in range(20, 100)]
    short, wait = runs.start_schedule("5 %", 100)[1], runs.start_schedule("wait 5 %", 100)[1]
    assert [wait(step) for step in range(5)] == [0.0] * 5 and wait(5) == short(5)


def test_an_extra_wait_takes_no_update_away() -> None:
    steps, extra = runs.start_schedule("extra wait", 100)
    none = runs.start_schedule("none", 100)[1]
    assert steps == 105
    assert [extra(step) for step in range(105)] == [0.0] * 5 + [none(step) for step in range(100)]


def test_decay_shrinks_weights() -> None:
    free, tied = (runs.decay_run(seed=0, lr=0.01, weight_decay=decay, steps=20) for decay in (0.0, 10.0))
    assert tied["rms"] < free["rms"] and min(free["rotation"], tied["rotation"]) > 0


def test_noise_reaches_the_balance_of_the_law() -> None:
    frame = runs.noise_table([(0.02, 1.0)], size=32, steps=400, seeds=(0, 1))
    assert frame["rms"].tolist() == pytest.approx([(0.02 / 2) ** 0.5] * 2, rel=0.15)
    law = (2 * 0.02 * (1 - 0.9) / (1 + 0.9)) ** 0.5
    assert frame["rotation"].tolist() == pytest.approx([law] * 2, rel=0.15)


def test_a_range_test_tells_the_rate_of_every_step() -> None:
    frame = runs.range_test(1e-3, 1e-1, seeds=(0,), steps=5)
    np.testing.assert_allclose(frame["lr"], [1e-3, 10**-2.5, 1e-2, 10**-1.5, 1e-1])
    assert frame["bits"].iloc[0] == pytest.approx(8.1, abs=0.3)


def test_curves_are_the_twelfths() -> None:
    columns = {f"training_{number:02}": [float(number)] for number in range(1, 13)}
    frame = runs.curves(pd.DataFrame({"shape": ["WSD"], "lr": [0.1], "seed": [0], **columns}), 120)
    assert frame["step"].tolist() == [5 + 10 * number for number in range(12)]
    assert frame["bits"].tolist() == list(range(1, 13))
