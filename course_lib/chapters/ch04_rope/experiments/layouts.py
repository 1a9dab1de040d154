"""Chapter 4: weights trained with one layout of pairs in code for the other."""

import string
from dataclasses import replace

import pandas as pd
import torch
from torch import Tensor

from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.repeated_strings import NEAR, SYMBOLS, TRAINED_LENGTH, accuracy
from course_lib.lab.small_runs import one_thread
from course_lib.model import TransformerLM, interleaved_to_half

LETTERS = string.ascii_letters + string.digits + "+/"
"""A character for each of the 64 symbols."""


@float32_on_cpu()
def in_the_other_layout(model: TransformerLM) -> dict[str, TransformerLM]:
    """The model "as trained", with interleaved pairs, and in code whose pairs are half a head apart.

    "other layout": with the same weights. "other layout, reordered": with the rows of its query and key projections in
    the new order.
    """
    config = replace(model.config, rope_layout="half")
    models = {"as trained": model}
    for name in ("other layout", "other layout, reordered"):
        weights = dict(model.state_dict())
        for key in [key for key in weights if key.endswith(("q_proj.weight", "k_proj.weight"))]:
            if name.endswith("reordered"):
                weights[key] = interleaved_to_half(weights[key], config.head_width)
        models[name] = TransformerLM(config)
        models[name].load_state_dict(weights)
    return models


@float32_on_cpu()
@torch.no_grad()
def other_layout(model: TransformerLM, *, length: int = 24) -> pd.DataFrame:
    """How well a model of repeated strings does in each layout.

    Columns: weights, accuracy (share of repeated symbols that are predicted, at the trained length), continues (the
    ``length`` symbols that the model writes after :func:`prompt`).
    """
    rows = []
    with one_thread():
        for name, one in in_the_other_layout(model).items():
            written = continued(one.eval(), prompt(), length)
            rows.append((name, accuracy(one, TRAINED_LENGTH, NEAR), spelled(written)))
    return pd.DataFrame(rows, columns=["weights", "accuracy", "continues"])


def prompt(period: int = 12) -> Tensor:
    """Two periods of random symbols, (2 * period,)."""
    return torch.randint(SYMBOLS, (period,), generator=torch.Generator().manual_seed(0)).repeat(2)


def continued(model: TransformerLM, ids: Tensor, length: int) -> Tensor:
    """``length`` more symbols after ids (T,), the likeliest each time: (length,)."""
    for _ in range(length):
        ids = torch.cat((ids, model(ids)[-1].argmax().view(1)))
    return ids[-length:]


def spelled(ids: Tensor) -> str:
    """Symbols as characters of :data:`LETTERS`."""
    return "".join(LETTERS[symbol] for symbol in ids.tolist())
