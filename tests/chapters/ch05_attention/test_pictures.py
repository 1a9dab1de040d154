"""Chapter 5's pictures show the numbers they were given."""

import numpy as np
import pandas as pd
import pytest

from course_lib.chapters.ch05_attention import pictures


def test_decode_speed_has_one_panel_per_setting_and_one_bar_per_number_of_heads() -> None:
    rows = [
        (256, length, 1, heads, 100 * gain, gain, 3.0, 4.0)
        for length in (64, 1024)
        for heads, gain in ((8, 1.0), (1, 2.0))
    ]
    columns = [
        "d_model",
        "length",
        "batch",
        "kv_heads",
        "tokens_per_second",
        "relative",
        "cache_mb",
        "weights_mb",
    ]
    picture = pictures.decode_speed(pd.DataFrame(rows, columns=columns))
    assert [[bar.get_height() for bar in axes.patches] for axes in picture.figure.axes] == [[1, 2], [1, 2]]  # type: ignore[attr-defined]
    assert [text.get_text() for text in picture.figure.axes[0].texts] == ["100", "200"]


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


def test_intensity_marks_the_balance() -> None:
    rows = [(p, k, b, 10.0 * b / k) for p in ("decode", "prefill") for k in (8, 1) for b in (1, 100)]
    results = pd.DataFrame(rows, columns=["phase", "kv_heads", "batch", "intensity"])
    picture = pictures.intensity(results, balance=295, device="a chip")
    axes = picture.figure.axes[0]
    assert any(list(np.asarray(line.get_ydata())) == [295, 295] for line in axes.get_lines())
    assert "a chip: 295 operations per byte" in [text.get_text() for text in axes.texts]
