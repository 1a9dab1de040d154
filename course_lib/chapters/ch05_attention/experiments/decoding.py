"""Chapter 5: how fast this machine reads and writes, and the law that counts bytes and operations."""

from collections.abc import Callable, Sequence
from statistics import median

import pandas as pd
import torch
from torch import Tensor

from course_lib.accounting import parameters
from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.machine import machine_limits
from course_lib.lab.measure import take_turns
from course_lib.lab.small_runs import one_thread
from course_lib.model import KVCache, ModelConfig, TransformerLM


def _decoder(d_model: int, context_length: int, kv_heads: int, num_layers: int = 4) -> TransformerLM:
    torch.manual_seed(0)
    return TransformerLM(
        ModelConfig(256, context_length, d_model, num_layers, num_heads=8, num_kv_heads=kv_heads)
    ).eval()


def _filled_cache(model: TransformerLM, batch_size: int, length: int) -> KVCache:
    """A cache as after reading ``length`` tokens, with random numbers, since only its size matters for the time."""
    cache = model.new_cache(batch_size, length + 1)
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
def decode_law(
    kv_heads: Sequence[int] = (8, 2, 1),
    batches: Sequence[int] = (1, 4, 16),
    *,
    d_model: int = 256,
    length: int = 1024,
    repeats: int = 7,
) -> pd.DataFrame:
    """The time of one more token for a batch, by number of KV heads, and what counting bytes and operations says.

    Four layers, eight query heads, ``length`` tokens so far. In so small a model the calls themselves take time: it is
    measured with a model of as many calls and next to no numbers, and subtracted. And each model is timed with a text
    of one token, too: what is left of the time then is not the cache's. ``repeats`` is the number of turns for the
    largest batch; smaller ones get as many more as their steps are shorter, since a difference of two short times is
    noisy.

    Columns: kv_heads, batch, step_ms (measured), calls_ms, net_ms (their difference), short_ms (with one token so far,
    without the calls), megabytes (weights and caches that a step fetches), law_ms (bytes over this machine's speed of
    copying, or operations over that of its matrix product: the longer time), tokens_per_second (net), law (tokens per
    second).
    """
    limits = machine_limits(repeats=5)
    rows = []
    for batch in batches:
        tiny = _decoder(16, 2, 8)
        jobs = {(0, 1): _step(tiny, _filled_cache(tiny, batch, 1), batch, 1)}
        counted = {}
        for number in kv_heads:
            model = _decoder(d_model, length + 1, number)
            for tokens in (1, length):
                cache = _filled_cache(model, batch, tokens)
                jobs[number, tokens] = _step(model, cache, batch, tokens)
            counted[number] = _counted(model.config, cache, batch, length)
        with one_thread():
            turns = repeats * max(batches) // batch
            times = take_turns(jobs, turns, description=f"writing, batch {batch}")
        ms = {job: 1e3 * median(taken) for job, taken in times.items()}
        calls = ms[0, 1]
        for number in kv_heads:
            moved, operations = counted[number]
            net = ms[number, length] - calls
            law = 1e3 * max(moved / limits["bytes"], operations / limits["flops"])
            measured = (ms[number, length], calls, net, ms[number, 1] - calls)
            rows.append((number, batch, *measured, moved / 1e6, law, 1e3 * batch / net, 1e3 * batch / law))
    columns = ["step_ms", "calls_ms", "net_ms", "short_ms", "megabytes", "law_ms", "tokens_per_second", "law"]
    return pd.DataFrame(rows, columns=["kv_heads", "batch", *columns])


def _counted(config: ModelConfig, cache: KVCache, batch: int, length: int) -> tuple[int, int]:
    """Bytes that a step fetches, and operations that it does."""
    weights = parameters(config).total - parameters(config)["embedding"]
    attention = 4 * config.num_layers * config.num_heads * config.head_width * length
    return 4 * weights + cache.num_bytes, batch * (2 * weights + attention)


def _step(model: TransformerLM, cache: KVCache, batch: int, length: int) -> Callable[[], Tensor]:
    ids = torch.zeros(batch, 1, dtype=torch.int64)

    def step() -> Tensor:
        cache.truncate(length)
        return model(ids, cache=cache)  # type: ignore[no-any-return]

    return step
