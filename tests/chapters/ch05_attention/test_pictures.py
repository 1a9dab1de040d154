"""Chapter 5's pictures show the numbers they were given."""

import numpy as np
import pandas as pd
import pytest

from course_lib.chapters.ch05_attention import pictures


def test_uptraining_draws_means_models_and_levels() -> None:
    rows = [
        (how, model, tuned, loss + 0.1 * model - 0.01 * tuned)
        for how, loss in (("mean", 2.0), ("first", 2.2))
        for model in (0, 1)
        for tuned in (0, 10)
    ]
    picture = pictures.uptraining(
        pd.DataFrame(rows, columns=["how", "model", "tuned", "loss"]), {"before": 1.5}
    )
    lines = {
        str(line.get_label()): np.asarray(line.get_ydata()) for line in picture.figure.axes[0].get_lines()
    }
    assert lines["mean"] == pytest.approx([2.05, 1.95])
    assert {text.get_text() for text in picture.figure.axes[0].texts} == {"before", "mean", "first"}
    assert "mean 1.950" in picture.alt


def test_masks_say_which_share_is_visible() -> None:
    picture = pictures.masks({"all": np.ones((3, 3), bool), "causal": np.tril(np.ones((4, 4), bool))})
    assert len(picture.figure.axes) == 2
    assert picture.alt == "all: 100% of the pairs, causal: 62% of the pairs"


def test_lines_end_where_memory_is_full() -> None:
    rows = [
        ("MHA", 1, 100.0, "memory"),
        ("MHA", 29, 1200.0, "memory"),
        ("MLA", 1, 90.0, "memory"),
        ("MLA", 256, 9000.0, "arithmetic"),
        ("MLA", 420, 9500.0, "arithmetic"),
    ]
    results = pd.DataFrame(rows, columns=["kind", "batch", "tokens_per_second", "limit"])
    picture = pictures.capacity(results, device="a chip", model="a model", length=4096)
    axes = picture.figure.axes[0]
    dots = [line.get_xydata().tolist() for line in axes.get_lines() if line.get_label() == "_full"]  # type: ignore[union-attr]
    assert dots == [[[29, 1200]], [[420, 9500]]]
    busy = [len(np.asarray(line.get_xdata())) for line in axes.get_lines() if line.get_label() == "_busy"]
    assert busy == [0, 2]
    assert {text.get_text() for text in axes.texts} == {"MHA, 29", "MLA, 420"}
    assert "MLA 9,500 with 420 sequences" in picture.alt


def test_the_law_is_drawn_beside_what_was_measured() -> None:
    rows = [(heads, batch, 10.0 * batch / heads, 30.0 * batch) for heads in (8, 1) for batch in (1, 16)]
    results = pd.DataFrame(rows, columns=["kv_heads", "batch", "tokens_per_second", "law"])
    picture = pictures.decode_law(results)
    lines = {
        str(line.get_label()): np.asarray(line.get_ydata()).tolist()
        for line in picture.figure.axes[0].get_lines()
    }
    assert lines["8 KV heads"] == [1.25, 20]
    assert lines["_law"] == [30, 480]
    assert picture.alt.startswith("With 16 sequences: 8 KV heads 20 tokens per second, by the law 480")


def test_streamed_has_a_row_per_cache() -> None:
    rows = [
        (model, cache, 1.8 + place + 0.01 * model)
        for place, cache in enumerate(("all", "few"))
        for model in (0, 1)
    ]
    picture = pictures.streamed(pd.DataFrame(rows, columns=["model", "cache", "loss"]))
    axes = picture.figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["few"]
    dots = [line for line in axes.get_lines() if line.get_marker() == "o"]
    np.testing.assert_allclose(np.asarray(dots[0].get_xdata()), [1.0, 1.0])
    assert picture.alt == "few: +1.000"
