"""Stored reference runs: experiments too long for a chapter, made once, kept as one JSON line per point.

An :class:`Experiment` is a named function of settings and a seed, with the grid of settings that was declared for it.
Its points lie in ``reference/NAME.jsonl`` beside the chapter's experiments. ``course reproduce`` makes them, resumes,
and makes some of them again to compare; a notebook loads them with :meth:`Experiment.load`, which refuses points that
are missing or were made by other code, and makes one of them again, live, with :meth:`Experiment.rerun`.
"""

import contextlib
import datetime
import itertools
import json
import math
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO

import pandas as pd

from course_lib.errors import FormatError
from course_lib.files import lock_file
from course_lib.lab.code_version import code_version

Value = str | int | float | bool | None
Settings = Mapping[str, Value]
Point = Mapping[str, Any]
Run = Callable[..., Mapping[str, float]]


def product(**values: Sequence[Value]) -> list[dict[str, Value]]:
    """All combinations of the values of some settings, the last one varying fastest."""
    return [dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())]


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """An experiment whose points are stored.

    Its hyperparameters are named as in the Deep Learning Tuning Playbook (Godbole et al. 2023).

    Args:
        chapter: Number of the chapter.
        name: Of the file with its points, and on the command line.
        question: What it asks, in one sentence.
        run: Called as ``run(seed=…, **settings)``, on one thread; returns numbers by name.
        grid: The settings of every point, scientific and nuisance ones. Every point is made with every seed.
        seeds: Of weights, batches and whatever else is random.
        scientific: Settings whose effect is the question.
        nuisance: Settings that are tuned for each value of the scientific ones.
        fixed: Settings that all points share; a conclusion holds "at these values".
        folder: Where ``NAME.jsonl`` lies.
        seconds: CPU seconds that a point takes, roughly.
        large: Changes of ``fixed`` for a reader with a night: see :attr:`larger`.
        large_seconds: CPU seconds that a point takes then.
    """

    chapter: int
    name: str
    question: str
    run: Run
    grid: Sequence[Settings]
    seeds: Sequence[int]
    scientific: Sequence[str]
    folder: Path
    nuisance: Sequence[str] = ()
    fixed: Settings = field(default_factory=dict)
    seconds: float = 60.0
    large: Settings = field(default_factory=dict)
    large_seconds: float = 600.0

    def __post_init__(self) -> None:
        declared = {*self.scientific, *self.nuisance}
        for settings in self.grid:
            if set(settings) != declared:
                raise ValueError(
                    f"{self.name}: the grid has the settings {sorted(settings)}, declared are {sorted(declared)}"
                )
        if len(set(self.keys)) < len(self.keys):
            raise ValueError(f"{self.name}: the grid has the same point twice")
        if unknown := set(self.large) - set(self.fixed):
            raise ValueError(f"{self.name}: large changes {sorted(unknown)}; fixed has {sorted(self.fixed)}")

    @property
    def larger(self) -> "Experiment | None":
        """The same question at the scale ``large``, None if it has none; its points lie in a file of their own.

        ``COURSE_SCALE=large course reproduce`` makes them. They are not part of the course.
        """
        if not self.large:
            return None
        fixed = {**self.fixed, **self.large}
        return replace(self, name=f"{self.name}_large", fixed=fixed, seconds=self.large_seconds, large={})

    @property
    def path(self) -> Path:
        """The file with the points."""
        return self.folder / f"{self.name}.jsonl"

    @cached_property
    def code(self) -> str:
        """The version of the code that makes the points: see :func:`~course_lib.lab.code_version.code_version`."""
        return code_version(self.run)

    @property
    def keys(self) -> list[str]:
        """The key of each declared point, in the order of the grid."""
        return [key_of({**self.fixed, **settings}, seed) for settings in self.grid for seed in self.seeds]

    @property
    def jobs(self) -> list[tuple[dict[str, Value], int]]:
        """Settings and seed of each declared point, in the order of :attr:`keys`."""
        return [({**self.fixed, **settings}, seed) for settings in self.grid for seed in self.seeds]

    def points(self) -> list[dict[str, Any]]:
        """All points of the file, stale ones too. Raises FormatError for a damaged line."""
        return _read(self.path)[0]

    def codes(self) -> set[str]:
        """The versions of the code whose points count: the present one and those that were adopted."""
        codes = {self.code}
        for adoption in reversed(_read(self.path)[1]):
            if adoption["code"] in codes:
                codes.add(adoption["adopts"])
        return codes

    def current(self) -> dict[str, dict[str, Any]]:
        """The declared points that the present code has made or adopted, by key."""
        codes, wanted = self.codes(), set(self.keys)
        stored = {
            key_of(point["settings"], point["seed"]): point
            for point in self.points()
            if point["code"] in codes
        }
        return {key: point for key, point in stored.items() if key in wanted}

    def stale(self) -> list[dict[str, Any]]:
        """The declared points that only another version of the code has made, the newest of each."""
        there, wanted = self.current(), set(self.keys)
        stored = {key_of(point["settings"], point["seed"]): point for point in self.points()}
        return [point for key, point in stored.items() if key in wanted and key not in there]

    def missing(self) -> list[tuple[dict[str, Value], int]]:
        """Settings and seed of the declared points that are not there, or stale."""
        there = self.current()
        return [job for key, job in zip(self.keys, self.jobs, strict=True) if key not in there]

    def state(self) -> str:
        """One of "complete", "stale" (other code made all or some of its points), "incomplete" and "empty"."""
        if not self.missing():
            return "complete"
        if self.stale():
            return "stale"
        return "incomplete" if self.points() else "empty"

    def load(self) -> pd.DataFrame:
        """The points as a frame: the settings, seed, the results, cpu_seconds; one row per point in the grid's order.

        Raises FormatError if a point is missing, or was made by another version of the code.
        """
        if (state := self.state()) != "complete":
            why = "were made by other code (stale)" if state == "stale" else "are missing"
            raise FormatError(
                self.path,
                "",
                f"{len(self.missing())} of {len(self.keys)} points {why}; "
                f"`course reproduce {self.chapter} {self.name} --missing` makes them",
            )
        there = self.current()
        return pd.DataFrame([_flat(self, there[key]) for key in self.keys])

    def cost(self) -> float:
        """CPU seconds of the whole grid: from the stored points' mean, else from ``seconds``."""
        times = [point["cpu_seconds"] for point in self.current().values()]
        return len(self.keys) * (sum(times) / len(times) if times else self.seconds)

    def rerun(self, seed: int, **settings: Value) -> dict[str, Any]:
        """Make one declared point again, here and now; nothing is stored. Raises ValueError for another point."""
        chosen = {**self.fixed, **settings}
        if key_of(chosen, seed) not in set(self.keys):
            raise ValueError(f"{self.name} has no point with {settings} and seed {seed}")
        return make_point(self, chosen, seed)


