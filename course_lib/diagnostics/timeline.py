"""The memory that tensors take over time."""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from torch._C._profiler import _EventType
from torch.profiler import ProfilerActivity, profile


def memory_timeline(work: Callable[[], object], *, phases: Sequence[str] = ()) -> pd.DataFrame:
    """Run ``work`` and return every change of torch's CPU memory while it ran.

    Columns: ``seconds`` since the first change, ``bytes`` that were allocated in the run and are still held. Older
    tensors are not counted, nor is their release. ``timeline["bytes"].max()`` is the peak. Torch's profiler sees the
    memory that its CPU allocator hands out: tensors and the scratch space of operations, but neither Python's own
    memory nor mapped files.

    Args:
        work: the function to run.
        phases: names that ``work`` gives to parts of itself with ``torch.profiler.record_function``: they add a column
            ``phase``, the part that began last, empty before the first.
    """
    # Otherwise the profiler writes two lines to the terminal, and into notebooks, each time it runs.
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

    torch remembers sizes from one profiled run to the next: without their addresses, the release of an older
    tensor could not be told from that of a new one.
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
