"""Chapter 12: a command-line run that is killed and resumed, and a run on two processes."""

import dataclasses
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from course_lib.chapters.ch12_capstone.experiments.capstone import Material, configuration, run_anew
from course_lib.files import progress
from course_lib.model import ModelConfig
from course_lib.train import TrainConfig, latest_checkpoint, read_metrics

_PROGRAM = "from course_lib.cli import main; main()"
_COURSE = (sys.executable, "-c", _PROGRAM)  # the program `course`, wherever it is installed
_PATIENCE_SECONDS = 120


@dataclasses.dataclass(frozen=True)
class Survival:
    """The results of one run made in three ways.

    ``losses``: columns run, step, loss (nats per token); the runs are "never stopped", "killed" (until it was killed),
    "resumed" and "two processes". ``exit_status``: that of the killed process, -9. ``resumed_from``: the step of its
    last checkpoint. ``left_over``: files in the folder of the resumed run that the uninterrupted run does not have.
    """

    losses: pd.DataFrame
    exit_status: int
    resumed_from: int
    left_over: list[str]


def short_configuration(material: Material) -> TrainConfig:
    """A run of a few seconds: a narrow model, 150 steps, a checkpoint every 10."""
    return configuration(
        material,
        model=ModelConfig(
            vocab_size=material.tokenizer.vocab_size, context_length=32, d_model=32, num_layers=2, num_heads=2
        ),
        steps=150,
        batch_size=8,
        warmup_steps=10,
        threads=1,
        checkpoint_every=10,
        eval_every=0,
        eval_batches=20,
        sample_every=0,
    )


def survive(material: Material, *, kill_at: int = 47) -> Survival:
    """Make the short run in this process; with ``course train``, killed (signal 9) after step ``kill_at`` and started
    again with ``--resume``; and with ``torchrun`` on two processes.

    Raises RuntimeError with a command's output if it fails, subprocess.TimeoutExpired if it does not end.
    """
    whole, stopped, shared = (
        dataclasses.replace(short_configuration(material), directory=str(material.folder / name))
        for name in ("whole", "stopped", "shared")
    )
    with progress(description="runs", total=4, unit="run") as bar:
        run_anew(whole, progress=False)
        losses = [_losses("never stopped", whole)]
        bar.update()
        exit_status = _killed_run(stopped, kill_at)
        losses.append(_losses("killed", stopped))
        resumed_from = int(latest_checkpoint(stopped.directory).name.removeprefix("step_"))
        bar.update()
        _run([*_COURSE, "train", _toml(stopped), "--resume"])
        losses.append(_losses("resumed", stopped))
        bar.update()
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
        shutil.rmtree(shared.directory, ignore_errors=True)
        _run([sys.executable, *launcher, *_COURSE, "train", _toml(shared)])
        losses.append(_losses("two processes", shared))
        bar.update()
    left_over = sorted(_files(stopped) - _files(whole))
    return Survival(pd.concat(losses, ignore_index=True), exit_status, resumed_from, left_over)


def _toml(config: TrainConfig) -> str:
    """The configuration as a file beside the run's folder."""
    path = Path(config.directory).with_suffix(".toml")
    config.to_toml(path)
    return str(path)


def _killed_run(config: TrainConfig, kill_at: int) -> int:
    """Start ``course train`` from the first step, kill it after ``kill_at`` steps, and return its exit status."""
    shutil.rmtree(config.directory, ignore_errors=True)
    metrics = Path(config.directory) / "metrics.jsonl"
    command = [*_COURSE, "train", _toml(config)]
    deadline = time.monotonic() + _PATIENCE_SECONDS
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while not (metrics.exists() and len(read_metrics(metrics)) >= kill_at):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise RuntimeError(
                    f"course train made fewer than {kill_at} steps: {process.communicate()[1]}"
                )
            time.sleep(0.002)
        process.kill()
        process.communicate()
    return process.returncode


def _run(command: Sequence[str]) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=_PATIENCE_SECONDS
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")


def _losses(run: str, config: TrainConfig) -> pd.DataFrame:
    records = read_metrics(Path(config.directory) / "metrics.jsonl")
    rows = [(run, record["step"], record["loss"]) for record in records if "loss" in record]
    return pd.DataFrame(rows, columns=["run", "step", "loss"])


def _files(config: TrainConfig) -> set[str]:
    folder = Path(config.directory)
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
