"""Chapter 2's pictures show the numbers they were given; the explorer follows its controls."""

import numpy as np
import pandas as pd
import pytest

from course_lib import show


def profile(placement: str, depth: int, width: int, gain: float, when: str) -> pd.DataFrame:
    """A made-up measurement that can be recognised: gain * layer, or overflow without norms."""
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


def gradient_results(by: str) -> pd.DataFrame:
    sizes = (2, 4, 8)
    rows = [
        (placement, size, 8 if by == "depth" else size, seed, loss, 3.0 * size**power, 0.5)
        for placement, power in (("post", 0.0), ("pre", -0.5))
        for size in sizes
        for seed in (0, 1)
        for loss in ("one token", "all tokens")
    ]
    columns = ["placement", "depth", "width", "seed", "loss", "gradient_norm", "similarity"]
    return pd.DataFrame(rows, columns=columns)


def test_laws_run_through_measurements_that_obey_them() -> None:
    picture = show.normalization.gradient_laws(gradient_results("depth"), gradient_results("width"))
    left = picture.figure.axes[0]
    laws = [line for line in left.get_lines() if "pre-norm" in str(line.get_label())]
    np.testing.assert_allclose(laws[0].get_ydata(), 3 * np.array([2, 4, 8]) ** -0.5)
    assert {"post-norm: constant", "pre-norm: ∝ 1/√L"} <= {text.get_text() for text in left.texts}
    assert picture.png().startswith(b"\x89PNG")


def test_collapse_uses_the_loss_of_all_tokens() -> None:
    results = gradient_results("depth")
    results.loc[results["loss"] == "all tokens", "gradient_norm"] = 7.0
    left, _ = show.normalization.token_collapse(results).figure.axes
    assert all(set(line.get_ydata()) == {7.0} for line in left.get_lines())


def test_every_case_has_a_panel_and_every_seed_a_line() -> None:
    rows = [(p, w, s, t, 3.0) for p in ("post", "pre") for w in (0, 60) for s in (0, 1, 2) for t in range(9)]
    curves = pd.DataFrame(rows, columns=["placement", "warmup", "seed", "step", "loss"])
    panels = show.normalization.warmup_curves(curves).figure.axes
    assert [len(panel.get_lines()) for panel in panels] == [3] * 4
    assert panels[1].get_title() == "post-norm\n60 steps of warm-up"


def test_deep_networks_join_medians_of_seeds() -> None:
    rows = [("post", depth, seed, 2.0**seed, 0.1, 0.1) for depth in (10, 100) for seed in (0, 2)]
    columns = ["placement", "depth", "seed", "first_over_last", "adam", "sgd"]
    picture = show.normalization.deep_networks(pd.DataFrame(rows, columns=columns))
    assert [2.0, 2.0] in [list(map(float, line.get_ydata())) for line in picture.figure.axes[0].get_lines()]


def test_layer_roles_show_what_a_layer_costs() -> None:
    layers = pd.DataFrame({"layer": [1, 2, 3], "increment": [1.0, 0.5, 0.2]})
    cut = pd.DataFrame(
        {"layer": [1, 2, 3], "intact": 2.0, "left_out": [2.5, 2.1, 2.0], "side_by_side": [2.2, 2.0, np.nan]}
    )
    picture = show.normalization.layer_roles(layers.assign(placement="pre"), {"pre": layers}, {"pre": cut})
    costs, beside = (line.get_ydata() for line in picture.figure.axes[1].get_lines())
    np.testing.assert_allclose(costs, [0.5, 0.1, 0])
    np.testing.assert_allclose(beside, [0.2, 0], atol=1e-12)


def test_the_roof_is_the_lower_of_two_limits() -> None:
    points = pd.DataFrame({"name": ["slow"], "intensity": [0.5], "flops_per_second": [4e9]})
    picture = show.roofline(points, {"flops": 1e11, "bytes": 1e10})
    roof, dots = picture.figure.axes[0].get_lines()
    intensity, speed = (np.asarray(values) for values in roof.get_data())
    np.testing.assert_allclose(speed, np.minimum(100, 10 * intensity))
    assert list(dots.get_ydata()) == [4.0]
    texts = {text.get_text() for text in picture.figure.axes[0].texts}
    assert {"slow", "peak 100 GFLOP/s", "memory 10 GB/s"} <= texts
