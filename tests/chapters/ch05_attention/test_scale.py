"""Training without the factor 1/√d is training with larger query weights and steps."""

import math

import pytest
import torch

from course_lib.chapters.ch05_attention.experiments import scale
from course_lib.lab.small_runs import new_model, train_small


def test_the_factor_taken_away_literally_gives_the_same_run() -> None:
    """A hook undoes the division by √d; weights and rates stay as they are."""
    with_factor = scale.settings_of("with 1/√d", lr=0.004, steps=4, head_dim=64)
    without = scale.settings_of("without", lr=0.004, steps=4, head_dim=64)
    literal = new_model(with_factor, 0)
    for layer in literal.layers:
        layer.attn.q_proj.register_forward_hook(lambda _module, _inputs, output: output * 8)
    curves = [
        train_small(settings, seed=0, model=model).curve.loss.tolist()
        for settings, model in ((with_factor, literal), (without, None), (with_factor, None))
    ]
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)
    assert curves[0] != pytest.approx(curves[2], rel=1e-3)


def test_a_flat_start_is_the_start_with_the_factor() -> None:
    models = {arm: new_model(scale.settings_of(arm, lr=0.004, steps=4, head_dim=16), 1) for arm in scale.ARMS}
    ids = torch.arange(20)
    torch.testing.assert_close(models["without, flat start"](ids), models["with 1/√d"](ids))
    q = {arm: model.layers[0].attn.q_proj.weight for arm, model in models.items()}
    torch.testing.assert_close(q["without"], math.sqrt(16) * q["with 1/√d"])


def test_steps_and_decay_of_the_query_weights() -> None:
    model = new_model(scale.settings_of("with 1/√d", lr=0.01, steps=1, head_dim=64), 0)
    (made,) = scale.optimizer(model, lr=0.01, factor=8.0)
    others, queries = made.param_groups
    assert queries["lr"] == pytest.approx(0.08)
    assert queries["lr"] * queries["weight_decay"] == pytest.approx(others["lr"] * others["weight_decay"])
    assert [p.shape for p in queries["params"]] == [(64, 64)] * 2
    counted = sum(p.numel() for group in made.param_groups for p in group["params"])
    assert counted == model.num_parameters()


def test_a_run_reports_the_start_and_the_end() -> None:
    without, flat = (
        scale.scale_run(seed=0, head_dim=64, arm=arm, lr=0.004, steps=5)
        for arm in ("without", "without, flat start")
    )
    assert without["sharp"] > 0.5 > flat["sharp"]
    assert flat["sharp_end"] != flat["sharp"]
    assert 2 < min(without["bits"], flat["bits"]) < 9
