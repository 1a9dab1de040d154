"""Chapter 4's training runs, for a few steps."""

import pytest
import torch

from course_lib.chapters.ch04_rope.experiments import positions
from course_lib.chapters.ch04_rope.experiments.positions import EncodedModel
from course_lib.lab.small_runs import held_out_bytes, small_config, validation_loss
from course_lib.loss import cross_entropy
from course_lib.model import RopeScaling, TransformerLM


@pytest.fixture(scope="module")
def trained() -> list[EncodedModel]:
    return positions.train_encodings(("rope", "learned"), seeds=(0,), steps=3, d_model=16, num_layers=1)


def test_encodings_are_trained_as_asked(trained: list[EncodedModel]) -> None:
    assert [(m.encoding, m.seed, m.model.config.position) for m in trained] == [
        ("rope", 0, "rope"),
        ("learned", 0, "learned"),
    ]
    assert all(3 < m.train_loss < 8 for m in trained)


def test_a_lengthened_model_is_the_same_within_its_old_length(trained: list[EncodedModel]) -> None:
    model = trained[0].model
    longer = positions.lengthened(model, 128)
    ids = held_out_bytes()[:64]
    torch.testing.assert_close(longer(ids), model(ids))
    scaled = positions.lengthened(model, 128, RopeScaling("linear", 2.0))
    assert (scaled(ids) - model(ids)).abs().max() > 1e-4
    assert scaled(held_out_bytes()[:128]).shape == (128, 256)
    with pytest.raises(ValueError, match="learned positions"):
        positions.lengthened(trained[1].model, 128)


def test_loss_by_position_averages_to_the_loss(trained: list[EncodedModel]) -> None:
    curve = positions.loss_by_position(trained[0].model, 64, windows=64, bin_size=16)
    assert curve.position.tolist() == [7.5, 23.5, 39.5, 55.5]
    assert curve.loss.mean() == pytest.approx(validation_loss(trained[0].model, windows=64), rel=1e-5)


def test_beyond_training_stops_where_the_learned_table_ends(trained: list[EncodedModel]) -> None:
    curves = positions.beyond_training(trained, 128).groupby("encoding").position.max()
    assert curves.to_dict() == {"rope": 123.5, "learned": 59.5}


def test_the_other_layout_needs_reordered_weights(trained: list[EncodedModel]) -> None:
    # Weights that matter: three steps of training hardly look at positions.
    torch.manual_seed(0)
    model = TransformerLM(small_config(num_layers=1))
    for name in ("q_proj", "k_proj"):
        getattr(model.layers[0].attn, name).weight.data.mul_(4)
    losses = positions.other_layout([EncodedModel("rope", 0, model, 0.0)]).set_index("weights").loss
    assert losses["other layout, reordered"] == pytest.approx(losses["as trained"], abs=1e-5)
    assert abs(losses["other layout"] - losses["as trained"]) > 1e-3


def test_stretching_compares_every_way_before_and_after_tuning(trained: list[EncodedModel]) -> None:
    before = {name: value.clone() for name, value in trained[0].model.state_dict().items()}
    curves = positions.stretch(trained[:1], factor=2, tuning_steps=2)
    assert set(curves.method) == set(positions.scalings(2))
    assert set(curves.tuned) == {0, 2}
    tuned = curves.groupby(["method", "tuned"]).loss.mean().unstack()
    assert (tuned[2] < tuned[0]).all()
    assert all(torch.equal(value, before[name]) for name, value in trained[0].model.state_dict().items())


def test_slowed_pairs_are_slowed_as_their_names_say() -> None:
    ratio = positions.slowed_pairs(16, factor=4).pivot(index="pair", columns="method", values="ratio")
    assert (ratio["as it is"] == 1).all()
    assert ratio["position interpolation"].tolist() == pytest.approx([0.25] * 8)
    for name in ("NTK-aware", "YaRN"):
        assert ratio[name].iloc[0] == pytest.approx(1)
        assert ratio[name].iloc[-1] == pytest.approx(0.25)
        assert ratio[name].is_monotonic_decreasing


def test_losses_by_position_are_cross_entropies(trained: list[EncodedModel]) -> None:
    model = trained[0].model
    curve = positions.loss_by_position(model, 8, windows=2, bin_size=8)
    from course_lib.data import get_batch

    x, y = get_batch(held_out_bytes(), 2, 8, generator=torch.Generator().manual_seed(0))
    assert curve.loss.item() == pytest.approx(cross_entropy(model(x), y).item(), rel=1e-5)
