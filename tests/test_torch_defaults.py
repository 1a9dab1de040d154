"""torch.set_default_dtype and set_default_device change what is created, never what is computed from given tensors."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.torch_defaults_cases import SETTINGS


@pytest.fixture(scope="module", params=["tests.torch_defaults_cases", "tests.chapters.torch_defaults_cases"])
def wrong(request: pytest.FixtureRequest) -> dict[str, dict[str, str]]:
    """For each setting the cases whose result differs from that under float32 and the CPU, and how."""
    command = [sys.executable, "-m", request.param]
    run = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=Path(__file__).parents[1])
    assert run.returncode == 0, f"ended with {run.returncode} after {run.stderr.splitlines()[-5:]}"
    found: dict[str, dict[str, str]] = json.loads(run.stdout)
    return found


@pytest.mark.parametrize("setting", SETTINGS)
def test_results_do_not_depend_on_torchs_defaults(wrong: dict[str, dict[str, str]], setting: str) -> None:
    assert wrong[setting] == {}
