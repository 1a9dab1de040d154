"""The bowl against brute force."""

import numpy as np
import pytest

from course_lib.chapters.ch09_schedules.experiments import bowl
from course_lib.chapters.ch09_schedules.experiments.shapes import ARMS, arm


def test_the_bowl_is_what_many_noisy_walks_give() -> None:
    rates = np.array([0.5, 0.3, 0.3, 0.1])
    frame = bowl.noisy_bowl(rates, curvatures=(1.0, 0.2), noise=0.7, start=2.0)
    rng = np.random.default_rng(0)
    for h in (1.0, 0.2):
        w = np.full(200_000, 2.0 / h**0.5)
        for rate in rates:
            w = w - rate * (h * w + 0.7 * rng.normal(size=w.shape))
        assert (h * w**2).mean() / 2 == pytest.approx(frame[f"h={h:g}"].iloc[-1], rel=0.02)
    assert frame["total"].iloc[0] == pytest.approx(4.0)
    floor = bowl.noisy_bowl(np.full(500, 0.4), curvatures=(1.0,))["total"].iloc[-1]
    assert floor == pytest.approx(0.4 / (4 - 0.8))


def test_the_winner_is_the_best_of_all_schedules_and_peaks() -> None:
    rates = [0.3, 0.6, 1.2]
    [row] = bowl.winners((60,), (0.05,), rates=rates).to_dict("records")
    finals = {}
    for name in ARMS:
        factor = arm(name, 60)
        for lr in rates:
            curve = bowl.noisy_bowl(
                np.array([lr * factor(step) for step in range(60)]), curvatures=(1.0, 0.05)
            )
            finals[name, lr] = curve["total"].iloc[-1]
    assert (row["winner"], row["lr"]) == min(finals, key=lambda key: finals[key])
    assert row["loss"] == pytest.approx(min(finals.values()))
    best = {name: min(rates, key=lambda lr, name=name: finals[name, lr]) for name in ARMS}
    assert row["at_edge"] == sum(lr != 0.6 for lr in best.values())
    assert row["gain"] == pytest.approx(finals["constant", best["constant"]] / row["loss"])
    assert row["margin"] == pytest.approx(
        sorted(finals[name, best[name]] for name in ARMS)[1] / row["loss"] - 1
    )


def test_a_schedule_on_the_bowl_shows_its_rates() -> None:
    options = {"warmup": 0.1, "decay": 0.2, "noise": 1.0, "flat": 0.01, "steps": 50}
    rates, frame = bowl.bowl_under("linear", lr=0.5, final=0.1, **options)  # type: ignore[arg-type]
    assert rates.max() == pytest.approx(0.5) and rates[-1] == pytest.approx(0.06, abs=0.01)
    assert len(frame) == 51 and list(frame.columns) == ["step", "total", "h=1", "h=0.01"]
