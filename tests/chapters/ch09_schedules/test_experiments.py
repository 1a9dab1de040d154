"""Schedules against hand calculation, the bowl against brute force, and runs that share their first steps."""

import numpy as np
import pandas as pd
import pytest
import torch

from course_lib.chapters.ch09_schedules import experiments
from course_lib.diagnostics import snapshot
from course_lib.lab.small_runs import new_model, train_small, validation_loss
from course_lib.optim import cosine


@pytest.mark.parametrize("shape", experiments.SHAPES)
@pytest.mark.parametrize("warmup", [0.0, 0.1])
def test_every_shape_uses_every_step_and_peaks_at_one(shape: str, warmup: float) -> None:
    factors = np.array([experiments.schedule(shape, 100, warmup=warmup)(step) for step in range(100)])
    assert factors.min() > 0 and factors.max() <= 1
    # Without a warm-up the decays begin with the first update.
    assert factors.max() == pytest.approx(1, abs=0.06)
    if warmup:
        np.testing.assert_allclose(factors[:10], np.arange(1, 11) / 10)
        assert factors[9] == 1


def test_the_ends_of_the_shapes() -> None:
    last = {shape: experiments.schedule(shape, 100)(99) for shape in experiments.SHAPES}
    assert last["constant"] == 1
    assert last["linear"] == pytest.approx(1 / 91)
    assert last["cosine"] == pytest.approx(0.1, abs=0.002)
    assert last["one restart"] == pytest.approx(0.1, abs=0.002)
    assert last["inverse sqrt"] == pytest.approx(0.1**0.5)
    assert last["WSD"] == pytest.approx(1 / 20)
    wsd = experiments.schedule("WSD", 100, decay=0.5)
    assert wsd(49) == 1 > wsd(51)
    assert experiments.schedule("linear", 100, final=0.5)(99) == pytest.approx(0.5, abs=0.01)


def test_a_restart_is_two_cosines() -> None:
    factor = experiments.schedule("one restart", 99, warmup=0)
    jump = max(range(98), key=lambda step: factor(step + 1) - factor(step))
    assert jump in (48, 49)
    for step in range(48):
        assert factor(step) == pytest.approx(
            cosine(step + 1, max_lr=1, min_lr=0.1, warmup_steps=0, total_steps=50)
        )


def test_an_unknown_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="shape is 'triangle'"):
        experiments.schedule("triangle", 10)


def test_tables_hold_the_factors() -> None:
    frame = experiments.table({"double": lambda step: 2.0 * step}, 3)
    assert frame.to_dict("list") == {"shape": ["double"] * 3, "step": [0, 1, 2], "factor": [0.0, 2.0, 4.0]}


def test_the_bowl_is_what_many_noisy_walks_give() -> None:
    rates = np.array([0.5, 0.3, 0.3, 0.1])
    frame = experiments.noisy_bowl(rates, curvatures=(1.0, 0.2), noise=0.7, start=2.0)
    rng = np.random.default_rng(0)
    for h in (1.0, 0.2):
        w = np.full(200_000, 2.0 / h**0.5)
        for rate in rates:
            w = w - rate * (h * w + 0.7 * rng.normal(size=w.shape))
        assert (h * w**2).mean() / 2 == pytest.approx(frame[f"h={h:g}"].iloc[-1], rel=0.02)
    assert frame["total"].iloc[0] == pytest.approx(4.0)
    floor = experiments.noisy_bowl(np.full(500, 0.4), curvatures=(1.0,))["total"].iloc[-1]
    assert floor == pytest.approx(0.4 / (4 - 0.8))


def test_tuning_on_the_bowl_finds_the_best_of_its_rates() -> None:
    best = experiments.tuned_on_bowl((50,), shapes=("constant",)).iloc[0]
    for lr in (best["lr"] * 0.8, best["lr"] * 1.25):
        frame = experiments.bowl_under(
            "constant", lr=lr, warmup=0.1, decay=0.2, noise=1.0, flat=0.01, steps=50
        )[1]
        assert frame["total"].iloc[-1] > best["loss"]


