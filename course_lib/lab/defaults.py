"""Experiments do not depend on the default dtype and device that the reader has set for torch."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch


@contextmanager
def float32_on_cpu() -> Iterator[None]:
    """Create tensors and modules in float32 on the CPU inside the block; also a decorator.

    Undoes ``torch.set_default_dtype`` and ``torch.set_default_device`` for as long as the block runs.
    """
    dtype, cpu = torch.get_default_dtype(), torch.device("cpu")
    # A device in force costs a Python call per operation, which timings would show: only where it is needed.
    place = nullcontext() if torch.get_default_device() == cpu else cpu
    torch.set_default_dtype(torch.float32)
    try:
        with place:
            yield
    finally:
        torch.set_default_dtype(dtype)
