"""Training by the command line, killed at any moment: it goes on to the same losses, and nothing stays behind."""

import dataclasses
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from course_lib.files import hold_folder
from course_lib.train import TrainConfig, checkpoints, load_model, train
from tests.train.conftest import Corpus, losses

COURSE = "from course_lib.cli import main; main()"


def course_train(config: TrainConfig, file: Path) -> "subprocess.Popen[bytes]":
    config.to_toml(file)
    return subprocess.Popen(
        [sys.executable, "-c", COURSE, "train", file, "--resume"], stdout=subprocess.DEVNULL
    )


def wait_until(condition: Callable[[], bool], process: "subprocess.Popen[bytes]", pause: float) -> None:
    """Until the condition holds or the process has ended."""
    deadline = time.monotonic() + 120
    while process.poll() is None and not condition():
        assert time.monotonic() < deadline
        time.sleep(pause)


def last_step(folder: Path) -> int:
    return max(losses(folder), default=0) if (folder / "metrics.jsonl").exists() else 0


def unfinished(folder: Path) -> list[Path]:
    return [*(folder / "checkpoints").glob(".*.tmp")]


def test_killed_at_ten_random_moments_it_comes_to_the_same_losses(corpus: Corpus, tmp_path: Path) -> None:
    options = {"steps": 60, "checkpoint_every": 2}
    train(corpus.config(tmp_path / "whole", **options), progress=False)
    folder = tmp_path / "run"
    config = corpus.config(folder, tokenizer=str(corpus.folder / "tokenizer.json"), **options)
    chance = random.Random(6)
    killed = caught_writing = 0
    # Each gets further than the one before; every other one dies while a checkpoint is being written.
    for number, step in enumerate(sorted(chance.sample(range(52), 10))):
        with course_train(config, tmp_path / "c.toml") as process:
            wait_until(lambda step=step: last_step(folder) >= step, process, 0.005)  # type: ignore[misc]
            if number % 2:
                wait_until(lambda: bool(unfinished(folder)), process, 0)
                time.sleep(chance.choice([0, 0.001, 0.003]))
            else:
                time.sleep(chance.uniform(0, 0.03))
            process.kill()
        killed += process.returncode < 0
        caught_writing += bool(unfinished(folder))
        for path in checkpoints(folder)[-1:]:
            load_model(path)
    assert killed >= 8 and caught_writing >= 1
    with course_train(config, tmp_path / "c.toml") as process:
        assert process.wait() == 0
    assert losses(folder) == losses(tmp_path / "whole")
    assert sorted(os.listdir(folder)) == ["checkpoints", "config.toml", "metrics.jsonl", "tokenizer.json"]
    names = [f"step_{step:08d}" for step in (56, 58, 60)]
    assert sorted(os.listdir(folder / "checkpoints")) == names
    for name in names:
        assert sorted(os.listdir(folder / "checkpoints" / name)) == [
            "checkpoint.json", "model.safetensors", "optimizer.safetensors",
        ]  # fmt: skip
        load_model(folder / "checkpoints" / name)


def test_the_processes_of_a_killed_torchrun_end_and_the_run_can_go_on(corpus: Corpus, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    config = corpus.config(folder, steps=10**6, schedule="constant")
    config.to_toml(tmp_path / "c.toml")
    (tmp_path / "course.py").write_text(COURSE)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    workers: list[psutil.Process] = []
    with subprocess.Popen(
        [*command, tmp_path / "course.py", "train", tmp_path / "c.toml"],
        env=environment,
        stderr=subprocess.DEVNULL,
    ) as launcher:
        try:
            wait_until(lambda: last_step(folder) >= 7, launcher, 0.01)
            workers = psutil.Process(launcher.pid).children(recursive=True)
            assert len(workers) == 2
            launcher.kill()
            _, alive = psutil.wait_procs(workers, timeout=60)
            assert not alive
        finally:
            launcher.kill()
            for worker in workers:
                if worker.is_running():
                    worker.kill()
    steps = last_step(folder) + 10
    train(dataclasses.replace(config, steps=steps), resume=True, progress=False)
    train(dataclasses.replace(config, steps=steps, directory=str(tmp_path / "whole")), progress=False)
    assert losses(folder) == pytest.approx(losses(tmp_path / "whole"), rel=1e-3)
    assert sorted(os.listdir(folder)) == ["checkpoints", "config.toml", "metrics.jsonl"]


def test_a_directory_belongs_to_one_run_at_a_time(corpus: Corpus, tmp_path: Path) -> None:
    config = corpus.config(tmp_path / "run", steps=2)
    train(config, progress=False)
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    with hold_folder(tmp_path / "run"), pytest.raises(BlockingIOError, match="another process is working in"):
        train(config, resume=True, progress=False)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before
    train(config, resume=True, progress=False)
