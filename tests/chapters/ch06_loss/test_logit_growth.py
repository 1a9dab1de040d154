"""Chapter 6's watched numbers match the model, and its two remedies work."""

import pytest
import torch

from course_lib.chapters.ch06_loss.experiments import logit_growth
from course_lib.lab.small_runs import SmallRun, new_model
from course_lib.loss import cross_entropy


def test_qk_norm_bounds_the_first_logits_whatever_the_weights() -> None:
    plain = [logit_growth.first_attention_logit(qk_norm=False, head_dim=16, scale=scale) for scale in (1, 10)]
    normed = [logit_growth.first_attention_logit(qk_norm=True, head_dim=16, scale=scale) for scale in (1, 10)]
    assert plain[1] == pytest.approx(100 * plain[0], rel=1e-3)
    assert normed[1] == pytest.approx(normed[0], rel=1e-3) and normed[0] <= 4 + 1e-4


def test_what_is_watched_is_computed_from_the_logits() -> None:
    model = new_model(SmallRun(), 0)
    logits, targets = logit_growth.held_out_logits(model)
    seen = logit_growth.watch_output(0, model)
    assert logits.shape == (512, 256) and targets.shape == (512,)
    assert seen["log_z"] == pytest.approx(torch.logsumexp(logits, -1).mean().item(), rel=1e-5)
    assert seen["max_logit"] == pytest.approx(logits.abs().max().item())
    rounded = cross_entropy(logits.bfloat16().float(), targets) - cross_entropy(logits, targets)
    assert seen["bf16_excess"] == pytest.approx(rounded.item(), abs=1e-6)


def test_z_loss_pulls_log_z_down() -> None:
    drift = logit_growth.output_drift((0.0, 0.1), seeds=(0,), steps=11)
    last = drift.curves.dropna(subset="log_z").groupby("z_loss")["log_z"].last()
    assert last[0.1] < last[0.0] - 0.5
    assert list(drift.finals.columns[:2]) == ["z_loss", "seed"] and len(drift.models) == 2


def test_qk_norm_keeps_attention_logits_small_at_a_high_rate() -> None:
    growth = logit_growth.attention_growth((0.1,), seeds=(0,), steps=11)
    last = growth.curves.dropna(subset="max_logit").groupby("qk_norm")["max_logit"].last()
    assert last[False] > 5 * last[True]
