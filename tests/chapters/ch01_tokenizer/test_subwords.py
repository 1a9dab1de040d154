"""The comparison of subword algorithms against cases worked out by hand."""

import math
import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from course_lib.chapters.ch01_tokenizer.experiments import subwords
from course_lib.chapters.ch01_tokenizer.experiments.real_text import sample
from course_lib.data import stories
from course_lib.tokenizer import Tokenizer, pretokenize
from course_lib.tokenizer.unigram import UnigramTokenizer
from course_lib.tokenizer.wordpiece import WordPieceTokenizer


def bpe(*merges: tuple[bytes, bytes]) -> Tokenizer:
    tokens = [bytes([byte]) for byte in range(256)] + [left + right for left, right in merges]
    return Tokenizer(dict(enumerate(tokens)), list(merges))


def test_measures_are_counted_by_hand() -> None:
    tokenizer = bpe((b"a", b"b"), (b"c", b"d"))
    measured = subwords._measure(tokenizer, ["ab" * 10], ["abab", "c"])
    assert measured["bytes/token"] == 5 / 3
    assert measured["unused"] == 0.5 and measured["rare"] == 0.5  # cd is never used, ab ten times
    entropy = -(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3))
    assert measured["efficiency"] == pytest.approx(entropy / math.log(258))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_pieces_make_up_the_text(language: str) -> None:
    text = "".join(stories(3_000, 7, language)) + "  觥筹\x00 two  spaces "  # type: ignore[arg-type]
    for tokenizer in subwords.train(language, num_bytes=150_000).values():  # type: ignore[arg-type]
        assert b"".join(subwords.pieces(tokenizer, text)) == text.encode()


def test_joints_are_found_where_parts_meet() -> None:
    tokenizers = {
        "right": UnigramTokenizer({"▁moon": -1.0, "gather": -1.0, "er": -1.0, "▁": -2.0}),
        "wrong": WordPieceTokenizer(["[UNK]", "moong", "##atherer"]),
        "whole": bpe(),
    }
    frame = subwords.joint_agreement(["moon gatherer gather"], ["moongatherer"], tokenizers)
    # moon|gatherer; gather|er is a joint of another word, moongather is not a word of the text
    assert tuple(frame.loc["right"]) == (1 / 2, 1.0)
    assert tuple(frame.loc["wrong"]) == (0.0, 0.0)
    assert tuple(frame.loc["every character"]) == (1 / 11, 1.0)
    assert tuple(frame.loc["whole"]) == (1 / 11, 1.0)  # single bytes cut everywhere


def test_occurrences_count_beginnings_and_insides() -> None:
    words = {" anna": 2, "banana": 3, "an": 1}
    assert subwords._occurrences("an", words) == 3
    assert subwords._occurrences("##an", words) == 6
    assert subwords._occurrences(b" a", words) == 2


def test_all_algorithms_learn_equally_many_pieces() -> None:
    texts = sample("en", num_bytes=60_000)
    for name, make in subwords.ALGORITHMS.items():
        learned = sum(map(subwords._is_learned, make(texts, 50).vocab.values()))
        more = len(subwords._characters(texts)) if name == "BPE, same entries" else 0
        assert learned == 50 + more, name
    entries = {name: make(texts, 50).vocab_size for name, make in subwords.ALGORITHMS.items()}
    assert entries["BPE, same entries"] == entries["Unigram"] > entries["BPE"]


def test_the_exact_gain_is_the_change_of_the_likelihood() -> None:
    """Against a recount of the merged words, with scipy's x log x."""
    from scipy.special import xlogy

    texts = sample("en", num_bytes=3_000)
    frame = subwords.gain_and_likelihood(num_bytes=3_000)
    words = [word.strip() for text in texts for word in pretokenize(text) if word.strip()]
    cuts = [[word[0], *("##" + letter for letter in word[1:])] for word in words]

    def likelihood(cut_words: list[list[str]]) -> float:
        counts = np.array(list(Counter(piece for cut in cut_words for piece in cut).values()))
        return float(xlogy(counts, counts / counts.sum()).sum())

    for row in [
        *frame.head(5).itertuples(),
        *frame.tail(3).itertuples(),
        *frame.sample(5, random_state=0).itertuples(),
    ]:
        merged = []
        for cut in cuts:
            text = " ".join(cut) + " "
            pair = f"{row.left} {row.right} "
            # Pieces hold no spaces; a pair begins where a piece begins.
            parts = re.split(rf"(?:(?<= )|^){re.escape(pair)}", text)
            merged.append(f" {row.left}+{row.right} ".join(parts).split())
        assert row.exact == pytest.approx(likelihood(merged) - likelihood(cuts), abs=1e-6)
        together = sum(pair == (row.left, row.right) for cut in cuts for pair in pairwise(cut))
        assert row.occurrences == together


def test_samples_are_listed_with_their_probability() -> None:
    tokenizer = UnigramTokenizer({"a": -1.0, "b": -1.0, "ab": -1.5})
    frame = subwords.sampled(tokenizer, "ab", alphas=(1.0, 0.0), draws=2000).set_index(
        ["alpha", "segmentation"]
    )
    assert frame["probability"][1.0, "ab"] == pytest.approx(math.exp(-1.5) / (math.exp(-1.5) + math.exp(-2)))
    assert frame["probability"][0.0, "ab"] == 0.5
    assert (frame["probability"] - frame["share"]).abs().max() < 0.05
    with pytest.raises(ValueError, match="100,000 segmentations or more"):
        subwords.sampled(UnigramTokenizer({"a": -1.0, "aa": -1.0}), "a" * 40)


def test_comparison_has_a_row_for_everything_and_repeats_itself() -> None:
    frame = subwords.compare(seeds=(0,), num_bytes=150_000, held_out_bytes=10_000)
    assert len(frame) == 2 * len(subwords.ALGORITHMS)
    again = subwords.compare(["zh"], seeds=(0,), num_bytes=150_000, held_out_bytes=10_000)
    pd.testing.assert_frame_equal(frame[frame["language"] == "zh"].reset_index(drop=True), again)
    assert not frame.isna().any().any()
    shares = frame[["unused", "rare", "efficiency", "unknown", "precision", "recall", "chance"]]
    assert ((shares >= 0) & (shares <= 1)).all().all()


def test_first_merges_are_the_algorithms_own() -> None:
    frame = subwords.first_merges(num=3, num_bytes=60_000)
    assert list(frame.groupby("algorithm", sort=False).size()) == [3, 3, 3]
    bpe_rows = frame[frame["algorithm"] == "BPE"]
    assert bpe_rows["occurrences"].is_monotonic_decreasing  # the first three do not build on each other here
    text = "".join(sample("en", num_bytes=60_000))
    assert bpe_rows["occurrences"].iloc[0] == text.count(bpe_rows["piece"].iloc[0].replace("▁", " "))
