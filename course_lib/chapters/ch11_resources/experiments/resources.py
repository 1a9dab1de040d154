"""Chapter 11: counts by formula and by torch, published runs, and the speed of this machine."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from course_lib.accounting import KNOWN_MODELS, flops, kv_cache_bytes, memory, parameters
from course_lib.lab import step_memory
from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.measure import take_turns
from course_lib.lab.small_runs import one_thread, small_config
from course_lib.loss import cross_entropy
from course_lib.model import ModelConfig, RMSNorm, TransformerLM
from course_lib.optim import AdamW

Call = Callable[[], object]

GPU_MEMORY = 80e9
"""Memory of the tables' accelerator in bytes: an A100 or H100 with 80 GB."""


# --- counts -----------------------------------------------------------------------------------------------------------


def known_models() -> pd.DataFrame:
    """Published models: shape, parameters as published and by formula, shares of the parts.

    Columns: model, D, L, H, parameters, formula (including biases, which the course leaves out), 12 L D², embedding
    (with positions), attention, ffn, head (shares; norms are the small rest), D / L, d_ff / D, head size, H·head / D,
    V.
    """
    rows = []
    for name, known in KNOWN_MODELS.items():
        config, counted = known.config, parameters(known.config)
        rows.append(
            {
                "model": name,
                "D": config.d_model,
                "L": config.num_layers,
                "H": config.num_heads,
                "parameters": known.published,
                "formula": counted.total + known.biases,
                "12 L D²": 12 * config.num_layers * config.d_model**2,
                "embedding": counted.share("embedding") + counted.share("position"),
                "attention": counted.share("attention"),
                "ffn": counted.share("ffn"),
                "head": counted.share("head"),
                "D / L": config.d_model / config.num_layers,
                "d_ff / D": config.ffn_width / config.d_model,
                "head size": config.head_width,
                "H·head / D": config.num_heads * config.head_width / config.d_model,
                "V": config.vocab_size,
            }
        )
    return pd.DataFrame(rows)


@float32_on_cpu()
def torch_counts(
    variants: Mapping[str, Mapping[str, Any]], *, batch: int = 1, context_length: int = 512
) -> pd.DataFrame:
    """Parameters and operations by formula and as torch counts them, for changes of the small model by name.

    Torch's flop counter watches a forward and a backward pass through plain attention, whose products it can count. The
    context is long because for short ones the model uses its own kernel, which the counter does not see.

    Columns: variant, parameters, module (numbers in the module), flops, counter (torch's), ratio.
    """
    rows = []
    for name, changes in variants.items():
        config = small_config(context_length=context_length, **changes)
        torch.manual_seed(0)
        model = TransformerLM(config)
        x, y = torch.randint(config.vocab_size, (2, batch, context_length))
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
        counted, seen = flops(config, batch), counter.get_total_flops()
        numbers = sum(parameter.numel() for parameter in model.parameters())
        rows.append((name, parameters(config).total, numbers, counted.total, seen, counted / seen))
    columns = ["variant", "parameters", "module", "flops", "counter", "ratio"]
    return pd.DataFrame(rows, columns=columns)


def by_context(names: Sequence[str], lengths: Sequence[int]) -> pd.DataFrame:
    """Operations per token of a training step by context length, for known models.

    Columns: model, context, flops (per token), attention (share of the T x T products), rule (6 times the parameters
    without the embedding table, which is only looked up, over flops).
    """
    rows = []
    for name in names:
        config = KNOWN_MODELS[name].config
        counted = parameters(config)
        multiplied = counted["attention"] + counted["ffn"] + config.vocab_size * config.d_model
        for length in lengths:
            step = flops(replace(config, context_length=length))
            rule = 6 * multiplied * length / step
            rows.append((name, length, step / length, step.share("attention"), rule))
    return pd.DataFrame(rows, columns=["model", "context", "flops", "attention", "rule"])


# --- bytes ------------------------------------------------------------------------------------------------------------


