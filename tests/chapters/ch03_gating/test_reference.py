"""The declared experiments of chapter 3: their points and their dead units."""

import math

import pytest
import torch

from course_lib.chapters.ch03_gating.experiments import gates, gating, reference, revival
from course_lib.lab.small_runs import new_model, novels_run, small_config
from course_lib.model import GatedFFN, TransformerLM


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
        assert all(tried == rates["relu"] and len(tried) >= 4 for tried in rates.values())
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


def test_the_other_gates_are_what_their_names_say() -> None:
    z = torch.linspace(-3, 3, 7)
    torch.testing.assert_close(torch.tanh(z), 2 * torch.sigmoid(2 * z) - 1)
    x = torch.zeros((), requires_grad=True)
    torch.sigmoid(x).backward()
    assert x.grad is not None
    assert gates.half_open(torch.tensor([0.0, 1.0])).tolist() == [0.5, 0.5 + float(x.grad)]


@pytest.mark.parametrize("gate", gates.GATES)
def test_a_gate_run_trains_with_its_gate(gate: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = []
    monkeypatch.setattr(
        gates, "train_small", lambda settings, seed: trained.append(new_model(settings, seed))
    )
    with pytest.raises(AttributeError):  # nothing was trained
        gates.gate_run(seed=0, gate=gate, lr=0.01, steps=1)
    layers = [module for module in trained[0].modules() if isinstance(module, GatedFFN)]
    x = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    for layer in layers:
        opened = x @ layer.w1.weight.T
        opened = opened.tanh() if gate == "tanh(z)" else 0.5 + opened / 4
        torch.testing.assert_close(layer(x), (opened * (x @ layer.w3.weight.T)) @ layer.w2.weight.T)
    assert len(layers) == 2


class TestRevival:
    """Only the weights that an arm lets learn have moved after the dead units were counted."""

    @pytest.fixture
    def model(self) -> TransformerLM:
        return new_model(novels_run(config=small_config(activation="relu", d_ff=8)), 0)

    @pytest.mark.parametrize("arm", revival.ARMS)
    def test_held_weights_stay(self, model: TransformerLM, arm: str, monkeypatch: pytest.MonkeyPatch) -> None:
        dead = torch.zeros(16, dtype=torch.bool)
        dead[[1, 10]] = True
        monkeypatch.setattr(revival, "dead_units", lambda _: dead)
        hold = revival._Hold(model, arm, 2)
        parameters = dict(model.named_parameters())

        def step() -> None:
            with torch.no_grad():
                for parameter in parameters.values():
                    parameter.add_(1.0)
            hold.step()

        step()
        step()
        before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
        step()
        for name, parameter in parameters.items():
            moved = parameter.detach() != before[name]
            own = torch.zeros_like(moved)
            if name.endswith("ffn.w1.weight"):
                own[1 if ".0." in name else 2] = True
            expected = {revival.ALL: torch.ones_like(moved), revival.HELD: ~own, revival.ALONE: own}[arm]
            assert torch.equal(moved, expected), name

    def test_rows_count_units(self) -> None:
        frame = revival.revivals((0,), arms=(revival.HELD,), lr=0.3, steps=14, count_at=10)
        (row,) = frame.to_dict("records")
        assert row["units"] == 512 and 0 < row["dead"] <= 512 and 0 <= row["back"] <= row["dead"]
