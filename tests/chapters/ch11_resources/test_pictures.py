"""Chapter 11's pictures show the numbers they were given."""

import numpy as np
import pandas as pd
import pytest

from course_lib.chapters.ch11_resources import pictures


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (950, "950"),
        (1234, "1.2k"),
        (124_439_808, "124M"),
        (6.7e9, "6.7G"),
        (5.7e23, "570Z"),
        (2e15, "2.0P"),
    ],
)
def test_counts_are_short(number: float, text: str) -> None:
    assert pictures.count_text(number) == text


def test_shares_stand_beside_each_other() -> None:
    models = pd.DataFrame(
        {
            "model": ["a"],
            "parameters": [2e9],
            "embedding": [0.1],
            "attention": [0.3],
            "ffn": [0.5],
            "head": [0.1],
        }
    )
    (axes,) = pictures.parameter_shares(models).figure.axes
    bars = [(round(bar.get_x(), 6), round(bar.get_width(), 6)) for bar in axes.patches]  # type: ignore[attr-defined]
    assert bars == [(0, 0.1), (0.1, 0.3), (0.4, 0.5), (0.9, 0.1)]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a, 2.0B"]
    assert {"attention 30%", "ffn 50%", "10%"} == {text.get_text() for text in axes.texts}


def test_memory_bars_end_at_the_total() -> None:
    frame = pd.DataFrame(
        {
            "case": ["x"],
            "weights": [1.0],
            "gradients": [0.0],
            "optimizer": [2.0],
            "activations": [4.0],
            "loss": [1.0],
        }
    ).assign(total=8.0)
    picture = pictures.memory_bars(frame)
    (axes,) = picture.figure.axes
    last = axes.patches[-1]
    assert last.get_x() + last.get_width() == 8  # type: ignore[attr-defined]
    assert "8.0 GB" in {text.get_text() for text in axes.texts} and "x: 8.0 GB" in picture.alt


def test_lines_and_dots_are_the_data() -> None:
    contexts = pd.DataFrame(
        {"model": ["m", "m"], "context": [1024, 2048], "attention": [0.2, 0.4], "rule": [0.8, 0.6]}
    )
    left, right = pictures.by_context(contexts).figure.axes
    assert list(np.asarray(left.get_lines()[0].get_ydata())) == [0.2, 0.4]
    assert list(np.asarray(right.get_lines()[0].get_ydata())) == [0.8, 0.6]
    steps = pd.DataFrame({"width": [32, 64], "MFU": [0.2, 0.5], "tokens_per_second": [100.0, 50.0]})
    picture = pictures.utilization(steps)
    assert "D = 64: 50%" in picture.alt and picture.png().startswith(b"\x89PNG")


def test_the_ablation_has_one_dot_per_seed_and_a_line_for_the_base() -> None:
    shapes = pd.DataFrame({"shape": ["base", "deep"], "rule": ["", "depth"]})
    finals = pd.DataFrame(
        [
            (shape, lr, seed, 2 + lr + seed / 10)
            for shape in ("base", "deep")
            for lr in (0.1, 0.2)
            for seed in (0, 1)
        ],
        columns=["shape", "lr", "seed", "validation_loss"],
    )
    picture = pictures.ablation(finals, shapes)
    line, dots, *_ = picture.figure.axes[0].get_lines()
    assert float(np.asarray(line.get_xdata())[0]) == pytest.approx(2.15)
    assert list(np.asarray(dots.get_xdata())) == pytest.approx([2.1, 2.2])
    assert "base 2.15, deep 2.15" in picture.alt
