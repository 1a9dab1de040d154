"""Optimizer steps and chunked cross-entropy compared with torch's, in CPU seconds and bytes.

    python benchmarks/optim_speed.py [--repeats 7] [--threads 1] [--job adamw|muon|loss|memory]

The contestants take turns in one process, so that a shared machine or a change of its speed affects all alike. The
output has medians of CPU and wall milliseconds, and the ratio of a contestant's CPU time to ours from the same turns
(above 1: ours is faster). Peak memory is measured in fresh processes: the growth of the resident set over a forward and
backward pass, including the gradients of the inputs. Results go to benchmarks/results/ as JSON.

Torch's Muon iterates in bfloat16, ours in float32: which is faster depends on the processor's bfloat16 instructions.
ONEDNN_MAX_CPU_ISA=AVX2 imitates a processor without them.
"""

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import torch
import torch.nn.functional as functional
from torch import nn

from course_lib import optim
from course_lib.lab.measure import take_turns
from course_lib.loss import cross_entropy, linear_cross_entropy

RESULTS = Path(__file__).parent / "results"

# The matrices of a 30 M-parameter decoder: d_model 512, 8 layers, vocabulary 8,192, SwiGLU 1,408.
HIDDEN = [(512, 512)] * 4 + [(1408, 512)] * 2 + [(512, 1408)]
LAYERS = 8
LIST_30M = [(8192, 512)] + [*HIDDEN, (512,), (512,)] * LAYERS + [(512,)]
# Rows, features and classes of the cross-entropy: 16 sequences of 128 tokens, GPT-2's vocabulary.
ROWS, FEATURES, CLASSES = 2048, 256, 50257

Work = Callable[[], object]


def parameters(shapes: list[tuple[int, ...]]) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    params = [nn.Parameter(0.02 * torch.randn(shape, generator=generator)) for shape in shapes]
    for param in params:
        param.grad = 1e-3 * torch.randn(param.shape, generator=generator)
    return params


def optimizer_step(
    make: Callable[[list[nn.Parameter]], torch.optim.Optimizer], shapes: list[tuple[int, ...]]
) -> Work:
    optimizer = make(parameters(shapes))
    return optimizer.step


def adamw_contestants() -> dict[str, Work]:
    options = {"lr": 1e-3, "betas": (0.9, 0.95), "weight_decay": 0.1}
    return {
        "course_lib": optimizer_step(lambda p: optim.AdamW(p, **options), LIST_30M),
        "course_lib, lists": optimizer_step(lambda p: optim.AdamW(p, fused=False, **options), LIST_30M),
        "torch fused": optimizer_step(lambda p: torch.optim.AdamW(p, fused=True, **options), LIST_30M),
        "torch foreach": optimizer_step(lambda p: torch.optim.AdamW(p, foreach=True, **options), LIST_30M),
        "torch default": optimizer_step(lambda p: torch.optim.AdamW(p, **options), LIST_30M),
    }


def muon_contestants(shapes: list[tuple[int, ...]]) -> dict[str, Work]:
    options = {"lr": 0.02, "momentum": 0.95, "weight_decay": 0.1}
    return {
        "course_lib": optimizer_step(lambda p: optim.Muon(p, **options), shapes),
        "torch": optimizer_step(
            lambda p: torch.optim.Muon(p, adjust_lr_fn="match_rms_adamw", **options), shapes
        ),
    }


def loss_inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(ROWS, FEATURES, generator=generator).requires_grad_()
    weight = (FEATURES**-0.5 * torch.randn(CLASSES, FEATURES, generator=generator)).requires_grad_()
    return hidden, weight, torch.randint(CLASSES, (ROWS,), generator=generator)


def loss_forms() -> dict[str, Callable[..., torch.Tensor]]:
    forms: dict[str, Callable[..., torch.Tensor]] = {
        "course_lib linear, chunk 256": lambda h, w, t: linear_cross_entropy(h, w, t, chunk_size=256),
        "course_lib linear, chunk 128": lambda h, w, t: linear_cross_entropy(h, w, t, chunk_size=128),
        "course_lib logits, chunk 256": lambda h, w, t: cross_entropy(h @ w.T, t, chunk_size=256),
        "course_lib logits": lambda h, w, t: cross_entropy(h @ w.T, t),
        "torch logits": lambda h, w, t: functional.cross_entropy(h @ w.T, t),
    }
    if hasattr(functional, "linear_cross_entropy"):
        forms["torch linear"] = functional.linear_cross_entropy
    return forms


