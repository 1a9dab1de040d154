"""Batches per CPU second compared with the usual ways of making them, the wait for them in training, and memory.

    python benchmarks/data_speed.py [--tokens 20000000] [--batch 64] [--context 256] [--rounds 7] [--memory 2GB]

"nanoGPT" works like that project's loader: for each batch it opens the memmap again, slices, converts and stacks row by
row. "row by row" is the same without the re-opening. The ways take turns on one thread; the output has the medians over
the rounds of CPU microseconds per batch, and of the ratio to ``get_batch`` in the same round.

The wait is the share of the wall time of ``course_lib.train.train`` in which its steps wait for batches: the median
over the rounds, with the smallest model that a chapter trains; a larger one waits less.

``--memory SIZE`` makes a text of that size, encodes it and trains on its tokens, each in its own process. It measures
the peak of private memory (resident, but not shared with files: RssAnon in /proc/PID/status; Linux only). The same with
a text of 1 MB shows what grows with the file. Takes minutes, and 1.5 times SIZE of disk space.

Results go to benchmarks/results/ as JSON.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from course_lib import accounting
from course_lib.chapters.ch10_memmap_data.experiments.loaders import row_by_row
from course_lib.cli.options import parse_size
from course_lib.data import BatchStream, TokenFile, get_batch, write_stories
from course_lib.lab.measure import take_turns
from course_lib.model import ModelConfig
from course_lib.token_file import write_token_file
from course_lib.tokenizer import train_bpe
from course_lib.train import TrainConfig, train

RESULTS = Path(__file__).parent / "results"
BATCHES = 300  # in one turn
VOCAB_SIZE = 10_000
SMALL = ModelConfig(vocab_size=1000, context_length=256, d_model=64, num_layers=2, num_heads=4)


def ways(path: Path, batch: int, context: int) -> dict[str, Callable[[], object]]:
    tokens = TokenFile.open(path)
    mapped = np.memmap(path, dtype=np.uint16, mode="r")
    stream = BatchStream(tokens, batch, context, seed=0)

    def starts() -> np.ndarray:
        return torch.randint(len(tokens) - context, (batch,)).numpy()

    return {
        "nanoGPT": lambda: row_by_row(np.memmap(path, dtype=np.uint16, mode="r"), starts(), context),
        "row by row": lambda: row_by_row(mapped, starts(), context),
        "get_batch": lambda: get_batch(tokens, batch, context),
        "BatchStream": lambda: next(stream),
    }


def measure(path: Path, batch: int, context: int, rounds: int) -> dict[str, list[float]]:
    """CPU seconds per batch of each way, one number per round."""

    def many(make: Callable[[], object]) -> None:
        for _ in range(BATCHES):
            make()

    work = {name: partial(many, make) for name, make in ways(path, batch, context).items()}
    seconds = take_turns(work, rounds)
    return {name: [spent / BATCHES for spent in times] for name, times in seconds.items()}


def speed(folder: Path, arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    path = folder / "tokens.bin"
    ids = np.random.default_rng(0).integers(0, 50_257, arguments.tokens)
    write_token_file(path, [ids], vocab_size=50_257, tokenizer_sha256="0" * 64)
    seconds = measure(path, arguments.batch, arguments.context, arguments.rounds)
    print(f"B = {arguments.batch}, T = {arguments.context}, {arguments.tokens:,} tokens of two bytes")
    print(f"{'':12} {'us a batch':>11} {'times get_batch':>16}")
    results = {}
    for name, measured in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(measured, seconds["get_batch"], strict=True))
        results[name] = {"seconds": statistics.median(measured), "ratio": ratio}
        print(f"{name:12} {results[name]['seconds'] * 1e6:11.1f} {ratio:16.2f}")
    return results


def run_config(folder: Path, model: ModelConfig, **options: Any) -> TrainConfig:
    fixed: dict[str, Any] = {"threads": 1, "warmup_steps": 1, "checkpoint_every": 0, "tensorboard": False}
    paths = {"train_tokens": str(folder / "tokens.bin"), "directory": str(folder / "run")}
    return TrainConfig(model=model, device="cpu", **paths, **fixed, **options)


def input_wait(folder: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """The share of its time in which training waits for batches, and the seconds per step."""
    model = replace(SMALL, context_length=arguments.context)
    ids = np.random.default_rng(0).integers(0, model.vocab_size, arguments.tokens)
    write_token_file(folder / "tokens.bin", [ids], vocab_size=model.vocab_size, tokenizer_sha256="0" * 64)
    shares, steps = [], []
    for number in range(arguments.rounds):
        config = run_config(folder, model, steps=11, batch_size=arguments.batch, log_every=1, seed=number)
        config = replace(config, directory=str(folder / f"run{number}"))
        records = train(config, progress=False).records
        seconds = records[-1]["seconds"] - records[0]["seconds"]
        shares.append(sum(record["input_seconds"] for record in records[1:]) / seconds)
        steps.append(seconds / (len(records) - 1))
    result = {"share": statistics.median(shares), "step_seconds": statistics.median(steps)}
    print(
        f"\ntraining waits for input {result['share']:.2%} of a step of {result['step_seconds'] * 1e3:.0f} ms "
        f"(most in a run: {max(shares):.2%}; {model.num_layers} layers of width {model.d_model})"
    )
    return result


def most_private_memory(*command: object) -> int:
    """The peak memory of ``course command`` without file pages, sampled every few milliseconds."""
    peak = 0
    arguments = [sys.executable, "-m", "course_lib.cli", *map(str, command)]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL) as process:
        seen = psutil.Process(process.pid)
        while process.poll() is None:
            info = seen.memory_info()
            peak = max(peak, info.rss - info.shared)
            time.sleep(0.005)
    if process.returncode:
        raise SystemExit(f"course {' '.join(map(str, command))} failed")
    return peak


def memory(folder: Path, arguments: argparse.Namespace) -> dict[str, dict[str, int]]:
    """Peaks of encoding a text and of training on its tokens, for a text of 1 MB and for the large one."""
    text, tokenizer, tokens = folder / "text.txt", folder / "tokenizer.json", folder / "tokens.bin"
    write_stories(text, 20_000_000, language="both")
    train_bpe(text, VOCAB_SIZE, ["<|endoftext|>"]).save(tokenizer)
    model = replace(SMALL, vocab_size=VOCAB_SIZE, context_length=arguments.context)
    widths = {"text": 14, "tokens": 14, "encoding": 12, "training": 12}
    print(f"\nbytes{''.join(f'{name:>{width + 1}}' for name, width in widths.items())}   most private memory")
    results = {}
    for name, size in (("small", 10**6), ("large", arguments.memory)):
        write_stories(text, size, language="both", show_progress=sys.stderr.isatty())
        encoding = most_private_memory("tokenizer", "encode", tokenizer, text, tokens)
        config = replace(run_config(folder, model, steps=30, batch_size=8), directory=str(folder / name))
        config.to_toml(folder / "config.toml")
        training = most_private_memory("train", folder / "config.toml")
        sizes = {"text": text.stat().st_size, "tokens": tokens.stat().st_size}
        results[name] = sizes | {"encoding": encoding, "training": training}
        print(f"{name:5}{''.join(f'{results[name][key]:{width + 1},}' for key, width in widths.items())}")
    needed = accounting.memory(model, 8, "adamw", loss_chunk=TrainConfig.loss_chunk)
    print(f"of the memory of training, {needed:,} are the model's by formula")
    return results


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, default=20_000_000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--memory", type=parse_size, metavar="SIZE", help="measure memory too, with a text of SIZE"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    target = RESULTS / "data_speed.json"
    RESULTS.mkdir(exist_ok=True)
    # A run without --memory keeps the memory results of an earlier one.
    report = json.loads(target.read_text()) if target.is_file() else {}
    with tempfile.TemporaryDirectory() as folder:
        report |= {**vars(arguments), "results": speed(Path(folder), arguments)}
        report["input_wait"] = input_wait(Path(folder), arguments)
        if arguments.memory:
            report["private_bytes"] = memory(Path(folder), arguments)
    target.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
