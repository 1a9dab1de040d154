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


def test_collapse_divides_by_one_token() -> None:
    results = gradient_results("depth").assign(attends="all")
    results.loc[results["loss"] == "all tokens", "gradient_norm"] /= 4
    alone = results[results["depth"] < 8].assign(attends="self", similarity=0.2)
    left, right = pictures.token_collapse(pd.concat([results, alone])).figure.axes
    for line in left.get_lines():
        np.testing.assert_allclose(line.get_ydata(), 0.25)
    dashed = [line for line in right.get_lines() if line.get_linestyle() == "--"]
    assert [list(line.get_ydata()) for line in dashed] == [[0.2, 0.2]] * 2


def deep_results(**columns: str) -> pd.DataFrame:
    rows = [(depth, seed, 2.0**seed, depth / 10 * 2.0**seed) for depth in (10, 100) for seed in (0, 2)]
    frame = pd.DataFrame(rows, columns=["depth", "seed", "first_over_last", "change"])
    return frame.assign(**columns)


def test_deep_networks_join_geometric_means_of_seeds_for_sgd() -> None:
    adam = deep_results(arm="post", rule="adam").assign(change=7.0)
    results = pd.concat([deep_results(arm="post", rule="sgd"), adam])
    left, right = pictures.deep_networks(results).figure.axes
    assert [2.0, 2.0] in [list(map(float, line.get_ydata())) for line in left.get_lines()]
    np.testing.assert_allclose(right.get_lines()[1].get_ydata(), [2, 20])


def test_parts_of_a_step_have_a_panel_for_each_rule() -> None:
    cases = [(rule, part) for rule in ("sgd", "adam") for part in ("matrices", "norms")]
    results = pd.concat([deep_results(rule=rule, part=part) for rule, part in cases])
    results.loc[results["rule"] == "adam", "change"] *= 3
    sgd, adam = pictures.parts_of_a_step(results).figure.axes
    np.testing.assert_allclose(sgd.get_lines()[1].get_ydata(), [2, 20])
    np.testing.assert_allclose(adam.get_lines()[3].get_ydata(), [6, 60])
    assert {"matrices", "weights of the norms"} <= {text.get_text() for text in sgd.texts}
