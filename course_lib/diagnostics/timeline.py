"""How much memory tensors take, moment by moment."""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from torch._C._profiler import _EventType
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
    changes = list(_changes(results.experimental_event_tree()))
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


def _changes(tree: Sequence[Any]) -> Iterator[tuple[int, int]]:
    """(nanoseconds, bytes) of each CPU allocation, and of the releases of what was allocated in this run.

    torch remembers sizes from one profiled run to the next: without their addresses, the release of a tensor from
    before could not be told from one of now.
    """
    waiting, found = list(tree), []
    while waiting:
        event = waiting.pop()
        waiting += event.children
        if event.tag == _EventType.Allocation and event.extra_fields.device.type == "cpu":
            found.append((event.start_time_ns, event.extra_fields.ptr, event.extra_fields.alloc_size))
    live: set[int] = set()
    for when, address, size in sorted(found, key=lambda entry: entry[0]):
        if size > 0:
            live.add(address)
        elif address not in live:
            continue
        else:
            live.discard(address)
        yield when, size
