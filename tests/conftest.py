"""Settings that all tests share."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# The machine is shared and the first call of a compiled function is slow: time limits for single examples would fail
# by accident. CI searches the same examples every time; by hand, ones that were never tried come in.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.register_profile("few", deadline=None, derandomize=True, max_examples=15)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "default"))

# A shell lets what it starts in the background ignore Ctrl-C, and so would the programs that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave tests/browser alone unless asked for with ``-m browser``: its packages need not be installed."""
    wanted = config.getoption("markexpr")
    if collection_path == Path(__file__).parent / "browser" and (
        "browser" not in wanted or "not browser" in wanted
    ):
        return True
    return None
