"""Word segmentation: equal to the jieba package, optimal by brute force, and sensible on the textbook's sentences."""

import itertools
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.chapters.ch01_tokenizer.experiments.segmentation import load_jieba
from course_lib.errors import FormatError
from course_lib.tokenizer import segment
from course_lib.tokenizer.segment import HMM, Dictionary, compare, jieba_dictionary, jieba_hmm, tag
from course_lib.tokenizer.segment.dictionary import read_dictionary
from course_lib.tokenizer.segment.hmm import IMPOSSIBLE, STATES, read_literal

STORIES = Path(__file__).parents[2] / "data/stories_zh.txt"

SENTENCES = [
    "研究生命起源",
    "南京市长江大桥",
    "他说的确实在理",
    "乒乓球拍卖完了",
    "结婚的和尚未结婚的",
    "工信处女干事每月经过下属科室都要亲口交代24口交换机等技术性器件的安装工作",
    "他来到了网易杭研大厦",
    "小明硕士毕业于中国科学院计算所，后在日本京都大学深造",
    "觥筹交错，跟我学习语文；跟我来。",
    "涨了3.14%，GPT-4o 用 C++ 和 Python3.11\r\n写的，价格$5.00/百万token",
    "T恤和卡拉OK、B超都在词典里，a1b2c3不在",
    "龘靐齉爩 鿖 㐀㐁 𠀀𠀁",
]

# Most of Unicode's Chinese characters are known neither to dictionary nor to HMM: ties must break as in jieba.
COMMON = sorted({character for word in jieba_dictionary() for character in word if ord(character) > 127})
chinese = st.text(
    st.one_of(st.sampled_from(COMMON), st.characters(min_codepoint=0x4E00, max_codepoint=0x9FD5)), max_size=20
)
words_in_a_row = st.lists(st.sampled_from(sorted(jieba_dictionary())), max_size=8).map("".join)
anything = st.lists(
    st.one_of(chinese, words_in_a_row, st.text("aZ09.%+#&_-$ \r\n\t，。", max_size=6), st.text(max_size=3)),
    max_size=4,
).map("".join)

few = Dictionary({"研究": 5, "研究生": 3, "生命": 4, "命": 1, "起源": 2, "生": 2, "起": 1, "命起": 1})


@pytest.mark.parametrize("text", SENTENCES)
@pytest.mark.parametrize("with_hmm", [False, True])
def test_sentences_as_jieba(text: str, with_hmm: bool) -> None:
    check_against_jieba(text, with_hmm=with_hmm)


@given(st.one_of(chinese, words_in_a_row, anything), st.booleans())
def test_any_text_as_jieba(text: str, with_hmm: bool) -> None:
    check_against_jieba(text, with_hmm=with_hmm)


@pytest.mark.parametrize("with_hmm", [False, True])
def test_stories_as_jieba(with_hmm: bool) -> None:
    check_against_jieba(STORIES.read_text(encoding="utf-8"), with_hmm=with_hmm)


def check_against_jieba(text: str, *, with_hmm: bool) -> None:
    hmm = jieba_hmm() if with_hmm else None
    ours = segment.max_probability(text, jieba_dictionary(), hmm=hmm)
    assert ours == load_jieba().lcut(text, HMM=with_hmm)


def all_cuts(text: str) -> list[list[str]]:
    """Every way to cut ``text``."""
    result = []
    for places in itertools.product([False, True], repeat=len(text) - 1):
        ends = [0, *(place for place, cut in enumerate(places, 1) if cut), len(text)]
        result.append([text[start:end] for start, end in itertools.pairwise(ends)])
    return result


@given(st.text("研究生命起源", min_size=1, max_size=9))
def test_the_path_is_the_most_probable_of_all(text: str) -> None:
    """Brute force over all cuts into dictionary words and, where no word begins, single characters."""
    graph = segment.word_graph(text, few)

    def log_probability(words: list[str]) -> float:
        starts = itertools.accumulate(map(len, words), initial=0)
        if any(start + len(word) not in graph[start] for start, word in zip(starts, words, strict=False)):
            return -math.inf
        return sum(math.log(few.get(word, 1) / few.total) for word in words)

    best = max(map(log_probability, all_cuts(text)))
    assert log_probability(segment.max_probability(text, few)) == pytest.approx(best)


