"""Rotations from one wish, values that are not turned, keys in a cache, and weights in the other layout."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import expm

from course_lib.chapters.ch04_rope.experiments import layouts, rope, turning
from course_lib.lab.repeated_strings import SYMBOLS, copying_config
from course_lib.model import TransformerLM


@given(st.integers(1, 4), st.integers(0, 99))
def test_a_rotation_turns_the_pairs_of_its_own_basis(pairs: int, seed: int) -> None:
    raw = np.random.default_rng(seed).normal(size=(2 * pairs, 2 * pairs))
    rotation = expm(raw - raw.T)
    basis, angles = turning.own_basis(torch.from_numpy(rotation))
    assert basis.numpy() @ basis.numpy().T == pytest.approx(np.eye(2 * pairs), abs=1e-6)
    blocks = torch.block_diag(*[torch.tensor([[a.cos(), -a.sin()], [a.sin(), a.cos()]]) for a in angles])
    assert (basis.T @ blocks.double() @ basis).numpy() == pytest.approx(rotation, abs=1e-5)


def test_only_powers_of_a_rotation_make_scores_of_offsets() -> None:
    scores = turning.families(length=12, seed=3)
    assert scores["powers of a rotation"] == pytest.approx(scores["the same as pairs"], abs=1e-9)
    spreads = {name: rope.diagonal_spread(matrix) for name, matrix in scores.items()}
    assert spreads["powers of a rotation"] < 1e-9
    assert spreads["powers of another matrix"] > 0.01 and spreads["rotations, no powers"] > 0.5


def test_values_stay_and_turned_keys_can_be_repaired() -> None:
    changes = turning.turned_values(shift=9, length=6, head_dim=8).change
    assert changes[0] < 1e-5 and changes[1] > 0.1 and changes[2] < 1e-5
    errors = turning.moved_keys(moved=5, count=8, head_dim=8)
    repaired = errors.done != "nothing"
    assert (errors.error[repaired] < 1e-5).all() and (errors.error[~repaired] > 0.1).all()


@pytest.fixture(scope="module")
def model() -> TransformerLM:
    torch.manual_seed(0)
    made = TransformerLM(copying_config())
    for layer in made.layers:  # weights that make positions matter, without training
        layer.attn.q_proj.weight.data.mul_(4)
        layer.attn.k_proj.weight.data.mul_(4)
    return made.eval()


def test_the_other_layout_needs_reordered_weights(model: TransformerLM) -> None:
    ids = torch.arange(40).remainder(SYMBOLS)
    models = layouts.in_the_other_layout(model)
    expected = models["as trained"](ids)
    torch.testing.assert_close(models["other layout, reordered"](ids), expected, atol=1e-4, rtol=1e-4)
    assert (models["other layout"](ids) - expected).abs().max() > 1e-2
    table = layouts.other_layout(model, length=3)
    assert table.continues[0] == table.continues[2] and table.continues.str.len().eq(3).all()
    assert table.accuracy[0] == pytest.approx(table.accuracy[2], abs=0.01)


def test_a_text_is_continued_with_the_likeliest_symbols(model: TransformerLM) -> None:
    ids = torch.tensor([3, 1, 4])
    written = layouts.continued(model, ids, 2)
    first = model(ids)[-1].argmax()
    assert written.tolist() == [int(first), int(model(torch.cat((ids, first.view(1))))[-1].argmax())]
    assert layouts.spelled(torch.tensor([0, 26, 52, 63])) == "aA0/"
