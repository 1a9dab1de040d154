"""The roofline shows the numbers it was given."""

import numpy as np
import pandas as pd

from course_lib import show


def test_the_roof_is_the_lower_of_two_limits() -> None:
    points = pd.DataFrame({"name": ["slow"], "intensity": [0.5], "flops_per_second": [4e9]})
    picture = show.roofline(points, {"flops": 1e11, "bytes": 1e10})
    roof, dots = picture.figure.axes[0].get_lines()
    intensity, speed = (np.asarray(values) for values in roof.get_data())
    np.testing.assert_allclose(speed, np.minimum(100, 10 * intensity))
    assert list(dots.get_ydata()) == [4.0]
    texts = {text.get_text() for text in picture.figure.axes[0].texts}
    assert {"slow", "peak 100 GFLOP/s", "memory 10 GB/s"} <= texts