def test_best_rates_are_by_mean() -> None:
    rows = [
        ("a", 0.1, 0, 2.0),
        ("a", 0.1, 1, 4.0),
        ("a", 0.2, 0, 2.5),
        ("a", 0.2, 1, 2.7),
        ("b", 0.1, 0, 1.0),
    ]
    finals = pd.DataFrame(rows, columns=["shape", "lr", "seed", "validation_loss"])
    best = experiments.best_rates(finals)
    assert best[["shape", "lr"]].values.tolist() == [["a", 0.2], ["b", 0.1]]
    assert best.iloc[0][["mean", "min", "max"]].tolist() == pytest.approx([2.6, 2.5, 2.7])


def test_comparisons_have_a_run_for_every_case_and_seed() -> None:
    runs = experiments.compare_schedules((0.01,), shapes=("constant", "WSD"), seeds=(0, 1), steps=10)
    assert runs.finals.groupby(["shape", "lr"]).size().tolist() == [2, 2]
    # WSD is constant up to its decay: two of ten steps.
    curves = runs.curves[runs.curves["seed"] == 0].pivot(index="step", columns="shape", values="loss")
    assert (curves["constant"] == curves["WSD"])[:9].all()


def test_a_range_test_tells_the_rate_of_every_step() -> None:
    frame = experiments.range_test(1e-3, 1e-1, seeds=(0,), steps=5)
    np.testing.assert_allclose(frame["lr"], [1e-3, 10**-2.5, 1e-2, 10**-1.5, 1e-1])


def test_branches_leave_the_trunk_where_their_decay_begins() -> None:
    frame = experiments.branches(0.01, ends=(12, 16), seeds=(0,), decay_steps=2, window=1)
    assert frame["step"].tolist() == [12, 16]
    np.testing.assert_allclose(frame["averaged"], frame["trunk"])  # the mean of one
    constant = train_small(experiments.run(lambda step: min(1.0, (step + 1) / 10), lr=0.01, steps=16), seed=0)
    assert frame["trunk"].iloc[-1] == pytest.approx(constant.validation_loss, rel=1e-5)
    assert frame["decayed"].iloc[0] != frame["trunk"].iloc[0]


def test_the_trunk_is_not_disturbed_by_being_judged() -> None:
    settings = experiments.run(lambda step: 1.0, lr=0.01, steps=1)
    model = new_model(settings, 0)
    watcher = experiments._Trunk(1, 2)
    watcher.watch(0, model)
    before = snapshot(model)
    with torch.no_grad():
        for param in model.parameters():
            param.add_(0.02)
    after = snapshot(model)
    found = watcher.watch(1, model)
    assert all(torch.equal(after[name], value) for name, value in snapshot(model).items())
    assert model.training
    middle = {name: (before[name] + after[name]) / 2 for name in before}
    model.load_state_dict(middle, strict=False)
    assert found["averaged"] == pytest.approx(validation_loss(model), rel=1e-5)


def test_decay_shrinks_weights_and_batches_share_the_text() -> None:
    frame = experiments.compare_decay([(0.01, 0.0), (0.01, 10.0)], seeds=(0,), steps=10)
    assert frame["rms"].iloc[1] < frame["rms"].iloc[0]
    assert (frame["rotation"] > 0).all()
    runs = experiments.compare_batches((2, 8), (0.01,), sequences=80, seeds=(0,))
    assert runs.curves.groupby("batch").size().tolist() == [40, 10]


def test_warm_up_cases_differ_in_placement_and_warm_up_only() -> None:
    runs = experiments.compare_warmup(seeds=(0,), steps=5, layers=1, warmups=(0, 2))
    assert runs.finals[["placement", "warmup"]].values.tolist() == [
        ["pre", 0],
        ["pre", 2],
        ["post", 0],
        ["post", 2],
    ]
    first = runs.curves[runs.curves["step"] == 0].groupby("placement")["loss"].nunique()
    assert (first == 1).all()
