"""A pytest plugin that records the margins of a test run: ``python -m tests.margins record`` starts pytest with it."""

import ast
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from _pytest.assertion import rewrite

from tests.margins.recorder import Instrument, Recorder, shift_seeds


def pytest_configure(config: pytest.Config) -> None:
    """Rewrite the asserts of tests that are imported from now on, and watch the comparisons with a tolerance."""
    run = json.loads(os.environ["COURSE_MARGINS_RUN"])
    recorder = Recorder(Path(os.environ["COURSE_MARGINS_FILE"]), run)
    recorder.install()
    shift_seeds(1000 * run["seed"])
    root = config.rootpath
    plain = rewrite.rewrite_asserts

    def rewrite_asserts(module: ast.Module, source: bytes, path: str | None = None, *rest: Any) -> None:
        if path is not None and Path(path).is_relative_to(root / "tests"):
            Instrument(str(Path(path).relative_to(root))).visit(module)
        plain(module, source, path, *rest)

    rewrite.rewrite_asserts = rewrite_asserts
    torch.testing.assert_close = _watched(recorder, torch.testing.assert_close, "assert_close")
    np.testing.assert_allclose = _watched(recorder, np.testing.assert_allclose, "assert_allclose")


_TOLERANCES = {torch.float64: (1e-7, 1e-7), torch.float32: (1.3e-6, 1e-5), torch.bfloat16: (1.6e-2, 1e-5)}


def _watched(recorder: Recorder, function: Callable[..., None], name: str) -> Callable[..., None]:
    def watched(actual: Any, expected: Any, *arguments: Any, **options: Any) -> None:
        function(actual, expected, *arguments, **options)
        if name == "assert_allclose":
            default = (1e-7, 0.0)
        elif isinstance(actual, torch.Tensor):
            default = _TOLERANCES.get(actual.dtype, (1e-3, 1e-5))
        else:
            return
        rtol, atol = options.get("rtol", default[0]), options.get("atol", default[1])
        a, b = (torch.as_tensor(side).detach().double() for side in (actual, expected))
        if rtol == atol == 0 or not a.numel():
            return
        used = (a - b).abs() / (atol + rtol * b.abs())
        worst = used[used.isfinite()].max().item() if used.isfinite().any() else 0.0
        where = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0]
        recorder.used(where, f"{name}, rtol={rtol:g}, atol={atol:g}", worst)

    return watched
