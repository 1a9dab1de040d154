"""The gradient-norm explorer follows its controls and shows the measured norms."""

import numpy as np
import pandas as pd
import pytest

from course_lib import show


def profile(placement: str, depth: int, width: int, gain: float, when: str) -> pd.DataFrame:
    """A recognisable made-up measurement: gain * layer, or overflow without norms."""
    norms = np.arange(1, depth + 1) * gain * (1.0 if placement == "pre" else 10.0)
    if placement == "none":
        norms = np.full(depth, np.nan)
    return pd.DataFrame({"layer": range(1, depth + 1), "gradient_norm": norms})


class TestExplorer:
    @pytest.fixture
    def explorer(self) -> show.Explorer:
        return show.gradient_norm_explorer(profile, states=["at initialization", "later"])

    def test_curves_are_the_measurements(self, explorer: show.Explorer) -> None:
        explorer.controls["placement"].value = "post"
        explorer.controls["depth"].value = 4
        explorer.controls["gain"].value = 2.0
        reference, curve = explorer.figure.axes[0].get_lines()
        assert list(curve.get_ydata()) == [20, 40, 60, 80]
        assert list(reference.get_ydata()) == [2, 4, 6, 8]
        assert "first layer / last layer: 0.25" in explorer.alt and "gain 2" in explorer.alt

    def test_pre_norm_is_not_compared_with_itself(self, explorer: show.Explorer) -> None:
        reference, _ = explorer.figure.axes[0].get_lines()
        assert reference.get_visible()
        explorer.controls["placement"].value = "pre"
        assert not reference.get_visible()

    def test_overflow_is_said_and_shown_at_the_edge(self, explorer: show.Explorer) -> None:
        explorer.controls["placement"].value = "none"
        _, curve = explorer.figure.axes[0].get_lines()
        assert "overflows" in explorer.alt
        assert set(curve.get_ydata()) == {explorer.figure.axes[0].get_ylim()[1]}

    def test_the_axis_holds_the_curves_and_two_decades(self, explorer: show.Explorer) -> None:
        axes = explorer.figure.axes[0]
        explorer.controls["depth"].value = 4  # norms from 1 (pre-norm) to 40
        assert axes.get_ylim() == pytest.approx((1, 100))
        explorer.controls["placement"].value = "pre"  # 1 to 4
        assert axes.get_ylim() == pytest.approx((0.1, 10))

    def test_far_decades_are_drawn(self) -> None:
        frame = pd.DataFrame({"layer": [1, 2], "gradient_norm": [3e-8, 2.0]})
        explorer = show.gradient_norm_explorer(lambda *_: frame)
        assert explorer.figure.axes[0].get_ylim() == pytest.approx((1e-8, 10))

    def test_no_gradient_divides_by_nothing(self) -> None:
        explorer = show.gradient_norm_explorer(lambda *_: profile("pre", 4, 8, 0.0, ""))
        assert "no gradient at all" in explorer.alt

    def test_the_axis_fits_the_depth(self, explorer: show.Explorer) -> None:
        for depth in (2, 32):
            explorer.controls["depth"].value = depth
            low, high = explorer.figure.axes[0].get_xlim()
            assert -1 < low < 1 and depth < high < depth + 2

    def test_states_reach_the_measurement(self) -> None:
        seen: list[str] = []

        def measure(placement: str, depth: int, width: int, gain: float, when: str) -> pd.DataFrame:
            seen.append(when)
            return profile(placement, depth, width, gain, when)

        explorer = show.gradient_norm_explorer(measure, states=["at initialization", "later"])
        explorer.controls["when"].value = "later"
        assert seen == ["at initialization"] * 2 + ["later"] * 2
