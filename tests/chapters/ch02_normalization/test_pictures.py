"""Chapter 2's pictures show the numbers they were given."""

import numpy as np
import pandas as pd

from course_lib.chapters.ch02_normalization import pictures


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
    picture = pictures.gradient_laws(gradient_results("depth"), gradient_results("width"))
    left = picture.figure.axes[0]
    laws = [line for line in left.get_lines() if "pre-norm" in str(line.get_label())]
    np.testing.assert_allclose(laws[0].get_ydata(), 3 * np.array([2, 4, 8]) ** -0.5)
    assert {"post-norm: constant", "pre-norm: ∝ 1/√L"} <= {text.get_text() for text in left.texts}
    assert picture.png().startswith(b"\x89PNG")


def test_collapse_uses_the_loss_of_all_tokens() -> None:
    results = gradient_results("depth")
    results.loc[results["loss"] == "all tokens", "gradient_norm"] = 7.0
    left, _ = pictures.token_collapse(results).figure.axes
    assert all(set(line.get_ydata()) == {7.0} for line in left.get_lines())


def test_every_case_has_a_panel_and_every_seed_a_line() -> None:
    rows = [(p, w, s, t, 3.0) for p in ("post", "pre") for w in (0, 60) for s in (0, 1, 2) for t in range(9)]
    curves = pd.DataFrame(rows, columns=["placement", "warmup", "seed", "step", "loss"])
    panels = pictures.warmup_curves(curves).figure.axes
    assert [len(panel.get_lines()) for panel in panels] == [3] * 4
    assert panels[1].get_title() == "post-norm\n60 steps of warm-up"


def test_deep_networks_join_medians_of_seeds() -> None:
    rows = [("post", depth, seed, 2.0**seed, 0.1, 0.1) for depth in (10, 100) for seed in (0, 2)]
    columns = ["placement", "depth", "seed", "first_over_last", "adam", "sgd"]
    picture = pictures.deep_networks(pd.DataFrame(rows, columns=columns))
    assert [2.0, 2.0] in [list(map(float, line.get_ydata())) for line in picture.figure.axes[0].get_lines()]


def test_layer_roles_show_what_a_layer_costs() -> None:
    layers = pd.DataFrame({"layer": [1, 2, 3], "increment": [1.0, 0.5, 0.2]})
    cut = pd.DataFrame(
        {"layer": [1, 2, 3], "intact": 2.0, "left_out": [2.5, 2.1, 2.0], "side_by_side": [2.2, 2.0, np.nan]}
    )
    picture = pictures.layer_roles(layers.assign(placement="pre"), {"pre": layers}, {"pre": cut})
    costs, beside = (line.get_ydata() for line in picture.figure.axes[1].get_lines())
    np.testing.assert_allclose(costs, [0.5, 0.1, 0])
    np.testing.assert_allclose(beside, [0.2, 0], atol=1e-12)