def memory_cases(
    config: ModelConfig, cases: Mapping[str, Mapping[str, Any]], *, batch: int = 8
) -> pd.DataFrame:
    """The parts of a training step's peak in gigabytes; ``cases``: arguments of :func:`course_lib.accounting.memory`.

    Columns: case, weights, gradients, optimizer, activations, loss, total.
    """
    rows = []
    for name, options in cases.items():
        counted = memory(config, **{"batch": batch, **options})
        parts = {part: number / 1e9 for part, number in counted.parts.items()}
        rows.append({"case": name, **parts, "total": counted.total / 1e9})
    return pd.DataFrame(rows)


def what_fits(names: Sequence[str], *, memory_bytes: float = GPU_MEMORY) -> pd.DataFrame:
    """Memory that known models need on one accelerator, to train with AdamW and to serve in bfloat16.

    Columns: model, parameters, state (GB of float32 weights, gradients and two moments), trains (whether that leaves
    room for one sequence under autocast), weights (GB in bfloat16), KV cache a token (bytes), cached tokens (thousands
    that fit beside the weights; negative if the weights do not fit).
    """
    rows = []
    for name in names:
        known = KNOWN_MODELS[name]
        count, length = known.published, known.config.context_length
        trains = memory(known.config, 1, "adamw", "mixed", loss_chunk=1024) <= memory_bytes
        token = kv_cache_bytes(known.config, 1, length, "bfloat16") / length
        weights = 2 * count
        cached = (memory_bytes - weights) / token / 1e3
        rows.append((name, count, 16 * count / 1e9, trains, weights / 1e9, token, cached))
    columns = ["model", "parameters", "state", "trains", "weights", "KV cache a token", "cached tokens"]
    return pd.DataFrame(rows, columns=columns)


# --- time -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PublishedRun:
    """A training run whose authors state its GPU hours. ``peak``: FLOP/s of one device in bfloat16."""

    model: str
    gpu_hours: float
    peak: float
    source: str


_A100 = 312e12
PUBLISHED_RUNS = (
    PublishedRun("LLaMA 7B", 82_432, _A100, "Touvron et al. 2023 (LLaMA), table 15"),
    PublishedRun("LLaMA 13B", 135_168, _A100, "Touvron et al. 2023 (LLaMA), table 15"),
    PublishedRun("LLaMA 33B", 530_432, _A100, "Touvron et al. 2023 (LLaMA), table 15"),
    PublishedRun("LLaMA 65B", 1_022_362, _A100, "Touvron et al. 2023 (LLaMA), table 15"),
    PublishedRun("Llama 2 70B", 1_720_320, _A100, "Touvron et al. 2023 (Llama 2), table 2"),
)
"""Pre-training on A100-80GB; the hours are from the papers' tables of carbon emissions."""


def published_runs() -> pd.DataFrame:
    """The utilization that published GPU hours imply.

    Columns: model, tokens, GPU hours, flops (of the whole run), MFU (flops over the GPUs' peak in those hours), 6ND
    (the rule's operations over the formula's).
    """
    rows = []
    for run in PUBLISHED_RUNS:
        known = KNOWN_MODELS[run.model]
        tokens = known.training_tokens
        assert tokens is not None
        length = known.config.context_length
        needed = flops(known.config) / length * tokens
        possible = run.gpu_hours * 3600 * run.peak
        rule = 6 * known.published * tokens / needed
        rows.append((run.model, tokens, run.gpu_hours, needed, needed / possible, rule))
    return pd.DataFrame(rows, columns=["model", "tokens", "GPU hours", "flops", "MFU", "6ND"])


