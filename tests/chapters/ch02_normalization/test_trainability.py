"""The runs of the map of trainability: what a point tells, and that starts and factors do what they say."""

import pytest
import torch

from course_lib.chapters.ch02_normalization.experiments import trainability
from course_lib.chapters.ch02_normalization.experiments.normalization import scaled_layers
from course_lib.lab.small_runs import small_config
from course_lib.model import TransformerLM

POINT = {"seed": 0, "placement": "pre", "gain": 1.0, "start": "none", "lr": 0.01, "layers": 1, "steps": 20}


def test_starts_walk_equally_far_in_the_first_half() -> None:
    none, ramp, half = (trainability.start_factor(start, 100) for start in trainability.STARTS)
    assert none(0) == pytest.approx(1, abs=0.02) and ramp(0) == pytest.approx(1 / 50)
    assert sum(map(half, range(50))) == pytest.approx(sum(map(ramp, range(50))), rel=0.05)
    assert [half(step) for step in range(50, 100)] == [ramp(step) for step in range(50, 100)]


def test_a_point_tells_the_loss_and_how_far_updates_move_the_stream() -> None:
    found = trainability.map_run(**POINT)
    assert 3 < found["bits"] < 9 and 0 < found["first"] <= found["largest"]
    slower = trainability.map_run(**POINT | {"lr": 0.0001})
    assert slower["first"] < 0.1 * found["first"]


def test_the_stream_moves_by_the_change_of_the_last_layers_output() -> None:
    model = TransformerLM(small_config(num_layers=1, context_length=32))
    changes = trainability._Changes(steps=3, gradients=1.0)
    changes.watch(0, model)
    with torch.no_grad():
        model.token_embeddings.weight.mul_(2)
    changes.watch(1, model)
    changes.watch(2, model)
    assert len(changes.found) == 2 and changes.found[0] > 0.1 and changes.found[1] == 0


def test_all_gradients_are_scaled() -> None:
    model = TransformerLM(small_config(num_layers=1))
    for param in model.parameters():
        param.grad = torch.ones_like(param)
    trainability._Changes(steps=0, gradients=0.01).watch(5, model)
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


def test_every_arm_of_the_map_is_tuned_on_the_same_rates() -> None:
    for experiment in (trainability.MAP, trainability.DEEPER, trainability.CAUSES):
        assert len(experiment.seeds) >= 4 and len({point["lr"] for point in experiment.grid}) >= 6
        arms = {tuple(point[name] for name in experiment.scientific) for point in experiment.grid}
        assert len(arms) * 7 == len(experiment.grid)
