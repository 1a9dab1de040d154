"""Pairs whose speeds are changed in a model, and the tables that compare stored runs."""

import math

import pandas as pd
import pytest
import torch

from course_lib.chapters.ch04_rope.experiments import compared, copying, pairs
from course_lib.lab.hooks import attentions
from course_lib.lab.repeated_strings import FAR, READ_LENGTH, copying_config
from course_lib.model import RopeScaling, TransformerLM


@pytest.fixture
def model() -> TransformerLM:
    torch.manual_seed(0)
    return TransformerLM(copying_config())


def test_wavelengths_and_the_pairs_that_turned_partly() -> None:
    assert pairs.wavelengths(100.0, 4) == pytest.approx([2 * math.pi, 20 * math.pi])
    assert pairs.partly_turned(10_000.0) == (2, 3, 4) and pairs.partly_turned(100.0) == (4, 5, 6, 7)


def test_some_pairs_are_slowed_in_every_layer_and_the_others_turn_as_trained(
    model: TransformerLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = []

    def accuracy(model: TransformerLM, length: int, periods: tuple[int, int]) -> float:
        assert (length, periods) == (READ_LENGTH, FAR)
        tables.append([attention.rope for attention in attentions(model)])
        return 0.5

    as_trained = [attention.rope for attention in attentions(model)]
    monkeypatch.setattr(pairs, "accuracy", accuracy)
    table = pairs.some_pairs_slower(model, "rope", [(), (1, 3)])
    assert table.pairs.tolist() == [(), (1, 3)] and table.far.tolist() == [0.5, 0.5]
    assert [attention.rope for attention in attentions(model)] == as_trained
    plain = copying.speeds("rope", 16)[0]
    for ropes, slow in zip(tables, ((), (1, 3)), strict=True):
        expected = [0.25 if pair in slow else 1.0 for pair in range(8)]
        for rope in ropes:
            assert rope is not None
            angles = torch.atan2(rope.sin[1], rope.cos[1])
            assert (angles / plain).tolist() == pytest.approx(expected, rel=1e-3)


def test_yarn_is_changed_in_one_thing_at_a_time(
    model: TransformerLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(
        pairs, "reads_far", lambda _model, speeds, sharper: seen.append((speeds, sharper)) or 0.0
    )
    assert pairs.yarn_changed(model).way.tolist() == [
        "YaRN x4",
        "not sharper",
        "pair 2 interpolated",
        "Llama 3 x4",
    ]
    (yarn, factor), (same, one), (changed, kept), (_, plain) = seen
    assert torch.equal(yarn, same) and factor == kept > 1 == one == plain
    assert (changed != yarn).nonzero().tolist() == [[2]]
    assert changed[2] == copying.speeds("rope", 16)[0][2] / 4


def points() -> pd.DataFrame:
    """Copying points in which the best rate within the trained length is not the best one far out."""
    rows = []
    for arm in ("rope", "none"):
        for seed in (0, 1):
            for lr, trained, far in ((0.004, 0.8, 0.5), (0.008, 0.9, 0.3), (0.016, 0.7, 0.9)):
                extra = {f"pair {pair}, near": 0.9 for pair in range(8)}
                extra |= {f"pair {pair}, far": far + 0.01 * pair for pair in range(8)}
                rows.append(
                    {"arm": arm, "seed": seed, "lr": lr, "trained": trained, "near": 0.8, "far": far, **extra}
                )
    return pd.DataFrame(rows)


def test_runs_are_chosen_by_what_they_do_within_the_trained_length() -> None:
    runs = compared.at_best_rate(points())
    assert runs.lr.unique().tolist() == [0.008] and len(runs) == 4
    read = compared.read_out(runs, [compared.PLAIN, "pair 3"])
    assert read.groupby("way").far.mean().to_dict() == pytest.approx({"as it is": 0.3, "pair 3": 0.33})
    by_pair = compared.by_pair(runs)
    assert by_pair.groupby("pair").gain.mean().tolist() == pytest.approx([0.01 * pair for pair in range(8)])
    assert by_pair.turns.iloc[0] == pytest.approx(64 / (2 * math.pi))
    assert set(by_pair.seed) == {0, 1} and len(by_pair) == 16


def test_ways_of_stretching_slow_the_pairs_that_their_names_say() -> None:
    ratio = compared.slowed_pairs().pivot(index="pair", columns="way", values="ratio")
    assert ratio["interpolation x4"].tolist() == pytest.approx([0.25] * 8)
    for name, last in (("NTK x4", 1 / 4), ("NTK x12", 1 / 12), ("YaRN x4", 1 / 4), ("Llama 3 x4", 1 / 4)):
        assert ratio[name].iloc[0] == pytest.approx(1) and ratio[name].iloc[-1] == pytest.approx(last)
        assert ratio[name].is_monotonic_decreasing
    assert compared.same_speeds([RopeScaling("yarn", 4, 64, beta_fast=beta) for beta in (4.0, 32.0)])
    assert not compared.same_speeds([RopeScaling("ntk", 4), RopeScaling("ntk", 8)])


def test_novels_are_compared_at_each_encodings_best_rate() -> None:
    rows = [
        (encoding, seed, lr, bits + seed / 100, None if encoding == "learned" else 3.0 + bits)
        for encoding, best in zip(compared.ENCODINGS, (2.5, 2.6, 2.7, 2.8), strict=True)
        for seed in (0, 1)
        for lr, bits in ((0.004, best + 0.1), (0.008, best), (0.016, best + 0.2))
    ]
    novels = pd.DataFrame(rows, columns=["encoding", "seed", "lr", "bits", "as it is"])
    table = compared.at_trained_length(novels)
    assert table.loc[0].tolist() == [2.5, 2.6, 2.7, 2.8]
    assert compared.ahead(table, "rope")["none"].mean == pytest.approx(0.3)
    far = compared.beyond(novels, ["as it is"])
    assert set(far.encoding) == {"rope", "sinusoidal", "none"} and far.bits.max() == pytest.approx(5.8)
