"""Checks whether everything that the course needs is installed, and how fast it is on this machine.

``check`` takes a few seconds; ``course doctor`` and the first notebook call it. It reports what is missing instead of
failing, so that it works where the rest does not.
"""

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from course_lib.files import cache_folder, pip_command

Status = Literal["ok", "note", "problem"]

PACKAGES = (
    *("numpy", "torch", "matplotlib", "pandas", "regex", "jupyterlab", "ipywidgets", "anywidget"),
    *(
        "httpx2",
        "huggingface-hub",
        "ipykernel",
        "ipython",
        "pillow",
        "platformdirs",
        "psutil",
        "pygments",
        "rich",
    ),
    *("safetensors", "scipy", "tomli-w", "tqdm", "traitlets", "typer", "jieba"),
)
"""Packages that the chapters and the library import or read; a missing one is a problem."""

COMPARED = ("tiktoken", "tokenizers")
"""Packages that chapter 1 compares its tokenizer with; a missing one is only a note."""

_MODULES = {"ipython": "IPython", "pillow": "PIL"}
"""Names to import, where they are not the package's own."""

_CAPABILITY = "COURSE_CPU_CAPABILITY"
_SPEED_TEST_BYTES = 5_000_000
_SPEED_TEST_VOCABULARY = 10_000
_SPEED_TEST_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. ``note``: something optional is missing; ``problem``: notebooks will fail.

    ``advice``: what to do about it, as a command for the terminal where possible.
    """

    name: str
    value: str
    status: Status = "ok"
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The findings of :func:`check`. As a string, an aligned table."""

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no problem; notes do not count."""
        return all(finding.status != "problem" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """The report as plain data for JSON."""
        return {"ok": self.ok, "findings": [asdict(finding) for finding in self.findings]}

    def __str__(self) -> str:
        width = max(len(finding.name) for finding in self.findings)
        marks = {"ok": " ", "note": "·", "problem": "!"}
        return "\n".join(
            f"{marks[finding.status]} {finding.name:{width}}  {finding.value}"
            + (f" → {finding.advice}" if finding.advice else "")
            for finding in self.findings
        )


def check(*, speed: bool = True) -> Report:
    """Check versions, the compiled modules, threads, the cache, vocabularies and, with ``speed``, the speed.

    Takes about three seconds with the speed test and far less without.
    """
    parts: list[Callable[[], Iterator[Finding]]] = [
        _versions,
        _engine,
        _kernels,
        _machine,
        _cache,
        _vocabularies,
    ]
    if speed:
        parts.append(_speed)
    return Report(tuple(finding for part in parts for finding in _not_reported_already(part)))


def _not_reported_already(part: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """The findings of ``part`` as far as it gets: a missing import is reported already, and so is a wrong cap."""
    try:
        yield from part()
    except ImportError:
        return
    except ValueError as error:
        if _CAPABILITY not in str(error):
            raise


def _versions() -> Iterator[Finding]:
    yield Finding("course_lib", f"{_version('course-lib') or 'not installed'} in {Path(__file__).parent}")
    old = sys.version_info < (3, 11)
    yield Finding(
        "Python",
        f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "problem" if old else "ok",
        "Python 3.11 or newer is needed" if old else "",
    )
    for package in PACKAGES:
        yield _package(package, "problem", "missing")
    for package in COMPARED:
        yield _package(package, "note", "missing: chapter 1 compares without it")


def _package(name: str, status: Status, missing: str) -> Finding:
    version = _version(name)
    if not version:
        return Finding(name, missing, status, pip_command(_requirement(name)))
    module = _MODULES.get(name, name.replace("-", "_"))
    if importlib.util.find_spec(module) is None:
        # pip takes it for installed, so it must be told to.
        again = pip_command("--force-reinstall", "--no-deps", _requirement(name))
        return Finding(name, f"{version}, but without its module {module}", status, again)
    return Finding(name, version)


def _requirement(package: str) -> str:
    """The package with the range of versions that the course needs, if it is declared."""
    try:
        requirements = importlib.metadata.requires("course-lib") or []
    except importlib.metadata.PackageNotFoundError:
        requirements = []
    wanted = (r.partition(";")[0].strip() for r in requirements)
    return next((r for r in wanted if re.match(r"[\w.-]+", r)[0] == package), package)  # type: ignore[index]


def _build_command() -> str:
    """The command that compiles the engine again, from the source in a checkout."""
    root = Path(__file__).parents[1]
    return (
        pip_command("--editable", str(root))
        if (root / "pyproject.toml").is_file()
        else pip_command("course-lib")
    )


def _version(package: str) -> str | None:
    # The metadata are enough: importing torch would take longer than everything else.
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _engine() -> Iterator[Finding]:
    try:
        engine = importlib.import_module("course_lib._bpe")
    except ImportError as error:
        yield Finding("engine", f"not built ({error}); needs a C++20 compiler", "problem", _build_command())
        return
    built = engine.build_info()
    how = f"{built['compiler']}, C++{built['cxx_standard'] // 100 % 100}, Unicode {built['unicode_version']}"
    if built["assertions"]:
        yield Finding("engine", f"{how}, with assertions", "note", "a slow build for debugging")
    else:
        yield Finding("engine", how)
    yield Finding("threads", f"{engine.default_num_threads()} used by default")


def _kernels() -> Iterator[Finding]:
    try:
        kernels = importlib.import_module("course_lib._kernels")
    except ImportError as error:
        advice = f"unset {_CAPABILITY}" if _CAPABILITY in str(error) else _build_command()
        yield Finding("kernels", f"not usable ({error})", "problem", advice)
        return
    isa = kernels.available_isas()[-1]
    cap = os.environ.get(_CAPABILITY)
    if cap:
        yield Finding("kernels", f"{isa}, at most {cap}", "note", f"{_CAPABILITY} says so")
    else:
        yield Finding("kernels", isa)


def _machine() -> Iterator[Finding]:
    yield Finding("processors", str(os.cpu_count() or "unknown"))
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
        enough = memory >= 2
        yield Finding(
            "memory",
            f"{memory:.1f} GiB",
            "ok" if enough else "note",
            "" if enough else "some notebooks take up to 2 GiB",
        )


def _cache() -> Iterator[Finding]:
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        yield Finding(
            "cache", f"{folder}: {error}", "note", "set COURSE_CACHE to a folder that can be written"
        )
    else:
        yield Finding("cache", str(folder))


def _vocabularies() -> Iterator[Finding]:
    from course_lib.tokenizer.pretrained import PRETRAINED, find_pretrained, install_command

    for name in PRETRAINED:
        path = find_pretrained(name)
        if path is None:
            yield Finding(name, "not on this machine: chapter 1 needs it", "problem", install_command(name))
        else:
            yield Finding(name, str(path))


def _speed() -> Iterator[Finding]:
    """Train on and encode a small generated text, on one thread so that machines can be compared."""
    from course_lib.data import stories
    from course_lib.tokenizer import train_bpe

    documents = list(stories(_SPEED_TEST_BYTES, seed=1))
    text = "\n".join(documents)
    megabytes = len(text.encode()) / 1e6
    started = time.perf_counter()
    tokenizer = train_bpe(documents, _SPEED_TEST_VOCABULARY, num_threads=1)
    seconds = time.perf_counter() - started
    yield Finding(
        "training",
        f"{_SPEED_TEST_VOCABULARY:,} tokens from {megabytes:.0f} MB in {seconds:.2f} s, one thread",
    )
    rounds, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < _SPEED_TEST_SECONDS or not rounds:
        tokenizer.encode_to_numpy(text)
        rounds += 1
    yield Finding("encoding", f"{rounds * megabytes / elapsed:.0f} MB/s, one thread")
