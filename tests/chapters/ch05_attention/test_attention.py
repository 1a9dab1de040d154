"""Chapter 5's experiments on the parts of attention against torch and hand calculation, and their failures."""

import math

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention as torch_attention

from course_lib.chapters.ch05_attention.experiments import attention
from course_lib.lab.small_runs import small_config
from course_lib.model import TransformerLM, causal_mask


def test_the_scale_keeps_scores_at_one() -> None:
    table = attention.scale_effect((16, 256), seeds=(0,)).set_index(["head_dim", "scaled"])
    for head_dim in (16, 256):
        assert table.score_std[head_dim, False] == pytest.approx(math.sqrt(head_dim), rel=0.05)
        assert table.score_std[head_dim, True] == pytest.approx(1, rel=0.05)
    assert table.largest_weight[256, False] > 0.8 > 0.2 > table.largest_weight[256, True]


def test_sensitivity_is_the_norm_of_the_softmax_derivative() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(5, 1, 4, generator=generator), torch.randn(5, 6, 4, generator=generator)
    norms = [
        torch.autograd.functional.jacobian(lambda s: s.softmax(-1), (q[i] @ k[i].T).squeeze(0)).norm()
        for i in range(5)
    ]
    table = attention.scale_effect((4,), num_keys=6, draws=5, seeds=(0,)).set_index("scaled")
    assert table.sensitivity[False] == pytest.approx(float(torch.stack(norms).mean()), rel=1e-4)


def test_only_a_mask_before_the_softmax_hides_the_future() -> None:
    changes = attention.future_leaks(seeds=(0, 1)).groupby("mask").change
    assert changes.max()["before softmax"] == 0
    assert changes.min()["none"] > changes.max()["after softmax"] > 0.01
    assert changes.max()["after softmax, divided again"] < 1e-5


@pytest.mark.parametrize("kv_heads", [1, 2, 8])
def test_the_forms_of_multi_head_attention_agree(kv_heads: int) -> None:
    layer = attention.with_rope(64, 8, kv_heads, 12)
    x = torch.randn(3, 12, 64, generator=torch.Generator().manual_seed(0))
    q, k, v = layer.heads(x)
    expected = torch_attention(q, k, v, is_causal=True, enable_gqa=True).transpose(1, 2).flatten(-2)
    torch.testing.assert_close(attention.heads_by_einsum(q, k, v), expected)
    torch.testing.assert_close(attention.heads_one_by_one(layer, x[1]), layer(x)[1])


@pytest.mark.parametrize("changes", [{}, {"num_kv_heads": 2}, {"window": 3}])
def test_attention_weights_are_those_the_model_uses(changes: dict[str, int]) -> None:
    torch.manual_seed(0)
    model = TransformerLM(small_config(num_layers=2, **changes))
    ids = torch.arange(10)
    weights = attention.attention_weights(model, ids)
    assert weights.shape == (2, 4, 10, 10)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 10))
    forbidden = ~causal_mask(10, 10, window=changes.get("window"))
    assert (weights[..., forbidden] == 0).all()
    layer = model.layers[0].attn
    x = model.layers[0].ln1(model.token_embeddings(ids))
    mixed = weights[0] @ layer.heads(x)[2].repeat_interleave(4 // layer.num_kv_heads, 0)
    torch.testing.assert_close(layer.output_proj(mixed.transpose(0, 1).flatten(1)), layer(x))
    batch = attention.attention_weights(model, torch.stack((ids, ids + 1)))
    torch.testing.assert_close(batch[0], weights)
    assert not model.layers[0].attn._forward_pre_hooks


def test_habits_of_heads_that_cannot_choose() -> None:
    torch.manual_seed(0)
    model = TransformerLM(small_config(num_layers=1))
    model.layers[0].attn.q_proj.weight.data.zero_()  # all scores are 0: plain means
    habits = attention.head_habits(model, windows=2)
    queries = torch.arange(16, 64).float()
    for name, expected in (
        ("self", (1 / (queries + 1)).mean()),
        ("previous", (1 / (queries + 1)).mean()),
        ("first", (1 / (queries + 1)).mean()),
        ("distance", (queries / 2).mean()),
        ("entropy", (queries + 1).log().mean()),
    ):
        assert habits[name].tolist() == pytest.approx([float(expected)] * 4, rel=1e-4), name


def test_patterns_of_texts() -> None:
    model = TransformerLM(small_config(context_length=8, num_layers=1))
    found = attention.patterns(model, ["Once upon a time", "in a house"])
    tokens, weights = found["in a house…"]
    assert tokens == list("in a hou")
    assert weights.shape == (1, 4, 8, 8)
    for wrong in ("short", "naïve text"):
        with pytest.raises(ValueError, match=rf"ASCII and at least 8 letters long, not '{wrong}'"):
            attention.patterns(model, [wrong])


def test_costs_compare_memory() -> None:
    table = attention.attention_costs((64, 256), heads=2, head_dim=8, block_size=32, repeats=1)
    memory = table.pivot(index="length", columns="form", values="bytes")
    assert memory["whole matrix"][256] > 2 * 256 * 256 * 4 > memory["online, in Python"][256]
    assert 12 < memory["whole matrix"][256] / memory["whole matrix"][64] < 20
    assert memory["online, in Python"][256] / memory["online, in Python"][64] < 5


def test_recomputed_weights_need_no_memory_of_their_own() -> None:
    table = attention.kept_for_backward((64, 128), heads=1, head_dim=8, block_size=32)
    size = table.pivot(index="length", columns="form", values="bytes")
    assert size["online, recomputed"].tolist() == [8 * 64 * (4 * 8 + 1), 8 * 128 * (4 * 8 + 1)]
    assert size["whole matrix"][128] > 8 * 128 * 128
    assert size["online"][128] > 8 * 128 * 128


def test_windows_add_up_layer_by_layer() -> None:
    table = attention.reach((3,), (1, 3), length=20)
    assert table.reach.tolist() == table.law.tolist() == [3, 7]
