"""Experiments and exercises under other defaults of torch, run in a separate process by test_torch_defaults.py."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from course_lib.chapters.ch01_tokenizer.experiments import effects, zipf
from course_lib.chapters.ch02_normalization.experiments import (
    deep,
    depth,
    norm_cost,
    normalization,
    theorem,
)
from course_lib.chapters.ch03_gating.experiments import activations, gates, gating, products
from course_lib.chapters.ch04_rope.experiments import compared, layouts, pairs, positions, rope, turning
from course_lib.chapters.ch05_attention.experiments import (
    attention,
    decoding,
    induction,
    kv_heads,
    windows,
)
from course_lib.chapters.ch06_loss.experiments import cross_entropy, logit_growth
from course_lib.chapters.ch07_adamw_and_l2.experiments import optimizers, weight_decay
from course_lib.chapters.ch08_muon.experiments import muon, newton_schulz, trajectories
from course_lib.chapters.ch09_schedules.experiments import line, runs
from course_lib.chapters.ch10_memmap_data.experiments import loaders, memmap
from course_lib.chapters.ch11_resources.experiments import resources
from course_lib.exercises import EXERCISES
from course_lib.lab import small_runs, step_memory
from course_lib.lab.machine import machine_limits
from course_lib.lab.small_runs import SmallRun, small_config
from course_lib.model import ModelConfig
from tests.torch_defaults_cases import Case, report

TINY = small_config(num_layers=2, d_model=32, num_heads=2, context_length=16)
TIMES = ("cpu_", "wall_", "milliseconds", "microseconds", "time_share", "per_second", "MFU", "start_")
TIMES += ("relative", "per_token", "megabytes", "_ms", "law")


def numbers(*frames: Any) -> Any:
    """The numbers of data frames that are not times."""
    untimed = [frame.drop(columns=[c for c in frame if str(c).startswith(TIMES)]) for frame in frames]
    untimed = [frame.drop(columns=[c for c in frame if str(c).endswith(TIMES)]) for frame in untimed]
    return [frame.select_dtypes("number").to_numpy(float, na_value=-1.0).tolist() for frame in untimed]


def kit() -> dict[str, Case]:
    run = SmallRun(config=TINY, steps=2, batch_size=2)
    shape = ModelConfig(64, 16, 32, 1, 2)
    return {
        "small run": lambda: [
            (list(trained.model.parameters()), numbers(trained.curve), trained.validation_loss)
            for trained in [small_runs.train_small(run, seed=0)]
        ],
        "step memory": lambda: numbers(step_memory.against_accounting({"as it is": {}}, shape, 2)),
        "limits": lambda: len(machine_limits(repeats=1)),
        "zipf": lambda: zipf.fit_zipf([1000 // (rank + 1) + 1 for rank in range(2000)]).alpha,
        "unused tokens": lambda: numbers(effects.unused_tokens(seeds=(0,), num_bytes=20_000, learned=300)),
    }


def layers_and_positions() -> dict[str, Case]:
    model = small_runs.new_model(SmallRun(config=TINY), 0)
    copying_model = pairs.live_model(steps=1)
    return {
        "norm costs": lambda: numbers(norm_cost.norm_costs(8, 16, repeats=1)),
        "share of a step": lambda: numbers(
            norm_cost.share_of_step(width=32, num_layers=1, tokens=8, repeats=1)
        ),
        "gradient at init": lambda: numbers(
            theorem.gradient_at_init((2,), (16,), seeds=1, tokens=4, draws=2, attends="past")
        ),
        "gradient by layer": lambda: numbers(normalization.gradient_by_layer.__wrapped__("post", 2, 32)),
        "evenness": lambda: numbers(normalization.evenness((0.5,), depth=2, width=16, seeds=1)),
        "deep networks": lambda: numbers(deep.one_step(("pre", "deepnorm"), {2: [0]})),
        "contributions": lambda: numbers(depth.layer_contributions(model), depth.layer_surgery(model)),
        "activations": lambda: numbers(activations.curves(points=11)),
        "chain": lambda: numbers(activations.size_through_chain(("relu",), depth=2, width=8, seeds=(0,))),
        "ffn costs": lambda: numbers(activations.ffn_costs(width=32, tokens=8, repeats=1)),
        "hidden units": lambda: numbers(gating.hidden_stats(model), gating.keep_largest({"swiglu": model})),
        "width costs": lambda: numbers(activations.width_costs((24, 32), d_model=16, tokens=8, repeats=1)),
        "product": lambda: numbers(products.learn("product", {"swiglu": 4}, seeds=1, steps=3)),
        "multiplier": lambda: list(products.multiplier().parameters()),
        "gate": lambda: gates.gate_run(seed=0, gate="tanh(z)", lr=0.01, steps=2),
        "reading further": lambda: numbers(
            positions.loss_by_position(positions.lengthened(model, 64), 64, windows=4)
        ),
        "other layout": lambda: numbers(layouts.other_layout(copying_model, length=2)),
        "some pairs slower": lambda: numbers(pairs.some_pairs_slower(copying_model, "rope", [(2,)])),
        "turned values": lambda: numbers(turning.turned_values(9, length=4)),
        "moved keys": lambda: numbers(turning.moved_keys(5, count=4)),
        "families": lambda: [torch.from_numpy(x) for x in turning.families(6, 4).values()],
        "slowed pairs": lambda: numbers(compared.slowed_pairs(16)),
        "order": lambda: numbers(rope.order_matters(num_layers=(1,), seeds=(0,))),
        "placed scores": lambda: [torch.from_numpy(x) for x in rope.placed_scores(8, 8).values()],
        "score precision": lambda: numbers(rope.score_precision(draws=8)),
        "spectrum": lambda: numbers(rope.spectrum()),
        "score by offset": lambda: numbers(rope.score_by_offset((0, 4), draws=8)),
        "rotation costs": lambda: len(rope.rotation_costs((1, 2, 8, 8), repeats=1)),
    }


def attention_and_loss() -> dict[str, Case]:
    model = small_runs.new_model(SmallRun(config=TINY), 0)
    heads = small_runs.new_model(SmallRun(config=replace(TINY, num_heads=4)), 0)
    weight = torch.randn(8, 6, dtype=torch.float32, device="cpu")
    copiers = induction.copying_models(steps=1, lr=0.01, seeds=(0,))
    return {
        "scale": lambda: numbers(attention.scale_effect((4,), draws=4, seeds=(0,))),
        "leaks": lambda: numbers(attention.future_leaks(seeds=(0,))),
        "patterns": lambda: [
            torch.from_numpy(x) for _, x in attention.patterns(model, ["abcdefghijklmnop"]).values()
        ],
        "habits": lambda: numbers(attention.head_habits(model, windows=2)),
        "attention costs": lambda: numbers(attention.attention_costs((32,), repeats=1)),
        "reach": lambda: numbers(attention.reach((4,), (1,), length=8)),
        "a layer": lambda: (torch.manual_seed(0), list(attention.with_rope().parameters()))[1],
        "kept for backward": lambda: numbers(attention.kept_for_backward((16,))),
        "heads that copy": lambda: numbers(induction.where_heads_look(copiers, count=2)),
        "made without finds": lambda: numbers(
            induction.without_the_first_layers_finds(copiers["trained"], count=2)
        ),
        "copiers": lambda: list(copiers["trained"][0].parameters()),
        "streamed": lambda: numbers(windows.streamed_losses([model], {"few": (4, 1)}, texts=2, skipped=4)),
        "phases": lambda: numbers(decoding.phases(d_model=32, length=8, repeats=1)),
        "decoding": lambda: numbers(decoding.decode_law((8,), (1,), d_model=32, length=8, repeats=1)),
        "merged heads": lambda: [kv_heads.merge_heads(weight, 4, 2, how) for how in kv_heads.WAYS],
        "converted": lambda: list(kv_heads.convert(heads, 2, "random").parameters()),
        "written out": lambda: list(kv_heads.written_out(kv_heads.convert(heads, 2, "mean"), 4).parameters()),
        "formats": lambda: numbers(cross_entropy.over_gap([1.0, 50.0])),
        "head memory": lambda: numbers(cross_entropy.head_memory((50,), tokens=16, d_model=8, repeats=1)),
        "rounding": lambda: numbers(
            cross_entropy.after_rounding(*logit_growth.held_out_logits(model), offsets=(0.0, 10.0))
        ),
        "first logit": lambda: logit_growth.first_attention_logit(qk_norm=True, head_dim=8, scale=3.0),
        "output": lambda: logit_growth.watch_output(0, model),
    }


def optimization() -> dict[str, Case]:
    path = [{"w": torch.randn(6, dtype=torch.float32, device="cpu")} for _ in range(4)]
    bowl = weight_decay.Bowl(4, 30)
    return {
        "convex race": lambda: numbers(optimizers.convex_race(evaluations=2)),
        "trap": lambda: numbers(optimizers.adaptive_trap(points=10, steps=3, seeds=(0,))),
        "norms": lambda: numbers(*optimizers.language_model_decay((0.1,), seeds=(0,), steps=11)),
        "step costs": lambda: numbers(optimizers.step_costs(num_parameters=100, repeats=1)),
        "paths": lambda: [
            torch.from_numpy(weight_decay.path(name, bowl, lr=0.1, decay=0.1, noise=0.1, steps=3).points)
            for name in weight_decay.OPTIMIZERS
        ],
        "noise": lambda: numbers(weight_decay.decay_under_noise((1.0, 0.1), steps=3)),
        "rotation": lambda: numbers(weight_decay.rotation((1.0,), size=16, steps=11)),
        "lost updates": lambda: numbers(weight_decay.lost_in_bfloat16((1.0, 100.0))),
        "grid": lambda: [
            numbers(weight_decay.grid(form, (0.01,), (0.1,), seeds=(0,), steps=2))
            for form in weight_decay.FORMS
        ],
        "spectrum of a matrix": lambda: newton_schulz.with_spectrum([1.0, 2.0], 2, 3),
        "Newton-Schulz": lambda: (newton_schulz.counted_flops(4, 6), numbers(newton_schulz.timings(8, 1))),
        "directions": lambda: numbers(muon.watch_directions(seeds=(0,), steps=2, every=1).directions),
        "random walk": lambda: trajectories.random_walk([1.0, 2.0], 5),
        "explained": lambda: numbers(trajectories.explained({"path": path})),
        "schedules": lambda: [*runs.shape_run(seed=0, shape="WSD", lr=0.01, steps=20, batch_size=2).values()],
        "schedule and decay": lambda: [*runs.decay_run(seed=0, lr=0.01, weight_decay=0.1, steps=4).values()],
        "range test": lambda: numbers(runs.range_test(seeds=(0,), steps=4)),
        "noise alone": lambda: numbers(runs.noise_table([(0.01, 1.0)], size=8, steps=4, seeds=(0,))),
        "lines": lambda: numbers(line.lines(lr=0.01, steps=20, places=3)),
    }


def data_and_resources(folder: str) -> dict[str, Case]:
    corpus = memmap.make_corpus(folder, 20_000, 300)
    return {
        "coverage": lambda: numbers(memmap.coverage(100, 1, (0,)), memmap.dealing()),
        "loaders": lambda: len(loaders.loader_speed(corpus.tokens, (2,), (8,), 1, 0.0)),
        "workers": lambda: len(loaders.worker_speed(corpus.tokens, (0,), 2, 8, 1)),
        "counts": lambda: numbers(resources.torch_counts({"as it is": {}}, context_length=300)),
        "operations": lambda: numbers(resources.operations(width=16, tokens=8, repeats=1)),
        "training steps": lambda: len(resources.training_steps((32,), batch=1, repeats=1)),
    }


def exercises() -> Iterator[tuple[str, Case]]:
    for name, exercise in EXERCISES.items():
        yield name, lambda exercise=exercise: [case.expected for case in exercise.cases()]


if __name__ == "__main__":
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as own:
        report(
            kit()
            | layers_and_positions()
            | attention_and_loss()
            | optimization()
            | data_and_resources(own)
            | {f"exercise {name}": case for name, case in exercises()}
        )