def test_the_word_graph_holds_every_word_and_nothing_else() -> None:
    assert segment.word_graph("研究生命起源", few) == [[2, 3], [2], [3, 4], [4, 5], [5, 6], [6]]


@given(st.text("研究生命起源x", max_size=12))
def test_matching_takes_the_longest_word_at_every_step(text: str) -> None:
    words = segment.max_match(text, few)
    rest = text
    for word in words:
        if word.isascii():
            assert set(word) == {"x"}
        else:
            assert word == max((w for w in few if rest.startswith(w)), key=len, default=rest[0])
        rest = rest.removeprefix(word)
    for word in reversed(segment.max_match_backward(text, few)):
        if not word.isascii():
            assert word == max((w for w in few if text.endswith(w)), key=len, default=text[-1])
        text = text.removesuffix(word)
    assert not rest and not text


@given(anything)
@pytest.mark.parametrize(
    "cut", [segment.max_match, segment.max_match_backward, segment.bidirectional, segment.max_probability]
)
def test_words_spell_the_text(cut: Callable[..., list[str]], text: str) -> None:
    words = cut(text, jieba_dictionary())
    assert "".join(words) == text
    assert all(words)


@pytest.mark.parametrize(
    ("words", "text", "forward", "backward", "chosen"),
    [
        # backward has fewer words
        (["研究", "研究生", "生命"], "研究生命起", "研究生|命|起", "研究|生命|起", "研究|生命|起"),
        # as many words: fewer single characters
        (["甲乙", "甲乙丙", "丙丁"], "甲乙丙丁", "甲乙丙|丁", "甲乙|丙丁", "甲乙|丙丁"),
        (["甲乙", "丙丁", "乙丙丁"], "甲乙丙丁", "甲乙|丙丁", "甲|乙丙丁", "甲乙|丙丁"),
        (["甲乙", "乙丙"], "甲乙丙", "甲乙|丙", "甲|乙丙", "甲|乙丙"),  # a draw: backward
        (["甲乙丙", "乙丙丁戊"], "甲乙丙丁戊", "甲乙丙|丁|戊", "甲|乙丙丁戊", "甲|乙丙丁戊"),
        (
            ["甲乙丙丁", "丙丁戊"],
            "甲乙丙丁戊",
            "甲乙丙丁|戊",
            "甲|乙|丙丁戊",
            "甲乙丙丁|戊",
        ),  # forward has fewer
    ],
)
def test_the_better_of_two_directions(
    words: list[str], text: str, forward: str, backward: str, chosen: str
) -> None:
    assert segment.max_match(text, words) == forward.split("|")
    assert segment.max_match_backward(text, words) == backward.split("|")
    assert segment.bidirectional(text, words) == chosen.split("|")


def test_latin_words_and_numbers_stay_whole() -> None:
    for cut in (segment.max_match, segment.max_match_backward, segment.max_probability):
        assert cut("用GPT4写T恤", jieba_dictionary()) == ["用", "GPT4", "写", "T恤"]


@given(
    st.lists(
        st.lists(st.text("甲乙丙", min_size=1, max_size=4), min_size=1, max_size=5), min_size=1, max_size=5
    )
)
def test_viterbi_finds_the_most_probable_states(sentences: list[list[str]]) -> None:
    hmm = HMM.train(sentences)
    text = "".join(sentences[0])[:6]
    every = map("".join, itertools.product(STATES, repeat=len(text)))
    allowed = [
        states
        for states in every
        if states[-1] in "ES"
        and not any(pair in states for pair in ("BB", "BS", "MB", "MS", "EM", "EE", "SM", "SE"))
    ]
    best = max(hmm.log_probability(text, states) for states in allowed)
    assert hmm.log_probability(text, hmm.viterbi(text)) == pytest.approx(best)
    assert "".join(hmm.segment(text)) == text


def test_training_counts_what_the_text_holds() -> None:
    hmm = HMM.train([["他", "研究", "生命"], ["研究生", "他"]])
    assert hmm.start == {"B": math.log(1 / 2), "S": math.log(1 / 2), "M": IMPOSSIBLE, "E": IMPOSSIBLE}
    assert hmm.transition["B"] == {
        "E": math.log(2 / 3),
        "M": math.log(1 / 3),
        "B": IMPOSSIBLE,
        "S": IMPOSSIBLE,
    }
    assert hmm.transition["E"]["B"] == math.log(1 / 2)
    assert hmm.emission["B"] == {"研": math.log(2 / 3), "生": math.log(1 / 3)}
    assert hmm.emission["S"] == {"他": 0.0}
    assert hmm.segment("他研究") == ["他", "研究"]
    assert hmm.segment("") == []


