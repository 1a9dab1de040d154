"""The picture of a tuned comparison shows means, seeds, floors, and each arm's best rate."""

import itertools

import numpy as np
import pandas as pd

from course_lib import show


def points() -> pd.DataFrame:
    losses = {
        ("a", 0.01): 2.0,
        ("a", 0.1): 1.0,
        ("a", 1.0): np.inf,
        ("b", 0.01): 1.5,
        ("b", 0.1): 1.2,
        ("b", 1.0): 1.8,
    }
    rows = [(arm, lr, seed, loss + 0.02 * seed) for (arm, lr), loss in losses.items() for seed in (-1, 1)]
    return pd.DataFrame(rows, columns=["arm", "lr", "seed", "loss"])


def test_curves_are_means_and_dots_are_runs() -> None:
    picture = show.rate_curves(points(), arm="arm", floors={"bigram": 1.6, "unigram": 9.0})
    [axes] = picture.figure.axes
    named = {line.get_label(): line for line in axes.get_lines() if not str(line.get_label()).startswith("_")}
    np.testing.assert_allclose(named["b"].get_ydata(), [1.5, 1.2, 1.8])
    np.testing.assert_allclose(named["a"].get_ydata(), [2.0, 1.0, 2.02])  # what diverged is at the upper edge
    rings = [line for line in axes.get_lines() if line.get_markersize() == 8]
    assert [tuple(map(float, (*line.get_xdata(), *line.get_ydata()))) for line in rings] == [
        (0.1, 1.0),
        (0.1, 1.2),
    ]
    texts = [text.get_text() for text in axes.texts]
    assert "bigram" in texts and "unigram" not in texts
    assert picture.alt == "Best mean loss in nats/byte: a 1.000 at 0.1; b 1.200 at 0.1."


def test_panels_share_their_axes_and_name_their_curves() -> None:
    both = pd.concat([points().assign(norm="pre"), points().assign(norm="post")])
    picture = show.rate_curves(both, arm="arm", panel="norm", top=1.9)
    left, right = picture.figure.axes
    assert [left.get_title(), right.get_title()] == ["pre", "post"]
    assert left.get_ylim() == right.get_ylim() and left.get_ylim()[1] < 2
    assert all({"a", "b"} <= {text.get_text() for text in axes.texts} for axes in (left, right))
    assert "post, b 1.200 at 0.1" in picture.alt


def test_the_rates_named_below_panels_do_not_overlap() -> None:
    many = pd.concat([points().assign(lr=0.0005 * 2**power, loss=1.0 + power) for power in range(9)])
    panels = pd.concat([many.assign(run=f"d = {width}") for width in (16, 64, 256)])
    picture = show.rate_curves(panels, arm="arm", panel="run")
    picture.figure.canvas.draw()
    for axes in picture.figure.axes:
        boxes = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
        assert len(boxes) >= 2
        assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


def test_nothing_is_printed_over_something_else() -> None:
    """Many rates in two panels, a floor just below the title, and curves that end at the lower edge."""
    rows = [
        (arm, panel, 10.0**-place, 1.0 + (place > 6 and arm == 0))
        for arm in range(7)
        for panel in ("left", "right")
        for place in range(8)
    ]
    many = pd.DataFrame(rows, columns=["arm", "panel", "lr", "loss"])
    picture = show.rate_curves(many, arm="arm", panel="panel", floors={"bigram": 2.03})
    renderer = picture.figure.canvas.get_renderer()  # type: ignore[attr-defined]
    picture.figure.draw_without_rendering()
    for axes in picture.figure.axes:
        names = [text for text in axes.texts if text.get_text() != "bigram"]
        ticks = [label for label in axes.get_xticklabels() if label.get_text()]
        boxes = [text.get_window_extent(renderer) for text in (*names, *ticks, axes.title)]
        assert len(names) == 7 and len(ticks) == 4
        assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
        [floor] = [text for text in axes.texts if text.get_text() == "bigram"]
        assert not floor.get_window_extent(renderer).overlaps(axes.title.get_window_extent(renderer))
