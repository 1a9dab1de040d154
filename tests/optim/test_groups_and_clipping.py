"""Parameter groups and gradient clipping."""

import math
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from course_lib.errors import NonFiniteGradientError
from course_lib.model import ModelConfig, TransformerLM
from course_lib.optim import AdamW, Muon, clip_grad_norm, param_groups


def language_model(tie: bool = False) -> TransformerLM:
    return TransformerLM(
        ModelConfig(
            vocab_size=50,
            context_length=8,
            d_model=16,
            num_layers=2,
            num_heads=2,
            qk_norm=True,
            tie_embeddings=tie,
        )
    )


def names(groups: list[dict[str, object]]) -> list[set[str]]:
    return [{name for name, _ in group["params"]} for group in groups]  # type: ignore[attr-defined]


@pytest.mark.parametrize("tie", [False, True])
def test_every_parameter_is_in_one_group_and_vectors_do_not_decay(tie: bool) -> None:
    model = language_model(tie)
    groups = param_groups(model, weight_decay=0.3)
    assert [group["weight_decay"] for group in groups] == [0.3, 0.0]
    decayed, kept = names(groups)
    assert decayed | kept == {name for name, _ in model.named_parameters()} and not decayed & kept
    assert all(("ln" in name or "norm" in name) == (name in kept) for name in decayed | kept)
    AdamW(groups).step()


@pytest.mark.parametrize("tie", [False, True])
def test_muon_gets_the_hidden_matrices_and_adamw_the_rest(tie: bool) -> None:
    model = language_model(tie)
    (hidden,) = names(param_groups(model, part="muon"))
    assert hidden == {
        f"layers.{i}.{part}.weight"
        for i in range(2)
        for part in (
            "attn.q_proj",
            "attn.k_proj",
            "attn.v_proj",
            "attn.output_proj",
            "ffn.w1",
            "ffn.w2",
            "ffn.w3",
        )
    }
    rest = set().union(*names(param_groups(model, part="rest")))
    assert rest == {name for name, _ in model.named_parameters()} - hidden
    assert any("embedding" in name for name in rest) and ("lm_head.weight" in rest) == (not tie)
    Muon(param_groups(model, part="muon"), lr=0.01)


def test_embeddings_are_known_by_class_biases_by_shape_frozen_ones_left_out() -> None:
    model = nn.ModuleDict({"table": nn.Embedding(5, 4), "map": nn.Linear(4, 4), "frozen": nn.Linear(4, 4)})
    model["frozen"].requires_grad_(False)
    assert names(param_groups(model, part="muon")) == [{"map.weight"}]
    assert names(param_groups(model)) == [{"table.weight", "map.weight"}, {"map.bias"}]
    assert names(param_groups(model, no_decay=["table"])) == [{"map.weight"}, {"table.weight", "map.bias"}]
    assert names(param_groups(model, part="rest", not_muon=["map"])) == [
        {"table.weight", "map.weight"},
        {"map.bias"},
    ]
    with pytest.raises(ValueError, match="no trainable parameter for part 'muon'"):
        param_groups(model["frozen"], part="muon")
    with pytest.raises(ValueError, match="part is 'adam'"):
        param_groups(model, part="adam")  # type: ignore[arg-type]


@given(
    sizes=st.lists(st.integers(0, 50), min_size=1, max_size=5),
    exponent=st.integers(-3, 4),
    max_norm=st.sampled_from([1e-3, 1.0, 10.0, math.inf]),
    seed=st.integers(0, 2**31),
)
def test_clipping_is_torchs(sizes: list[int], exponent: int, max_norm: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    params = [nn.Parameter(torch.zeros(size)) for size in sizes]
    twins = [nn.Parameter(torch.zeros(size)) for size in sizes]
    for param, twin in zip(params, twins, strict=True):
        param.grad = 10.0**exponent * torch.randn(param.shape, generator=generator)
        twin.grad = param.grad.clone()
    norm, expected = clip_grad_norm(params, max_norm), nn.utils.clip_grad_norm_(twins, max_norm)
    torch.testing.assert_close(norm, expected)
    for param, twin in zip(params, twins, strict=True):
        torch.testing.assert_close(param.grad, twin.grad)


def test_what_clipping_takes_and_leaves_alone() -> None:
    layer = nn.Linear(2, 2)
    layer.weight.grad = torch.full((2, 2), 3.0)
    optimizer = AdamW(layer.named_parameters())
    for params in (layer.parameters(), layer.named_parameters(), optimizer.param_groups, layer.weight):
        assert clip_grad_norm(params, 6.0) == pytest.approx(6)
        assert (layer.weight.grad == 3).all() and layer.bias.grad is None
    assert clip_grad_norm([], 1.0) == 0
    assert clip_grad_norm(layer.named_parameters(), 3.0) == pytest.approx(6)
    assert layer.weight.grad.norm() == pytest.approx(3, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_norms_of_other_dtypes(dtype: torch.dtype) -> None:
    """The norm of float16 numbers may exceed what float16 can hold."""
    param = nn.Parameter(torch.zeros(10_000, dtype=dtype))
    param.grad = torch.full((10_000,), 1000.0, dtype=dtype)
    assert clip_grad_norm([param], 1.0) == pytest.approx(1e5, rel=1e-4)
    assert param.grad.double().norm() == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize(("value", "word"), [(math.nan, "NaN"), (math.inf, "infinite")])
def test_a_gradient_that_is_not_finite_is_reported_by_name_and_nothing_is_changed(
    value: float, word: str
) -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    model(torch.ones(1, 2)).sum().backward()
    model[1].weight.grad[0, 1] = value
    before = model[0].weight.grad.clone()
    optimizer = AdamW(model.named_parameters())
    for params in (model.named_parameters(), optimizer.param_groups):
        with pytest.raises(
            NonFiniteGradientError, match=rf"the gradient of parameter '1\.weight' is {word}"
        ) as caught:
            clip_grad_norm(params, 1e-3)
        assert caught.value.parameter == "1.weight"
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    with pytest.raises(NonFiniteGradientError, match=rf"parameter 2, shape \(2, 3\), is {word}") as caught:
        clip_grad_norm(model.parameters(), 1e-3)
    assert caught.value.parameter == 2
    assert torch.equal(model[0].weight.grad, before)


@pytest.mark.parametrize("max_norm", [0.0, -1.0, math.nan])
def test_a_bad_max_norm_is_named(max_norm: float) -> None:
    with pytest.raises(ValueError, match=f"max_norm is {max_norm}"):
        clip_grad_norm([nn.Parameter(torch.zeros(2))], max_norm)
