"""Trained models on longer texts than they were trained on."""

import pytest
import torch

from course_lib.chapters.ch04_rope.experiments import positions
from course_lib.data import get_batch
from course_lib.lab.small_runs import SmallRun, held_out_bytes, new_model, small_config, validation_loss
from course_lib.loss import cross_entropy
from course_lib.model import RopeScaling, TransformerLM


@pytest.fixture(scope="module")
def model() -> TransformerLM:
    return new_model(SmallRun(config=small_config(context_length=64, d_model=16, num_layers=1)), 0)


def test_a_lengthened_model_is_the_same_within_its_old_length(model: TransformerLM) -> None:
    longer = positions.lengthened(model, 128)
    ids = held_out_bytes()[:64]
    torch.testing.assert_close(longer(ids), model(ids))
    scaled = positions.lengthened(model, 128, RopeScaling("linear", 2.0))
    assert (scaled(ids) - model(ids)).abs().max() > 1e-4
    assert scaled(held_out_bytes()[:128]).shape == (128, 256)
    learned = new_model(SmallRun(config=small_config(context_length=64, position="learned")), 0)
    with pytest.raises(ValueError, match="learned positions"):
        positions.lengthened(learned, 128)


def test_loss_by_position_averages_to_the_loss(model: TransformerLM) -> None:
    curve = positions.loss_by_position(model, 64, windows=64, bin_size=16)
    assert curve.position.tolist() == [7.5, 23.5, 39.5, 55.5]
    assert curve.loss.mean() == pytest.approx(validation_loss(model, windows=64), rel=1e-5)


def test_losses_by_position_are_cross_entropies(model: TransformerLM) -> None:
    curve = positions.loss_by_position(model, 8, windows=2, bin_size=8)
    x, y = get_batch(held_out_bytes(), 2, 8, generator=torch.Generator().manual_seed(0))
    assert curve.loss.item() == pytest.approx(cross_entropy(model(x), y).item(), rel=1e-5)
