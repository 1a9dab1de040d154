"""Metrics: the records of a run, in JSON lines and for TensorBoard."""

import json
from pathlib import Path

import pytest

from course_lib.train import (
    read_metrics,
    train,
)
from tests.train.conftest import Corpus


def test_tensorboard_gets_the_same_numbers(corpus: Corpus, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = train(corpus.config(tmp_path / "run", steps=3, tensorboard=True), progress=False)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert {event.step: event.value for event in events.Scalars("loss")} == pytest.approx(result.losses)


def test_metrics_are_json_without_nan_and_half_a_line_is_ignored(tmp_path: Path) -> None:
    from course_lib.train.metrics import MetricsWriter

    with MetricsWriter(tmp_path / "m.jsonl") as metrics:
        metrics.write({"step": 1, "loss": float("nan"), "sample": "文"})
        metrics.write({"step": 2, "loss": 1.5})
    with open(tmp_path / "m.jsonl", "ab") as file:
        file.write(b'{"step": 3, "lo')
    assert read_metrics(tmp_path / "m.jsonl") == [
        {"step": 1, "loss": None, "sample": "文"},
        {"step": 2, "loss": 1.5},
    ]
    with MetricsWriter(tmp_path / "m.jsonl", resume_at=1) as metrics:
        metrics.write({"step": 2, "loss": 2.5})
    lines = (tmp_path / "m.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["loss"] for line in lines] == [None, 2.5]


def test_damaged_metrics_do_not_stop_a_run_and_odd_letters_are_no_line_ends(
    corpus: Corpus, tmp_path: Path
) -> None:
    from course_lib.train.metrics import MetricsWriter

    path = tmp_path / "m.jsonl"
    odd = {"step": 1, "sample": "a\u2028b\x85c\x0cd\r\ne"}
    with MetricsWriter(path) as metrics:
        metrics.write(odd)
    with open(path, "ab") as file:
        file.write(b'\xff\n[1, 2]\n{"loss": 3}\n{"step": "2"}\n\n{"step": 2}\n')
    assert read_metrics(path) == [odd, {"step": 2}]
    with MetricsWriter(path, resume_at=2) as metrics:
        assert metrics.records == [odd, {"step": 2}]
