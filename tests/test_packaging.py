"""pyproject.toml, constraints.txt and environment.yml name the same packages in ranges that fit; imports stay light."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from course_lib.cli import app
from course_lib.data import TEXTS

ROOT = Path(__file__).parents[1]
CONDA_NAMES = {"pytorch-cpu": "torch", "matplotlib-base": "matplotlib"}
ONLY_CONDA = {"python", "pip", "cmake", "cxx-compiler", "ninja"}


def project() -> dict[str, list[Requirement]]:
    """The requirements by group: build, run time, and each extra."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = {
        "build": document["build-system"]["requires"],
        "run": document["project"]["dependencies"],
        **document["project"]["optional-dependencies"],
    }
    return {
        group: [r for r in map(Requirement, texts) if canonicalize_name(r.name) != "course-lib"]
        for group, texts in groups.items()
    }


def pins() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all(len(r.specifier) == 1 and str(r.specifier).startswith("==") for r in pinned)
    return {canonicalize_name(r.name): Version(str(r.specifier)[2:]) for r in pinned}


def test_every_requirement_is_pinned_within_its_range() -> None:
    pinned = pins()
    for group, requirements in project().items():
        for requirement in requirements:
            name = canonicalize_name(requirement.name)
            assert name in pinned, f"{name} ({group}) is not in constraints.txt"
            assert requirement.specifier.contains(pinned[name]), (
                f"{requirement} ({group}): pinned {pinned[name]}"
            )


def test_conda_has_the_same_packages_and_ranges() -> None:
    entries = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    conda = {}
    for entry in entries:
        if isinstance(entry, str):
            requirement = Requirement(entry)
            name = CONDA_NAMES.get(requirement.name, requirement.name)
            if name not in ONLY_CONDA:
                conda[canonicalize_name(name)] = requirement.specifier
    groups = project()
    expected = {canonicalize_name(r.name): r.specifier for r in [*groups["build"], *groups["run"]]}
    assert conda == expected
    assert entries[-1] == {"pip": ["-e .[test]"]}


def test_the_citation_names_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert str(citation["version"]) == document["version"]
    assert " AND ".join(citation["license"]) == document["license"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*_*.yml")), ids=lambda p: p.stem
)
def test_issue_templates_are_forms(path: Path) -> None:
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert form["name"] and form["description"]
    fields = form["body"]
    assert len({field["id"] for field in fields}) == len(fields)
    assert any(field.get("validations", {}).get("required") for field in fields)


@pytest.mark.parametrize("library", ["bpe", "kernels", "cpu"])
def test_engine_and_kernels_include_no_python_and_not_each_other(library: str) -> None:
    sources = [path for path in (ROOT / "csrc" / library).iterdir() if path.suffix in {".cpp", ".hpp"}]
    assert sources
    for path in sources:
        code = path.read_text(encoding="utf-8")
        for quoted in re.findall(r'^\s*#\s*include "([^"]+)"', code, re.MULTILINE):
            assert quoted.startswith((f"{library}/", "cpu/")), f"{path.name} includes {quoted}"
        for system in re.findall(r"^\s*#\s*include <([^>]+)>", code, re.MULTILINE):
            assert not re.match(r"pybind11|Python\.h|numpy|torch", system), f"{path.name} includes {system}"


def workflow_commands(path: Path) -> list[tuple[dict[str, Any], list[str]]]:
    """The jobs of a workflow, each with the words of one command; a job with several stands there several times."""
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    return [(job, step["run"].split()) for job in jobs.values() for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda p: p.stem)
def test_workflows_run_commands_that_there_are(path: Path) -> None:
    """The targets they call exist, and so do the values of CPU and the options of the ``course`` command."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = workflow_commands(path)
    assert commands
    for job, (program, *arguments) in commands:
        if program == "make":
            assert re.search(rf"^{arguments[0]}:", makefile, re.MULTILINE)
        if program == "bash":
            assert (ROOT / arguments[0]).is_file()
        if "CPU=${{ matrix.cpu }}" in " ".join(arguments):
            for cpu in job["strategy"]["matrix"]["cpu"]:
                assert f"ifeq ($(CPU),{cpu})" in makefile
        if program == ".venv/bin/course":
            subcommand = typer.main.get_command(app).commands[arguments[0]]  # type: ignore[attr-defined]
            subcommand.make_context("course", arguments[1:])  # raises an error for what it does not know


def test_stored_runs_are_sampled_every_week() -> None:
    """Others each time, so no seed; enough of them that an error in a few points is found within months."""
    commands = [words for _, words in workflow_commands(ROOT / ".github" / "workflows" / "weekly.yml")]
    [sample] = [words for words in commands if words[:2] == [".venv/bin/course", "reproduce"]]
    assert int(sample[sample.index("--sample") + 1]) >= 10 and "--seed" not in sample


@pytest.mark.parametrize(
    "module",
    [
        "course_lib",
        "course_lib.tokenizer",
        "course_lib.tokenizer.cluster",
        "course_lib.token_file",
        "course_lib.data",
        "course_lib.cli",
    ],
)
def test_imports_stay_light(module: str) -> None:
    heavy = {"torch", "matplotlib", "pandas", "ipywidgets", "distributed"}
    if module != "course_lib.cli":
        heavy |= {"tqdm", "rich", "typer"}
    script = f"import sys, {module}; print(sorted(set(sys.modules) & {heavy!r}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_text_is_installed_with_the_package() -> None:
    """A name that is missing here would show in an installed package only; the test below builds one."""
    cmake = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    [files] = re.findall(r"install\(FILES ([^)]*) DESTINATION course_lib/data\)", cmake)
    assert files.split() == [f"data/{known.name}.txt.xz" for known in TEXTS]


@pytest.mark.weekly
def test_a_source_archive_builds_a_package_that_has_the_texts(tmp_path: Path) -> None:
    """As for somebody who has no checkout: archive, wheel, installation, each made from the one before."""

    def python(*arguments: object, folder: Path = tmp_path) -> str:
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    pip = ("-m", "pip", "--disable-pip-version-check", "--quiet")
    build = f"from scikit_build_core.build import build_sdist; build_sdist({str(tmp_path)!r})"
    python("-c", build, folder=ROOT)
    [archive] = tmp_path.glob("*.tar.gz")
    python(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, archive)
    [wheel] = tmp_path.glob("*.whl")
    python(*pip, "install", "--no-deps", "--target", tmp_path / "installed", wheel)
    # -S: without the folder of installed packages, where a checkout may be installed; what it holds is added by hand.
    script = (
        f"import sys; sys.path[:0] = [{str(tmp_path / 'installed')!r}]; sys.path += {sys.path!r}\n"
        "import course_lib; from course_lib.data import TEXTS, split, stories, text\n"
        "print(course_lib.__file__, *[len(text(known.name)) for known in TEXTS], len(split('novels_en').held_out))\n"
        "assert list(stories(1000))"
    )
    printed = python("-S", "-c", script)
    assert printed == f"{tmp_path / 'installed' / 'course_lib' / '__init__.py'} 6 11769 13\n"
