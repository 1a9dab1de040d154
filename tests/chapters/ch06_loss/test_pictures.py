"""Chapter 6's pictures show the numbers they were given."""

import numpy as np
import pandas as pd

from course_lib.chapters.ch06_loss import pictures


def test_the_pull_is_the_gradient() -> None:
    left, right = pictures.price_of_a_guess().figure.axes
    p, loss = (np.asarray(values, dtype=float) for values in left.get_lines()[0].get_data())
    np.testing.assert_allclose(np.exp(-loss), p)
    margin, pull = (np.asarray(values, dtype=float) for values in right.get_lines()[1].get_data())
    squared = 2 * (1 / (1 + np.exp(-margin)) - 1) ** 2 / 2  # (1 - q)² + (1 - q)² over two classes, halved
    np.testing.assert_allclose(pull[1:-1], -np.gradient(squared, margin)[1:-1], atol=1e-3)


def gap_results() -> pd.DataFrame:
    rows = [
        (formula, name, gap, np.inf if gap > 20 * place else gap, gap)
        for formula in ("naive", "log-sum-exp")
        for place, name in enumerate(pictures.FORMAT_COLOURS, start=1 if formula == "naive" else 9)
        for gap in (0.0, 10.0, 30.0, 50.0, 70.0)
    ]
    return pd.DataFrame(rows, columns=["formula", "format", "gap", "loss", "exact"])


def test_lines_end_where_the_loss_does() -> None:
    results = gap_results()
    ends = pictures.last_finite(results)
    assert ends["naive"].tolist() == [10, 30, 50] and ends["log-sum-exp"].tolist() == [70, 70, 70]
    picture = pictures.losses_over_gap(results)
    naive, stable = picture.figure.axes
    marks = [
        float(np.asarray(line.get_xdata())[-1]) for line in naive.get_lines() if line.get_marker() == "x"
    ]
    assert marks == [10, 30, 50]
    assert not [line for line in stable.get_lines() if line.get_marker() == "x"]
    assert {"float32", "bfloat16", "float16"} <= {text.get_text() for text in naive.texts}
    assert picture.png().startswith(b"\x89PNG")


def test_a_loss_that_is_infinite_in_between_ends_the_line() -> None:
    results = pd.DataFrame(
        {
            "formula": "a",
            "format": "float32",
            "gap": [0.0, 1.0, 2.0],
            "loss": [0.0, np.inf, 2.0],
            "exact": 0.0,
        }
    )
    assert pictures.last_finite(results)["a", "float32"] == 0


def test_units_memory_and_rounding_have_one_line_per_column_or_method() -> None:
    units = pd.DataFrame(
        {
            "vocab_size": [256, 512] * 2,
            "nats per token": [2.0, 3] * 2,
            "perplexity": [7.4, 20] * 2,
            "bits per byte": [3.0, 2] * 2,
        }
    )
    panels = pictures.units(units).figure.axes
    assert [axes.get_title(loc="left") or axes.get_title() for axes in panels] == [
        "nats per token",
        "perplexity",
        "bits per byte",
    ]
    assert list(np.asarray(panels[2].get_lines()[0].get_ydata())) == [3, 2]
    methods = ["all logits", "chunked loss", "chunked head and loss"]
    memory = pd.DataFrame(
        [(name, size, size * 1e6 / (i + 1), 0.1) for i, name in enumerate(methods) for size in (10, 20)],
        columns=["method", "vocab_size", "peak_bytes", "cpu_seconds"],
    )
    picture = pictures.head_memory(memory)
    assert {text.get_text() for text in picture.figure.axes[0].texts} == set(methods)
    assert "all logits: 20 MB" in picture.alt
    rounding = pd.DataFrame(
        [(name, offset, offset / 100) for name in pictures.FORMAT_COLOURS for offset in (0, 64)],
        columns=["format", "offset", "excess"],
    )
    (axes,) = pictures.after_rounding(rounding).figure.axes
    assert [float(np.asarray(line.get_ydata())[-1]) for line in axes.get_lines()] == [0.64] * 3


def test_training_pictures_have_one_line_per_seed() -> None:
    curves = pd.DataFrame(
        [
            (qk, lr, seed, step, 0.0, 10.0 if qk else 1000.0 + seed)
            for qk in (False, True)
            for lr in (0.01, 0.1)
            for seed in (0, 1)
            for step in (0, 10)
        ],
        columns=["qk_norm", "lr", "seed", "step", "loss", "max_logit"],
    )
    finals = curves[curves["step"] == 10].assign(validation_loss=2.0)
    picture = pictures.attention_growth(curves, finals)
    first, _, losses = picture.figure.axes
    assert len(first.get_lines()) == 4 and len(losses.get_lines()) == 4
    assert "without at lr 0.1 1,000" in picture.alt
    drift = curves.rename(columns={"lr": "z_loss", "max_logit": "log_z"})
    left, right = pictures.output_drift(
        drift[~drift["qk_norm"]], finals.rename(columns={"lr": "z_loss"})
    ).figure.axes
    assert {text.get_text() for text in left.texts} == {"weight 0.01", "weight 0.1"}
    assert len(right.get_lines()) == 2
