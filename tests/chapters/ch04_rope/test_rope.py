"""Chapter 4's experiments without training, against known numbers."""

import math

import numpy as np
import pytest
import torch

from course_lib.chapters.ch04_rope.experiments import rope


def test_one_layer_without_positions_sees_a_bag_of_tokens() -> None:
    changes = rope.order_matters(num_layers=(1, 2), seeds=(0,), length=12).set_index(["model", "layers"])
    bags = [("none", 1), ("none, no mask", 1), ("none, no mask", 2)]
    assert (changes.change[bags] < 1e-5).all()
    assert (changes.change.drop(bags) > 0.01).all()


@pytest.mark.parametrize("matrix", ["offset only", "row only"])
def test_diagonal_spread_tells_scores_of_offsets_from_others(matrix: str) -> None:
    rows, columns = np.mgrid[:20, :20]
    scores = np.cos(0.7 * (columns - rows)) if matrix == "offset only" else rows.astype(float)
    expected = 0 if matrix == "offset only" else None
    spread = rope.diagonal_spread(scores)
    assert spread == pytest.approx(expected, abs=1e-7) if expected == 0 else 0.5 < spread <= 1


def test_rotated_scores_are_constant_along_diagonals_and_added_ones_are_not() -> None:
    scores = rope.placed_scores(length=16, head_dim=8)
    assert rope.diagonal_spread(scores["rotated"]) < 1e-5
    assert rope.diagonal_spread(scores["added"]) > 0.3


def test_precision_at_no_shift_is_that_of_the_format() -> None:
    errors = rope.score_precision(shifts=(0, 2048), draws=50).set_index(["rounded", "shift"]).error
    for name, bits in (("float32", 24), ("float16", 11), ("bfloat16", 8)):
        assert 0 < errors[f"{name} angles", 0] < 10 * 2.0**-bits
    # bfloat16 cannot represent 2048 + 1: positions that differ by the offset become the same.
    assert errors["bfloat16 angles", 2048] > 0.5
    # Where only the table, query and key are bfloat16, the error is that of the format at any position.
    assert 2.0**-10 < errors["bfloat16 table, query and key", 2048] < 4 * 2.0**-8


def test_spectrum_is_geometric() -> None:
    table = rope.spectrum(100.0, 8, length=63)
    assert table.wavelength.to_numpy() == pytest.approx(
        2 * math.pi * np.array([1, 10**0.5, 10, 10**1.5]), rel=1e-5
    )
    assert (table.turns >= 1).tolist() == [True, True, True, False]


def test_score_by_offset_agrees_with_its_expectation() -> None:
    table = rope.score_by_offset([0, 3, 50], head_dim=16, draws=20_000).set_index(["vectors", "offset"])
    frequencies = 10000.0 ** (-np.arange(8) / 8)
    for offset in (0, 3, 50):
        expected = 4 * np.cos(offset * frequencies).mean()  # E|q|² / sqrt(d) times the mean cosine
        assert table["mean"]["equal", offset] == pytest.approx(expected, abs=0.06)
        assert table["mean"]["independent", offset] == pytest.approx(0, abs=0.04)
        assert table["std"]["independent", offset] == pytest.approx(1, abs=0.03)
    assert table.bound["equal", 0] == 1 > table.bound["equal", 3]


def test_ways_to_turn_agree_and_are_timed() -> None:
    table = rope.rotation_costs((1, 2, 8, 4), repeats=1)
    assert len(table) == 6
    assert table.relative.min() == 1
    assert (table.milliseconds > 0).all()


def test_ways_that_disagree_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rope, "rotate_pairs", lambda x, *_tables: x)
    with pytest.raises(AssertionError):
        rope.rotation_costs((1, 2, 8, 4), repeats=1)
    assert torch.is_grad_enabled()
