"""Chapter 4: trained models on longer texts than they were trained on."""

from dataclasses import replace

import pandas as pd
import torch
from torch.nn import functional

from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.small_runs import (
    held_out_batch,
    one_thread,
)
from course_lib.model import RopeScaling, TransformerLM

ENCODINGS = ("rope", "learned", "sinusoidal", "none")


@float32_on_cpu()
def lengthened(
    model: TransformerLM,
    context_length: int,
    scaling: RopeScaling | None = None,
    *,
    window: int | None = None,
) -> TransformerLM:
    """A copy of ``model`` with the same weights that takes ``context_length`` tokens, and looks ``window`` back.

    Raises ValueError for learned positions, which have no weights beyond the trained length.
    """
    if model.config.position == "learned":
        raise ValueError("model has learned positions, and none beyond its context_length")
    config = replace(model.config, context_length=context_length, rope_scaling=scaling, window=window)
    copy = TransformerLM(config)
    copy.load_state_dict(model.state_dict())
    return copy


@float32_on_cpu()
@torch.no_grad()
def loss_by_position(
    model: TransformerLM,
    length: int,
    *,
    windows: int = 128,
    bin_size: int = 8,
    text: str = "stories_en",
) -> pd.DataFrame:
    """Loss in nats at each position of held-out text, averaged over bins of positions.

    Every model sees the same windows. Columns: position (the middle of the bin), loss.
    """
    x, y = held_out_batch(windows, length, text=text)
    losses = []
    with one_thread():
        for rows, targets in zip(torch.split(x, 32), torch.split(y, 32), strict=True):
            losses.append(functional.cross_entropy(model(rows).transpose(1, 2), targets, reduction="none"))
    by_position = torch.cat(losses).mean(0)  # (length,)
    binned = torch.unflatten(by_position, 0, (-1, bin_size)).mean(-1)
    middles = torch.unflatten(torch.arange(length).float(), 0, (-1, bin_size)).mean(-1)
    return pd.DataFrame({"position": middles.numpy(), "loss": binned.numpy()})
