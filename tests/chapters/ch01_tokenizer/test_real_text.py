"""Samples of the real texts."""

import pytest

from course_lib.chapters.ch01_tokenizer.experiments import real_text


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("num_bytes", [1, 100, 50_000])
def test_a_sample_has_the_size_that_was_asked_for(language: str, num_bytes: int) -> None:
    texts = real_text.sample(language, num_bytes=num_bytes)  # type: ignore[arg-type]
    assert num_bytes - 3 <= sum(len(text.encode()) for text in texts) <= num_bytes


def test_samples_differ_by_seed_and_part_and_repeat_themselves() -> None:
    first = real_text.sample("zh", num_bytes=5_000)
    assert first == real_text.sample("zh", num_bytes=5_000)
    assert first != real_text.sample("zh", num_bytes=5_000, seed=1)
    assert not set(first) & set(real_text.sample("zh", "held_out", num_bytes=5_000))


def test_a_sample_ends_with_the_text() -> None:
    whole = real_text.parts("novels_en").held_out
    assert sorted(real_text.sample("en", "held_out", num_bytes=10**9)) == sorted(whole)
