"""The experiment that judges tokenizers by a model: equal compute, and a point with the promised numbers."""

import pytest

from course_lib import accounting
from course_lib.chapters.ch01_tokenizer.experiments import judged
from course_lib.lab.small_runs import small_config


def test_steps_cost_the_same_for_every_vocabulary() -> None:
    for vocab_size in judged.VOCAB_SIZES:
        cost = accounting.flops(small_config(vocab_size=vocab_size)).total
        steps = judged.equal_compute_steps(vocab_size, 1_200)
        assert steps * cost == pytest.approx(1_200 * accounting.flops(small_config()).total, rel=0.01)
    assert judged.equal_compute_steps(256, 1_200) == 1_200


def test_a_run_returns_the_numbers_of_its_point() -> None:
    found = judged.size_run(seed=0, text="novels_en", vocab_size=512, lr=0.008, byte_steps=8)
    assert found["steps"] == judged.equal_compute_steps(512, 8)
    assert 2 < found["bytes_per_token"] < 2.5 and 3 < found["bits"] < 9
    read = found["steps"] * judged.BATCH_SIZE * 64 * found["bytes_per_token"] / 1e6
    assert found["bytes_read"] == pytest.approx(read)


def test_every_vocabulary_is_tuned_on_the_same_rates_with_enough_seeds() -> None:
    for experiment in (judged.SIZES, judged.SIZES_LONGER):
        assert len(experiment.seeds) >= 3 and len({settings["lr"] for settings in experiment.grid}) >= 4
        assert len(experiment.keys) == len(experiment.seeds) * len(experiment.grid)
