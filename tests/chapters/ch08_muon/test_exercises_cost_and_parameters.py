"""Right and wrong answers to chapter 8's exercises on Muon's cost and its parameters."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from tests.exercises.answers import Answers, run_tables

# In a notebook NumPy warns of an overflow and goes on.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

Shapes = Mapping[str, tuple[int, ...]]

# --- the batch that makes it cheap ------------------------------------------------------------------------------------


def batch_counted(d_model: int, share: float) -> float:
    newton_schulz = 5 * 3 * 2 * d_model**3
    forward_and_backward = 3 * 2 * d_model**2
    return newton_schulz / (share * forward_and_backward)


def batch_as_fraction(d_model: int, share: float) -> Fraction:
    return Fraction(5 * d_model) / Fraction(share)


def batch_in_float32(d_model: int, share: float) -> torch.Tensor:
    return torch.tensor(5.0 * d_model) / torch.tensor(share)


def batch_by_bisection(d_model: int, share: float) -> float:
    low, high = 1.0, 1e9
    for _ in range(100):
        tokens = (low + high) / 2
        low, high = (tokens, high) if 5 * d_model / tokens > share else (low, tokens)
    return high


def batch_of_the_forward_pass(d_model: int, share: float) -> float:
    return 5 * 6 * d_model**3 / (2 * d_model**2) / share


def batch_of_one_step(d_model: int, share: float) -> float:
    return d_model / share


def batch_upside_down(d_model: int, share: float) -> float:
    return share * 5 * d_model


def batch_one_d_too_many(d_model: int, share: float) -> float:
    return 5 * d_model * d_model / share


def batch_of_two_products(d_model: int, share: float) -> float:
    return 5 * 4 * d_model**3 / (6 * d_model**2 * share)


def batch_of_multiplications(d_model: int, share: float) -> float:
    return 5 * 3 * d_model**3 / (6 * d_model**2 * share)


def batch_without_share(d_model: int, share: float) -> float:
    return 5 * d_model


def batch_rounded_down(d_model: int, share: float) -> float:
    return 5 * d_model // share


def batch_in_percent(d_model: int, share: float) -> float:
    return 5 * d_model / (share / 100)


# --- who gets Muon ----------------------------------------------------------------------------------------------------


def names_in_a_loop(shapes: Shapes) -> list[str]:
    names = []
    for name in shapes:
        if len(shapes[name]) != 2:
            continue
        if any(table in name for table in ("embedding", "lm_head")):
            continue
        names.append(name)
    return names


def names_filtered(shapes: Shapes) -> Any:
    return filter(lambda n: len(shapes[n]) == 2 and not ("embedding" in n or "lm_head" in n), shapes)


def names_as_keys(shapes: Shapes) -> Any:
    kept = {k: v for k, v in shapes.items() if np.empty(v).ndim == 2}
    return {k: v for k, v in kept.items() if k.find("lm_head") < 0 and k.find("embedding") < 0}.keys()


def names_of_matrices(shapes: Shapes) -> list[str]:
    return [name for name, shape in shapes.items() if len(shape) == 2]


def names_without_tables(shapes: Shapes) -> list[str]:
    return [name for name in shapes if "embedding" not in name and "lm_head" not in name]


def names_with_the_head(shapes: Shapes) -> list[str]:
    return [name for name in names_of_matrices(shapes) if "embedding" not in name and name != "lm_head"]


def names_of_squares(shapes: Shapes) -> list[str]:
    return [n for n in names_of_matrices(shapes) if len(set(shapes[n])) == 1 and "embedding" not in n]


def names_in_layers(shapes: Shapes) -> list[str]:
    return [name for name in names_of_matrices(shapes) if name.startswith("layers.")]


def names_of_hidden_layers(shapes: Shapes) -> list[str]:
    return [name for name in names_in_layers(shapes) if "embedding" not in name]


def names_sorted(shapes: Shapes) -> list[str]:
    return sorted(names_in_a_loop(shapes))


def names_and_shapes(shapes: Shapes) -> Shapes:
    return {name: shapes[name] for name in names_in_a_loop(shapes)}


def names_as_a_set(shapes: Shapes) -> set[str]:
    return set(names_in_a_loop(shapes))


def names_without_output(shapes: Shapes) -> list[str]:
    return [
        name
        for name in names_of_matrices(shapes)
        if not any(word in name for word in ("embedding", "output", "lm_head"))
    ]


def names_without_norms(shapes: Shapes) -> list[str]:
    words = ("embedding", "lm_head", "ln", "norm", "bias")
    return [name for name in shapes if not any(word in name for word in words)]


ANSWERS = {
    "muon-batch": Answers(
        right=(batch_counted, batch_as_fraction, batch_in_float32, batch_by_bisection),
        wrong=(
            (batch_of_the_forward_pass, "This counts the forward pass alone"),
            (batch_of_one_step, "This is one Newton-Schulz step"),
            (batch_upside_down, "This is upside down"),
            (batch_one_d_too_many, "One d too many"),
            (batch_of_two_products, "This counts two products a step."),
            (batch_of_multiplications, "A product of d by d matrices takes 2·d³ FLOPs"),
            (batch_without_share, "Here the steps cost as much as forward and backward."),
            (batch_rounded_down, "// rounds down"),
            (batch_in_percent, "Five steps of 6 · 64³ FLOPs"),
        ),
    ),
    "muon-parameters": Answers(
        right=(names_in_a_loop, names_filtered, names_as_keys),
        wrong=(
            (names_of_matrices, "These are all matrices."),
            (names_without_tables, "Vectors (gains, biases) have no singular vectors"),
            (names_with_the_head, "The output head, lm_head, is a table"),
            (names_of_squares, "A matrix need not be square"),
            (names_in_layers, "Other models have other names"),
            (names_of_hidden_layers, "Another model has other names."),
            (names_sorted, "These are sorted."),
            (names_and_shapes, "These are the right parameters, with their shapes"),
            (names_as_a_set, "These are the right names, but a set has no order"),
            (names_without_output, "output_proj mixes the heads of attention"),
            (names_without_norms, "Here a table stands inside a layer, and a single number"),
        ),
    ),
}

test_right_answers_pass, test_wrong_answers_are_explained, test_there_are_enough = run_tables(ANSWERS)
