"""Layers that multiply, and layers that are taught to."""

import pandas as pd
import pytest
import torch

from course_lib.chapters.ch03_gating.experiments import products


def test_two_units_multiply() -> None:
    x = torch.tensor([[3.0, -2.0], [-1.5, -4.0], [0.0, 7.0], [-2.0, 0.5]])
    assert products.multiplier()(x).tolist() == [[-6.0, 0.0], [6.0, 0.0], [0.0, 0.0], [-1.0, 0.0]]


def test_targets_are_functions_of_two_numbers() -> None:
    x = torch.tensor([[3.0, -2.0], [-1.5, -4.0]])
    assert products.TARGETS["product"](x).tolist() == [-6, 6]
    assert products.TARGETS["maximum"](x).tolist() == [3, -1.5]


def test_each_layer_is_good_at_what_it_is_made_of() -> None:
    widths = {"relu": 12, "bilinear": 8}
    error = {target: products.learn(target, widths, seeds=2, steps=120) for target in products.TARGETS}
    assert error["product"]["seed"].tolist() == [0, 1] * 2
    median = {target: frame.groupby("activation")["error"].median() for target, frame in error.items()}
    assert median["product"]["bilinear"] < 0.2 * median["product"]["relu"]
    assert median["maximum"]["relu"] < 0.3 * median["maximum"]["bilinear"]
    pd.testing.assert_frame_equal(error["product"], products.learn("product", widths, seeds=2, steps=120))


def test_layers_have_equal_parameters() -> None:
    counts = {
        name: sum(p.numel() for p in products._layer(name, width).parameters())
        for name, width in products.WIDTHS.items()
    }
    assert set(counts.values()) == {48}


def test_the_error_is_relative_to_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_train", lambda layers, *_: layers[0].w2.weight.detach().zero_())
    frame = products.learn("product", {"relu": 3}, seeds=1)
    assert frame["error"][0] == pytest.approx(1)  # a layer that always gives 0
