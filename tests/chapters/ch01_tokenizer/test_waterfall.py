"""The steps of the engine's speed give the same ids, and the cache's control changes one thing only."""

from collections import Counter
from statistics import mean

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from matplotlib.colors import to_hex

from course_lib.chapters.ch01_tokenizer import engine_pictures
from course_lib.chapters.ch01_tokenizer.experiments import waterfall
from course_lib.show.look import PALETTE
from course_lib.tokenizer import pretokenize
from tests.tokenizer.references import hard_text, pretrained

TEXT = "It is a truth, universally acknowledged: 觥筹交错, 12345 times.\n\n" * 30


@pytest.fixture(scope="module")
def pipeline() -> waterfall.Pipeline:
    pretrained("gpt2")
    return waterfall.Pipeline("gpt2")


@pytest.mark.parametrize("scanner", [False, True])
@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("in_engine", [False, True])
def test_every_switch_gives_the_same_ids(
    pipeline: waterfall.Pipeline, scanner: bool, cached: bool, in_engine: bool
) -> None:
    found = pipeline.in_python(TEXT, scanner=scanner, cached=cached, in_engine=in_engine)
    assert found == pretrained("gpt2").encode(TEXT)


@settings(max_examples=50)
@given(text=hard_text)
def test_the_engine_without_its_caches_gives_the_same_ids(pipeline: waterfall.Pipeline, text: str) -> None:
    expected = pretrained("gpt2").encode_ordinary(text)
    assert pipeline.uncached(text).tolist() == expected


def test_uncached_takes_whole_tokens_first_and_wide_ids() -> None:
    wide = waterfall.Pipeline("cl100k_base")
    expected = pretrained("cl100k_base").encode_to_numpy(TEXT)
    assert np.array_equal(wide.uncached(TEXT), expected) and wide.uncached(TEXT).dtype == expected.dtype


def test_the_texts_of_the_control_differ_in_repetition_only() -> None:
    words = waterfall.distinct_words()
    assert len(words) == len(set(words)) > 5_000
    texts = {times: waterfall.repeated(words, times) for times in (1, 5)}
    for times, text in texts.items():
        pieces = Counter(pretokenize(text))
        assert set(pieces.values()) == {times}
        assert set(pieces) <= set(words)
    assert 0.95 < len(texts[5]) / len(texts[1]) < 1.05
    lengths = [mean(map(len, pretokenize(text))) for text in texts.values()]
    assert abs(lengths[0] - lengths[1]) < 0.5


def test_the_picture_shows_each_step_each_run_and_the_gain() -> None:
    steps = waterfall.steps("gpt2", TEXT, turns=2)
    assert list(steps["step"]) == list(waterfall.STEPS) and (steps["ns_per_byte"] > 0).all()
    rows = [(times, how, gain) for how in ("Python", "engine") for times, gain in ((1, 0.9), (2, 1.5))]
    gains = pd.DataFrame(rows, columns=["times", "how", "gain"])
    threads = pd.DataFrame({"share": [0.6, 1.2, 0.5]})
    picture = engine_pictures.waterfall(
        steps.assign(ns_per_byte=[2_000.0, 1_000, 200, 220, 10]), threads, gains
    )
    left, middle, right = picture.figure.axes
    notes = [text.get_text() for text in left.texts]
    assert notes[0] == "2,000 ns" and notes[1].split() == ["÷", "2.0", "1,000", "ns"]
    assert notes[3].split() == ["×", "1.10,", "slower", "220", "ns"]
    assert [bar.get_width() for bar in left.patches] == [1_000, 800, -20, 210]
    assert [list(line.get_ydata()) for line in right.get_lines()[:2]] == [[0.9, 1.5], [0.9, 1.5]]
    dots = middle.get_lines()[:3]
    assert [float(dot.get_ydata()[0]) for dot in dots] == [0.6, 1.2, 0.5]
    # What loses has the colour of a loss: the third step, and the second run.
    loss, gain = PALETTE["orange"], PALETTE["blue"]
    assert [to_hex(bar.get_facecolor()).upper() for bar in left.patches] == [gain, gain, loss, gain]
    assert [dot.get_color() for dot in dots] == [gain, loss, gain]
    assert middle.texts[0].get_text() == "median 0.60" and "wall" in middle.get_ylabel()
    assert "CPU" in left.get_xlabel()


def test_threads_are_measured_in_turns() -> None:
    turns = waterfall.thread_turns("gpt2", turns=2)
    assert list(turns["turn"]) == [0, 1] and (turns["share"] == turns["several"] / turns["one"]).all()


def test_word_by_word_meets_each_word_once() -> None:
    measured = waterfall.word_by_word("gpt2", TEXT)
    assert list(measured["how"]) == ["Python", "engine"] and (measured["ns_per_byte"] > 0).all()
