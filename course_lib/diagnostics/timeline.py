"""How much memory tensors take, moment by moment."""

import os
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from torch.autograd import DeviceType  # type: ignore[attr-defined] # torch lists it nowhere
from torch.profiler import ProfilerActivity, profile


def memory_timeline(work: Callable[[], object], *, phases: Sequence[str] = ()) -> pd.DataFrame:
    """Run ``work`` and return every change of torch's CPU memory while it ran.

    Columns: ``seconds`` since the first change, ``bytes`` of what was allocated in the run and is still held. What is
    older is not counted, nor its release. ``timeline["bytes"].max()`` is the peak. What torch's profiler sees is what
    its CPU allocator gives out: tensors and the scratch space of operations, not Python's own memory and no mapped
    files.

    Args:
        work: what to run.
        phases: names that ``work`` gives to parts of itself with ``torch.profiler.record_function``: they add a column
            ``phase``, the part that last began, empty before the first.
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
    frame = pd.DataFrame(changes, columns=["nanoseconds", "change"])
    frame = frame.sort_values("nanoseconds", kind="stable", ignore_index=True)
    first = frame["nanoseconds"].min() if len(frame) else 0
    timeline = pd.DataFrame(
        {"seconds": (frame["nanoseconds"] - first) / 1e9, "bytes": frame["change"].cumsum()}
    )
    if phases:
        begun = sorted(
            (event.start_ns(), event.name()) for event in results.events() if event.name() in phases
        )
        places = np.searchsorted([when for when, _ in begun], frame["nanoseconds"], side="right")
        timeline["phase"] = [begun[place - 1][1] if place else "" for place in places]
    return timeline