@given(st.lists(st.text("甲乙丙丁", min_size=1, max_size=5), min_size=1, max_size=8))
def test_tags_give_the_words_back(words: list[str]) -> None:
    states, text = tag(words), "".join(words)
    starts = [place for place, state in enumerate(states) if state in "BS"]
    assert [text[i:j] for i, j in itertools.pairwise([*starts, len(text)])] == words


def test_an_hmm_finds_a_name_that_no_dictionary_holds() -> None:
    assert "杭研" not in jieba_dictionary()
    assert "杭研" in segment.max_probability("他来到了网易杭研大厦", jieba_dictionary(), hmm=jieba_hmm())


def test_comparison_counts_words_in_their_places() -> None:
    result = compare(["研究生", "命", "起源"], ["研究", "生命", "起源"])
    assert (result.correct, result.predicted, result.expected) == (1, 3, 3)
    result = compare(["甲", "乙", "丙丁"], ["甲乙", "丙丁"])
    assert (result.precision, result.recall, result.f1) == (1 / 3, 1 / 2, 2 / 5)


@given(st.lists(st.text("甲乙", min_size=1, max_size=3), min_size=1, max_size=8))
def test_a_segmentation_agrees_with_itself(words: list[str]) -> None:
    assert compare(words, words).f1 == 1
    characters = list("".join(words))
    assert compare(characters, words).correct == sum(len(word) == 1 for word in words)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: compare(["甲乙"], ["甲", "丙"]), ValueError, "from character 1 on: '乙' and '丙'"),
        (lambda: compare([], []), ValueError, "segmentation is empty"),
        (lambda: segment.max_match("甲", "甲"), TypeError, "words='甲' is a text"),
        (lambda: segment.max_probability("甲", {}), ValueError, "frequencies holds no word"),
        (lambda: Dictionary({"甲": -1}), ValueError, "'甲': -1"),
        (lambda: Dictionary({"": 1}), ValueError, "must not be empty"),
        (lambda: Dictionary({"甲": 0.5}), TypeError, "counts\\['甲'\\] must be an integer, not 0.5"),  # type: ignore[dict-item]
        (lambda: tag(["甲", ""]), ValueError, "an empty word at 1"),
        (lambda: HMM.train([]), ValueError, "sentences hold no word"),
        (lambda: HMM({"X": 0.0}, {}, {}), ValueError, "start has the state 'X'"),
        (lambda: HMM({}, {"B": {"Q": 0.0}}, {}), ValueError, "transition has the state 'Q'"),
        (lambda: jieba_hmm().log_probability("甲", "BE"), ValueError, "2 letters for a text of 1"),
    ],
)
def test_bad_arguments_are_named(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("contents", "place"),
    [
        (b"\xe7\x94", "byte 0"),
        ("甲 3 n\n乙 x n\n".encode(), "line 2"),
        ("甲\n".encode(), "line 1"),
        (b"\n", "empty"),
    ],
)
def test_a_damaged_dictionary_says_where(tmp_path: Path, contents: bytes, place: str) -> None:
    path = tmp_path / "dict.txt"
    path.write_bytes(contents)
    with pytest.raises(FormatError, match=place):
        read_dictionary(path)


@pytest.mark.parametrize("source", ["", "P = print('never run')", "import os", "P = {"])
def test_a_model_file_is_read_and_never_run(tmp_path: Path, source: str) -> None:
    path = tmp_path / "prob.py"
    path.write_text(source, encoding="utf-8")
    with pytest.raises(FormatError, match="expected 'P = "):
        read_literal(path)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("course_lib.tokenizer.segment.dictionary.package_folders", lambda package: [])
    jieba_dictionary.cache_clear()
    with pytest.raises(FileNotFoundError, match="pip install jieba"):
        jieba_dictionary()


def test_no_heavy_import_and_no_jieba() -> None:
    code = (
        "import sys; from course_lib.tokenizer.segment import *; jieba_dictionary(); jieba_hmm();"
        "print({'torch', 'matplotlib', 'pandas', 'jieba'} & {*sys.modules})"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
