"""Stored reference runs: complete or refused, nothing lost under kill, changed code and changed points are noticed."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from course_lib.errors import FormatError
from course_lib.lab import reference_runs
from course_lib.lab.code_version import _described
from course_lib.lab.reference_runs import (
    Experiment,
    made,
    make,
    make_point,
    overview,
    product,
)
from course_lib.lab.repetition import adopt, repetition
from tests.lab import toy_experiment
from tests.lab.toy_experiment import experiment

ROOT = Path(__file__).parents[2]


@pytest.fixture
def toy(tmp_path: Path) -> Experiment:
    return experiment(tmp_path)


@pytest.fixture
def complete(toy: Experiment) -> Experiment:
    """All points, made in this process."""
    with reference_runs.append_to(toy.path) as file:
        for settings, seed in toy.jobs:
            reference_runs.append(file, make_point(toy, settings, seed))
    return toy


def test_points_are_made_by_processes_and_stored_one_per_line(toy: Experiment) -> None:
    assert toy.state() == "empty" and len(toy.missing()) == 18
    for _ in make(toy, toy.missing()[:4], jobs=2):
        pass
    assert toy.state() == "incomplete" and len(toy.missing()) == 14
    lines = [json.loads(line) for line in toy.path.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 4
    for line in lines:
        assert line["experiment"] == "toy" and line["threads"] == 1 and line["settings"]["steps"] == 0
        assert (
            {"torch", "course_lib", "python"} == set(line["versions"]) and line["processor"] and line["date"]
        )
        assert line["result"]["loss"] == toy_experiment.run(seed=line["seed"], **line["settings"])["loss"]


def test_the_overview_says_what_is_varied_tuned_and_fixed(complete: Experiment) -> None:
    [row] = overview([complete]).to_dict("records")
    expected = ("toy", "Which arm is better?", "arm", "lr", "steps 0", 3, 18)
    assert tuple(row.values())[:-1] == expected
    assert row["cpu_hours"] == pytest.approx(complete.cost() / 3600)


def test_a_complete_grid_loads_in_its_own_order(complete: Experiment) -> None:
    assert complete.state() == "complete"
    frame = complete.load()
    assert [(row.arm, row.lr, row.seed) for row in frame.itertuples()] == [
        (settings["arm"], settings["lr"], seed) for settings, seed in complete.jobs
    ]
    assert (frame.loc[frame["lr"] == 0.6, "diverged"] == float("inf")).all()
    assert "steps" not in frame, "a fixed setting is not a column"


def test_a_missing_point_and_an_unknown_one_are_refused(complete: Experiment) -> None:
    lines = complete.path.read_text(encoding="utf-8").splitlines(keepends=True)
    complete.path.write_text("".join(lines[1:]), encoding="utf-8")
    with pytest.raises(FormatError, match=r"1 of 18 points are missing; `course reproduce 99 toy --missing`"):
        complete.load()
    with pytest.raises(ValueError, match=r"toy has no point with \{'arm': 'c', 'lr': 0.1\} and seed 0"):
        complete.rerun(0, arm="c", lr=0.1)
    assert complete.rerun(0, arm="a", lr=0.1)["result"]["loss"] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("change", ["constant", "helper", "experiment", "fixed"])
def test_what_changes_a_result_makes_points_stale(
    complete: Experiment, change: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = Path(toy_experiment.__file__).read_text(encoding="utf-8")
    edits = {
        "constant": ("OFFSET = 1.0", "OFFSET = 2.0"),
        "helper": ("return value + OFFSET", "return value - OFFSET"),
        "experiment": ("gauss(0, 0.01)", "gauss(0, 0.02)"),
        "fixed": ("", ""),
    }
    if change == "fixed":
        other = dataclasses.replace(complete, fixed={"steps": 1})
        assert other.state() == "incomplete"
    else:
        assert edits[change][0] in source
        other = rewritten(complete, source.replace(*edits[change]), tmp_path, monkeypatch)
        assert other.state() == "stale"
        with pytest.raises(FormatError, match="18 of 18 points were made by other code"):
            other.load()
    assert len(other.missing()) == 18


def test_comments_docstrings_annotations_and_layout_do_not(
    complete: Experiment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = Path(toy_experiment.__file__).read_text(encoding="utf-8")
    source = source.replace('"""Used by the experiment: its code counts."""', '"""Says something else."""')
    source = source.replace("def helper(value: float) -> float:", "def helper(value: int):  # a comment")
    source = source.replace(
        "helper((lr - 0.1) ** 2 + noise)", "helper(\n        (lr - 0.1) ** 2 + noise,\n    )"
    )
    assert rewritten(complete, source, tmp_path, monkeypatch).state() == "complete"


MOVED = ("return value + OFFSET", "result = value + OFFSET\n    return result")
CHANGED = ("return value + OFFSET", "return value + 2 * OFFSET - 1.0001")


def again(experiment: Experiment, count: int) -> list[dict[str, Any]]:
    return [make_point(experiment, point["settings"], point["seed"]) for point in experiment.stale()[:count]]


def test_points_of_code_that_makes_the_same_are_adopted(
    complete: Experiment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = Path(toy_experiment.__file__).read_text(encoding="utf-8")
    before = complete.path.read_bytes()
    moved = rewritten(complete, source.replace(*MOVED), tmp_path, monkeypatch)
    assert moved.state() == "stale" and len(moved.stale()) == 18
    adopt(moved, complete.code, again(moved, 3))
    assert moved.state() == "complete" and moved.stale() == [] and len(moved.load()) == 18
    assert complete.path.read_bytes().startswith(before), "the points stay as they were"
    line = json.loads(complete.path.read_bytes().splitlines()[-1])
    assert line["adopts"] == complete.code and line["code"] == moved.code and len(line["again"]) == 3
    # A third version that adopts the second one has the points of the first.
    third = rewritten(complete, source.replace(*MOVED).replace("result", "total"), tmp_path, monkeypatch)
    assert third.state() == "stale"
    adopt(third, complete.code, again(third, 1))
    assert third.state() == "complete" and moved.state() == "complete"


def test_points_of_code_that_makes_others_are_not(
    complete: Experiment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = Path(toy_experiment.__file__).read_text(encoding="utf-8")
    other = rewritten(complete, source.replace(*CHANGED), tmp_path, monkeypatch)
    with pytest.raises(ValueError, match=r"differs, so the points of .* stay stale"):
        adopt(other, complete.code, again(other, 1))
    moved = rewritten(complete, source.replace(*MOVED), tmp_path, monkeypatch)
    elsewhere = [point | {"processor": "another"} for point in again(moved, 1)]
    with pytest.raises(ValueError, match="on another processor or with other versions"):
        adopt(moved, complete.code, elsewhere)
    with pytest.raises(ValueError, match="nothing was made again"):
        adopt(moved, complete.code, [])
    assert moved.state() == "stale" and len(complete.path.read_bytes().splitlines()) == 18


def test_what_other_packages_describe_does_not_count(
    complete: Experiment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = Path(toy_experiment.__file__).read_text(encoding="utf-8")
    source = source.replace("import time\n", "import time\nfrom course_lib.data import TEXTS\n")
    source = source.replace("return value + OFFSET", "return value + OFFSET + 0 * len(TEXTS)")
    one = rewritten(complete, source, tmp_path, monkeypatch).code
    monkeypatch.setattr("course_lib.data.TEXTS", ())
    assert rewritten(complete, source, tmp_path, monkeypatch).code == one != complete.code


def rewritten(original: Experiment, source: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """The experiment with another source text, under the same module name."""
    file = folder / "rewritten.py"
    file.write_text(source, encoding="utf-8")
    name = toy_experiment.__name__
    module = type(sys)(name)
    module.__file__ = str(file)
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile(source, str(file), "exec"), vars(module))
    return dataclasses.replace(original, run=module.run)


def test_a_torn_last_line_is_not_a_point_and_goes_with_the_next_write(complete: Experiment) -> None:
    whole = complete.path.read_bytes()
    lines = whole.splitlines(keepends=True)
    complete.path.write_bytes(b"".join(lines[:-1]) + lines[-1][:25])
    assert len(complete.points()) == 17
    for _ in make(complete, complete.missing()):
        pass
    assert complete.state() == "complete"
    assert complete.path.read_bytes().splitlines()[:17] == whole.splitlines()[:17]


@pytest.mark.parametrize("damage", [b"{}\n", b"not JSON\n", b"[1, 2]\n", b'{"settings": 3}\n'])
def test_a_damaged_line_is_named(complete: Experiment, damage: bytes) -> None:
    complete.path.write_bytes(damage + complete.path.read_bytes())
    with pytest.raises(FormatError, match=r"toy\.jsonl: line 1: not a point of an experiment"):
        complete.points()


def test_two_writers_are_refused(toy: Experiment) -> None:
    with (
        reference_runs.append_to(toy.path),
        pytest.raises(BlockingIOError, match="another process is writing"),
    ):
        next(make(toy, toy.missing()))


def test_a_point_changed_by_hand_is_found(complete: Experiment) -> None:
    settings, seed = complete.jobs[4]
    again = make_point(complete, settings, seed)
    assert repetition(complete, again)["ok"].all()
    text = complete.path.read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    point = json.loads(lines[4])
    point["result"]["loss"] *= 1.0001
    complete.path.write_text("".join([*lines[:4], json.dumps(point) + "\n", *lines[5:]]), encoding="utf-8")
    rows = repetition(complete, again).set_index("result")
    assert not rows.ok["loss"] and rows.ok["diverged"]
    assert 0.004 < rows.spread["loss"] < 0.04  # the toy's noise is 0.01; three seeds
    # Made on another processor, the same difference lies within the spread of the seeds.
    assert repetition(complete, again | {"processor": "another"})["ok"].all()
    far = again | {"processor": "another", "result": {"loss": 2.0, "diverged": 0.0}}
    assert not repetition(complete, far).set_index("result").ok["loss"]


def test_a_worker_that_fails_says_so_and_keeps_what_was_made(toy: Experiment) -> None:
    work = [*toy.missing()[:2], ({"arm": "a", "lr": "text", "steps": 0}, 0)]
    with pytest.raises(TypeError):
        for _ in make(toy, work):
            pass
    assert len(toy.points()) == 2


def test_wrong_declarations_are_refused(tmp_path: Path) -> None:
    toy = experiment(tmp_path)
    with pytest.raises(
        ValueError, match=r"the grid has the settings \['arm', 'lr'\], declared are \['arm'\]"
    ):
        dataclasses.replace(toy, nuisance=[])
    with pytest.raises(ValueError, match=r"large changes \['layers'\]; fixed has \['steps'\]"):
        dataclasses.replace(toy, large={"layers": 8})
    with pytest.raises(ValueError, match="the same point twice"):
        dataclasses.replace(toy, grid=[*toy.grid, toy.grid[0]])
    assert product(a=[1, 2], b=["x"]) == [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}]


def test_the_larger_form_asks_the_same_elsewhere(tmp_path: Path) -> None:
    toy = experiment(tmp_path)
    assert toy.larger is None
    toy = dataclasses.replace(toy, large={"steps": 3}, large_seconds=9.0)
    larger = toy.larger
    assert larger is not None and larger.larger is None
    assert larger.fixed == {"steps": 3} and larger.seconds == 9.0 and larger.code == toy.code
    assert larger.path == tmp_path / "toy_large.jsonl" and larger.grid == toy.grid


def test_killed_at_random_moments_it_loses_the_points_in_work_and_nothing_else(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from course_lib.lab.reference_runs import make\n"
        "from tests.lab.toy_experiment import experiment\n"
        "if __name__ == '__main__':\n"
        "    toy = experiment(Path(sys.argv[1]), steps=2, seeds=tuple(range(40)))\n"
        "    for _ in make(toy, toy.missing(), jobs=2): print('made', flush=True)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code, encoding="utf-8")
    moments = random.Random(0)
    toy = experiment(tmp_path, steps=2, seeds=tuple(range(40)))
    before: list[bytes] = []
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for _ in range(3):
        command = [sys.executable, str(script), str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=environment) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(moments.random() / 10)
            process.send_signal(signal.SIGKILL)
            said = 1 + len(process.stdout.readlines())
        lines = toy.path.read_bytes().split(b"\n")[:-1]
        assert lines[: len(before)] == before and len(lines) - len(before) >= said
        before = lines
    keys = {json.dumps([point["settings"], point["seed"]]) for point in toy.points()}
    assert len(keys) == len(before), "no point was made twice"


def test_made_stores_nothing(toy: Experiment) -> None:
    assert len(list(made(toy, toy.missing()[:2]))) == 2
    assert not toy.path.exists()


def test_the_order_of_a_set_does_not_count() -> None:
    one, other = {0, 8}, {8, 0}
    assert repr(one) != repr(other) and _described(one) == _described(other)
    assert _described(frozenset("ab")) != _described(frozenset("ac"))


def test_settings_that_diverge_do_not_widen_what_others_may_differ_by(complete: Experiment) -> None:
    settings, seed = complete.jobs[0]
    again = make_point(complete, settings, seed) | {"processor": "another"}
    before = repetition(complete, again).set_index("result").spread["loss"]
    points = [json.loads(line) for line in complete.path.read_text(encoding="utf-8").splitlines()]
    wild = [point for point in points if point["settings"] == points[-1]["settings"]]
    assert wild[0]["settings"] != settings
    for point in wild:
        point["result"]["loss"] = 10.0 ** (3 + point["seed"])
    complete.path.write_text("".join(json.dumps(point) + "\n" for point in points), encoding="utf-8")
    assert repetition(complete, again).set_index("result").spread["loss"] <= 1.01 * before
    # Where the seeds themselves disagree, a repetition may as well.
    there = make_point(complete, wild[0]["settings"], wild[0]["seed"]) | {"processor": "another"}
    assert repetition(complete, there).set_index("result").spread["loss"] > 1000


def test_a_result_that_only_some_settings_have_is_compared_among_those(complete: Experiment) -> None:
    settings, seed = complete.jobs[0]
    points = [json.loads(line) for line in complete.path.read_text(encoding="utf-8").splitlines()]
    for point in points:
        if point["settings"] == settings:
            point["result"]["only here"] = 1.0 + point["seed"]
    complete.path.write_text("".join(json.dumps(point) + "\n" for point in points), encoding="utf-8")
    again = make_point(complete, settings, seed) | {"processor": "another"}
    again["result"]["only here"] = 2.0
    rows = repetition(complete, again).set_index("result")
    assert rows.spread["only here"] == pytest.approx(1.0) and rows.ok["only here"]
