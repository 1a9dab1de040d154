"""How much memory tensors take, moment by moment."""

import os
from collections.abc import Callable

import pandas as pd
from torch.autograd import DeviceType  # type: ignore[attr-defined] # torch lists it nowhere
from torch.profiler import ProfilerActivity, profile


def memory_timeline(work: Callable[[], object]) -> pd.DataFrame:
    """Run ``work`` and return every change of torch's CPU memory while it ran.

    Columns: ``seconds`` since the first change, ``bytes`` of what was allocated in the run and is still held. What is
    older is not counted, nor its release. ``timeline["bytes"].max()`` is the peak. What torch's profiler sees is what its CPU allocator gives out:
    tensors and the scratch space of operations, not Python's own memory and no mapped files.
    """
    # Else the profiler of this torch writes two lines to the terminal, and into notebooks, each time it runs.
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    results = profiler.profiler.kineto_results
    assert results is not None
    changes = [
        (event.start_ns(), event.nbytes())
        for event in results.events()
        if event.name() == "[memory]" and event.device_type() == DeviceType.CPU
    ]
    frame = pd.DataFrame(changes, columns=["nanoseconds", "change"]).sort_values("nanoseconds", kind="stable")
    first = frame["nanoseconds"].min() if len(frame) else 0
    return pd.DataFrame(
        {"seconds": (frame["nanoseconds"] - first) / 1e9, "bytes": frame["change"].cumsum()}
    ).reset_index(drop=True)
