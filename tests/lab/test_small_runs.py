"""Small runs learn, are reproducible, and follow their settings."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from course_lib.data import get_batch
from course_lib.lab import small_runs
from course_lib.lab.floors import ngram_floors
from course_lib.lab.run_texts import run_text
from course_lib.lab.small_runs import SmallRun, compare, constant_after, small_config, train_small
from course_lib.loss import cross_entropy
from course_lib.optim import SGD, AdamW, cosine

TINY = SmallRun(
    config=small_config(d_model=16, num_layers=1, num_heads=2, context_length=16), steps=8, batch_size=2
)


def test_a_run_repeats_itself_and_its_seed_matters() -> None:
    first, again, other = (train_small(TINY, seed=seed) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(first.curve, again.curve)
    assert first.validation_loss == again.validation_loss
    assert not np.allclose(first.curve["loss"], other.curve["loss"])


def test_it_learns() -> None:
    trained = train_small(replace(TINY, steps=60, batch_size=8), seed=0)
    assert trained.curve["loss"].iloc[0] > 5 > 4 > trained.validation_loss
    assert trained.cpu_seconds > 0


def test_it_is_torchs_adamw_on_the_same_batches() -> None:
    model = small_runs.new_model(TINY, 5)
    optimizer = torch.optim.AdamW(model.parameters(), 0.01, (0.9, 0.95), weight_decay=0.1)
    generator = torch.Generator().manual_seed(5)
    losses = []
    for step in range(TINY.steps):
        optimizer.param_groups[0]["lr"] = 0.01 * cosine(step, max_lr=1, warmup_steps=3, total_steps=8)
        x, y = get_batch(small_runs.story_bytes(), 2, 16, generator=generator)
        loss = torch.nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten())
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
    settings = replace(
        TINY,
        weight_decay=0.1,
        clip=0.5,
        schedule=lambda step: cosine(step, max_lr=1, warmup_steps=3, total_steps=8),
    )
    np.testing.assert_allclose(train_small(settings, seed=5).curve["loss"], losses, rtol=1e-4)


def test_the_factor_applies_to_every_optimizers_own_rate() -> None:
    rates = []

    def both(model: torch.nn.Module) -> list[torch.optim.Optimizer]:
        head, *rest = list(model.parameters())[::-1]
        optimizers = [AdamW([head], lr=0.01), SGD(rest, lr=0.1)]
        rates.append([optimizer.param_groups[0] for optimizer in optimizers])
        return optimizers

    train_small(replace(TINY, steps=2, make_optimizers=both, schedule=constant_after(4)), seed=0)
    assert [group["lr"] for group in rates[0]] == [pytest.approx(0.005), pytest.approx(0.05)]


def test_z_loss_is_trained_on_and_not_reported() -> None:
    plain, pulled = (train_small(replace(TINY, steps=40, z_loss=weight), seed=0) for weight in (0.0, 1.0))
    assert plain.curve["loss"].iloc[0] == pulled.curve["loss"].iloc[0]
    x, _ = get_batch(small_runs.story_bytes(), 2, 16, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        log_z, pulled_log_z = (run.model(x).logsumexp(-1).abs().mean() for run in (plain, pulled))
    assert pulled_log_z < 1 < log_z


def test_warm_up_never_starts_at_zero() -> None:
    assert [constant_after(4)(step) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    assert constant_after()(0) == 1


def test_what_is_watched_joins_the_curve() -> None:
    settings = replace(
        TINY,
        steps=4,
        watch=lambda step, model: {"norm": float(model.lm_head.weight.grad.norm())},
        watch_every=2,
    )
    norms = train_small(settings, seed=0).curve["norm"]
    assert (norms[[0, 2]] > 0).all() and norms[[1, 3]].isna().all()


def test_preparation_comes_before_training() -> None:
    def zero_head(model: torch.nn.Module) -> None:
        torch.nn.init.zeros_(model.lm_head.weight)

    curve = train_small(replace(TINY, prepare=zero_head), seed=0).curve
    assert curve["loss"].iloc[0] == pytest.approx(np.log(256))


def test_divergence_ends_the_run_and_is_told() -> None:
    def explode(model: torch.nn.Module) -> list[torch.optim.Optimizer]:
        return [SGD(model.parameters(), lr=1e30)]

    trained = train_small(replace(TINY, make_optimizers=explode), seed=0)
    assert len(trained.curve) == TINY.steps
    assert np.isinf(trained.curve["loss"].iloc[-1]) and np.isinf(trained.validation_loss)


def test_going_on_uses_the_model_given() -> None:
    trained = train_small(TINY, seed=0)
    more = train_small(replace(TINY, steps=20), seed=1, model=trained.model)
    assert more.model is trained.model and more.curve["loss"].iloc[0] < trained.curve["loss"].iloc[0]


def test_validation_text_is_held_out_and_equal_for_all() -> None:
    model = small_runs.new_model(TINY, 0)
    assert small_runs.validation_loss(model) == small_runs.validation_loss(model)
    x, y = get_batch(small_runs.held_out_bytes(), 150, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = cross_entropy(model(x), y).item()
    assert small_runs.validation_loss(model, windows=150) == pytest.approx(expected)


def test_judging_a_model_does_not_change_its_mode() -> None:
    model = small_runs.new_model(TINY, 0)
    for mode in (True, False):
        small_runs.validation_loss(model.train(mode))
        assert model.training is mode


@pytest.mark.parametrize("vocab_size", [256, 300])
def test_a_run_on_the_novels_reads_them_in_bytes_or_tokens(vocab_size: int) -> None:
    config = replace(TINY.config, vocab_size=vocab_size)
    settings = small_runs.novels_run(4, config=config, validation_windows=32)
    trained = train_small(settings, seed=0)
    text = run_text("novels_en", vocab_size)
    x, y = get_batch(text.held_out, 32, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        nats = cross_entropy(trained.model(x), y).item()
    assert trained.validation_loss == pytest.approx(nats)
    bits = nats * len(text.held_out) / np.log(2) / 207_959
    assert (
        trained.bits_per_byte == pytest.approx(bits) == small_runs.train_small(settings, seed=0).bits_per_byte
    )


def test_changes_win_over_the_default_in_tokens() -> None:
    settings = small_runs.novels_tokens_run(5, lr=0.1)
    assert (settings.steps, settings.batch_size, settings.lr, settings.config.vocab_size) == (
        5,
        16,
        0.1,
        4096,
    )


@pytest.mark.weekly
def test_the_default_in_tokens_passes_the_bigram() -> None:
    settings = small_runs.novels_tokens_run()
    ids = settings.ids
    floors = ngram_floors(ids.training, ids.held_out, 4096, num_bytes=ids.held_out_bytes, orders=[2])
    assert train_small(settings, seed=0).bits_per_byte < floors["bits_per_byte"].item() - 0.015


def test_linear_to_zero_uses_every_step() -> None:
    factors = [small_runs.linear_to_zero(100)(step) for step in range(100)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    np.testing.assert_allclose(np.diff(factors[4:]), -1 / 96)
    assert factors[-1] == pytest.approx(1 / 96)


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), small_runs.one_thread():
        assert torch.get_num_threads() == 1
        raise ZeroDivisionError
    assert torch.get_num_threads() == before


def test_comparison_has_every_case_with_every_seed() -> None:
    cases = [({"placement": name}, replace(TINY, steps=3)) for name in ("a", "b")]
    runs = compare(cases, seeds=(0, 1))
    assert list(runs.finals.columns) == [
        "placement",
        "seed",
        "loss",
        "validation_loss",
        "bits_per_byte",
        "cpu_seconds",
    ]
    assert runs.finals.groupby("placement")["seed"].apply(list).tolist() == [[0, 1], [0, 1]]
    assert list(runs.curves.columns) == ["placement", "seed", "step", "loss"] and len(runs.curves) == 12
    losses = [small_runs.validation_loss(model) for model in runs.models]
    assert losses == list(runs.finals["validation_loss"])
    # The same seed means the same weights and the same batches.
    a, b = (runs.curves[runs.curves["placement"] == name]["loss"].to_numpy() for name in "ab")
    np.testing.assert_array_equal(a, b)
