"""The record of memory: what was allocated, when, and what was given back."""

import torch

from course_lib.diagnostics import memory_timeline


def test_tensors_appear_and_disappear() -> None:
    kept = []

    def work() -> None:
        first = torch.empty(1000, 1000)
        second = torch.empty(500, 1000)
        del first
        kept.append(second)

    timeline = memory_timeline(work)
    assert timeline["bytes"].max() == 6_000_000
    assert timeline["bytes"].iloc[-1] == 2_000_000
    assert timeline["seconds"].is_monotonic_increasing and timeline["seconds"].iloc[0] == 0


def test_memory_from_before_does_not_count() -> None:
    held = [torch.empty(1000, 1000)]

    def work() -> None:
        held.append(torch.empty(500, 1000))
        held.pop(0)

    assert memory_timeline(work)["bytes"].tolist() == [2_000_000]


def test_memory_that_an_earlier_record_saw_does_not_count() -> None:
    held: list[torch.Tensor] = []
    memory_timeline(lambda: held.append(torch.empty(1000, 1000)))

    def work() -> None:
        held.append(torch.empty(500, 1000))
        held.pop(0)

    assert memory_timeline(work)["bytes"].tolist() == [2_000_000]


def test_work_without_tensors_has_an_empty_record() -> None:
    assert memory_timeline(lambda: None).empty