def overview(experiments: Sequence[Experiment]) -> pd.DataFrame:
    """The settings that experiments vary, tune and fix, and their cost: the table that opens a chapter.

    Columns: experiment, asks, scientific, tuned, fixed, seeds, runs, cpu_hours.
    """
    rows = [
        (
            one.name,
            one.question,
            ", ".join(one.scientific),
            ", ".join(one.nuisance) or "-",
            ", ".join(f"{name} {value}" for name, value in one.fixed.items()) or "-",
            len(one.seeds),
            len(one.keys),
            one.cost() / 3600,
        )
        for one in experiments
    ]
    columns = ["experiment", "asks", "scientific", "tuned", "fixed", "seeds", "runs", "cpu_hours"]
    return pd.DataFrame(rows, columns=columns)


def _flat(experiment: Experiment, point: Point) -> dict[str, Any]:
    varied = {name: value for name, value in point["settings"].items() if name not in experiment.fixed}
    return {**varied, "seed": point["seed"], **point["result"], "cpu_seconds": point["cpu_seconds"]}


def key_of(settings: Settings, seed: int) -> str:
    """The identity of a point: its settings, whatever their order, and its seed."""
    return json.dumps([dict(sorted(settings.items())), seed])


# --- making points ----------------------------------------------------------------------------------------------------


