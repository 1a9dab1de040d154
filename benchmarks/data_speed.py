"""Batches a CPU second, beside the usual way of making them, in one run.

    python benchmarks/data_speed.py [--tokens 20000000] [--batch 64] [--context 256] [--rounds 7]

"nanoGPT" works as that project's loader does: for each batch it opens the memmap again, slices row after row, converts
and stacks them. "row by row" is the same without the re-opening. The ways take turns
in each round, on one thread; printed are medians over the rounds of CPU microseconds a batch, and of the ratio to
``get_batch`` in the same round. Results go to benchmarks/results/ as JSON.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from course_lib.data import BatchStream, TokenFile, get_batch
from course_lib.token_file import write_token_file

RESULTS = Path(__file__).parent / "results"
BATCHES = 300  # in one turn


def row_by_row(data: np.ndarray, batch: int, context: int) -> tuple[torch.Tensor, torch.Tensor]:
    starts = torch.randint(len(data) - context, (batch,))
    x = torch.stack([torch.from_numpy(data[i : i + context].astype(np.int64)) for i in starts])
    y = torch.stack([torch.from_numpy(data[i + 1 : i + 1 + context].astype(np.int64)) for i in starts])
    return x, y


def ways(path: Path, batch: int, context: int) -> dict[str, Callable[[], object]]:
    tokens = TokenFile.open(path)
    mapped = np.memmap(path, dtype=np.uint16, mode="r")
    stream = BatchStream(tokens, batch, context, seed=0)
    return {
        "nanoGPT": lambda: row_by_row(np.memmap(path, dtype=np.uint16, mode="r"), batch, context),
        "row by row": lambda: row_by_row(mapped, batch, context),
        "get_batch": lambda: get_batch(tokens, batch, context),
        "BatchStream": lambda: next(stream),
    }


def measure(path: Path, batch: int, context: int, rounds: int) -> dict[str, list[float]]:
    """CPU seconds a batch of each way, one number a round."""
    seconds: dict[str, list[float]] = {}
    competitors = ways(path, batch, context)
    for number in range(rounds + 1):
        for name, make in competitors.items():
            started = time.process_time()
            for _ in range(BATCHES):
                make()
            if number:  # the first round fills the caches
                seconds.setdefault(name, []).append((time.process_time() - started) / BATCHES)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, default=20_000_000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokens.bin"
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
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "data_speed.json").write_text(json.dumps({**vars(arguments), "results": results}, indent=2))


if __name__ == "__main__":
    main()
