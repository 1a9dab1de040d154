"""Schedules as factors, against hand calculation and the library's functions."""

import numpy as np
import pytest

from course_lib.chapters.ch09_schedules.experiments import shapes
from course_lib.chapters.ch09_schedules.experiments.shapes import ARMS, SHAPES, schedule
from course_lib.lab.small_runs import linear_to_zero
from course_lib.optim import cosine


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("warmup", [0.0, 0.1])
def test_every_shape_uses_every_step_and_peaks_at_one(shape: str, warmup: float) -> None:
    factors = np.array([schedule(shape, 100, warmup=warmup)(step) for step in range(100)])
    assert factors.min() > 0 and factors.max() <= 1
    # Without a warm-up the decays begin with the first update.
    assert factors.max() == pytest.approx(1, abs=0.06)
    if warmup:
        np.testing.assert_allclose(factors[:10], np.arange(1, 11) / 10)
        assert factors[9] == 1


def test_the_ends_of_the_arms() -> None:
    last = {name: shapes.arm(name, 100, warmup=0.1)(99) for name in ARMS}
    assert last["constant"] == 1
    assert last["linear to 0"] == pytest.approx(1 / 91)
    assert last["linear to 10 %"] == pytest.approx(0.1 + 0.9 / 91)
    assert last["cosine to 0"] == pytest.approx(0, abs=0.002)
    assert last["cosine to 10 %"] == pytest.approx(0.1, abs=0.002)
    assert last["one restart"] == pytest.approx(0.1, abs=0.002)
    assert last["inverse sqrt"] == pytest.approx(0.1**0.5)
    assert last["WSD"] == pytest.approx(1 / 20)
    assert last["WSD, 1 - sqrt"] == pytest.approx(1 - (19 / 20) ** 0.5)


def test_options_of_a_schedule() -> None:
    wsd = schedule("WSD", 100, decay=0.5)
    assert wsd(49) == 1 > wsd(51)
    assert schedule("linear", 100, final=0.5)(99) == pytest.approx(0.5, abs=0.01)


def test_the_default_run_of_the_course_is_one_of_the_arms() -> None:
    ours, labs = shapes.arm("linear to 0", 600), linear_to_zero(600)
    assert [ours(step) for step in range(600)] == [labs(step) for step in range(600)]


def test_a_restart_is_two_cosines() -> None:
    factor = schedule("one restart", 99, warmup=0, final=0.1)
    jump = max(range(98), key=lambda step: factor(step + 1) - factor(step))
    assert jump in (48, 49)
    for step in range(48):
        assert factor(step) == pytest.approx(
            cosine(step + 1, max_lr=1, min_lr=0.1, warmup_steps=0, total_steps=50)
        )


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape must be one of 'constant', .* not 'triangle'"):
        schedule("triangle", 10)
    with pytest.raises(ValueError, match=r"name must be one of 'constant', .* not 'linear'"):
        shapes.arm("linear", 10)


def test_tables_hold_the_factors() -> None:
    frame = shapes.table({"double": lambda step: 2.0 * step}, 3)
    assert frame.to_dict("list") == {"shape": ["double"] * 3, "step": [0, 1, 2], "factor": [0.0, 2.0, 4.0]}
