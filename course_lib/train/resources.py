"""The resources that a run needs, and whether it fits into memory, asked before it starts."""

from pathlib import Path
from typing import Any

import psutil
import torch

from course_lib.accounting import memory, report
from course_lib.train.config import TrainConfig
from course_lib.train.processes import Processes
from course_lib.train.training_loss import choose_precision


def account(
    config: TrainConfig,
    batch: int | None = None,
    dtype: str = "float32",
    *,
    tokens: int | None = None,
    flops_per_second: float | None = None,
    mfu: float = 0.4,
) -> dict[str, Any]:
    """The resources of a run by name, as :func:`course_lib.accounting.report` gives those of a model.

    Args:
        config: the run.
        batch: sequences at a time; None: those that the run puts through the model at once.
        dtype: as for :func:`course_lib.accounting.memory`.
        tokens: to train on; None: as many as the run sees.
        flops_per_second: peak of the processor; None: no entry ``training_seconds``.
        mfu: share of the peak that is reached.

    Raises:
        ValueError: a number is out of range or ``dtype`` is unknown.
    """
    return report(
        config.model,
        config.batch_size // config.accumulate if batch is None else batch,
        config.optimizer,
        dtype,
        context_length=config.context_length,
        loss_chunk=config.loss_chunk,
        tokens=config.steps * config.batch_size * config.sequence_length if tokens is None else tokens,
        flops_per_second=flops_per_second,
        mfu=mfu,
    )


def available_memory(device: torch.device) -> int:
    """Bytes that can still be allocated on a device; on a CPU, the limit of the container counts too."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    available = int(psutil.virtual_memory().available)
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.is_file() and used.is_file() and (text := limit.read_text().strip()) != "max":
        available = min(available, int(text) - int(used.read_text()))
    return available


def check_memory(config: TrainConfig, among: Processes) -> None:
    """Raise MemoryError, with advice, if a step of the run needs more memory than there is."""
    micro_batch = config.batch_size // (among.world_size * config.accumulate)
    precision = choose_precision(config.precision, among.device)
    needed = memory(
        config.model,
        micro_batch,
        config.optimizer,
        "float32" if precision == torch.float32 else "mixed",
        context_length=config.sequence_length,
        loss_chunk=config.loss_chunk,
        accumulate=config.accumulate > 1,
    )
    # Processes on one machine share its memory, but each GPU is one process's own.
    sharers = 1 if among.device.type == "cuda" else among.local_size
    available = available_memory(among.device) // sharers
    if needed <= available:
        return
    parts = ", ".join(f"{name} {size / 1e9:.1f} GB" for name, size in needed.parts.items() if size)
    fixed = needed["weights"] + needed["optimizer"] + needed["weights"]
    advice = "a smaller model is needed" if fixed > available else "raise accumulate or lower batch_size"
    raise MemoryError(
        f"a step needs about {needed / 1e9:.1f} GB ({parts}), but {available / 1e9:.1f} GB are free: {advice}"
    )
