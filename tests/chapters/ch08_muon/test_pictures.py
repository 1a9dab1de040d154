"""Chapter 8's pictures draw the numbers they were given."""

import numpy as np
import pandas as pd
import pytest

from course_lib.chapters.ch08_muon import pictures
from tests.chapters.ch08_muon.samples import directions


def test_traces_are_medians_with_one_line_per_seed() -> None:
    picture = pictures.condition_traces(directions())
    for axes in picture.figure.axes:
        assert [list(np.asarray(line.get_ydata())) for line in axes.get_lines()] == [[10, 110]] * 2 + [
            [20, 120]
        ] * 2
    assert {text.get_text() for text in picture.figure.axes[2].texts} == {"AdamW", "Muon"}


def test_rates_curves_and_variants_hold_every_run() -> None:
    finals = pd.DataFrame(
        [
            (name, lr, seed, 2 + lr + seed / 10)
            for name in ("AdamW", "Muon")
            for lr in (0.1, 0.3)
            for seed in (0, 1)
        ],
        columns=["optimizer", "lr", "seed", "validation_loss"],
    )
    dots, means = pictures.loss_by_rate(finals).figure.axes[0].get_lines()[:2]
    assert len(np.asarray(dots.get_xdata())) == 4
    assert list(np.asarray(means.get_ydata())) == pytest.approx([2.15, 2.35])
    variants = finals.assign(variant=finals["optimizer"])
    axes = pictures.variants(variants, ["Muon", "AdamW"]).figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Muon", "AdamW"]
    curves = pd.DataFrame({"optimizer": "Muon", "seed": 0, "step": range(30), "loss": np.arange(30.0)})
    line = (
        pictures.loss_curves(pd.concat([curves, curves.assign(optimizer="AdamW")]), window=3)
        .figure.axes[0]
        .get_lines()[0]
    )
    assert np.asarray(line.get_ydata())[-1] == 28


def test_spectra_errors_and_overhead_are_named_lines() -> None:
    frame = pd.DataFrame({"matrix": ["m"] * 2, "rank": [1, 2], "value": [1.0, 0.1]})
    assert pictures.spectra(frame).figure.axes[0].texts[0].get_text() == "m"
    errors = pd.DataFrame({"method": ["cubic"] * 2, "step": [0, 1], "error": [1.0, 0.5]})
    assert "cubic 0.5" in pictures.error_by_step(errors, lower=0.1).alt
    share = pd.DataFrame({"d_model": [64] * 2, "tokens": [512, 1024], "share": [0.5, 0.25]})
    assert pictures.overhead_by_batch(share).figure.axes[0].texts[0].get_text() == "d = 64"


def test_shares_are_bars_beside_the_law() -> None:
    frame = pd.DataFrame({"path": ["run", "walk"], "first": [0.9, 0.8], "second": [0.05, 0.1]})
    axes = pictures.explained(frame, law=(0.81, 0.09)).figure.axes[0]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.9, 0.8, 0.05, 0.1])
    assert [float(np.asarray(line.get_xdata())[0]) for line in axes.get_lines()] == pytest.approx([0.81, 0.9])
