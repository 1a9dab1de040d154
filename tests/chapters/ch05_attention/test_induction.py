"""Where heads look on strings that repeat, and what the second layer is made of."""

import pytest
import torch
from torch import Tensor

from course_lib.chapters.ch05_attention.experiments import induction
from course_lib.lab.hooks import attentions
from course_lib.lab.repeated_strings import copying_config
from course_lib.model import TransformerLM


@pytest.fixture
def model() -> TransformerLM:
    torch.manual_seed(0)
    return TransformerLM(copying_config()).eval()


def perfect_weights(ids: Tensor, layers: int = 2, heads: int = 3) -> Tensor:
    """Layer 1 looks at the symbol before; layer 2 at the one after the last occurrence of its own, if there is one."""
    batch, length = ids.shape
    weights = torch.zeros(batch, layers, heads, length, length)
    for row, string in enumerate(ids.tolist()):
        for query, symbol in enumerate(string):
            weights[row, 0, :, query, max(query - 1, 0)] = 1
            earlier = [place for place in range(query) if string[place] == symbol]
            weights[row, 1, :, query, earlier[-1] + 1 if earlier else 0] = 1
    return weights


def test_perfect_heads_look_at_the_places_named(
    model: TransformerLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(induction, "attention_weights", lambda _model, ids: perfect_weights(ids))
    looks = induction.where_heads_look({"trained": [model]}, count=6)
    assert looks.groupby(["layer", "head"]).ngroups == 6
    repeat = looks[looks.strings == "repeat"].groupby("layer")[["previous", "follower"]].mean()
    assert repeat.previous[1] == pytest.approx(1) and repeat.follower[1] == 0
    # A symbol may also occur twice within a period: then its last occurrence is nearer.
    assert repeat.previous[2] < 0.1 and repeat.follower[2] > 0.6
    assert looks[(looks.strings == "random") & (looks.layer == 2)].follower.mean() < 0.1


def test_only_one_part_of_the_second_layer_loses_what_the_first_found(model: TransformerLM) -> None:
    ids = torch.arange(40).remainder(9).view(1, -1)
    first, second = attentions(model)
    seen: dict[str, Tensor] = {}
    for name in ("q_proj", "k_proj", "v_proj"):
        getattr(second, name).register_forward_pre_hook(
            lambda _module, inputs, name=name: seen.__setitem__(name, inputs[0].reshape(40, -1).clone())
        )
    model(ids)
    plain = dict(seen)
    keep = first.output_proj.weight.detach().clone()
    with torch.no_grad():
        first.output_proj.weight.zero_()
        model(ids)
        first.output_proj.weight.copy_(keep)
    bare = dict(seen)
    assert not torch.allclose(plain["k_proj"], bare["k_proj"])
    for patched, changed in (
        ("nothing", None),
        ("queries", "q_proj"),
        ("keys", "k_proj"),
        ("values", "v_proj"),
    ):
        with induction._made_without_finds(model, ids, patched):
            # Hooks run in the order in which they were registered: look at what the product gets.
            got = {}
            handles = [
                getattr(second, name).register_forward_pre_hook(
                    lambda _module, inputs, name=name, got=got: got.__setitem__(
                        name, inputs[0].reshape(40, -1).clone()
                    )
                )
                for name in plain
            ]
            model(ids)
            for handle in handles:
                handle.remove()
        for name in plain:
            torch.testing.assert_close(got[name], bare[name] if name == changed else plain[name])
    model(ids)
    torch.testing.assert_close(seen["k_proj"], plain["k_proj"])


def test_a_short_training_and_its_tables() -> None:
    models = induction.copying_models(steps=2, lr=0.01, seeds=(0,))
    trained, untrained = models["trained"][0], models["untrained"][0]
    assert not torch.equal(attentions(trained)[0].q_proj.weight, attentions(untrained)[0].q_proj.weight)
    looks = induction.where_heads_look(models, count=4)
    assert len(looks) == 2 * 2 * 2 * 4 and looks[["previous", "follower"]].gt(0).all(axis=None)
    left = induction.without_the_first_layers_finds([trained], count=4)
    assert list(left.patched) == list(induction.PATCHED) and left.predicted.between(0, 1).all()


def test_models_of_one_layer() -> None:
    models = induction.copying_models(steps=1, lr=0.01, seeds=(0,), layers=1)
    assert [len(attentions(one[0])) for one in models.values()] == [1, 1]
