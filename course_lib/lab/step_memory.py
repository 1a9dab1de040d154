"""Memory over the course of one training step, compared with the formulas of :mod:`course_lib.accounting`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
import torch
from torch.profiler import record_function

from course_lib.accounting import memory
from course_lib.diagnostics import memory_timeline
from course_lib.lab.defaults import float32_on_cpu
from course_lib.loss import cross_entropy, linear_cross_entropy
from course_lib.model import ModelConfig, TransformerLM
from course_lib.optim import AdamW

SMALL = ModelConfig(vocab_size=2000, context_length=256, d_model=128, num_layers=6, num_heads=4)
"""The model whose step is measured."""


@float32_on_cpu()
def timeline(
    config: ModelConfig = SMALL, batch: int = 8, *, loss_chunk: int | None = None, seed: int = 0
) -> pd.DataFrame:
    """Memory during the second and third step of training.

    Columns: seconds, megabytes (including weights and optimizer state, which are always there), phase ("forward",
    "backward", "optimizer"), fixed_megabytes (weights and optimizer state alone).
    """
    torch.manual_seed(seed)
    model = TransformerLM(config)
    optimizer = AdamW(model.parameters(), lr=1e-3)
    x, y = torch.randint(config.vocab_size, (2, batch, config.context_length))

    def step() -> None:
        with record_function("forward"):
            if loss_chunk is None:
                loss = cross_entropy(model(x), y)
            else:
                loss = linear_cross_entropy(model.hidden(x), model.lm_head.weight, y, chunk_size=loss_chunk)
        with record_function("backward"):
            loss.backward()  # type: ignore[no-untyped-call]
        with record_function("optimizer"):
            optimizer.step()
            optimizer.zero_grad()

    def twice() -> None:
        step()
        step()

    step()
    held = [*model.parameters(), *(t for state in optimizer.state.values() for t in state.values())]
    fixed = sum(tensor.numel() * tensor.element_size() for tensor in held) / 1e6
    recorded = memory_timeline(twice, phases=("forward", "backward", "optimizer"))
    return pd.DataFrame(
        {
            "seconds": recorded["seconds"],
            "megabytes": fixed + recorded["bytes"] / 1e6,
            "phase": recorded["phase"],
            "fixed_megabytes": fixed,
        }
    )


def against_accounting(
    changes: Mapping[str, Mapping[str, Any]], config: ModelConfig = SMALL, batch: int = 8
) -> pd.DataFrame:
    """The measured peak and the formula's, for variants of a model by name.

    ``changes``: fields of ModelConfig, and ``batch`` or ``loss_chunk``. Columns: variant, measured, expected
    (megabytes), ratio.
    """
    rows = []
    for name, change in changes.items():
        fields = dict(change)
        options: dict[str, Any] = {"loss_chunk": fields.pop("loss_chunk", None)}
        size = fields.pop("batch", batch)
        variant = replace(config, **fields)
        measured = float(timeline(variant, size, **options)["megabytes"].max())
        expected = memory(variant, size, "adamw", **options) / 1e6
        rows.append((name, measured, expected, expected / measured))
    return pd.DataFrame(rows, columns=["variant", "measured", "expected", "ratio"])


def timeline_and_peak(
    batch: int = 8, *, loss_chunk: int | None = None, **shape: Any
) -> tuple[pd.DataFrame, float]:
    """The measured :func:`timeline` and the formula's peak in megabytes; ``shape``: fields other than ``SMALL``'s."""
    config = replace(SMALL, **shape)
    return timeline(config, batch, loss_chunk=loss_chunk), memory(config, batch, loss_chunk=loss_chunk) / 1e6


def parts(*, batch: int = 8, loss_chunk: int | None = None, **shape: Any) -> pd.Series:
    """The formula's parts of the peak in megabytes, by name; ``shape``: fields of ModelConfig other than ``SMALL``'s.

    Batch and chunk as for :func:`course_lib.accounting.memory`, with AdamW.
    """
    counted = memory(replace(SMALL, **shape), batch, loss_chunk=loss_chunk)
    return pd.Series(counted.parts) / 1e6
