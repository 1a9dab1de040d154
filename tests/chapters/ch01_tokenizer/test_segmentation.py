"""The experiments on segmentation report the results of the methods they name."""

import itertools

import pytest

from course_lib.chapters.ch01_tokenizer.experiments import segmentation
from course_lib.tokenizer.segment import Dictionary, compare, jieba_dictionary, max_probability


class Characters:
    """A tokenizer with one token for every ``size`` characters."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.seen: list[bytes] = []

    def encode_ordinary(self, text: str) -> list[int]:
        self.seen = [text[i : i + self.size].encode() for i in range(0, len(text), self.size)]
        return list(range(len(self.seen)))

    def decode_bytes(self, ids: list[int]) -> bytes:
        return b"".join(self.seen[token] for token in ids)


class HalfCharacters(Characters):
    """A tokenizer that cuts within every character and, after each second one, between them."""

    def encode_ordinary(self, text: str) -> list[int]:
        data = text.encode()
        ends = sorted({0, len(data), *range(1, len(data), 3), *range(6, len(data), 6)})
        self.seen = [data[start:end] for start, end in itertools.pairwise(ends)]
        return list(range(len(self.seen)))


def test_readings_spell_their_sentences() -> None:
    for sentence, reading in segmentation.SENTENCES.items():
        assert reading.replace("|", "") == sentence


def test_cuts_hold_every_method_for_every_sentence() -> None:
    frame = segmentation.cuts()
    assert len(frame) == len(segmentation.SENTENCES) * (len(segmentation.METHODS) + 2)
    assert (frame["words"].str.replace("|", "") == frame["sentence"]).all()
    wide = frame.pivot(index="sentence", columns="method", values="words")
    assert (wide["jieba"] == wide["the same with HMM"]).all()
    assert wide["forward matching"]["研究生命起源"] == "研究生|命|起源"


def test_few_sentences_decide_little() -> None:
    from scipy.stats import binomtest

    found = segmentation.as_intended().set_index("method")
    wide = segmentation.cuts().pivot(index="sentence", columns="method", values="words")
    best = wide[found["right"].idxmax()] == wide["intended"]
    for name, row in found.iterrows():
        right = wide[name] == wide["intended"]
        exact = binomtest(int(right.sum()), len(right)).proportion_ci(0.95, "exact")
        assert (row["right"], row["low"], row["high"]) == pytest.approx((right.sum(), exact.low, exact.high))
        behind, ahead = int((best & ~right).sum()), int((right & ~best).sum())
        assert (row["behind"], row["ahead"]) == (behind, ahead)
        expected = binomtest(ahead, behind + ahead).pvalue if behind + ahead else 1.0
        assert row["chance"] == pytest.approx(expected)


def test_scores_are_comparisons_with_jieba() -> None:
    text = "他说的确实在理。结婚的和尚未结婚的。"
    frame = segmentation.scores({"two": text}).set_index("method")
    reference = segmentation.load_jieba().lcut(text)
    for name, cut in segmentation.METHODS.items():
        assert frame["f1"][name] == compare(cut(text), reference).f1
    assert frame["f1"]["the same with HMM"] == 1
    assert frame["f1"]["forward matching"] < 1


def test_the_path_table_ends_with_the_best_path() -> None:
    text = "研究生命起源"
    table = segmentation.path_table(text).set_index("position")
    words, position = [], 0
    while position < len(text):
        words.append(str(table["best word"][position]))
        position += len(words[-1])
    assert words == max_probability(text, jieba_dictionary())
    assert table["words"][0] == "研 668  研究 35,029  研究生 1,816"


def test_unknown_words_are_not_in_the_dictionary() -> None:
    frame = segmentation.unknown_words("他来到了网易杭研大厦，杭研很大。")
    assert frame.to_numpy().tolist() == [["杭研", 2, "杭|研"]]


def test_names_are_unknown_to_the_dictionary_and_often_found() -> None:
    frame = segmentation.found_names(range(0, 6_000, 300))
    assert not frame["dictionary alone"].any()
    assert 0.5 < frame["with HMM"].mean() < 1
    assert (frame["characters"] == frame["name"].str.len()).all()


def test_boundaries_of_known_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmentation, "jieba_dictionary", lambda: Dictionary({"甲乙": 9, "丙": 9, "丁": 9}))
    text = "甲乙丙丁，甲乙"  # words 甲乙|丙|丁|，|甲乙; places between Chinese characters: 1 2 3 and 6
    monkeypatch.setattr(segmentation, "jieba_hmm", lambda: None)
    frame = segmentation.boundary_agreement(text, {"pairs": Characters(2), "halves": HalfCharacters(0)})
    expected = {
        "pairs": [2 / 4, 1 / 2, 1 / 2, 1 / 2],  # 甲乙|丙丁|，甲|乙: cuts at 2 and 6, words at 2 and 3
        "halves": [2 / 4, 1 / 2, 1 / 2, 0],  # the same cuts, but no token is a whole word
        "every character": [1, 2 / 4, 1, 0],
    }
    assert {name: row for name, *row in frame.itertuples(index=False)} == expected


def test_a_text_without_chinese_has_no_boundaries_to_compare() -> None:
    with pytest.raises(ValueError, match="too little Chinese"):
        segmentation.boundary_agreement("only English", {"pairs": Characters(2)})
