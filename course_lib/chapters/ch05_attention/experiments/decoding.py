"""Chapter 5: the size of the KV cache, and its effect on the speed of generation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import median

import pandas as pd
import torch
from torch import Tensor

from course_lib.accounting import KNOWN_MODELS, flops, kv_cache_bytes, parameters
from course_lib.diagnostics import memory_timeline
from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.measure import take_turns
from course_lib.lab.small_runs import one_thread
from course_lib.model import KVCache, ModelConfig, TransformerLM

_TWO_BYTES = "bfloat16"


# --- bytes ------------------------------------------------------------------------------------------------------------


def known_caches(names: Sequence[str] | None = None) -> pd.DataFrame:
    """The KV cache of published models at their full context, one sequence, in 16 bits.

    Columns: model, layers, heads, kv_heads, head_dim, context, kb_per_token, cache_gb, as_mha_gb (with a key and value
    head for each query head), weights_gb.
    """
    rows = []
    for name in KNOWN_MODELS if names is None else names:
        config = KNOWN_MODELS[name].config
        full = replace(config, num_kv_heads=None)
        size, context = kv_cache_bytes(config, dtype=_TWO_BYTES), config.context_length
        rows.append(
            {
                "model": name,
                "layers": config.num_layers,
                "heads": config.num_heads,
                "kv_heads": config.kv_heads,
                "head_dim": config.head_width,
                "context": context,
                "kb_per_token": size / context / 1e3,
                "cache_gb": size / 1e9,
                "as_mha_gb": kv_cache_bytes(full, dtype=_TWO_BYTES) / 1e9,
                "weights_gb": 2 * KNOWN_MODELS[name].published / 1e9,
            }
        )
    return pd.DataFrame(rows)


@float32_on_cpu()
def measured_caches(
    shapes: Sequence[Mapping[str, int]] = (
        {"num_kv_heads": 8},
        {"num_kv_heads": 2},
        {"num_kv_heads": 1},
        {"num_kv_heads": 2, "num_layers": 8},
        {"num_kv_heads": 2, "context_length": 1024},
    ),
    *,
    batch_size: int = 4,
) -> pd.DataFrame:
    """Memory that torch allocates for a cache, and the formula.

    Columns: kv_heads, layers, context, measured and formula (bytes).
    """
    rows = []
    for changes in shapes:
        config = replace(ModelConfig(256, 256, d_model=128, num_layers=4, num_heads=8), **changes)  # type: ignore[arg-type]
        timeline = memory_timeline(lambda: KVCache(config, batch_size))  # noqa: B023
        measured, formula = int(timeline["bytes"].max()), kv_cache_bytes(config, batch_size)
        rows.append((config.kv_heads, config.num_layers, config.context_length, measured, formula))
    return pd.DataFrame(rows, columns=["kv_heads", "layers", "context", "measured", "formula"])


# --- operations and bytes ---------------------------------------------------------------------------------------------


def intensity(
    config: ModelConfig,
    *,
    kv_heads: Sequence[int],
    batches: Sequence[int] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
    length: int = 4096,
) -> pd.DataFrame:
    """Operations per byte when a prompt is read at once (prefill) and when each sequence gets one more token (decode).

    Bytes, with 16-bit numbers: each weight once, and the cache of ``length`` tokens per sequence once, written or read;
    other traffic is ignored, so these are upper bounds.

    Columns: phase, kv_heads, batch, flops, weight_bytes, cache_bytes, intensity (flops / bytes).
    """
    rows = []
    for number in kv_heads:
        shape = replace(config, num_kv_heads=number)
        counted = parameters(shape)
        weights = 2 * (counted.total - counted["embedding"])  # a look-up reads next to nothing
        for batch in batches:
            cache = kv_cache_bytes(shape, batch, length, _TWO_BYTES)
            read = flops(shape, batch, length).forward.total
            # One more token: each weight multiplies once, queries meet all keys, and their weights all values.
            attention = 4 * batch * length * shape.num_layers * shape.num_heads * shape.head_width
            step = batch * weights + attention
            for phase, count in (("prefill", read), ("decode", step)):
                rows.append((phase, number, batch, count, weights, cache, count / (weights + cache)))
    columns = ["phase", "kv_heads", "batch", "flops", "weight_bytes", "cache_bytes", "intensity"]
    return pd.DataFrame(rows, columns=columns)


# --- speed ------------------------------------------------------------------------------------------------------------


def _decoder(d_model: int, context_length: int, kv_heads: int, num_layers: int = 4) -> TransformerLM:
    torch.manual_seed(0)
    return TransformerLM(
        ModelConfig(256, context_length, d_model, num_layers, num_heads=8, num_kv_heads=kv_heads)
    ).eval()


def _filled_cache(model: TransformerLM, batch_size: int, length: int) -> KVCache:
    """A cache as after reading ``length`` tokens, with random numbers, since only its size matters for the time."""
    cache = model.new_cache(batch_size)
    for layer in cache.layers:
        shape = (batch_size, model.config.kv_heads, length, model.config.head_width)
        layer.append(torch.randn(shape), torch.randn(shape))
    return cache


@float32_on_cpu()
@torch.no_grad()
def phases(*, d_model: int = 256, length: int = 512, repeats: int = 5) -> pd.DataFrame:
    """CPU time per token at ``length`` tokens: reading them at once, one more with the cache, one more without.

    Columns: phase, tokens (computed), milliseconds (for all of them), per_token (milliseconds per useful token).
    """
    model = _decoder(d_model, length + 1, 8)
    ids = torch.randint(256, (1, length + 1), generator=torch.Generator().manual_seed(0))
    cache = _filled_cache(model, 1, length)

    def one_more() -> Tensor:
        cache.truncate(length)
        return model(ids[:, -1:], cache=cache)  # type: ignore[no-any-return]

    jobs = {
        ("prefill", length, length): lambda: model(ids[:, :length], cache=model.new_cache(1)),
        ("decode, with cache", 1, 1): one_more,
        ("decode, without", length + 1, 1): lambda: model(ids),
    }
    with one_thread():
        seconds = take_turns(jobs, repeats, description="reading and writing")
    rows = []
    for (phase, tokens, useful), times in seconds.items():
        milliseconds = 1e3 * median(times)
        rows.append((phase, tokens, milliseconds, milliseconds / useful))
    return pd.DataFrame(rows, columns=["phase", "tokens", "milliseconds", "per_token"])


@float32_on_cpu()
@torch.no_grad()
def decode_speed(
    shapes: Sequence[tuple[int, int, int]] = ((256, 64, 1), (256, 1024, 16), (512, 4096, 1)),
    kv_heads: Sequence[int] = (8, 4, 2, 1),
    *,
    repeats: int = 7,
) -> pd.DataFrame:
    """Tokens per CPU second in generation by number of KV heads, for shapes (d_model, tokens so far, batch).

    Four layers, eight query heads. Columns: d_model, length, batch, kv_heads, tokens_per_second, relative (to the
    largest number of heads), cache_mb, weights_mb.
    """
    rows = []
    for d_model, length, batch in shapes:
        jobs, sizes = {}, {}
        for number in kv_heads:
            model = _decoder(d_model, length + 1, number)
            cache = _filled_cache(model, batch, length)
            jobs[number] = _step(model, cache, batch, length)
            sizes[number] = (cache.num_bytes / 1e6, 4 * model.num_parameters() / 1e6)
        with one_thread():
            times = take_turns(jobs, repeats, description=f"generating at {length} tokens")
        seconds = {number: median(taken) for number, taken in times.items()}
        slowest = seconds[kv_heads[0]]
        rows += [
            (d_model, length, batch, number, batch / time, slowest / time, *sizes[number])
            for number, time in seconds.items()
        ]
    labels = ["d_model", "length", "batch", "kv_heads"]
    columns = [*labels, "tokens_per_second", "relative", "cache_mb", "weights_mb"]
    return pd.DataFrame(rows, columns=columns)


def _step(model: TransformerLM, cache: KVCache, batch: int, length: int) -> Callable[[], Tensor]:
    ids = torch.zeros(batch, 1, dtype=torch.int64)

    def step() -> Tensor:
        cache.truncate(length)
        return model(ids, cache=cache)  # type: ignore[no-any-return]

    return step
