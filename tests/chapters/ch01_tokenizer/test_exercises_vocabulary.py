"""Right and wrong answers to chapter 1's exercise on the size of a vocabulary."""

from fractions import Fraction

import numpy as np
import torch

from tests.exercises.answers import Answers, run_tables

# --- half of the parameters -------------------------------------------------------------------------------------------


def half_as_fraction(d: int, layers: int, tied: bool) -> Fraction:
    return Fraction(12 * layers * d, 2 - tied)


def half_in_float32(d: int, layers: int, tied: bool) -> torch.Tensor:
    return torch.tensor(12.0 * layers) * d**2 / (d * torch.tensor(1.0 if tied else 2.0))


def half_by_bisection(d: int, layers: int, tied: bool) -> float:
    low, high = 0.0, 1e9
    while high - low > 1e-7 * high:
        middle = (low + high) / 2
        tables = middle * d * (1 if tied else 2)
        low, high = (middle, high) if tables < 12 * layers * d * d else (low, middle)
    return high


def half_in_integers(d: int, layers: int, tied: bool) -> np.int64:
    return np.int64(12 * layers * d // (1 if tied else 2))


def half_untied_forgotten(d: int, layers: int, tied: bool) -> float:
    return 12 * layers * d


def half_tied_forgotten(d: int, layers: int, tied: bool) -> float:
    return 12 * layers * d / 2


def half_swapped(d: int, layers: int, tied: bool) -> float:
    return 12 * layers * d / (2 if tied else 1)


def half_multiplied(d: int, layers: int, tied: bool) -> float:
    return 12 * layers * d * (1 if tied else 2)


def half_of_the_layers(d: int, layers: int, tied: bool) -> float:
    return 0.5 * 12 * layers * d / (1 if tied else 2)


def half_without_dividing(d: int, layers: int, tied: bool) -> int:
    return 12 * layers * d**2 // (1 if tied else 2)


def half_of_one_layer(d: int, layers: int, tied: bool) -> int:
    return 12 * d // (1 if tied else 2)


def half_is_unknown(d: int, layers: int, tied: bool) -> float:
    return 12 * layers * d / len(tied)  # type: ignore[arg-type]


ANSWERS = {
    "tok-half-embedding": Answers(
        right=(half_as_fraction, half_in_float32, half_by_bisection, half_in_integers),
        wrong=(
            (half_untied_forgotten, "An untied model has two tables"),
            (half_tied_forgotten, "A tied model has one table"),
            (half_swapped, "The other way round"),
            (half_multiplied, "Untied, there are two tables: half as many rows"),
            (half_of_the_layers, "Here the tables hold half as much as the layers"),
            (half_without_dividing, "These are the parameters of the layers"),
            (half_of_one_layer, "This is for a single layer"),
            (half_is_unknown, "One layer of width 64 has"),
        ),
    ),
}

test_right_answers_pass, test_wrong_answers_are_explained, test_there_are_enough = run_tables(ANSWERS)
