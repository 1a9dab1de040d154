"""The comparison of subword algorithms against cases worked out by hand."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from course_lib.chapters.ch01_tokenizer.experiments import subwords
from course_lib.chapters.ch01_tokenizer.experiments.real_text import disjoint, sample
from course_lib.data import stories
from course_lib.tokenizer import Tokenizer, pretokenize
from course_lib.tokenizer.unigram import UnigramTokenizer
from course_lib.tokenizer.wordpiece import WordPieceTokenizer


def bpe(*merges: tuple[bytes, bytes]) -> Tokenizer:
    tokens = [bytes([byte]) for byte in range(256)] + [left + right for left, right in merges]
    return Tokenizer(dict(enumerate(tokens)), list(merges))


def test_measures_are_counted_by_hand() -> None:
    tokenizer = bpe((b"a", b"b"), (b"c", b"d"))
    measured = subwords._measure(tokenizer, ["ab" * 10], ["abab", "c"], characters_given=False)
    assert measured["bytes/token"] == 5 / 3 and measured["pieces"] == 2
    # cd is never used, ab ten times
    assert [measured[f"below {limit}"] for limit in subwords.RARE] == [0.5, 0.5, 1] and measured[
        "unused"
    ] == 0.5
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


@pytest.mark.parametrize("language", ["en", "zh"])
def test_all_algorithms_learn_equally_many_pieces(language: str) -> None:
    texts = sample(language, num_bytes=30_000)  # type: ignore[arg-type]
    made = {name: subwords.train_one(name, texts, 50) for name in subwords.ALGORITHMS}
    for name, tokenizer in made.items():
        given = name in subwords.CHARACTERS_GIVEN
        learned = sum(
            subwords._is_learned(piece, characters_given=given) for piece in tokenizer.vocab.values()
        )
        more = len(subwords._characters(texts)) if name == "BPE, same entries" else 0
        assert learned == 50 + more, name
    entries = {name: tokenizer.vocab_size for name, tokenizer in made.items()}
    assert entries["BPE, same entries"] == entries["Unigram"] > entries["BPE"]
    with pytest.raises(ValueError, match="algorithm='byte pairs' is not one of BPE, "):
        subwords.train_one("byte pairs", texts, 50)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_bpe_over_characters_is_the_definition_with_characters_for_symbols(language: str) -> None:
    """Against a rescan of the words after each merge, and `tokenizers` for the encoding."""
    tokenizers = pytest.importorskip("tokenizers")
    texts, learned = sample(language, num_bytes=6_000), 60  # type: ignore[arg-type]
    tokenizer = subwords.character_bpe(texts, learned)
    cuts = [(list(word), count) for word, count in Counter(w for t in texts for w in pretokenize(t)).items()]
    merges = []
    for _ in range(learned):
        pairs = Counter[tuple[str, str]]()
        for cut, count in cuts:
            for pair in pairwise(cut):
                pairs[pair] += count
        best = max(pairs, key=lambda pair: (pairs[pair], pair[0].encode(), pair[1].encode()))
        merges.append(best)
        cuts = [([*merged(cut, best)], count) for cut, count in cuts]
    assert [tuple(part.decode() for part in pair) for pair in tokenizer.merges[-learned:]] == merges
    pieces = sorted({letter for text in texts for letter in text}) + [left + right for left, right in merges]
    theirs = tokenizers.Tokenizer(
        tokenizers.models.BPE({piece: n for n, piece in enumerate(dict.fromkeys(pieces))}, merges)
    )
    for text in texts:
        for word in pretokenize(text)[:300]:
            ours = [tokenizer.decode([token]) for token in tokenizer.encode(word)]
            assert ours == theirs.encode(word).tokens
    assert tokenizer.decode(tokenizer.encode("a 😀 觥")) == "a 😀 觥"  # characters that it was not given


def merged(cut: list[str], pair: tuple[str, str]) -> Iterator[str]:
    rest = list(cut)
    while rest:
        if tuple(rest[:2]) == pair:
            yield rest.pop(0) + rest.pop(0)
        else:
            yield rest.pop(0)


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


@pytest.mark.parametrize(
    ("language", "algorithm"), [("en", "WordPiece, gain"), ("zh", "BPE over characters")]
)
def test_a_run_of_the_comparison_has_its_numbers_and_repeats_itself(language: str, algorithm: str) -> None:
    point = {"language": language, "algorithm": algorithm, "num_bytes": 30_000, "learned": 80}
    first, again, other = (subwords.comparison_run(seed=seed, **point) for seed in (0, 0, 1))
    assert first == again != other
    shares = [
        "unused",
        *(f"below {n}" for n in subwords.RARE),
        "efficiency",
        "unknown",
        "precision",
        "recall",
        "chance",
    ]
    assert all(0 <= first[name] <= 1 for name in shares)
    assert first["pieces"] == 80 < first["entries"] and first["bytes/token"] > 1
    assert first["unused"] <= first["below 3"] <= first["below 10"] <= first["below 30"]


def test_leads_are_differences_on_the_same_part() -> None:
    rows = [
        {
            "language": "en",
            "num_bytes": 9,
            "algorithm": name,
            "seed": seed,
            "bytes/token": ratio,
            "unused": unused,
        }
        for name, ratios, unused in (("a", (3.0, 4.5), 0.5), ("b", (2.0, 3.0), 0.2))
        for seed, ratio in enumerate(ratios)
    ]
    ahead = subwords.leads(pd.DataFrame(rows[::-1]), "a", "b")
    assert list(ahead) == [("en", 9)] and ahead["en", 9].mean == pytest.approx(0.5)
    assert ahead["en", 9].se == pytest.approx(0, abs=1e-12)
    wasted = subwords.leads(pd.DataFrame(rows), "a", "b", "unused")
    assert wasted["en", 9].mean == pytest.approx(0.3)


def test_the_parts_of_the_comparison_are_there() -> None:
    for settings in subwords.COMPARISON.grid:
        for seed in subwords.COMPARISON.seeds:
            disjoint(settings["language"], number=seed, num_bytes=settings["num_bytes"])
            disjoint(settings["language"], "held_out", number=seed, num_bytes=subwords.HELD_OUT_BYTES)


def test_first_merges_are_the_algorithms_own() -> None:
    frame = subwords.first_merges(num=3, num_bytes=60_000)
    assert list(frame.groupby("algorithm", sort=False).size()) == [3, 3, 3]
    bpe_rows = frame[frame["algorithm"] == "BPE"]
    assert bpe_rows["occurrences"].is_monotonic_decreasing  # the first three do not build on each other here
    text = "".join(sample("en", num_bytes=60_000))
    assert bpe_rows["occurrences"].iloc[0] == text.count(bpe_rows["piece"].iloc[0].replace("▁", " "))
