"""The formulas, units and memory of chapter 6, against torch, IEEE 754 and brute force."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch

from course_lib.chapters.ch06_loss.experiments import cross_entropy as lab
from course_lib.data import stories
from course_lib.loss import bits_per_byte


def test_every_formula_is_torchs_loss_where_nothing_overflows() -> None:
    logits = torch.randn(50, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 5
    results = lab.in_formats(logits.tolist(), target=3)
    expected = torch.nn.functional.cross_entropy(logits, torch.full((50,), 3), reduction="none").numpy()
    assert set(results["formula"]) == set(lab.FORMULAS) and set(results["format"]) == set(lab.FORMATS)
    for _, rows in results.groupby("formula"):
        exact = rows[rows["format"] == "float32"]
        np.testing.assert_allclose(exact["exact"], expected, rtol=1e-9)
        np.testing.assert_allclose(exact["loss"], expected, rtol=1e-4, atol=1e-6)
    near = results[(results["formula"] == "log-sum-exp") & (results["format"] == "bfloat16")]
    np.testing.assert_allclose(near["loss"], expected, rtol=0.05, atol=0.15)


def test_the_formats_end_where_ieee_says() -> None:
    table = lab.formats().set_index("format")
    assert table.loc["float16", "largest"] == 65504 and table.loc["float16", "smallest"] == 2**-24
    assert table.loc["float32", "smallest"] == 2**-149 and table.loc["bfloat16", "smallest"] == 2**-133
    assert table.loc["bfloat16", "step at 256"] == 2 and table.loc["float16", "step at 1"] == 2**-10
    for name, dtype in lab.FORMATS.items():
        above, below = table.loc[name, "exp overflows at"], table.loc[name, "exp is 0 below"]
        # In float64, rounded to the format: the rounding of the argument itself must not decide.
        assert torch.tensor(math.exp(above + 0.1), dtype=torch.float64).to(dtype).isinf()
        assert torch.tensor(math.exp(above - 0.1), dtype=torch.float64).to(dtype).isfinite()
        assert torch.tensor(math.exp(below - 1), dtype=torch.float64).to(dtype) == 0
        assert torch.tensor(math.exp(below + 0.1), dtype=torch.float64).to(dtype) > 0


def test_the_loss_over_a_gap_is_a_softplus_and_only_one_formula_survives() -> None:
    results = lab.over_gap([0, 1.5, 30, 200])
    np.testing.assert_allclose(results["exact"], np.logaddexp(0, results["gap"]))
    assert not np.isfinite(results[results["gap"] == 200].query("formula != 'log-sum-exp'")["loss"]).any()
    assert np.allclose(
        results.query("formula == 'log-sum-exp'")["loss"],
        results.query("formula == 'naive'")["exact"],
        rtol=0.01,
    )


def test_rounding_costs_nothing_in_place_and_everything_far_away() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(200, 50, generator=generator) * 3
    results = lab.after_rounding(logits, logits.argmax(-1), [0, 1e5]).pivot(
        index="format", columns="offset", values="excess"
    )
    assert results.loc["float32"].abs().max() < 0.02
    # At 100,000 bfloat16 has steps of 512: all logits are equal, and the loss is that of ignorance.
    exact = torch.nn.functional.cross_entropy(logits, logits.argmax(-1)).item()
    assert results.loc["bfloat16", 1e5] + exact == pytest.approx(math.log(50), abs=1e-5)
    assert abs(results.loc["bfloat16", 0]) < 0.01


def test_the_bigram_model_is_witten_bells_and_its_probabilities_add_up() -> None:
    train, size = np.array([0, 1, 0, 1, 0, 2, 0, 1, 3, 3]), 5
    followers: dict[int, Counter[int]] = {}
    for a, b in pairwise(train.tolist()):
        followers.setdefault(a, Counter())[b] += 1
    single = {b: (train.tolist().count(b) + 1) / (len(train) + size) for b in range(size)}

    def probability(a: int, b: int) -> float:
        counts = followers.get(a, Counter())
        if not counts:
            return single[b]
        return (counts[b] + len(counts) * single[b]) / (counts.total() + len(counts))

    for a in range(size):
        losses = [lab.bigram_loss(train, np.array([a, b]), size) for b in range(size)]
        assert losses == pytest.approx([-math.log(probability(a, b)) for b in range(size)])
        assert sum(math.exp(-loss) for loss in losses) == pytest.approx(1)


def test_units_describe_one_loss() -> None:
    results = lab.units([256, 300], seeds=(0, 5), num_bytes=60_000)
    assert len(results) == 4
    np.testing.assert_allclose(results["perplexity"], np.exp(results["nats per token"]))
    row = results.iloc[1]
    assert row["bits per byte"] == pytest.approx(
        bits_per_byte(row["nats per token"], int(row["tokens"]), int(row["bytes"]))
    )
    plain = results[results["vocab_size"] == 256]
    assert (plain["tokens"] == plain["bytes"]).all()
    held_out = len("\n\n".join(stories(10_000, seed=10_005)).encode())
    assert plain["bytes"].iloc[1] == held_out - 1


def test_all_ways_to_compute_the_head_agree_and_chunks_hold_less() -> None:
    results = lab.head_memory([2000], tokens=256, d_model=16, repeats=1).set_index("method")
    assert results["loss"].std() < 1e-5 and results["gradient_difference"].max() < 1e-5
    peak = results["peak_bytes"]
    assert peak["chunked head and loss"] < peak["chunked loss"] < peak["all logits"]
    assert peak["all logits"] == pytest.approx(3 * 256 * 2000 * 4, rel=0.1)
