"""The kit for claims: tuning that brackets, intervals against SciPy, sensitivity by hand, controls that can fail."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from course_lib import show
from course_lib.lab import evidence, reference_runs
from course_lib.lab.reference_runs import Experiment
from tests.lab.toy_experiment import experiment

SAMPLES = st.lists(st.floats(-100, 100), min_size=2, max_size=12)


def runs(best: dict[str, float], rates: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3)) -> pd.DataFrame:
    """A parabola in log lr for each arm, with its minimum at ``best``; three seeds."""
    rows = [
        (arm, lr, seed, np.log(lr / at) ** 2 + 0.01 * seed)
        for arm, at in best.items()
        for lr in rates
        for seed in range(3)
    ]
    return pd.DataFrame(rows, columns=["arm", "lr", "seed", "loss"])


def test_each_arm_is_tuned_for_itself() -> None:
    frame = runs({"a": 0.03, "b": 0.1})
    best = evidence.tuned(frame, arms="arm")
    assert best[["arm", "lr"]].to_numpy().tolist() == [["a", 0.03], ["b", 0.1]]
    assert best["mean"].tolist() == pytest.approx([0.01, 0.01]) and best["n"].tolist() == [3, 3]
    assert best["sem"].tolist() == pytest.approx([0.01 / np.sqrt(3)] * 2)
    chosen = evidence.at_best(frame, best, arms="arm")
    assert chosen.groupby("arm")["lr"].unique().explode().to_dict() == {"a": 0.03, "b": 0.1}


@pytest.mark.parametrize("at", [0.01, 0.3])
def test_a_best_value_at_the_edge_is_refused(at: float) -> None:
    frame = runs({"a": 0.03, "b": at})
    with pytest.raises(
        ValueError, match=rf"arm=b: the best lr, {at:g}, is at the edge of the grid 0.01, 0.03, 0.1, 0.3"
    ):
        evidence.tuned(frame, arms=["arm"])
    assert evidence.tuned(frame, arms="arm", edges=True)["lr"].tolist() == [0.03, at]


@given(st.floats(0.02, 0.17), st.floats(0.02, 0.17))
def test_the_fitted_optimum_of_a_parabola_is_its_vertex(a: float, b: float) -> None:
    fitted = evidence.fitted_best(runs({"a": a, "b": b}), arms="arm")
    assert fitted[["arm", "seed"]].to_numpy().tolist() == [[arm, seed] for arm in "ab" for seed in range(3)]
    assert fitted["lr"].tolist() == pytest.approx([a] * 3 + [b] * 3)
    assert fitted["loss"].tolist() == pytest.approx([0.01 * seed for seed in range(3)] * 2, abs=1e-9)


def test_scales_stand_side_by_side_once_the_larger_one_is_there(tmp_path: Path) -> None:
    toy = dataclasses.replace(experiment(tmp_path), large={"steps": 3})

    def store(one: Experiment) -> None:
        with reference_runs.append_to(one.path) as file:
            for settings, seed in one.jobs:
                reference_runs.append(file, reference_runs.make_point(one, settings, seed))

    store(toy)
    alone = evidence.at_scales(toy, arms="arm")
    assert alone["scale"].tolist() == ["steps 0"] * 2 and alone["best"].tolist() == [0.1, 0.1]
    assert alone["behind"].min() == 0 and alone["behind"].max() == np.ptp(alone["mean"])
    assert toy.larger is not None
    store(toy.larger)
    assert evidence.at_scales(toy, arms="arm")["scale"].tolist() == ["steps 0"] * 2 + ["steps 3"] * 2


def test_an_optimum_without_neighbours_is_not_fitted() -> None:
    with pytest.raises(ValueError, match="arm=a, seed=0: the best lr has no finite neighbours on both sides"):
        evidence.fitted_best(runs({"a": 0.005}), arms="arm")
    diverged = runs({"a": 0.03}).replace({"loss": {0.01 * 2 + np.log(0.1 / 0.03) ** 2: np.inf}})
    with pytest.raises(ValueError, match="arm=a, seed=2"):
        evidence.fitted_best(diverged, arms="arm")


def test_sensitivity_is_the_mean_excess_over_the_best_rate() -> None:
    rows = [
        ("a", 0.1, 3.0),
        ("a", 0.2, 2.0),
        ("a", 0.4, np.inf),
        ("b", 0.1, 2.5),
        ("b", 0.2, 2.1),
        ("b", 0.4, 2.3),
    ]
    frame = pd.DataFrame(rows, columns=["arm", "lr", "loss"])
    found = evidence.sensitivity(frame, arms="arm", initial=5.0).set_index("arm")
    assert found.sensitivity["a"] == pytest.approx((3 + 2 + 5) / 3 - 2)
    assert found.sensitivity["b"] == pytest.approx((2.5 + 2.1 + 2.3) / 3 - 2.1)
    part = evidence.sensitivity(frame, arms="arm", initial=5.0, between=(0.1, 0.2)).set_index("arm")
    assert part.sensitivity["a"] == pytest.approx(0.5) and part.high["a"] == 0.2


@given(SAMPLES, SAMPLES)
def test_welchs_interval_is_scipys(first: list[float], second: list[float]) -> None:
    if np.ptp(first) < 1e-6 or np.ptp(second) < 1e-6:
        return
    found = evidence.unpaired(first, second)
    low, high = stats.ttest_ind(first, second, equal_var=False).confidence_interval()
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9, abs=1e-9)


@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(-100, 100)), min_size=2, max_size=12))
def test_the_paired_interval_is_scipys(pairs: list[tuple[float, float]]) -> None:
    first, second = (pd.Series(side) for side in zip(*pairs, strict=True))
    if np.ptp(first - second) < 1e-6:
        return
    found = evidence.paired(first, second[::-1])  # matched by index, not by place
    low, high = stats.ttest_rel(first, second).confidence_interval()
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9, abs=1e-9)
    assert found.detectable == pytest.approx(max(3 * found.se, (high - low) / 2))
    assert found.shown == (abs(found.mean) >= found.detectable)


def test_a_difference_says_whether_it_is_shown() -> None:
    clear = evidence.paired(pd.Series([1.0, 1.1, 0.9, 1.0]), pd.Series([0.0, 0.0, 0.0, 0.0]))
    assert clear.shown and "not shown" not in str(clear)
    unclear = evidence.unpaired([1.0, 2.0, 3.0], [1.1, 2.1, 3.3])
    assert not unclear.shown
    assert str(unclear).endswith(f"not shown: from {unclear.detectable:.2g} on it would have been")
    # With four pairs 3 standard errors are fewer than the t-interval asks for.
    barely = evidence.paired(pd.Series([0.034, 0.081, 0.033, 0.018]), pd.Series([0.0] * 4))
    assert barely.standard_errors > 3 and barely.low < 0 and not barely.shown
    assert barely.detectable > barely.mean
    same = evidence.unpaired([1.0, 1.0], [1.0, 1.0])
    assert same.standard_errors == 0 and not same.shown


def test_differences_are_a_table() -> None:
    clear = evidence.unpaired([1.0, 1.1], [0.0, 0.1])
    unclear = evidence.unpaired([1.0, 2.0, 3.0], [1.1, 2.1, 3.3])
    table = evidence.differences({"a": clear, "b": unclear})
    assert table["verdict"].tolist() == ["shown", f"not shown (from {unclear.detectable:.2g} on)"]
    assert table.loc[0, ["difference", "se", "low", "high", "n"]].tolist() == pytest.approx(
        [clear.mean, clear.se, clear.low, clear.high, 2]
    )


def test_pairs_need_the_same_seeds_and_two_of_them() -> None:
    with pytest.raises(ValueError, match=r"the same seeds, once each: \[0, 1\] and \[0, 2\]"):
        evidence.paired(pd.Series([1.0, 2.0]), pd.Series([1.0, 2.0], index=[0, 2]))
    with pytest.raises(ValueError, match="1 run is not enough"):
        evidence.unpaired([1.0], [1.0, 2.0])


CONTROL = {
    "because": "the weights rattle",
    "change": "averaged",
    "then": "most is won",
    "measured": "90 % of it",
    "where": "section 4",
}


def test_a_control_asserts_what_it_says() -> None:
    stands = evidence.control(**CONTROL, stands=True)
    refuted = evidence.control(**CONTROL | {"because": "batches are small"}, refuted=True)
    table = evidence.summary(stands, refuted)
    assert table["verdict"].tolist() == ["stands", "refuted"]
    assert table["where"].tolist() == ["section 4", "section 4"]
    assert table["because"].tolist() == ["the weights rattle", "batches are small"]
    assert show.table(table).cells[1] == [
        "batches are small",
        "averaged",
        "90 % of it",
        "refuted",
        "section 4",
    ]
    for condition in ("stands", "refuted"):
        with pytest.raises(
            AssertionError, match=rf"(?s)says that this {condition}.*the weights rattle.*90 %"
        ):
            evidence.control(**CONTROL, **{condition: False})


def test_a_control_needs_a_condition_and_words() -> None:
    for conditions in ({}, {"stands": True, "refuted": False}):
        with pytest.raises(ValueError, match="give one of stands= and refuted="):
            evidence.control(**CONTROL, **conditions)
    with pytest.raises(ValueError, match="measured is empty"):
        evidence.control(**CONTROL | {"measured": " "}, stands=True)
    with pytest.raises(ValueError, match="where is empty"):
        evidence.control(**CONTROL | {"where": ""}, stands=True)


def test_an_answer_has_its_number() -> None:
    shown = evidence.answer("the constant rate is 0.06 bits behind.")
    assert shown._repr_markdown_() == "**Answer:** the constant rate is 0.06 bits behind."
    assert repr(shown) == "Answer: the constant rate is 0.06 bits behind."
    for text in ("the constant rate loses.", " "):
        with pytest.raises(ValueError, match="needs its number"):
            evidence.answer(text)
