"""`course reproduce`: lists, makes what is missing, and makes points again to compare."""

import json
from pathlib import Path

import pytest

from course_lib.chapters import references
from tests.cli.runner import failure, run, run_json
from tests.lab.toy_experiment import experiment


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    toy = experiment(tmp_path, seeds=(0, 1))
    monkeypatch.setattr(references, "experiments", lambda chapter=None, name=None: [toy])
    return tmp_path


def test_missing_points_are_made_once_and_compared(folder: Path) -> None:
    [before] = run_json("reproduce")
    assert before["state"] == "empty" and before["points"] == before["missing"] == 12
    assert run_json("reproduce", 99, "toy", "--missing", "--jobs", 2) == {"made": 12}
    assert "complete, 12 of 12 points" in run("reproduce", "--list").stdout
    assert run_json("reproduce", "--missing") == {"made": 0}
    rows = run_json("reproduce", "--sample", 2, "--seed", 0)
    assert len(rows) == 4 and all(row["ok"] for row in rows)


def test_a_changed_point_is_reported_and_fails(folder: Path) -> None:
    run("reproduce", "--missing")
    file = folder / "toy.jsonl"
    points = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    for point in points:
        point["result"]["loss"] += 0.001
    file.write_text("".join(json.dumps(point) + "\n" for point in points), encoding="utf-8")
    shown = run("reproduce", "--sample", 1, status=1).stdout
    assert shown.startswith("DIFFERS 99 toy: ") and "loss: stored" in shown


def test_the_scale_large_names_the_larger_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_SCALE", "large")
    rows = {row["name"]: row for row in run_json("reproduce", 9)}
    assert "shapes_large" in rows and "shapes" not in rows and "branches" in rows  # which has no larger form
    [row] = run_json("reproduce", 9, "shapes")
    assert row == rows["shapes_large"] and row["state"] == "empty"


def test_stale_points_are_adopted_if_they_are_made_again_the_same(folder: Path) -> None:
    run("reproduce", "--missing")
    assert run("reproduce", "--adopt", 2).stdout == "no points are stale\n"
    file = folder / "toy.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines()
    file.write_text("".join(json.dumps(json.loads(line) | {"code": "old"}) + "\n" for line in lines))
    assert run_json("reproduce")[0]["state"] == "stale"
    [row] = run_json("reproduce", "--adopt", 2)
    assert row == {"chapter": 99, "name": "toy", "adopted": "old", "points": 12, "again": 2}
    assert run_json("reproduce")[0]["state"] == "complete"


def test_wrong_requests_are_refused(folder: Path) -> None:
    assert "no points are stored" in failure("reproduce", "--sample", 1)
    assert "exclude each other" in run("reproduce", "--missing", "--sample", 1, status=2).stderr
    assert "exclude each other" in run("reproduce", "--adopt", 1, "--sample", 1, status=2).stderr


def test_unknown_chapters_and_names_are_named() -> None:
    assert "there is no chapter 55; chapters are 0 to 12" in failure("reproduce", 55)
    assert "there is no experiment 'nothing' with stored runs; there are: none" in failure(
        "reproduce", 0, "nothing"
    )
