"""Chapter 7's pictures show the data they are given."""

import numpy as np
import pandas as pd

from course_lib.chapters.ch07_adamw_and_l2 import pictures
from course_lib.chapters.ch07_adamw_and_l2.experiments import optimizers, weight_decay


def test_the_grid_marks_the_best_decay_of_each_learning_rate() -> None:
    frame = pd.DataFrame(
        [
            ("AdamW", lr, decay, seed, abs(i - j) + 0.1 * seed)
            for i, lr in enumerate((0.1, 0.2))
            for j, decay in enumerate((1.0, 2.0, 3.0))
            for seed in (0, 1)
        ],
        columns=["form", "lr", "decay", "seed", "validation"],
    )
    other = frame.assign(form="Adam + L2", validation=frame["validation"].where(frame["decay"] < 3, np.nan))
    picture = pictures.decay_grid(pd.concat([frame, other]))
    for axes in picture.figure.axes[:2]:
        np.testing.assert_array_equal(axes.get_lines()[0].get_xdata(), [0, 1])
    assert picture.png().startswith(b"\x89PNG")


def test_every_picture_is_drawn_with_its_caption() -> None:
    turning = weight_decay.rotation([0.1, 1.0], steps=50)
    curves = pd.DataFrame(
        {"weight_decay": [0.0] * 9 + [1.0] * 9, "step": [*range(9)] * 2, "gradient_norm": 1.0}
        | {"update_norm": np.linspace(1, 2, 18), "weight_rms": 0.5}
    )
    lm = pd.DataFrame(
        {"optimizer": ["A", "A", "B"], "lr": [0.1, 0.2, 1.0], "seed": 0, "validation_loss": [2.0, 2.1, 2.3]}
    )
    for picture in (
        pictures.race(optimizers.convex_race(evaluations=10)),
        pictures.learning_rates(lm),
        pictures.noise_decay(weight_decay.decay_under_noise([0.1, 1.0], steps=40)),
        pictures.balance(turning, rms=0.1, angle=0.02),
        pictures.traces(curves),
        pictures.filter_law(optimizers.filter_rates([1.0, 10.0])),
    ):
        assert picture.caption and picture.png().startswith(b"\x89PNG")
        for axes in picture.figure.axes:
            assert axes.get_xlabel() or axes.get_ylabel()
