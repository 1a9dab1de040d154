"""All resources of a model together, as plain numbers for tables and JSON."""

from typing import Any

from course_lib.accounting.counts import flops, parameters, training_time
from course_lib.accounting.memory import Optimizer, kv_cache_bytes, memory
from course_lib.model import ModelConfig


def report(
    config: ModelConfig,
    batch: int = 1,
    optimizer: Optimizer = "adamw",
    dtype: str = "float32",
    *,
    context_length: int | None = None,
    loss_chunk: int | None = None,
    tokens: int | None = None,
    flops_per_second: float | None = None,
    mfu: float = 0.4,
) -> dict[str, Any]:
    """The resources of a model by name, each a total with its parts.

    Arguments as in :func:`~course_lib.accounting.flops`, :func:`~course_lib.accounting.memory` and
    :func:`~course_lib.accounting.training_time`, which makes the entry ``training_seconds`` when ``tokens`` and
    ``flops_per_second`` are given.
    """
    step = flops(config, batch, context_length)
    counted = {
        "parameters": parameters(config),
        "flops_forward": step.forward,
        "flops_step": step,
        "memory_bytes": memory(
            config, batch, optimizer, dtype, context_length=context_length, loss_chunk=loss_chunk
        ),
    }
    result: dict[str, Any] = {
        name: {"total": breakdown.total, "parts": breakdown.parts} for name, breakdown in counted.items()
    }
    result["kv_cache_bytes"] = kv_cache_bytes(config, batch, context_length, dtype)
    if tokens is not None and flops_per_second is not None:
        result["training_seconds"] = training_time(
            config, tokens, flops_per_second=flops_per_second, mfu=mfu, context_length=context_length
        )
    return result