def loss_contestants() -> dict[str, Work]:
    hidden, weight, targets = loss_inputs()

    def passes(form: Callable[..., torch.Tensor]) -> Work:
        return lambda: torch.autograd.grad(form(hidden, weight, targets), (hidden, weight))

    return {name: passes(form) for name, form in loss_forms().items()}


def side_by_side(contestants: dict[str, Work], repeats: int) -> dict[str, dict[str, float]]:
    """Medians over turns of CPU and wall time."""
    wall: dict[str, list[float]] = {name: [] for name in contestants}

    def clocked(name: str) -> None:
        started = time.perf_counter()
        contestants[name]()
        wall[name].append(time.perf_counter() - started)

    cpu = take_turns({name: partial(clocked, name) for name in contestants}, repeats)
    ours = next(iter(contestants))
    return {
        name: {
            "cpu_ms": 1e3 * statistics.median(cpu[name]),
            "wall_ms": 1e3 * statistics.median(wall[name][1:]),  # without the turn that warms up
            "cpu_over_ours": statistics.median(a / b for a, b in zip(cpu[name], cpu[ours], strict=True)),
        }
        for name in contestants
    }


def peak_growth(name: str) -> int:
    """Bytes by which the resident set of this process grows over one forward and backward pass."""
    hidden, weight, targets = loss_inputs()
    form = loss_forms()[name]
    # A small pass first, so that the libraries that torch loads at its first call do not count.
    torch.autograd.grad(form(hidden[:2], weight[:100], targets[:2] % 100), (hidden, weight))
    before = psutil.Process().memory_info().rss
    torch.autograd.grad(form(hidden, weight, targets), (hidden, weight))
    return largest_resident_set() - before


def largest_resident_set() -> int:
    """The most memory this process has held so far, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # Linux's ru_maxrss would include the memory of the parent process when it started this one.
        lines = status.read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def memory_table() -> dict[str, dict[str, float]]:
    table = {}
    for name in loss_forms():
        run = subprocess.run(
            [sys.executable, __file__, "--peak", name], capture_output=True, text=True, check=True
        )
        table[name] = {"peak_mib": int(run.stdout) / 2**20}
    for row in table.values():
        row["share_of_torch_logits"] = row["peak_mib"] / table["torch logits"]["peak_mib"]
    return table


JOBS: dict[str, tuple[str, Callable[[int], dict[str, dict[str, float]]]]] = {
    "adamw": (
        f"AdamW step, {sum(torch.Size(s).numel() for s in LIST_30M) / 1e6:.1f} M parameters",
        lambda repeats: side_by_side(adamw_contestants(), repeats),
    ),
    "muon": (
        "Muon step, one layer of d_model 512",
        lambda repeats: side_by_side(muon_contestants(HIDDEN), repeats),
    ),
    "muon-small": (
        "Muon step, 8 layers of d_model 128",
        lambda repeats: side_by_side(
            muon_contestants([(r // 4, c // 4) for r, c in HIDDEN] * LAYERS), repeats
        ),
    ),
    "loss": (
        f"cross-entropy, forward and backward, {ROWS} x {FEATURES}, V = {CLASSES}",
        lambda repeats: side_by_side(loss_contestants(), repeats),
    ),
    "memory": (f"growth of the resident set, {ROWS} x {FEATURES}, V = {CLASSES}", lambda _: memory_table()),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--job", choices=JOBS, action="append")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.peak:
        print(peak_growth(arguments.peak))
        return
    results = {}
    for job in arguments.job or JOBS:
        title, measure = JOBS[job]
        results[job] = measure(arguments.repeats)
        print(f"\n{title}")
        for name, row in results[job].items():
            print(f"  {name:30}" + "".join(f"{key:>24} {value:9.3f}" for key, value in row.items()))
    machine = {"processor": platform.processor() or platform.machine(), "threads": arguments.threads}
    RESULTS.mkdir(exist_ok=True)
    versions = {"torch": torch.__version__, "machine": machine}
    record = versions | {"repeats": arguments.repeats, "results": results}
    (RESULTS / "optim_speed.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
