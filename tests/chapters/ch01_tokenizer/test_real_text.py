"""Samples of the real texts."""

import numpy as np
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


def test_parts_share_nothing_and_make_up_the_text() -> None:
    whole = real_text.parts("classics_zh").held_out
    num_bytes = 20_000
    number = sum(len(text.encode()) for text in whole) // num_bytes
    found = [
        "".join(real_text.disjoint("zh", "held_out", number=n, num_bytes=num_bytes)) for n in range(number)
    ]
    order = np.random.default_rng(0).permutation(len(whole))
    together = "".join(whole[place] for place in order).encode()
    for n, text in enumerate(found):
        piece = together[n * num_bytes : (n + 1) * num_bytes]
        assert text == piece.decode(errors="ignore") and num_bytes - 4 <= len(text.encode()) <= num_bytes
    with pytest.raises(ValueError, match=f"has {number} parts of 20,000 bytes"):
        real_text.disjoint("zh", "held_out", number=number, num_bytes=num_bytes)
