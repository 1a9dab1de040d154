"""Reading the stored runs of chapter 2, on frames whose answers are known."""

import numpy as np
import pandas as pd
import pytest

from course_lib.chapters.ch02_normalization.experiments import maps


def points(bits: dict[tuple[str, float], list[float]]) -> pd.DataFrame:
    rows = [
        {"placement": name, "gain": 1.0, "start": "none", "lr": lr, "seed": seed, "bits": value}
        for (name, lr), values in bits.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


FRAME = points(
    {
        ("pre", 0.001): [3.0, 3.2],
        ("pre", 0.002): [2.5, 2.7],
        ("pre", 0.004): [2.8, np.inf],
        ("post", 0.001): [2.9, 3.1],
        ("post", 0.002): [4.4, 4.4],
        ("post", 0.004): [4.4, np.inf],
    }
)


def test_tuned_says_whether_the_best_rate_is_inside_its_grid() -> None:
    found = maps.tuned(FRAME).set_index("placement")
    assert found["lr"].to_dict() == {"pre": 0.002, "post": 0.001}
    assert found["inside"].to_dict() == {"pre": True, "post": False}
    assert found["mean"].to_dict() == pytest.approx({"pre": 2.6, "post": 3.0})
    # A diverged run counts as the initial loss, 8 bits.
    assert found.loc["pre", "sensitivity"] == pytest.approx(np.mean([3.1, 2.6, (2.8 + 8) / 2]) - 2.6)


def test_at_best_has_a_row_per_seed_and_a_column_per_arm() -> None:
    found = maps.at_best(FRAME)
    assert found["pre", 1.0, "none"].tolist() == [2.5, 2.7]
    assert found["post", 1.0, "none"].tolist() == [2.9, 3.1]
    assert maps.best_of(FRAME, placement="pre").tolist() == [2.5, 2.7]
    with pytest.raises(KeyError, match="wall"):
        maps.cell(FRAME, placement="wall")


def test_usable_counts_cells_near_the_best_of_a_seed() -> None:
    found = maps.usable(FRAME, 0.45)
    assert found["pre", "none"].tolist() == [pytest.approx(2 / 3), pytest.approx(1 / 3)]
    assert found["post", "none"].tolist() == [pytest.approx(1 / 3), pytest.approx(1 / 3)]


def test_a_quantity_that_orders_runs_correlates_with_their_loss() -> None:
    frame = FRAME.assign(
        first=FRAME["bits"].replace(np.inf, 99) ** 2, largest=-FRAME["bits"].replace(np.inf, 99), ever=np.inf
    )
    found = maps.orderings(frame, by=("first", "largest"))
    assert found["first"] == pytest.approx(1) and found["largest"] == pytest.approx(-1)
    inside = maps.orderings(frame, by=("first",), within=("placement",))
    assert inside["first"] == pytest.approx(1)


def test_the_cut_separates_with_the_fewest_errors() -> None:
    frame = points({("post", 0.1 * k): [bits] for k, bits in enumerate([2.0, 2.5, 4.5, 2.6, 4.4, np.inf], 1)})
    failed = maps.stuck(frame, 4.3)
    assert failed.tolist() == [False, False, True, False, True, True]
    quantity = pd.Series([1.0, 2.0, 3.0, 4.0, 9.0, 10.0])
    # Behind 4 one failed run lies below; behind 2 one other run lies above: the first of equals.
    at = maps.cut(quantity, failed)
    assert at == pytest.approx(np.sqrt(2 * 3)) and maps.told_apart(quantity, failed, at) == pytest.approx(
        5 / 6
    )
    assert maps.told_apart(quantity, failed, 6.0) == pytest.approx(5 / 6)
    clean = pd.Series([1.0, 2.0, 7.0, 3.0, 9.0, 10.0])
    assert maps.cut(clean, failed) == pytest.approx(np.sqrt(3 * 7))
    assert maps.told_apart(clean, failed, 5.0) == 1
    with pytest.raises(ValueError, match="failed"):
        maps.cut(quantity, failed | True)


def test_the_best_arm_of_a_placement() -> None:
    warm = FRAME[FRAME["placement"] == "post"].assign(start="ramp", bits=lambda rows: rows["bits"] - 0.7)
    found = maps.best_arms(pd.concat([FRAME, warm]))
    assert found["pre"].tolist() == [2.5, 2.7] and found["post"].tolist() == pytest.approx([2.2, 2.4])
