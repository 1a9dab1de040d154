"""Taking layers out of trained networks, against brute force."""

import pandas as pd
import pytest
import torch

from course_lib.chapters.ch02_normalization.experiments import depth
from course_lib.lab.small_runs import held_out_batch, small_config
from course_lib.loss import cross_entropy
from course_lib.model import TransformerLM


@pytest.fixture
def model() -> TransformerLM:
    torch.manual_seed(0)
    return TransformerLM(small_config(num_layers=4, context_length=32, activation="relu"))


def loss_of(model: TransformerLM) -> float:
    x, y = held_out_batch(depth._WINDOWS, 32, text="novels_en")
    with torch.no_grad():
        return float(cross_entropy(model(x), y))


def test_a_layer_left_out_adds_nothing_to_the_stream(model: TransformerLM) -> None:
    found = depth.layer_surgery(model)
    assert found["intact"].nunique() == 1 and found["intact"][0] == pytest.approx(loss_of(model), rel=1e-5)
    for place in range(4):
        kept = [param.clone() for param in model.layers[place].parameters()]
        with torch.no_grad():
            for name, param in model.layers[place].named_parameters():
                if name.endswith(("output_proj.weight", "w2.weight")):
                    param.zero_()
        assert found["left_out"][place] == pytest.approx(loss_of(model), rel=1e-5)
        with torch.no_grad():
            for param, before in zip(model.layers[place].parameters(), kept, strict=True):
                param.copy_(before)


def test_equal_neighbours_that_write_nothing_may_stand_side_by_side(model: TransformerLM) -> None:
    with torch.no_grad():
        for name, param in model.layers[1].named_parameters():
            if name.endswith(("output_proj.weight", "w2.weight")):
                param.zero_()
    found = depth.layer_surgery(model)
    # Layer 2 writes nothing: beside it, its neighbours read what they read before.
    assert found["side_by_side"][:2].to_numpy() == pytest.approx(found["intact"][0], rel=1e-5)
    assert abs(found["side_by_side"][2] - found["intact"][0]) > 1e-5
    assert found["side_by_side"].isna().tolist() == [False, False, False, True]
    assert depth.layer_contributions(model)["increment"][1] == 0


def test_surgery_and_increments_by_hand(model: TransformerLM) -> None:
    x, y = held_out_batch(depth._WINDOWS, 32, text="novels_en")
    flow, cut = depth.layer_contributions(model), depth.layer_surgery(model)
    first, second, third, last = model.layers
    with torch.no_grad():
        h = model.token_embeddings(x)
        beside = last(third(first(h) + second(h) - h))
        expected = cross_entropy(model.lm_head(model.ln_final(beside)), y)
        assert cut["side_by_side"][0] == pytest.approx(float(expected), rel=1e-5)
        for row, layer in zip(flow.itertuples(), model.layers, strict=True):
            after = layer(h)
            assert row.increment == pytest.approx(
                float(((after - h).norm(dim=-1) / h.norm(dim=-1)).mean()), rel=1e-5
            )
            cosine = torch.cosine_similarity(h, after, dim=-1)
            assert row.cosine == pytest.approx(float(cosine.mean()), rel=1e-5)
            h = after
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in model.layers)


def test_halves_are_means_of_their_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    surgery = pd.DataFrame(
        {
            "layer": [1, 2, 3, 4],
            "intact": 1.0,
            "left_out": [5.0, 3.0, 2.0, 1.5],
            "side_by_side": [2.0, 9.0, 1.1, None],
        }
    )
    steps = pd.DataFrame({"increment": [0.4, 0.2, 0.1, 0.3]})
    monkeypatch.setattr(depth, "layer_surgery", lambda model: surgery)
    monkeypatch.setattr(depth, "layer_contributions", lambda model: steps)
    found = depth.depth_run(seed=0, placement="pre", gain=1.0, start="ramp", lr=0.01, layers=4, steps=2)
    assert found["left_out_early"] == 3 and found["left_out_late"] == 0.75
    assert found["beside_early"] == 1 and found["beside_late"] == pytest.approx(0.1)
    assert found["step_early"] == pytest.approx(0.3) and found["step_late"] == pytest.approx(0.2)
    assert 3 < found["bits"] < 10
