"""The declared experiments of chapter 4: speeds of pairs, and the numbers of a point."""

from dataclasses import replace

import pytest
import torch

from course_lib.chapters.ch04_rope.experiments import copying, reference
from course_lib.lab.hooks import attentions
from course_lib.lab.repeated_strings import SYMBOLS, copying_config
from course_lib.model import TransformerLM, rotary_frequencies

IDS = torch.arange(100).remainder(SYMBOLS).expand(2, 100)


def model(**changes: object) -> TransformerLM:
    torch.manual_seed(0)
    return TransformerLM(copying_config(**changes))


@pytest.mark.parametrize("name", copying.STRETCHED)
def test_speeds_set_by_hand_are_those_of_the_library(name: str) -> None:
    ours, scaling = model(), copying.STRETCHED[name]
    radians, sharper = copying.stretched_speeds(scaling, ours.config.head_width)
    copying.set_speeds(ours, radians, sharper=sharper)
    theirs = TransformerLM(replace(ours.config, rope_scaling=scaling))
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(IDS), theirs(IDS))


def test_arms_turn_the_pairs_that_they_name() -> None:
    plain, bare = model(), model(position="none")
    expected = {"rope": plain(IDS), "none": bare(IDS), "theta 100": model(rope_theta=100.0)(IDS)}
    expected["theta 1e6"] = model(rope_theta=1e6)(IDS)
    for arm, logits in expected.items():
        copying.set_speeds(plain, copying.speeds(arm, 16))
        torch.testing.assert_close(plain(IDS), logits)
    full, _ = rotary_frequencies(10_000.0, 16)
    for arm, (first, second) in {arm: copying.speeds(arm, 16) for arm in copying.ARMS}.items():
        assert torch.equal(first, second) or arm == "one layer"
    assert torch.equal(copying.speeds("p-rope", 16)[0], full * (torch.arange(8) < 4))
    assert torch.equal(copying.speeds("partial", 16)[0][:4], rotary_frequencies(10_000.0, 8)[0])
    assert not copying.speeds("partial", 16)[0][4:].any()
    assert torch.equal(copying.speeds("one layer", 16)[0], full)
    assert not copying.speeds("one layer", 16)[1].any()
    slower = copying.one_pair_slower(3, 16)[1]
    assert (slower != full).nonzero().tolist() == [[3]] and slower[3] == full[3] / 4


def test_a_copying_run_returns_every_way_of_reading() -> None:
    found = reference.copying_run(seed=0, arm="rope", lr=0.008, steps=3)
    assert all(0 <= share <= 1 for share in found.values())
    labels = ["", "window 32, ", "window 64, ", *(f"{name}, " for name in copying.STRETCHED)]
    labels += [f"pair {pair}, " for pair in range(8)]
    assert set(found) == {"trained", *(f"{label}{where}" for label in labels for where in ("near", "far"))}
    assert "YaRN x4, far" not in reference.copying_run(seed=0, arm="none", lr=0.008, steps=1)


def test_a_window_hides_what_is_further_back() -> None:
    ours = model()
    for attention in attentions(ours):
        attention.window = 8
    changed = IDS.clone()
    changed[:, 0] = 63
    # Two layers of windows of 8 reach 14 back.
    torch.testing.assert_close(ours(changed)[:, 15:], ours(IDS)[:, 15:])
    assert not torch.allclose(ours(changed)[:, :8], ours(IDS)[:, :8])


def test_tuning_and_reading_return_the_numbers_of_their_points() -> None:
    for method in ("theta 1e6", "YaRN x4"):
        found = reference.tuning_run(seed=0, method=method, lr=0.001, steps=2, tuning_steps=1)
        assert set(found) == {"trained", "near", "far", "near_before", "far_before"}
    read = reference.reading_run(seed=0, encoding="rope", lr=0.008, steps=4)
    assert set(read) == {"bits", "as it is", "window 32", "window 64", *copying.STRETCHED}
    assert all(3 < bits < 9 for bits in read.values())
    assert set(reference.reading_run(seed=0, encoding="learned", lr=0.008, steps=2)) == {"bits"}
