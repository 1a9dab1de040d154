"""The runs of the map of trainability: what a point tells, and that starts and factors do what they say."""

import math

import pytest
import torch

from course_lib.chapters.ch02_normalization.experiments import reference, trainability
from course_lib.chapters.ch02_normalization.experiments.normalization import scaled_layers
from course_lib.lab.small_runs import small_config
from course_lib.model import TransformerLM

POINT = {"seed": 0, "placement": "pre", "gain": 1.0, "start": "none", "lr": 0.01, "layers": 1, "steps": 20}


def test_starts_walk_equally_far() -> None:
    none, ramp, half, wait = (trainability.start_factor(start, 100) for start in trainability.STARTS)
    assert none(0) == pytest.approx(1, abs=0.02) and ramp(0) == pytest.approx(1 / 50) and half(0) == 0.5
    assert wait(9) == 0 and wait(10) == pytest.approx(1, abs=0.02)
    total = sum(map(none, range(100)))
    assert sum(map(ramp, range(100))) == pytest.approx(total, rel=0.02)
    assert sum(map(half, range(100))) == pytest.approx(total, rel=0.02)
    assert sum(map(wait, range(100))) == pytest.approx(0.9 * total, rel=0.02)
    assert [half(step) for step in range(50, 100)] == [ramp(step) for step in range(50, 100)]
    assert min(none(99), ramp(99), wait(99)) > 0


def test_a_point_tells_the_loss_and_how_far_updates_move_the_stream() -> None:
    found = trainability.map_run(**POINT)
    assert 3 < found["bits"] < 9 and 0 < found["first"] <= found["largest"] <= found["ever"]
    assert 7 < found["initial"] < 10 and found["early"] <= found["worst"] < 20
    assert 0 < found["logits"] < 20 and -1 <= found["alike"] <= 1
    assert found["reach"] == pytest.approx(1)  # the only layer is the first and the last
    slower = trainability.map_run(**POINT | {"lr": 0.0001})
    assert slower["first"] < 0.1 * found["first"] and slower["logits"] < 0.1 * found["logits"]


def test_a_run_that_diverges_says_so() -> None:
    found = trainability.map_run(**POINT | {"placement": "none", "lr": 1e6, "gain": 30.0})
    assert math.isinf(found["bits"]) and math.isinf(found["worst"]) and math.isfinite(found["initial"])


def test_the_stream_moves_by_the_change_of_the_last_layers_output() -> None:
    torch.manual_seed(0)
    model = TransformerLM(small_config(num_layers=1, context_length=32, norm_placement="none"))
    updates = trainability._Updates(early=5, gradients=1.0)
    updates.watch(0, model)
    with torch.no_grad():
        for layer in model.layers:
            for param in layer.parameters():
                param.zero_()
    updates.watch(1, model)  # the stream is the embedding now
    with torch.no_grad():
        model.token_embeddings.weight.mul_(3)
    updates.watch(2, model)
    updates.watch(3, model)
    assert len(updates.changes) == 3 and updates.changes[0] > 0.01
    assert updates.changes[1] == pytest.approx(2, rel=1e-5) and updates.changes[2] == 0


def test_later_updates_are_watched_one_at_a_time() -> None:
    model = TransformerLM(small_config(num_layers=1, context_length=32, norm_placement="none"))
    updates = trainability._Updates(early=1, gradients=1.0)
    for step in range(32):
        with torch.no_grad():
            model.token_embeddings.weight.mul_(1.1)
        for param in model.parameters():
            param.grad = torch.ones_like(param)
        updates.watch(step, model)
    # The first one, and those between steps 15 and 16 and between 30 and 31.
    assert len(updates.changes) == 3 and len(updates.losses) == 2


def test_reach_and_likeness() -> None:
    torch.manual_seed(0)
    model = TransformerLM(small_config(num_layers=2, context_length=32))
    for place, layer in enumerate(model.layers):
        for param in layer.parameters():
            param.grad = torch.full_like(param, 3.0 if place == 0 else 1.0)
    updates = trainability._Updates(early=0, gradients=1.0)
    direction = torch.randn(1, 1, 64)
    updates._look(model, direction * torch.rand(4, 7, 1).add(0.1))
    assert updates.reach == pytest.approx(3) and updates.alike == pytest.approx(1, abs=1e-5)
    updates._look(model, torch.eye(64)[:7].expand(4, 7, 64))
    assert updates.alike == pytest.approx(0, abs=1e-6)


def test_all_gradients_are_scaled() -> None:
    model = TransformerLM(small_config(num_layers=1))
    for param in model.parameters():
        param.grad = torch.ones_like(param)
    trainability._Updates(early=0, gradients=0.01).watch(5, model)
    assert all(torch.all(param.grad == 0.01) for param in model.parameters() if param.grad is not None)
    assert trainability.map_run(**POINT | {"gradients": 100.0})["bits"] == pytest.approx(
        trainability.map_run(**POINT)["bits"], rel=1e-2
    )


def test_only_what_writes_into_the_stream_is_scaled_if_asked() -> None:
    config = small_config(num_layers=2, activation="relu")
    torch.manual_seed(0)
    before = TransformerLM(config)
    after = TransformerLM(config)
    after.load_state_dict(before.state_dict())
    scaled_layers(0.5, outputs_only=True)(after)
    factors = {
        name: float(param.detach().norm() / before.get_parameter(name).detach().norm())
        for name, param in after.named_parameters()
    }
    halved = {name for name, factor in factors.items() if factor == 0.5}
    assert halved == {f"layers.{i}.{name}.weight" for i in (0, 1) for name in ("attn.output_proj", "ffn.w2")}
    assert all(factor == 1 for name, factor in factors.items() if name not in halved)


@pytest.mark.parametrize("experiment", reference.REFERENCE, ids=lambda one: one.name)
def test_every_arm_is_tuned_on_at_least_four_rates_with_at_least_four_seeds(experiment) -> None:  # type: ignore[no-untyped-def]
    assert len(experiment.seeds) >= 4
    rates: dict[tuple[object, ...], set[object]] = {}
    for point in experiment.grid:
        rates.setdefault(tuple(point[name] for name in experiment.scientific), set()).add(point["lr"])
    assert all(len(tried) >= 4 for tried in rates.values())


def test_the_settings_reach_the_model() -> None:
    settings = trainability.map_settings(
        placement="branch", gain=1.0, start="ramp", lr=0.1, layers=3, steps=10, norm="rmsnorm", qk_norm=True
    )
    assert settings.config.norm_placement == "branch" and settings.config.qk_norm
    assert settings.config.norm == "rmsnorm" and settings.config.num_layers == 3
    assert settings.schedule(4) == 1 and settings.clip is None and settings.text == "novels_en"
