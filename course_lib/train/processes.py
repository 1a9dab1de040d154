"""Several processes that train together under ``torchrun``, or one process alone."""

import contextlib
import importlib
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

# What was sent last, kept from being freed. A thread of gloo lets go of it some time after it has arrived; were it the
# last to do so, it would need Python's lock: to free the tensors, or the context that every backward pass leaves with
# what it sends (torch 2.13). The main thread may hold that lock while it waits for this very thread to end, with the
# group, or be about to end the process, which the thread would abort.
_recent: deque[dist.Work | None] = deque(maxlen=16)


@dataclass(frozen=True)
class Processes:
    """This process among those of the run: ``rank`` of ``world_size``, with ``local_size`` on this machine.

    A process alone is rank 0 of 1, and none of the methods does anything.
    """

    device: torch.device
    rank: int = 0
    world_size: int = 1
    local_size: int = 1
    launcher: int | None = None
    """Process id of the ``torchrun`` that started this process, if one did."""

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """The module whose gradients are averaged over all processes."""
        if self.world_size == 1:
            return model
        ids = [self.device] if self.device.type == "cuda" else None
        parallel = DistributedDataParallel(model, device_ids=ids, gradient_as_bucket_view=True)
        if dist.get_backend() == "gloo":
            parallel.register_comm_hook(None, _average)
        return parallel

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor over all processes."""
        return self.sum(value) / self.world_size

    def sum(self, value: Tensor) -> Tensor:
        """The sum of a tensor over all processes."""
        if self.world_size > 1:
            value = value.clone()
            _finish(dist.all_reduce(value, async_op=True))
        return value

    def check_launcher(self) -> None:
        """Raise ConnectionError if ``torchrun`` was killed: its processes would go on training unnoticed."""
        if self.launcher is not None and os.getppid() != self.launcher:
            raise ConnectionError("torchrun, which started this process, is gone")

    def wait(self) -> None:
        """Wait until all processes have come this far."""
        if self.world_size > 1:
            _finish(dist.barrier(async_op=True))


def _average(_: None, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:  # type: ignore[name-defined]
    """Average the gradients of a bucket as DistributedDataParallel does, through ``_finish``."""
    gradients = bucket.buffer().div_(dist.get_world_size())
    _finish(dist.all_reduce(gradients, async_op=True))
    future: torch.futures.Future[Tensor] = torch.futures.Future()
    future.set_result(gradients)
    return future


def _finish(work: dist.Work | None) -> None:
    """Wait until a collective operation is done, and keep it from being freed by another thread."""
    _recent.append(work)
    if work is not None:
        work.wait()


@contextlib.contextmanager
def processes(device: str) -> Iterator[Processes]:
    """Join the processes that ``torchrun`` started, if it did; ``device`` as in TrainConfig.

    Raises:
        ValueError: the device is not available.
    """
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    chosen = _choose_device(device, local_rank)
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        yield Processes(chosen)
        return
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    made = not dist.is_initialized()
    if made:
        # DistributedDataParallel imports it. Imported while there is a process group, it keeps a reference to the group
        # for ever (torch 2.13): gloo's threads then outlive the group and can abort the process at its end.
        importlib.import_module("torch._dynamo")
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        local_size = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        launcher = os.getppid() if "TORCHELASTIC_RUN_ID" in os.environ else None
        yield Processes(chosen, dist.get_rank(), dist.get_world_size(), local_size, launcher)
    finally:
        if made:
            dist.destroy_process_group()


def _choose_device(name: str, local_rank: int) -> torch.device:
    if name == "auto":
        accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        name = accelerator.type if accelerator is not None else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device {name!r} cannot be used here: {reason}") from error
    return torch.device("cuda", local_rank) if device == torch.device("cuda") else device
