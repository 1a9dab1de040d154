"""Merging many key and value heads into fewer."""

import pytest
import torch

from course_lib.chapters.ch05_attention.experiments import kv_heads
from course_lib.lab.small_runs import small_config, validation_loss
from course_lib.model import TransformerLM

WEIGHT = torch.arange(4.0).repeat_interleave(2).unsqueeze(1) * torch.ones(1, 3)  # four heads of 2: 0, 1, 2, 3


@pytest.mark.parametrize(
    ("how", "number", "expected"),
    [
        ("mean", 2, [0.5, 0.5, 2.5, 2.5]),
        ("first", 2, [0, 0, 2, 2]),
        ("mean", 1, [1.5, 1.5]),
        ("first", 4, [0, 0, 1, 1, 2, 2, 3, 3]),
    ],
)
def test_groups_are_neighbours(how: str, number: int, expected: list[float]) -> None:
    merged = kv_heads.merge_heads(WEIGHT, 4, number, how)
    assert merged.tolist() == [[x] * 3 for x in expected]


def test_random_heads_have_the_size_of_the_weights() -> None:
    weight = 0.3 * torch.randn(64, 64, generator=torch.Generator().manual_seed(1))
    merged = kv_heads.merge_heads(weight, 8, 2, "random", seed=3)
    assert merged.shape == (16, 64)
    assert merged.std().item() == pytest.approx(0.3, rel=0.1)
    assert torch.equal(merged, kv_heads.merge_heads(weight, 8, 2, "random", seed=3))


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="how must be one of 'mean', 'first', 'random', not 'median'"):
        kv_heads.merge_heads(WEIGHT, 4, 2, "median")
    with pytest.raises(ValueError, match="kv_heads must divide heads"):
        kv_heads.merge_heads(WEIGHT, 4, 3, "mean")


@pytest.mark.parametrize("how", ["mean", "first"])
def test_equal_heads_can_be_merged_without_loss(how: str) -> None:
    torch.manual_seed(0)
    model = TransformerLM(small_config())
    for layer in model.layers:
        for projection in (layer.attn.k_proj, layer.attn.v_proj):
            heads = torch.unflatten(projection.weight.data, 0, (4, 16))
            heads[1], heads[3] = heads[0], heads[2]
    ids = torch.randint(256, (2, 20))
    torch.testing.assert_close(kv_heads.convert(model, 2, how)(ids), model(ids))
    assert (kv_heads.convert(model, 1, how)(ids) - model(ids)).abs().max() > 1e-4


def test_writing_out_shared_heads_changes_nothing_and_merging_brings_them_back() -> None:
    torch.manual_seed(0)
    model = TransformerLM(small_config(num_kv_heads=2))
    larger, ids = kv_heads.written_out(model, 4), torch.randint(256, (2, 20))
    assert larger.config.num_kv_heads == 4
    torch.testing.assert_close(larger(ids), model(ids))
    for how in ("mean", "first"):
        torch.testing.assert_close(kv_heads.convert(larger, 2, how)(ids), model(ids))


def test_uptraining_goes_on_from_the_converted_model() -> None:
    models = kv_heads.from_scratch((4,), steps=3, seeds=(0,))
    before = models[4, 0].layers[0].attn.k_proj.weight.clone()
    table = kv_heads.uptrain(list(models.values()), 2, ways=("mean", kv_heads.UNCHANGED), tuning_steps=(2, 4))
    assert table.tuned.tolist() == [0, 2, 4] * 2
    assert table.groupby("how").loss.is_monotonic_decreasing.all()
    unchanged = table[(table.how == kv_heads.UNCHANGED) & (table.tuned == 0)].loss.item()
    assert unchanged == pytest.approx(validation_loss(models[4, 0]))
    assert torch.equal(models[4, 0].layers[0].attn.k_proj.weight, before)
