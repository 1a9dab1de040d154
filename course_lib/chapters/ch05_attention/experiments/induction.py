"""Chapter 5: the heads that copy. Where they look, and what they need to find it (Olsson et al. 2022)."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from course_lib.chapters.ch05_attention.experiments.attention import attention_weights
from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.hooks import attentions, watch_inputs
from course_lib.lab.repeated_strings import (
    NEAR,
    SYMBOLS,
    TRAINED_LENGTH,
    copying_config,
    repeated,
    train_copying,
)
from course_lib.lab.small_runs import one_thread
from course_lib.model import TransformerLM

PATCHED = ("nothing", "queries", "keys", "values")
"""What the second layer may be made of without what the first layer's attention found."""


@float32_on_cpu()
def copying_models(
    *, steps: int, lr: float, seeds: Sequence[int], layers: int = 2
) -> dict[str, list[TransformerLM]]:
    """Models of strings that repeat, "trained" and "untrained", one for each seed."""
    models: dict[str, list[TransformerLM]] = {"trained": [], "untrained": []}
    for state, found in models.items():
        for seed in seeds:
            torch.manual_seed(seed)
            model = TransformerLM(copying_config(num_layers=layers))
            if state == "trained":
                train_copying(model, steps, lr=lr, seed=seed)
            found.append(model.eval())
    return models


@float32_on_cpu()
def where_heads_look(models: dict[str, list[TransformerLM]], *, count: int = 64) -> pd.DataFrame:
    """The mean share of a head's weight on two places, for queries that have seen one period.

    Columns: state, seed (number of the model), strings ("repeat", or "random": none repeats, at the same distances),
    layer and head (from 1), previous (the symbol before), follower (the symbol that followed last time: one period
    back, and one on).
    """
    ids, period = _strings(count)
    at_random = torch.randint(SYMBOLS, ids.shape, generator=torch.Generator().manual_seed(20_001))
    rows = []
    with one_thread():
        for state, trained in models.items():
            for seed, model in enumerate(trained):
                for strings, shown in (("repeat", ids), ("random", at_random)):
                    weights = attention_weights(model, shown[:, :-1])
                    previous, follower = _shares(weights, period)
                    for layer, head in torch.cartesian_prod(*map(torch.arange, previous.shape)).tolist():
                        places = float(previous[layer, head]), float(follower[layer, head])
                        rows.append((state, seed, strings, layer + 1, head + 1, *places))
    return pd.DataFrame(rows, columns=["state", "seed", "strings", "layer", "head", "previous", "follower"])


@float32_on_cpu()
@torch.no_grad()
def without_the_first_layers_finds(models: Sequence[TransformerLM], *, count: int = 64) -> pd.DataFrame:
    """The second layer, when some of it is made as if the first layer's attention had found nothing.

    Columns: seed (number of the model), patched (one of :data:`PATCHED`), follower (mean share of the weight of the
    second layer's heads), predicted (share of repeated symbols).
    """
    ids, period = _strings(count)
    known = torch.arange(1, ids.shape[1]) >= period.unsqueeze(-1)
    rows = []
    with one_thread():
        for seed, model in enumerate(models):
            for patched in PATCHED:
                with _made_without_finds(model, ids[:, :-1], patched):
                    weights = attention_weights(model, ids[:, :-1])
                    right = model(ids[:, :-1]).argmax(-1) == ids[:, 1:]
                follower = float(_shares(weights, period)[1][1].mean())
                rows.append((seed, patched, follower, float(right[known].float().mean())))
    return pd.DataFrame(rows, columns=["seed", "patched", "follower", "predicted"])


def _strings(count: int) -> tuple[Tensor, Tensor]:
    return repeated(count, TRAINED_LENGTH, NEAR, torch.Generator().manual_seed(20_000))


def _shares(weights: Tensor, period: Tensor) -> tuple[Tensor, Tensor]:
    """From weights (B, layers, heads, T, T) the mean share on the symbol before, and on the follower: (layers, heads).

    Only queries that have seen one period count.
    """
    query = torch.arange(weights.shape[-1])
    known = (query >= period.unsqueeze(-1))[:, None, None]
    means = []
    for back in (torch.ones_like(period), period - 1):
        key = (query - back.unsqueeze(-1)).clamp(min=0)[:, None, None, :, None]
        found = weights.gather(-1, key.expand(*weights.shape[:-1], 1)).squeeze(-1)
        means.append((found * known).sum((0, -1)) / known.sum())
    return means[0], means[1]


@contextmanager
def _made_without_finds(model: TransformerLM, ids: Tensor, patched: str) -> Iterator[None]:
    """Inside the block, queries, keys or values of the second layer come from a stream without the first's finds."""
    first, second = attentions(model)
    with ExitStack() as stack:
        nothing = first.output_proj.register_forward_hook(lambda _module, _inputs, output: output * 0)
        with nothing, watch_inputs([second]) as seen:
            model(ids)
        if patched != "nothing":
            part = {"queries": second.q_proj, "keys": second.k_proj, "values": second.v_proj}[patched]

            def replaced(_module: Any, inputs: tuple[Tensor]) -> tuple[Tensor]:
                return (seen[0].view_as(inputs[0]),)

            stack.enter_context(part.register_forward_pre_hook(replaced))
        yield
