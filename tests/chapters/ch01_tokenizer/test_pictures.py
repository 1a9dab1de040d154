"""Chapter 1's pictures show the numbers they were given."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import ArrayLike, NDArray

from course_lib.chapters.ch01_tokenizer import engine_pictures, pictures


class Law:
    """count = 1000 / rank exactly, for counts of 10 and more."""

    xmin = 10
    exponent = 1.0
    interval = (0.9, 1.2)

    def rank(self, counts: ArrayLike, *, shift: float = 0) -> NDArray[np.float64]:
        return 1000 * (1 + 0.1 * shift) / np.asarray(counts, dtype=float)

    def count(self, rank: ArrayLike) -> NDArray[np.float64]:
        return 1000 / np.asarray(rank, dtype=float)


def test_the_fitted_line_lies_on_data_that_follow_the_law() -> None:
    ranks = np.array([1, 2, 5, 10, 100, 500])
    frame = pd.DataFrame({"rank": ranks, "count": 1000 / ranks, "per million": 5000 / ranks})
    picture = pictures.rank_frequency({"text": frame}, {"text": Law()})
    dots, line, dashed, mark = picture.figure.axes[0].get_lines()
    assert np.array_equal(np.asarray(dots.get_xdata()), ranks)
    for drawn in (line, dashed):
        product = np.asarray(drawn.get_xdata(), dtype=float) * np.asarray(drawn.get_ydata(), dtype=float)
        assert product == pytest.approx(5000)
    assert list(np.asarray(mark.get_xdata())) == [100, 100]
    assert "s = 1.00" in picture.figure.axes[0].texts[0].get_text()
    assert "0.90 to 1.20" in picture.figure.axes[0].texts[0].get_text()
    assert picture.png().startswith(b"\x89PNG")


def test_growth_and_unknown_have_one_line_per_seed_and_one_name_per_text() -> None:
    growth = pd.DataFrame({"seed": [0, 0, 1, 1], "words": [10, 100] * 2, "different": [5, 20, 6, 22]})
    unknown = pd.DataFrame({"list size": [10, 100, 1000], "unknown": [0.5, 0.1, 0.0]})
    english = growth.rename(columns={"words": "list size", "different": "unknown"})
    picture = pictures.growth_and_unknown({"English": growth}, {"English": english, "Chinese": unknown})
    left, right = picture.figure.axes
    assert [len(line.get_xdata()) for line in left.get_lines()] == [2, 2]  # type: ignore[arg-type]
    assert list(np.asarray(right.get_lines()[-1].get_ydata())) == [0.5, 0.1]  # a log axis has no place for 0
    assert [text.get_text() for text in left.texts] == ["English"]
    assert {text.get_text() for text in right.texts} == {"English", "Chinese"}
    assert left.get_lines()[0].get_color() == right.get_lines()[0].get_color()
    assert picture.png().startswith(b"\x89PNG")


def test_agreement_is_drawn_against_chance() -> None:
    frame = pd.DataFrame(
        [("bpe", 0.7, 0.8, 0.9, 0.4), ("every character", 1.0, 0.55, 1.0, 0.0)],
        columns=["cuts made by", "cuts", "precision", "recall", "whole words"],
    )
    picture = pictures.boundary_agreement(frame)
    (axes,) = picture.figure.axes
    drawn = [np.asarray(line.get_xdata(), dtype=float) for line in axes.get_lines()]
    spans = [list(points) for points in drawn if len(points) == 2]
    assert spans == [[0.55, 0.8], [0.7, 0.9]]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "bpe: token cuts that are word cuts",
        "bpe: word cuts that are token cuts",
    ]
    assert {text.get_text() for text in axes.texts} == {"80%", "90%"}
    assert picture.png().startswith(b"\x89PNG")


ALGORITHMS = ["BPE", "Unigram"]


def results() -> pd.DataFrame:
    rows = [
        {"language": language, "seed": seed, "algorithm": name, "num_bytes": size}
        | {"bytes/token": 3 + place + seed / 10 + (size > 200_000)}
        | {"unused": place / 10, "below 10": place / 5, "precision": 0.5 + place / 10, "chance": 0.25}
        for language in ("en", "zh")
        for seed in (0, 1)
        for place, name in enumerate(ALGORITHMS)
        for size in (200_000, 800_000)
    ]
    return pd.DataFrame(rows)


def test_one_panel_per_measure_one_row_per_language_one_dot_per_part_and_an_interval_per_size() -> None:
    picture = pictures.measures_by_algorithm(results())
    panels = picture.figure.axes
    assert len(panels) == 8
    drawn = [(list(line.get_xdata()), line.get_markerfacecolor()) for line in panels[0].get_lines()]
    dots = [(x, colour != "none") for x, colour in drawn[1::2]]
    assert dots == [([3.0, 3.1], True), ([4.0, 4.1], False), ([4.0, 4.1], True), ([5.0, 5.1], False)]
    # Student's t with one degree of freedom, 12.706, times the standard error, 0.05
    assert drawn[0][0] == pytest.approx([3.05 - 0.6353, 3.05 + 0.6353], abs=1e-4)
    assert [text.get_text() for text in panels[0].texts] == ["4.05", "5.05"]
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ALGORITHMS
    assert list(panels[-1].get_lines()[-1].get_xdata()) == [0.25, 0.25]
    assert "2 parts" in picture.caption and "full: 200 kB and open: 800 kB" in picture.caption


def test_missing_columns_are_named() -> None:
    with pytest.raises(ValueError, match=r"lacks the columns \['unused'\]"):
        pictures.measures_by_algorithm(results().drop(columns="unused"))


def test_trainers_with_the_same_work_are_one_curve() -> None:
    rows = [
        ("naive", 1, 9.0, 90, 50), ("naive", 2, 9.5, 99, 60),
        ("incremental", 1, 3.0, 30, 50), ("incremental", 2, 3.5, 33, 60), ("incremental", 4, 4.0, 36, 70),
        ("heap", 1, 1.0, 30, 5), ("heap", 2, 1.5, 33, 6),
        ("engine", 2, 0.1, None, None),
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["trainer", "bytes", "cpu_seconds", "pairs", "candidates"])
    labels = [
        [(line.get_label(), len(line.get_xdata())) for line in axes.get_lines()]
        for axes in engine_pictures.training_work(frame).figure.axes
    ]
    assert labels == [
        [("naive", 2), ("incremental, heap", 3)],
        [("naive, incremental", 3), ("heap", 2)],
        [("naive", 2), ("incremental", 3), ("heap", 2), ("engine", 1)],
    ]


def test_the_likelihood_is_drawn_for_each_rule_and_for_held_out_text_where_there_is_any() -> None:
    what = ["seeds", "EM", "pruning", "EM"]
    plain = pd.DataFrame(
        {
            "rule": "plain EM",
            "step": range(4),
            "what": what,
            "pieces": [9, 9, 6, 6],
            "bits_per_byte": [3, 2, 2.5, 2.2],
        }
    ).assign(held_out=np.nan)
    sparse = plain.assign(rule="sparse EM", held_out=[4.0, 3.0, 3.5, 3.2])
    picture = pictures.likelihood(pd.concat([plain, sparse]))
    upper, lower = picture.figure.axes
    drawn = {
        line.get_label(): np.asarray(line.get_ydata(), dtype=float).tolist() for line in upper.get_lines()
    }
    assert [name for name in drawn if not str(name).startswith("_")] == [
        "training: plain EM",
        "training: sparse EM",
        "held out: sparse EM",
    ]
    assert drawn["training: plain EM"] == [3, 2, 2.5, 2.2] and drawn["held out: sparse EM"] == [
        4,
        3,
        3.5,
        3.2,
    ]
    assert [2.5, 2.5] in drawn.values()  # after a pruning
    assert np.asarray(lower.get_lines()[0].get_ydata()).tolist() == [9, 9, 6, 6]
    with pytest.raises(ValueError, match="held_out"):
        pictures.likelihood(plain.drop(columns="held_out"))
