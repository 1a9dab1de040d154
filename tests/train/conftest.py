"""A small corpus, encoded, and a run on it that takes seconds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from course_lib.data import write_stories
from course_lib.model import ModelConfig
from course_lib.tokenizer import train_bpe
from course_lib.train import TrainConfig, read_metrics, train


@dataclass
class Corpus:
    folder: Path

    def config(self, directory: Path, **options: Any) -> TrainConfig:
        defaults: dict[str, Any] = {
            "model": ModelConfig(vocab_size=300, context_length=32, d_model=32, num_layers=2, num_heads=2),
            "train_tokens": str(self.folder / "train.bin"),
            "valid_tokens": str(self.folder / "valid.bin"),
            "directory": str(directory),
            "steps": 20,
            "batch_size": 8,
            "warmup_steps": 2,
            "learning_rate": 0.01,
            "threads": 1,
            "log_every": 1,
            "eval_batches": 2,
            "checkpoint_every": 5,
            "device": "cpu",
            "tensorboard": False,
        }
        return TrainConfig(**{**defaults, **options})


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    for name, seed in (("train", 0), ("valid", 1)):
        write_stories(folder / f"{name}.txt", 60_000, seed=seed)
    tokenizer = train_bpe(folder / "train.txt", 300, ["<|endoftext|>"])
    tokenizer.save(folder / "tokenizer.json")
    for name in ("train", "valid"):
        tokenizer.encode_file(folder / f"{name}.txt", folder / f"{name}.bin")
    return Corpus(folder)


def losses(folder: Path) -> dict[int, float]:
    return {record["step"]: record["loss"] for record in read_metrics(folder / "metrics.jsonl")}


@pytest.fixture(scope="session")
def finished(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    train(corpus.config(folder), progress=False)
    return folder