def make_point(experiment: Experiment, settings: Settings, seed: int) -> dict[str, Any]:
    """Run an experiment once, on one thread. Returns the line to be stored."""
    import torch

    from course_lib.lab.small_runs import one_thread

    with one_thread():
        started = time.process_time()
        result = experiment.run(seed=seed, **settings)
        seconds = time.process_time() - started
    return {
        "experiment": experiment.name,
        "settings": dict(settings),
        "seed": seed,
        "result": {name: _number(experiment, name, value) for name, value in result.items()},
        "code": experiment.code,
        "versions": {
            "course_lib": version("course-lib"),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "processor": processor(),
        "threads": 1,
        "cpu_seconds": round(seconds, 3),
        "date": datetime.date.today().isoformat(),
    }


def _number(experiment: Experiment, name: str, value: float) -> float | str:
    """JSON has no infinity: a diverged run is stored as the text "inf"."""
    if not isinstance(value, int | float):
        raise TypeError(f"{experiment.name}: the result {name} is {value!r}; a number is needed")
    return value if math.isfinite(value) else str(float(value))


def processor() -> str:
    """The processor and the instructions that torch uses here."""
    import torch

    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"


def make(
    experiment: Experiment, work: Sequence[tuple[dict[str, Value], int]], *, jobs: int = 1
) -> Iterator[dict[str, Any]]:
    """Make points, ``jobs`` at a time, each in a process with one thread; append each as soon as it is there.

    Killed at any moment, it loses the points in work and nothing else. Raises BlockingIOError if another process is
    writing the same file.
    """
    with append_to(experiment.path) as file:
        for point in made(experiment, work, jobs=jobs):
            append(file, point)
            yield point


def made(
    experiment: Experiment, work: Sequence[tuple[dict[str, Value], int]], *, jobs: int = 1
) -> Iterator[dict[str, Any]]:
    """Points in the order in which they are finished; nothing is stored."""
    waiting = iter(work)
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_end_with_parent) as pool:
        running: set[Future[dict[str, Any]]] = set()
        try:
            while True:
                # No more are handed out than can run: what is stopped has not been started.
                for settings, seed in itertools.islice(waiting, jobs - len(running)):
                    running.add(pool.submit(make_point, experiment, settings, seed))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except BaseException:
            for process in list((pool._processes or {}).values()):
                process.terminate()
            raise


def _end_with_parent() -> None:
    """Let a worker end when its parent has been killed, even in the middle of a point."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()


# --- the file ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def append_to(path: Path) -> Iterator[BinaryIO]:
    """Open a file of points for appending, alone; a last line that a killed process left unfinished is taken off."""
    path.parent.mkdir(exist_ok=True)
    with open(path, "a+b") as file:
        lock_file(file)
        file.seek(0)
        contents = file.read()
        file.truncate(contents.rfind(b"\n") + 1)
        yield file


def append(file: BinaryIO, entry: Point) -> None:
    """Write a line and wait until it is on the disk."""
    file.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
    file.flush()
    os.fsync(file.fileno())


def _read(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """The points and the adoptions of a file."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], []
    points, adoptions = [], []
    # What follows the last line end is being written, or was torn.
    for number, line in enumerate(lines[:-1], 1):
        try:
            entry = json.loads(line)
            if "adopts" in entry:
                entry["code"]
                adoptions.append(entry)
                continue
            entry["result"] = {name: float(value) for name, value in entry["result"].items()}
            key_of(entry["settings"], entry["seed"]), entry["code"], entry["cpu_seconds"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FormatError(path, f"line {number}", f"not a point of an experiment ({error!r})") from None
        points.append(entry)
    return points, adoptions
