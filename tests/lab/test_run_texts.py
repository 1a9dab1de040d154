"""Texts of small runs: ids that stand for the text, held-out parts apart, wrong names refused."""

import numpy as np
import pytest

from course_lib.data import split
from course_lib.lab.run_texts import run_text
from course_lib.tokenizer import train_bpe


@pytest.mark.parametrize("name", ["novels_en", "classics_zh"])
def test_bytes_are_the_parts_of_the_split(name: str) -> None:
    text, parts = run_text(name), split(name)
    for ids, part in ((text.training, "training"), (text.held_out, "held_out")):
        assert bytes(ids.numpy().astype(np.uint8)).decode() == parts.joined(part)
    assert text.held_out_bytes == len(text.held_out)


def test_tokens_are_of_a_vocabulary_of_the_training_part() -> None:
    text, parts = run_text("novels_en", 300), split("novels_en")
    tokenizer = train_bpe([parts.joined("training")], 300)
    assert text.held_out.tolist() == tokenizer.encode(parts.joined("held_out"))
    assert text.held_out_bytes == len(parts.joined("held_out").encode()) > len(text.held_out)
    assert int(text.training.max()) == 299


@pytest.mark.parametrize("name", ["stories_en", "stories_zh"])
@pytest.mark.parametrize("vocab_size", [256, 400])
def test_stories_are_held_out_by_their_seed(name: str, vocab_size: int) -> None:
    text = run_text(name, vocab_size)
    assert text.held_out_bytes == 100_000 and len(text.training) > 3 * len(text.held_out)
    if vocab_size == 256:
        training, held_out = (bytes(ids.tolist()) for ids in (text.training, text.held_out))
        assert len(training) == 1_000_000 and held_out[:200] not in training


def test_bits_per_byte_do_not_depend_on_the_vocabulary() -> None:
    for vocab_size in (256, 300):
        text = run_text("novels_en", vocab_size)
        uniform = text.bits_per_byte(float(np.log(256)) * text.held_out_bytes / len(text.held_out))
        assert uniform == pytest.approx(8)


def test_wrong_names_and_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"name must be one of 'novels_en', .*not 'novels'"):
        run_text("novels")
    with pytest.raises(ValueError, match="vocab_size must be at least 256, not 255"):
        run_text("novels_en", 255)
