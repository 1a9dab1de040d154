"""Chapter 5's experiments on caches that forget: windows in some layers, first tokens that stay."""

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor

from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.hooks import attentions
from course_lib.lab.small_runs import held_out_bytes, one_thread
from course_lib.loss import cross_entropy
from course_lib.model import KVCache, ModelConfig, TransformerLM

Windows = Sequence[int | None]


def interleaved(num_layers: int, *, window: int, every: int) -> list[int | None]:
    """A window for each layer, but none for every ``every``-th one: local and global layers in turn."""
    return [None if (place + 1) % every == 0 else window for place in range(num_layers)]


def with_windows(model: TransformerLM, windows: Windows) -> TransformerLM:
    """Give each layer its own window, in place; None: it sees everything."""
    for attention, window in zip(attentions(model), windows, strict=True):
        attention.window = window
    return model


def cache_sizes(config: ModelConfig, arms: Mapping[str, Windows], lengths: Sequence[int]) -> pd.DataFrame:
    """Bytes of caches for texts of up to ``lengths`` tokens. Columns: cache, one per length."""
    rows = []
    for name, windows in arms.items():
        sizes = [KVCache(config, 1, length, windows=windows).num_bytes for length in lengths]
        rows.append((name, *sizes))
    return pd.DataFrame(rows, columns=["cache", *(f"{length:,} tokens" for length in lengths)])


@torch.no_grad()
def read_one_by_one(model: TransformerLM, token_ids: Tensor, cache: KVCache) -> Tensor:
    """Logits (B, T, V) of a model that reads (B, T) ids token by token through ``cache``."""
    steps = [model(token_ids[:, place : place + 1], cache=cache) for place in range(token_ids.shape[1])]
    return torch.cat(steps, 1)


@float32_on_cpu()
def streamed_losses(
    models: Sequence[TransformerLM],
    kept: Mapping[str, tuple[int | None, int]],
    *,
    texts: int = 64,
    skipped: int = 32,
) -> pd.DataFrame:
    """Losses of trained models that read through caches which keep fewer positions than they were trained with.

    Args:
        models: Trained models that see everything.
        kept: By name, the window (None for all positions) and the number of first positions that stay.
        texts: Pieces of held-out text, each as long as the models' context.
        skipped: First positions that are not judged: the caches must be full.

    Columns: model (its place), cache, loss (nats per byte).
    """
    rows = []
    for place, model in enumerate(models):
        length, layers = model.config.context_length, model.config.num_layers
        ids = held_out_bytes()[: texts * length].view(texts, length)
        for name, (window, sinks) in kept.items():
            cache = KVCache(model.config, texts, windows=[window] * layers, sinks=sinks)
            with one_thread():
                logits = read_one_by_one(model, ids[:, :-1], cache)[:, skipped:]
            rows.append((place, name, cross_entropy(logits, ids[:, skipped + 1 :]).item()))
    return pd.DataFrame(rows, columns=["model", "cache", "loss"])
