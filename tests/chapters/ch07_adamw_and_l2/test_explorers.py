"""Chapter 7's explorer shows the paths it was given."""

import numpy as np
import pytest

from course_lib.chapters.ch07_adamw_and_l2 import explorers
from course_lib.chapters.ch07_adamw_and_l2.experiments import weight_decay
from course_lib.show import PALETTE


def test_the_explorer_moves_both_paths_and_says_where_they_end() -> None:
    explorer = explorers.path_explorer(weight_decay.path, weight_decay.Bowl, weight_decay.OPTIMIZERS)
    options = {"beta1": 0.9, "beta2": 0.999, "noise": 0.0}
    for decay, lr in ((0.3, 0.02), (2.0, 0.1)):
        explorer.controls["decay"].value, explorer.controls["lr"].value = decay, lr
        bowl = weight_decay.Bowl(20, 0)
        for name, colour in (("Adam + L2", "blue"), ("AdamW", "orange")):
            walk = weight_decay.path(name, bowl, lr=lr, decay=decay, **options)
            shown = [
                line for line in explorer.figure.axes[0].get_lines() if line.get_color() == PALETTE[colour]
            ]
            np.testing.assert_allclose(np.array(shown[0].get_data()).T, walk.points)
            assert f"{name} ends at ({walk.points[-1][0]:.2f}, {walk.points[-1][1]:.2f})" in explorer.alt
    explorer.controls["first"].value = "SGD"
    assert explorer.alt.startswith("SGD ends")


def test_lines_of_equal_loss_are_what_they_say() -> None:
    explorer = explorers.path_explorer(weight_decay.path, weight_decay.Bowl, weight_decay.OPTIMIZERS)
    explorer.controls["angle"].value = 30
    bowl = weight_decay.Bowl(20, 30)
    ellipses = [line for line in explorer.figure.axes[0].get_lines() if line.get_linewidth() == 0.7]
    levels = []
    for ellipse in ellipses:
        away = np.array(ellipse.get_data()) - np.array(bowl.minimum)[:, None]
        losses = (away * (bowl.hessian @ away)).sum(0) / 2
        assert losses == pytest.approx(losses[0])
        levels.append(losses[0])
    assert levels == sorted(levels) and len(levels) > 3
