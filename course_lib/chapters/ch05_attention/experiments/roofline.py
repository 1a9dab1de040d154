"""Chapter 5: how fast a model writes, by counting: bytes, operations, and the sequences that fit into memory."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pandas as pd

from course_lib.accounting import kv_cache_bytes, parameters
from course_lib.model import ModelConfig

_TWO_BYTES = "bfloat16"
LATENT, ROPE_DIM = 512, 64
"""Numbers that a token leaves in a layer of DeepSeek-V2 and V3: its latent, and the key that carries its position."""


@dataclass(frozen=True)
class Device:
    """A processor by its data sheet: bytes and operations (bfloat16, dense) per second, and bytes of memory."""

    bandwidth: float
    flops: float
    memory: float

    @property
    def balance(self) -> float:
        """Operations in the time of one byte."""
        return self.flops / self.bandwidth


DEVICES: Mapping[str, Device] = {
    "H100, 80 GB": Device(3.35e12, 989e12, 80e9),
    "H200, 141 GB": Device(4.8e12, 989e12, 141e9),
    "A100, 80 GB": Device(2.039e12, 312e12, 80e9),
    "RTX 4090, 24 GB": Device(1.008e12, 165.2e12, 24e9),
}
"""NVIDIA's data sheets: H100 and A100 as SXM modules."""


@dataclass(frozen=True)
class Kind:
    """How a model of given shape keeps what it has read, in 16 bits.

    ``weights``: bytes of all weights. ``read``: bytes of those that a step reads (a look-up reads next to nothing).
    ``cache``: bytes per token of a sequence. ``flops``: operations of a step per sequence, besides the cache.
    ``flops_per_token``: operations per token of the cache.
    """

    weights: int
    read: int
    cache: int
    flops: int
    flops_per_token: int


def kinds(config: ModelConfig) -> dict[str, Kind]:
    """The four ways for a model's shape: MHA, GQA (as it is), MQA, and MLA with DeepSeek's latents.

    MLA changes the projections of the attention: queries get ``ROPE_DIM`` more numbers, keys and values are made from
    the latent, and the matrices that do so are applied to queries and results (absorbed).
    """
    found = {
        name: _of_heads(replace(config, num_kv_heads=heads))
        for name, heads in (("MHA", config.num_heads), ("GQA", config.kv_heads), ("MQA", 1))
    }
    return found | {"MLA": _of_latents(config)}


def _of_heads(config: ModelConfig) -> Kind:
    counted = parameters(config)
    read = 2 * (counted.total - counted["embedding"])
    attention = (
        4 * config.num_layers * config.num_heads * config.head_width
    )  # queries meet keys, weights meet values
    return Kind(2 * counted.total, read, kv_cache_bytes(config, 1, 1, _TWO_BYTES), read, attention)


def _of_latents(config: ModelConfig) -> Kind:
    d, heads, width = config.d_model, config.num_heads, config.head_width
    queries = d * heads * (width + ROPE_DIM)
    kept = d * (LATENT + ROPE_DIM)
    up = 2 * heads * width * LATENT
    output = heads * width * d
    counted = parameters(config)
    total = counted.total - counted["attention"] + config.num_layers * (queries + kept + up + output + LATENT)
    read = 2 * (total - counted["embedding"])
    cache = 2 * config.num_layers * (LATENT + ROPE_DIM)
    attention = 2 * config.num_layers * heads * (2 * LATENT + ROPE_DIM)
    return Kind(2 * total, read, cache, read, attention)


def fits(kind: Kind, memory: float, length: int) -> int:
    """Sequences of ``length`` tokens whose caches fit beside the weights; negative memory fits none."""
    return max(0, int((memory - kind.weights) // (kind.cache * length)))


def step_seconds(kind: Kind, device: Device, batch: int, length: int) -> tuple[float, float]:
    """Seconds in which a step's bytes arrive, and in which its operations are done; the longer one decides.

    One more token for each of ``batch`` sequences of ``length`` tokens: weights are read once, each cache once.
    """
    moved = kind.read + batch * length * kind.cache
    operations = batch * (kind.flops + length * kind.flops_per_token)
    return moved / device.bandwidth, operations / device.flops


def capacity_roofline(config: ModelConfig, device: Device, *, length: int) -> pd.DataFrame:
    """Tokens per second against the batch, up to the one that fills the device's memory.

    Columns: kind, batch (powers of two and the largest one that fits), seconds (per step), tokens_per_second,
    limit ("memory" or "arithmetic": what the step waits for), intensity (operations per byte). A kind whose weights
    do not fit has no rows.
    """
    rows = []
    for name, kind in kinds(config).items():
        most = fits(kind, device.memory, length)
        for batch in sorted({2**power for power in range(most.bit_length())} | {most}) if most else ():
            moving, computing = step_seconds(kind, device, batch, length)
            seconds = max(moving, computing)
            limit = "memory" if moving >= computing else "arithmetic"
            intensity = computing * device.flops / (moving * device.bandwidth)
            rows.append((name, batch, seconds, batch / seconds, limit, intensity))
    columns = ["kind", "batch", "seconds", "tokens_per_second", "limit", "intensity"]
    return pd.DataFrame(rows, columns=columns)
