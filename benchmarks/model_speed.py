"""The model compared with transformers' Llama of the same shape, and RMSNorm with torch's norms, in CPU seconds.

    python benchmarks/model_speed.py [--repeats 11] [--threads 1] [--job train|generate|norm]

Everything runs in one process, in turns, so that a shared machine or a change of its speed affects all alike. The
output has medians, and the ratio of the others to ours from the same turns (above 1: ours is faster). A training step
is forward, cross-entropy, backward and torch's fused AdamW on random ids, the same for both models; Llama runs with
scaled_dot_product_attention, its fastest form on the CPU. Generation is greedy with a cache. MFU is the speed of the
step's matrix products over that of a 1024 x 1024 float32 matrix product in the same turns.
Results go to benchmarks/results/ as JSON.
"""

import argparse
import json
import os
import platform
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as tf
import transformers
from tables import show
from torch import Tensor, nn

from course_lib.lab.measure import take_turns
from course_lib.model import ModelConfig, RMSNorm, TransformerLM, rms_norm_reference

RESULTS = Path(__file__).parent / "results"
Row = dict[str, object]

# The shapes of the course's largest and of its usual runs.
SHAPES = {
    "d=256": ModelConfig(vocab_size=4096, context_length=256, d_model=256, num_layers=4, num_heads=4),
    "d=96": ModelConfig(vocab_size=256, context_length=64, d_model=96, num_layers=4, num_heads=4),
}
BATCH_SIZE = 8
PROMPT, NEW_TOKENS = 16, 128
NORM_SHAPES = [(2048, 256), (512, 96)]
NORM_CALLS = 50


def ratio(seconds: dict[str, list[float]], other: str, ours: str) -> float:
    return statistics.median(a / b for a, b in zip(seconds[other], seconds[ours], strict=True))


def llama(config: ModelConfig) -> transformers.LlamaForCausalLM:
    """A model of the same shape in transformers, checked by its number of parameters."""
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.d_model,
            intermediate_size=config.ffn_width,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            max_position_embeddings=config.context_length,
            attn_implementation="sdpa",
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=None,
        )
    )
    assert model.num_parameters() == TransformerLM(config).num_parameters()
    return model


def training_step(model: nn.Module, logits: Callable[[Tensor], Tensor], ids: Tensor) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    targets = ids.roll(-1, 1).flatten()

    def step() -> None:
        loss = tf.cross_entropy(logits(ids).flatten(0, 1), targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def flops(config: ModelConfig, batch_size: int) -> float:
    """FLOPs of a training step's matrix products: three times forward; attention is counted without its mask."""
    tokens = batch_size * config.context_length
    matrices = TransformerLM(config).num_parameters(non_embedding=True)
    attention = 4 * config.num_layers * tokens * config.context_length * config.num_heads * config.head_width
    return 3 * (2 * tokens * matrices + attention)


def compare_training(repeats: int) -> list[Row]:
    square = torch.randn(1024, 1024)
    rows = []
    for name, config in SHAPES.items():
        ids = torch.randint(0, config.vocab_size, (BATCH_SIZE, config.context_length))
        ours, theirs = TransformerLM(config), llama(config)
        seconds = take_turns(
            {
                "matmul": lambda: square @ square,
                "course_lib": training_step(ours, ours, ids),
                "transformers": training_step(
                    theirs, lambda ids, model=theirs: model(ids, use_cache=False).logits, ids
                ),
            },
            repeats * (1 if config.d_model == 256 else 5),
        )
        peak = 2 * 1024**3 / statistics.median(seconds["matmul"])
        for package in ("course_lib", "transformers"):
            median = statistics.median(seconds[package])
            rows.append(
                {
                    "step": f"{name}, L={config.num_layers}, V={config.vocab_size}, "
                    f"T={config.context_length}, B={BATCH_SIZE}",
                    "package": package,
                    "cpu_ms": 1e3 * median,
                    "tokens_per_cpu_s": ids.numel() / median,
                    "peak_gflops": peak / 1e9,
                    "mfu": flops(config, BATCH_SIZE) / median / peak,
                    "ratio_to_ours": ratio(seconds, package, "course_lib"),
                }
            )
    return rows


def compare_generation(repeats: int) -> list[Row]:
    rows = []
    for name, config in SHAPES.items():
        new_tokens = min(NEW_TOKENS, config.context_length - PROMPT)
        prompt = torch.randint(0, config.vocab_size, (1, PROMPT))
        ours, theirs = TransformerLM(config), llama(config).eval()
        seconds = take_turns(
            {
                "course_lib": lambda model=ours, prompt=prompt, n=new_tokens: model.generate(
                    prompt, n, temperature=0
                ),
                "transformers": lambda model=theirs, prompt=prompt, n=new_tokens: model.generate(
                    prompt, max_new_tokens=n, do_sample=False
                ),
            },
            repeats,
        )
        rows += [
            {
                "generate": f"{name}, {PROMPT} + {new_tokens} tokens",
                "package": package,
                "tokens_per_cpu_s": new_tokens / statistics.median(values),
                "ratio_to_ours": ratio(seconds, package, "course_lib"),
            }
            for package, values in seconds.items()
        ]
    return rows


def compare_norms(repeats: int) -> list[Row]:
    rows = []
    for count, d in NORM_SHAPES:
        x, bias = torch.randn(count, d, requires_grad=True), torch.zeros(d, requires_grad=True)
        norm, gradient = RMSNorm(d), torch.randn(count, d)
        weight = norm.weight
        functions: dict[str, Callable[[], Tensor]] = {
            "RMSNorm, fused": lambda norm=norm, x=x: norm(x),
            "F.layer_norm": lambda x=x, d=d, w=weight, b=bias: tf.layer_norm(x, (d,), w, b),
            "F.layer_norm, no bias": lambda x=x, d=d, w=weight: tf.layer_norm(x, (d,), w),
            "F.rms_norm": lambda x=x, d=d, w=weight: tf.rms_norm(x, (d,), w, 1e-5),
            "RMSNorm, formula": lambda x=x, w=weight: rms_norm_reference(x, w),
        }

        def both_ways(
            function: Callable[[], Tensor], inputs: tuple[Tensor, ...], gradient: Tensor
        ) -> Callable[[], None]:
            def run() -> None:
                for _ in range(NORM_CALLS):
                    function().backward(gradient)
                    for tensor in inputs:
                        tensor.grad = None

            return run

        seconds = take_turns(
            {name: both_ways(f, (x, weight, bias), gradient) for name, f in functions.items()}, 3 * repeats
        )
        rows += [
            {
                "norm": f"({count}, {d}), forward and backward",
                "function": name,
                "cpu_us": 1e6 * statistics.median(values) / NORM_CALLS,
                "ratio_to_ours": ratio(seconds, name, "RMSNorm, fused"),
            }
            for name, values in seconds.items()
        ]
    return rows


JOBS = {"train": compare_training, "generate": compare_generation, "norm": compare_norms}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--job", choices=JOBS, action="append")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    everything: dict[str, object] = {
        "machine": platform.platform(),
        "processors": os.cpu_count(),
        "threads": arguments.threads,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    for job in arguments.job or JOBS:
        everything[job] = rows = JOBS[job](arguments.repeats)
        show(rows, digits=4)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "model_speed.json").write_text(json.dumps(everything, indent=2))


if __name__ == "__main__":
    main()
