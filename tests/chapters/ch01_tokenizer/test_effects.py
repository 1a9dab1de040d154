"""Effects of a tokenizer on a model, each against a case that can be worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from course_lib.chapters.ch01_tokenizer.experiments import effects
from course_lib.tokenizer import Tokenizer


def test_letters_are_learned_by_letters_and_whole_words_by_heart() -> None:
    cuts = {"letters": list, "whole": lambda word: [word], "halves": lambda word: [word[:2], word[2:]]}
    found = effects.spelling(cuts, (60, 400), seeds=(0, 1), tested=200)
    by = found.groupby(["cut", "words"])[["right", "known"]].mean()
    assert by.loc[("letters", 400), "right"] > 0.99
    assert (by.loc["whole"] == 0).all(axis=None)  # no tested word was learned from
    assert 0 < by.loc[("halves", 400), "known"] < 0.9
    assert found["right_if_known"].dropna().between(0, 1).all()
    assert len(found) == 3 * 2 * 2


def test_a_token_is_known_only_if_it_was_learned_from() -> None:
    right, known = effects._spell(list, ["abc", "aab", "cc", "b"], ["cab", "bad", "bbb"])
    assert known.tolist() == [True, False, True]
    assert right.tolist() == [True, False, True]


def test_digits_are_aligned_when_groups_are_counted_from_the_right() -> None:
    singles = Tokenizer.from_pretrained("gpt2")
    threes = Tokenizer.from_pretrained("cl100k_base")
    found = effects.aligned_sums({"threes": threes, "gpt2": singles}, sums=300).set_index("tokenizer")
    assert found["with_commas"]["threes"] == 1
    assert found["with_commas"]["gpt2"] < 1
    # By brute force: from the left, the last group is whole if the length is a multiple of 3, or below it.
    random = np.random.default_rng(0)
    lengths = random.integers(1, 8, size=(300, 2))
    pairs = [[int(random.integers(10 ** (n - 1), 10**n)) for n in row] for row in lengths.tolist()]
    whole = [all(len(str(n)) % 3 == 0 or len(str(n)) < 3 for n in (a, b, a + b)) for a, b in pairs]
    assert found["plain"]["threes"] == pytest.approx(np.mean(whole))


def test_a_space_at_the_end_costs_bits_only_where_it_belongs_to_the_next_word() -> None:
    found = effects.trailing_space(vocab_size=600, num_bytes=60_000, places=40, seeds=(0, 1))
    by = found.groupby("space")[["without", "with_space"]].mean()
    joined, apart = (by.loc[name] for name in effects.PATTERNS)
    assert joined["with_space"] > joined["without"] + 2
    assert apart["with_space"] < apart["without"]
    assert len(found) == 4


def test_rungs_are_unused_ends_of_used_tokens() -> None:
    parts = [b"oo", b"ood", b"ho", b"hou", b"hous", b"house", b"oodhouse", b" W", b" Woodhouse"]
    merges = [
        *((b"o", b"o"), (b"oo", b"d"), (b"h", b"o"), (b"ho", b"u"), (b"hou", b"s"), (b"hous", b"e")),
        *((b"ood", b"house"), (b" ", b"W"), (b" W", b"oodhouse")),
    ]
    letters = [bytes([byte]) for byte in range(256)]
    tokenizer = Tokenizer(dict(enumerate(letters + parts)), merges, pattern="gpt2")
    ids = {piece: number for number, piece in tokenizer.vocab.items()}
    counts = np.bincount(
        tokenizer.encode_to_numpy(" Woodhouse" * 9 + "house"), minlength=tokenizer.vocab_size
    )
    expected = {ids[b" Woodhouse"]: (ids[b" W"], ids[b"oodhouse"])}
    assert effects.rungs_of(tokenizer, counts) == expected
    assert effects.rungs_of(tokenizer, counts, shortest=9) == {}
    counts[ids[b"oodhouse"]] = 1
    assert effects.rungs_of(tokenizer, counts) == {}


@pytest.fixture(scope="module")
def bigrams() -> pd.DataFrame:
    return effects.unused_tokens(seeds=(0,), num_bytes=40_000, learned=400).set_index("model")


def test_rows_of_unused_tokens_stay_where_they_began(bigrams: pd.DataFrame) -> None:
    alone, half = bigrams.loc["BPE's tokens"], bigrams.loc["half of them cut in two"]
    assert alone["moved"] == 0 < alone["moved_used"] and alone["length"] == 1
    assert half["moved"] > 0
    assert alone["after_rung"] > alone["after_token"]
    assert half["after_rung"] < alone["after_rung"]


def test_a_tied_head_moves_unused_rows_and_weight_decay_only_shortens_them(bigrams: pd.DataFrame) -> None:
    tied, decayed = bigrams.loc["a tied head"], bigrams.loc["weight decay"]
    assert tied["moved"] > 0.1 and tied["turned"] > 1 and tied["decayed"] == 1
    assert decayed["length"] == pytest.approx(decayed["decayed"], rel=1e-4) and decayed["decayed"] < 0.9
    assert decayed["turned"] < 0.1


def test_angles_are_those_of_the_plane() -> None:
    found = effects._angles(np.array([[1.0, 0], [1, 0], [2, 2]]), np.array([[0.0, 3], [-5, 0], [1, 1]]))
    assert found == pytest.approx([90, 180, 0], abs=1e-5)
