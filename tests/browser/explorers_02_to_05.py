"""The explorers of chapters 2 to 5: cells, moves and expected descriptions."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from tests.browser import explorer_data as data
from tests.browser.explorer_case import Case


def _gradient() -> Sequence[str]:
    from course_lib.chapters.ch02_normalization.experiments.normalization import gradient_by_layer

    norms = gradient_by_layer("deepnorm", 2, 32, 2.0, "after 40 steps of warm-up")["gradient_norm"]
    total = math.sqrt(sum(float(norm) ** 2 for norm in norms))
    return ["deepnorm, 2 layers of width 32, gain 2, after 40 steps of warm-up", f"together: {total:.2g}"]


def _map() -> Sequence[str]:
    runs = data.trained()
    chosen = runs[(runs["gain"] == 0.25) & (runs["start"] == "ramp")]
    means = chosen.groupby(["placement", "lr"])["bits"].mean().unstack("placement")
    return [
        "Gain 0.25, warm-up, best",
        f"post-norm {means['post'].min():.2f} at 0.002; pre-norm {means['pre'].min():.2f} at 0.004",
    ]


def _activation() -> Sequence[str]:
    z = torch.tensor(0.9, dtype=torch.float64, requires_grad=True)
    value = torch.nn.functional.silu(z)
    value.backward()  # type: ignore[no-untyped-call]
    return [
        f"SwiGLU (the curve is its gate) at z = 0.9: value {value:.2f}, slope {z.grad:.2f}",
        "Layer 1, before",
    ]


def _dial() -> Sequence[str]:
    offset = 7 - 19
    radians = [1e6 ** (-pair / 4) for pair in range(4)]
    wrapped = [(math.degrees(offset * f) + 180) % 360 - 180 for f in radians]
    angles = [f"{round(angle)}°".replace("-0°", "0°") for angle in wrapped]
    mean = sum(math.cos(offset * f) for f in radians) / 4
    return ["Query at 24, key at 12", ", ".join(angles), f"similarity {mean:.3f}"]


def _similarity() -> Sequence[str]:
    radians = 100_000.0 ** -(np.arange(128) / 128) / 8
    slow = int((2 * np.pi / radians > 4096).sum())
    offsets = np.unique(np.concatenate(([0], np.geomspace(1, 65536, 700).round())))
    below = offsets[np.cos(np.outer(offsets, radians)).mean(1) < 0.5][0]
    return [f"first falls below 1/2 at offset {below:.0f};", f"{slow} of 128 pairs"]


def _kv() -> Sequence[str]:
    # Llama 2 70B: 80 layers, 64 query heads of 128; here a KV head for each, one byte per number
    cache = 2 * 80 * 64 * 128 * 16_384 * 16 / 1e9
    weights = 2 * 68_976_648_192 / 1e9
    fits = 16 * (192 - weights) / cache
    return [f"takes {cache:,.2f} GB beside {weights:,.1f} GB", f"{fits:,.1f} such sequences fit into 192 GB"]


def _capacity() -> Sequence[str]:
    # LLaMA 7B: 32 layers, 32 heads of 128, two bytes per number; a full memory is read once per step
    cache, weights = 2 * 32 * 32 * 128 * 8192 * 2, 2 * 6_738_415_616
    batch = int((141e9 - weights) // cache)
    moved = weights - 2 * 32_000 * 4096 + batch * cache
    return [
        "LLaMA 7B on H200, 141 GB, 8,192 tokens per sequence.",
        f"MHA {batch / (moved / 4.8e12):,.0f} with {batch:,};",
    ]


def _patterns() -> Sequence[str]:
    row = torch.softmax(torch.tensor(data.scores()[1, 0, 1, 11, :12]), -1).numpy()
    most = int(row.argmax())
    spread = math.exp(-sum(p * math.log(p) for p in row))
    return [
        f"Layer 0, head 1: the query {data.TEXTS[1][11]!r} at 11 looks most ({row[most]:.0%})",
        f"{11 - most} back; its weights spread over {spread:.1f} tokens",
    ]


CASES = (
    Case(
        "gradient norms",
        "show.gradient_norm_explorer(normalization.gradient_by_layer, depths=(1, 2, 4), widths=(16, 32, 48), "
        "states=list(normalization.WARMUPS))",
        (
            ("placement", "deepnorm"),
            ("gain", "ArrowRight"),
            ("depth", "ArrowRight"),
            ("depth", "ArrowLeft"),
            ("width", "ArrowRight"),
            ("width", "ArrowLeft"),
            ("when", "after 40 steps of warm-up"),
        ),
        _gradient,
    ),
    Case(
        "trainability",
        'ch02.map_explorer(data.trained(), {"first": "first move"}, floors={"unigram": 4.4}, top=4.6)',
        (("placement", "pre-norm"), ("start", "warm-up"), ("gain", "ArrowLeft"), ("against", "first move")),
        _map,
    ),
    Case(
        "activation",
        'ch03.activation_explorer(activations.curves([*activations.NAMES, "sigmoid"]), data.histograms())',
        (("activation", "SwiGLU"), ("when", "before"), ("layer", "ArrowLeft"), ("z", "ArrowLeft")),
        _activation,
    ),
    Case(
        "dial",
        "ch04.rotation_dial()",
        (("theta", "1,000,000"), ("m", "ArrowRight"), ("n", "ArrowRight"), ("shift", "ArrowRight")),
        _dial,
    ),
    Case(
        "similarity",
        "ch04.similarity_explorer()",
        (
            ("scaling", "position interpolation"),
            ("factor", "ArrowRight"),
            ("theta", "ArrowRight"),
            ("head_dim", "ArrowRight"),
        ),
        _similarity,
    ),
    Case(
        "KV memory",
        "ch05.kv_calculator()",
        (
            ("model", "Llama 2 70B"),
            ("group", "ArrowRight"),
            ("context", "ArrowRight"),
            ("batch", "ArrowRight"),
            ("bits", "ArrowLeft"),
            ("device", "192 GB"),
        ),
        _kv,
    ),
    Case(
        "speed and capacity",
        "ch05.capacity_explorer(roofline.capacity_roofline, roofline.DEVICES)",
        (("model", "LLaMA 7B"), ("context", "ArrowRight"), ("device", "H200, 141 GB")),
        _capacity,
    ),
    Case(
        "patterns",
        "ch05.pattern_viewer(data.patterns(), distances=8)",
        (("text", "two"), ("query", "ArrowRight"), ("layer", "ArrowLeft"), ("head", "ArrowRight")),
        _patterns,
    ),
)
