"""The resource calculator that a reader of chapter 11 can move."""

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_lib.chapters.ch11_resources.pictures import PART_COLOURS, billions, count_text
from course_lib.show.controls import Choice, Slider, Toggle
from course_lib.show.interactive import Explorer, explorer
from course_lib.show.look import PALETTE, PAPER

_PARAMETERS = ("embedding", "attention", "ffn", "norms", "head")
_FLOPS = ("projections", "attention", "ffn", "head")
_MEMORY = ("weights", "gradients", "optimizer", "activations", "loss")
_DEVICES = {
    "A100 (312 TFLOP/s)": 312e12,
    "H100 (989 TFLOP/s)": 989e12,
    "RTX 4090 (165 TFLOP/s)": 165e12,
    "a laptop core (80 GFLOP/s)": 80e9,
}
"""Peak FLOP/s in bfloat16 without sparsity, from the makers' data sheets; the core's is a float32 matrix product's."""
_FFNS = {"gated, 8/3 D": ("swiglu", None), "gated, 3.5 D": ("swiglu", 3.5), "plain, 4 D": ("gelu", 4.0)}
"""Activation and width over D of Llama 1, Llama 3 and GPT-2; None: 8/3 D, rounded up to a multiple of 64."""
_SMALLEST = 0.045


def resource_calculator() -> Explorer:
    """Parameters, operations, memory, KV cache and training time of a Llama-like model of any shape.

    Heads are 64 wide up to a width of 2,048 and 128 wide above. Where the width does not allow the chosen number of
    query heads to a KV head, the largest possible one is used.
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
        batch=Slider("sequences a step B", [2**power for power in range(11)], start=8),
        group=Slider("query heads / KV heads", [1, 2, 4, 8], start=1),
        precision=Choice(
            "numbers", {"float32": "float32", "float32 under bf16 autocast": "mixed", "bfloat16": "bfloat16"}
        ),
        optimizer=Choice("optimizer", {"AdamW": "adamw", "Muon": "muon", "SGD": "sgd"}),
        loss_chunk=Choice("logits", {"all at once": 0, "1,024 rows at a time": 1024}),
        tokens=Slider("tokens a parameter", [1, 5, 20, 100, 500, 2000], start=20),
        device=Choice("device", _DEVICES),
        mfu=Slider("MFU", min=0.1, max=0.9, step=0.05, start=0.4),
    )


def _amount(number: float, unit: str) -> str:
    text = count_text(number)
    return f"{text[:-1]} {text[-1]}{unit}" if text[-1].isalpha() else f"{text} {unit}"


def seconds_text(seconds: float) -> str:
    """A duration in the unit that suits it.

    >>> seconds_text(30), seconds_text(7200), seconds_text(3.2e7)
    ('30 seconds', '2.0 hours', '1.0 years')
    """
    for size, unit in ((3.156e7, "years"), (86_400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:,.0f} seconds"


def _draw(figure: Figure) -> Callable[..., str]:
    # Here, so that chapters without a model need not wait for torch.
    from course_lib.accounting import flops, kv_cache_bytes, memory, parameters, training_time
    from course_lib.model import ModelConfig

    axes = figure.subplots()
    axes.set(xlim=(0, 1.27), ylim=(4.1, -0.6), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    bars = [
        _Bar(axes, place, name, parts)
        for place, (name, parts) in enumerate(
            (
                ("parameters", _PARAMETERS),
                ("operations a step", _FLOPS),
                ("memory of a step", _MEMORY),
            )
        )
    ]
    note = axes.text(0, 2.75, "", va="top", fontsize=9.5, linespacing=1.75)

    def update(
        d_model: int,
        num_layers: int,
        vocab_size: int,
        ffn: tuple[str, float | None],
        tied: bool,
        context: int,
        batch: int,
        group: int,
        precision: str,
        optimizer: str,
        loss_chunk: int,
        tokens: int,
        device: float,
        mfu: float,
    ) -> str:
        heads = d_model // (64 if d_model <= 2048 else 128)
        together = max(size for size in range(1, group + 1) if heads % size == 0)
        activation, ratio = ffn
        config = ModelConfig(
            vocab_size,
            context,
            d_model,
            num_layers,
            heads,
            heads // together,
            d_ff=None if ratio is None else round(ratio * d_model),
            activation=activation,
            tie_embeddings=tied,
        )
        counted, step = parameters(config), flops(config, batch)
        held = memory(config, batch, optimizer, precision, loss_chunk=loss_chunk or None)  # type: ignore[arg-type]
        written = (billions(counted), _amount(step, "FLOP"), _amount(held, "B"))
        for bar, total, text in zip(bars, (counted, step, held), written, strict=True):
            bar.show(total.parts, text)
        seen = tokens * counted.total
        seconds = training_time(config, seen, flops_per_second=device, mfu=mfu)
        cache = kv_cache_bytes(config, 1, context, "bfloat16")
        token = step / batch / context
        lines = [
            f"{heads} query and {heads // together} KV heads of {config.head_width}; feed-forward {config.ffn_width:,}",
            f"KV cache, bfloat16: {_amount(cache, 'B')} for a sequence of {context:,} tokens",
            f"{_amount(token, 'FLOP')} a token, {token / counted.total:.1f} for each parameter",
            f"{count_text(seen)} tokens are {_amount(seen * token, 'FLOP')}: {seconds_text(seconds)} on one device",
        ]
        note.set_text("\n".join(lines))
        return f"{written[0]} parameters; {written[1]} and {written[2]} a step; {'; '.join(lines)}."

    return update


class _Bar:
    """One total as a bar of its parts, named where there is room."""

    def __init__(self, axes: Axes, place: int, name: str, parts: tuple[str, ...]) -> None:
        self._parts = parts
        colours = [PART_COLOURS[part] for part in parts]
        zeros = np.zeros(len(parts))
        self._bars = axes.barh(
            [place + 0.12] * len(parts), zeros, color=colours, height=0.55, edgecolor=PAPER
        )
        axes.text(0, place - 0.25, name, va="center", fontsize=9.5, weight="bold")
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
