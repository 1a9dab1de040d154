"""How `make test` uses all cores: a worker of pytest-xdist for each, one thread a worker, long notebooks first."""

import os
from pathlib import Path
from typing import Any

import psutil
import pytest

MOST_WORKERS = 8  # more would wait for the longest notebook
BYTES_A_WORKER = 3 << 30  # what a notebook and its worker may need

# Seconds by number, as the chapters themselves say them; a new one is taken to be long.
CHAPTER_SECONDS = {"00": 10, "04": 60, "05": 60, "06": 60, "10": 60}
LONG = 90


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """As many as there are processors for this process and memory for all of them."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = psutil.virtual_memory().available // BYTES_A_WORKER
    return max(1, min(processors, memory, MOST_WORKERS))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: list[Any]) -> None:
    """Workers inherit the environment: threads of several workers would only wait for each other's processor."""
    if len(specs) > 1:
        os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Notebooks first, the longest at the very start, so that no worker is left alone with one at the end."""
    items.sort(key=lambda item: -_seconds(item.path))


def _seconds(path: Path) -> int:
    return CHAPTER_SECONDS.get(path.stem[:2], LONG) if path.suffix == ".ipynb" else 0