@float32_on_cpu()
def operations(*, width: int = 256, tokens: int = 512, repeats: int = 7) -> pd.DataFrame:
    """A model's operations on one thread: floating-point operations, bytes to move, and the speed reached.

    Bytes are the minimum: every input read once, every result written once.

    Columns: name, flops, bytes, cpu_seconds, intensity (FLOP/byte), flops_per_second.
    """
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, tokens, width, generator=generator)
    weight = torch.randn(4 * width, width, generator=generator)
    one, norm = x[:1].clone(), RMSNorm(width)
    # Large enough that the weights for one token come from memory, not from a cache.
    large = torch.randn(16 * width, 16 * width, generator=generator)
    wide = torch.randn(1, 16 * width, generator=generator)
    logits = torch.randn(tokens, 4096, generator=generator)
    parameter = torch.nn.Parameter(torch.randn(4_000_000, generator=generator))
    parameter.grad = torch.ones_like(parameter)
    optimizer = AdamW([parameter], lr=1e-3)
    work: dict[str, tuple[float, float, Call]] = {
        f"layer, {tokens} tokens": _product(x, weight),
        "layer, 1 token": _product(one, weight),
        "layer of 4,096, 1 token": _product(wide, large),
        "residual sum": (x.numel(), 3 * x.nbytes, lambda: x + y),
        "RMSNorm": (4 * x.numel(), 2 * x.nbytes, lambda: norm(x)),
        "softmax": (5 * logits.numel(), 2 * logits.nbytes, lambda: logits.softmax(-1)),
        # Reads weight, gradient and two moments, writes all but the gradient.
        "AdamW": (14 * parameter.numel(), 7 * parameter.nbytes, optimizer.step),
    }
    with one_thread(), torch.no_grad():
        seconds = take_turns({name: call for name, (_, _, call) in work.items()}, repeats)
    rows = [
        (name, count, size, min(seconds[name]), count / size, count / min(seconds[name]))
        for name, (count, size, _) in work.items()
    ]
    columns = ["name", "flops", "bytes", "cpu_seconds", "intensity", "flops_per_second"]
    return pd.DataFrame(rows, columns=columns)


def _product(x: torch.Tensor, weight: torch.Tensor) -> tuple[float, float, Call]:
    rows, columns = len(x), len(weight)
    size = x.nbytes + weight.nbytes + 4 * rows * columns
    return 2.0 * rows * weight.numel(), float(size), lambda: functional.linear(x, weight)


@float32_on_cpu()
def training_steps(widths: Sequence[int], *, batch: int = 8, repeats: int = 5) -> pd.DataFrame:
    """Training steps of the small model at several widths, on one thread, in turns with a large matrix product.

    Columns: width, parameters, flops (per step), cpu_seconds, tokens_per_second, MFU (the step's operations per second
    over the product's).
    """
    matrix = torch.randn(1024, 1024, generator=torch.Generator().manual_seed(0))
    with one_thread():
        configs = {width: small_config(d_model=width, num_heads=max(1, width // 32)) for width in widths}
        work: dict[int, Call] = {0: lambda: matrix @ matrix}
        seconds = take_turns(
            work | {width: _step(config, batch) for width, config in configs.items()}, repeats
        )
    peak = 2 * 1024**3 / min(seconds[0])
    rows = []
    for width, config in configs.items():
        count, tokens = flops(config, batch).total, batch * config.context_length
        taken = min(seconds[width])
        rows.append((width, parameters(config).total, count, taken, tokens / taken, count / taken / peak))
    columns = ["width", "parameters", "flops", "cpu_seconds", "tokens_per_second", "MFU"]
    return pd.DataFrame(rows, columns=columns)


def _step(config: ModelConfig, batch: int) -> Call:
    torch.manual_seed(0)
    model = TransformerLM(config)
    optimizer = AdamW(model.parameters(), lr=1e-3)
    x, y = torch.randint(config.vocab_size, (2, batch, config.context_length))

    def step() -> None:
        cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()

    return step


def measured_memory(cases: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Measured peak of a small model's step beside the formula's; arguments and columns as ``against_accounting``."""
    config = replace(step_memory.SMALL, num_layers=2)
    with one_thread():
        return step_memory.against_accounting(cases, config, batch=4)
