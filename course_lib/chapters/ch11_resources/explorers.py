"""The explorer of chapter 11: a calculator of the resources that a model needs."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_lib.chapters.ch11_resources.pictures import PART_COLOURS, billions, count_text
from course_lib.model import ModelConfig
from course_lib.show.controls import Choice, Slider, Toggle
from course_lib.show.interactive import Explorer, explorer
from course_lib.show.look import PALETTE, PAPER

if TYPE_CHECKING:
    from course_lib.model import ModelConfig

_PARAMETERS = ("embedding", "attention", "ffn", "norms", "head")
_FLOPS = ("projections", "attention", "ffn", "head")
_MEMORY = ("weights", "gradients", "optimizer", "activations", "loss")
_DEVICES = {
    "A100 (312 TFLOP/s)": 312e12,
    "H100 (989 TFLOP/s)": 989e12,
    "RTX 4090 (165 TFLOP/s)": 165e12,
    "a laptop core (80 GFLOP/s)": 80e9,
}
"""Peak FLOP/s in bfloat16 without sparsity, from data sheets; for the laptop core, of a float32 matrix product."""
_FFNS = {"gated, 8/3 D": ("swiglu", None), "gated, 3.5 D": ("swiglu", 3.5), "plain, 4 D": ("gelu", 4.0)}
"""Activation and width over D of Llama 1, Llama 3 and GPT-2; None: 8/3 D, rounded up to a multiple of 64."""
_SMALLEST = 0.045


def resource_calculator() -> Explorer:
    """Parameters, operations, memory, KV cache and training time of a Llama-like model of any shape.

    Heads are 64 wide up to a width of 2,048 and 128 wide above. If the width does not allow the chosen number of
    query heads per KV head, the largest possible number is used.
    """
    return explorer(
        _draw,
        title="Resources of a model",
        size=(8.8, 3.9),
        d_model=Slider("width D", [128, 256, 512, 768, 1024, 1600, 2048, 4096, 5120, 8192], start=768),
        num_layers=Slider("layers L", [2, 4, 6, 8, 12, 16, 24, 32, 40, 48, 64, 80], start=12),
        vocab_size=Slider(
            "vocabulary V", [256, 4096, 16384, 32000, 50257, 100277, 128256, 200019], start=50257
        ),
        ffn=Choice("feed-forward", _FFNS),
        tied=Toggle("head tied to the token table"),
        context=Slider("context T", [2**power for power in range(7, 18)], start=1024),
        batch=Slider("sequences per step B", [2**power for power in range(11)], start=8),
        group=Slider("query heads / KV heads", [1, 2, 4, 8], start=1),
        precision=Choice(
            "numbers", {"float32": "float32", "float32 under bf16 autocast": "mixed", "bfloat16": "bfloat16"}
        ),
        optimizer=Choice("optimizer", {"AdamW": "adamw", "Muon": "muon", "SGD": "sgd"}),
        loss_chunk=Choice("logits", {"all at once": 0, "1,024 rows at a time": 1024}),
        tokens=Slider("tokens per parameter", [1, 5, 20, 100, 500, 2000], start=20),
        device=Choice("device", _DEVICES),
        mfu=Slider("MFU", min=0.1, max=0.9, step=0.05, start=0.4),
    )


def _amount(number: float, unit: str) -> str:
    text = count_text(number)
    return f"{text[:-1]} {text[-1]}{unit}" if text[-1].isalpha() else f"{text} {unit}"


def seconds_text(seconds: float) -> str:
    """A duration in a suitable unit.

    >>> seconds_text(30), seconds_text(7200), seconds_text(3.2e7)
    ('30 seconds', '2.0 hours', '1.0 years')
    """
    for size, unit in ((3.156e7, "years"), (86_400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:,.0f} seconds"


def _draw(figure: Figure) -> Callable[..., str]:
    axes = figure.subplots()
    axes.set(xlim=(0, 1.27), ylim=(4.1, -0.6), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    bars = (
        _Bar(axes, 0, "parameters", _PARAMETERS),
        _Bar(axes, 1, "operations per step", _FLOPS),
        _Bar(axes, 2, "memory of a step", _MEMORY),
    )
    note = axes.text(0, 2.75, "", va="top", linespacing=1.75)

    def update(
        d_model: int,
        num_layers: int,
        vocab_size: int,
        ffn: tuple[str, float | None],
        tied: bool,
        context: int,
        group: int,
        **run: Any,
    ) -> str:
        config = _config(d_model, num_layers, vocab_size, ffn, tied=tied, context=context, group=group)
        totals, lines = _resources(config, **run)
        for bar, (parts, text) in zip(bars, totals, strict=True):
            bar.show(parts, text)
        note.set_text("\n".join(lines))
        counted, step, held = (text for _, text in totals)
        return f"{counted} parameters; {step} and {held} per step; {'; '.join(lines)}."

    return update


def _config(
    d_model: int,
    num_layers: int,
    vocab_size: int,
    ffn: tuple[str, float | None],
    *,
    tied: bool,
    context: int,
    group: int,
) -> "ModelConfig":
    heads = d_model // (64 if d_model <= 2048 else 128)
    together = max(size for size in range(1, group + 1) if heads % size == 0)
    activation, ratio = ffn
    d_ff = None if ratio is None else round(ratio * d_model)
    return ModelConfig(
        vocab_size,
        context,
        d_model,
        num_layers,
        heads,
        heads // together,
        d_ff=d_ff,
        activation=activation,
        tie_embeddings=tied,
    )


def _resources(
    config: "ModelConfig",
    *,
    batch: int,
    precision: str,
    optimizer: Literal["adamw", "muon", "sgd"],
    loss_chunk: int,
    tokens: int,
    device: float,
    mfu: float,
) -> tuple[list[tuple[Mapping[str, int], str]], list[str]]:
    """Parts and text of the three totals, and the lines below them."""
    from course_lib.accounting import flops, kv_cache_bytes, memory, parameters, training_time

    counted, step = parameters(config), flops(config, batch)
    held = memory(config, batch, optimizer, precision, loss_chunk=loss_chunk or None)
    seen = tokens * counted.total
    seconds = training_time(config, seen, flops_per_second=device, mfu=mfu)
    cache = kv_cache_bytes(config, 1, config.context_length, "bfloat16")
    token = step / batch / config.context_length
    heads = f"{config.num_heads} query and {config.num_kv_heads} KV heads of {config.head_width}"
    lines = [
        f"{heads}; feed-forward {config.ffn_width:,}",
        f"KV cache, bfloat16: {_amount(cache, 'B')} for a sequence of {config.context_length:,} tokens",
        f"{_amount(token, 'FLOP')} per token, {token / counted.total:.1f} per parameter",
        f"{count_text(seen)} tokens are {_amount(seen * token, 'FLOP')}: {seconds_text(seconds)} on one device",
    ]
    texts = (billions(counted), _amount(step, "FLOP"), _amount(held, "B"))
    return [(total.parts, text) for total, text in zip((counted, step, held), texts, strict=True)], lines


class _Bar:
    """A total as a bar of its parts, which are labelled where there is room."""

    def __init__(self, axes: Axes, place: int, name: str, parts: tuple[str, ...]) -> None:
        self._parts = parts
        colours = [PART_COLOURS[part] for part in parts]
        zeros = np.zeros(len(parts))
        self._bars = axes.barh(
            [place + 0.12] * len(parts), zeros, color=colours, height=0.55, edgecolor=PAPER
        )
        axes.text(0, place - 0.25, name, va="center", weight="bold")
        style = {"ha": "center", "va": "center", "color": "white", "fontsize": 8}
        self._names = [axes.text(0, place + 0.12, "", **style) for _ in parts]  # type: ignore[arg-type]
        self._total = axes.text(
            1.02, place + 0.12, "", va="center", fontsize=13, weight="bold", color=PALETTE["blue"]
        )

    def show(self, parts: Mapping[str, int], total: str) -> None:
        left, whole = 0.0, sum(parts.values())
        for part, bar, name in zip(self._parts, self._bars, self._names, strict=True):
            share = parts[part] / whole
            bar.set_x(left)
            bar.set_width(share)
            name.set_x(left + share / 2)
            name.set_text(
                "" if share < _SMALLEST else f"{share:.0%}" if share < 0.16 else f"{part} {share:.0%}"
            )
            left += share
        self._total.set_text(total)
