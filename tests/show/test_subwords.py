"""The pictures of the subword algorithms: what they draw are the results."""

import numpy as np
import pandas as pd
import pytest

from course_lib.show.subwords import frequency_profile, measures_by_algorithm

ALGORITHMS = ["BPE", "Unigram"]


def results() -> pd.DataFrame:
    rows = [
        {"language": language, "seed": seed, "algorithm": name, "bytes/token": 3 + place + seed / 10}
        | {"unused": place / 10, "precision": 0.5 + place / 10, "chance": 0.25}
        for language in ("en", "zh")
        for seed in (0, 1)
        for place, name in enumerate(ALGORITHMS)
    ]
    return pd.DataFrame(rows)


def test_a_panel_each_a_row_a_language_a_dot_a_seed() -> None:
    picture = measures_by_algorithm(results())
    panels = picture.figure.axes
    assert len(panels) == 6
    assert [list(line.get_xdata()) for line in panels[0].get_lines()] == [[3.0, 3.1], [4.0, 4.1]]
    assert [text.get_text() for text in panels[0].texts] == ["3.05", "4.05"]
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ALGORITHMS
    assert list(panels[5].get_lines()[-1].get_xdata()) == [0.25, 0.25]
    assert "2 seeds" in picture.caption


def test_profiles_are_lines_with_names() -> None:
    frame = pd.DataFrame({"algorithm": "BPE", "rank": [1, 2, 3], "share": [0.5, 0.3, 0.2]})
    axes = frequency_profile({"English": frame}).figure.axes[0]
    np.testing.assert_allclose(axes.get_lines()[0].get_ydata(), [500_000, 300_000, 200_000])
    assert [text.get_text() for text in axes.texts] == ["BPE"]


def test_missing_columns_are_named() -> None:
    with pytest.raises(ValueError, match=r"lacks the columns \['unused'\]"):
        measures_by_algorithm(results().drop(columns="unused"))
