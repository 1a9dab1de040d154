"""The explorers of chapters 2 to 12: the cell that makes one, how a reader moves it, and what it must then say.

What it must say is computed here by formula or by a library, not by the explorer. Data that a chapter trains for is
replaced by random numbers.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from course_lib.chapters.ch12_capstone.experiments.ablations import stored
from tests.browser import explorer_data as data

ROOT = Path(__file__).parents[2]
SETUP = f"""import sys
import numpy as np
import torch
sys.path.append({str(ROOT)!r})
from course_lib import show
from course_lib.chapters.ch03_gating import explorers as ch03
from course_lib.chapters.ch04_rope import explorers as ch04
from course_lib.chapters.ch05_attention import explorers as ch05
from course_lib.chapters.ch06_loss import explorers as ch06
from course_lib.chapters.ch07_adamw_and_l2 import explorers as ch07
from course_lib.chapters.ch08_muon import explorers as ch08
from course_lib.chapters.ch10_memmap_data import explorers as ch10
from course_lib.chapters.ch11_resources import explorers as ch11
from course_lib.chapters.ch12_capstone import explorers as ch12
from course_lib.chapters.ch09_schedules import experiments as schedules
from course_lib.chapters.ch09_schedules import explorers as ch09
from course_lib.chapters.ch02_normalization.experiments import normalization
from course_lib.chapters.ch03_gating.experiments import activations
from course_lib.chapters.ch06_loss.experiments import cross_entropy
from course_lib.chapters.ch07_adamw_and_l2.experiments import weight_decay
from course_lib.chapters.ch08_muon.experiments import newton_schulz
from course_lib.chapters.ch12_capstone.experiments import ablations
from course_lib.lab import step_memory
from tests.browser import explorer_data as data
torch.set_num_threads(1)"""

Move = tuple[str, str]
"""A control, and the key to press on it or the entry to choose; "" ticks a box."""


@dataclass(frozen=True)
class Case:
    """An explorer in a cell of its own.

    ``says``: what its description must contain after all ``moves``. ``exact``: the picture can be drawn anew elsewhere,
    pixel by pixel (a measured one cannot).
    """

    name: str
    cell: str
    moves: Sequence[Move]
    says: Callable[[], Sequence[str]]
    exact: bool = True


# --- chapters 2 to 5 --------------------------------------------------------------------------------------------------


def _gradient() -> Sequence[str]:
    from course_lib.chapters.ch02_normalization.experiments.normalization import gradient_by_layer

    norms = gradient_by_layer("deepnorm", 2, 32, 2.0, "after 40 steps of warm-up")["gradient_norm"]
    total = math.sqrt(sum(float(norm) ** 2 for norm in norms))
    return ["deepnorm, 2 layers of width 32, gain 2, after 40 steps of warm-up", f"together: {total:.2g}"]


def _dial() -> Sequence[str]:
    offset = 7 - 19
    radians = [1e6 ** (-pair / 4) for pair in range(4)]
    angles = [f"{round(math.degrees(offset * f))}°".replace("-0°", "0°") for f in radians]
    mean = sum(math.cos(offset * f) for f in radians) / 4
    return ["Query at 24, key at 12", ", ".join(angles), f"similarity {mean:.3f}"]


def _similarity() -> Sequence[str]:
    radians = 100_000.0 ** -(np.arange(128) / 128) / 8
    slow = int((2 * np.pi / radians > 4096).sum())
    offsets = np.unique(np.concatenate(([0], np.geomspace(1, 65536, 700).round())))
    below = offsets[np.cos(np.outer(offsets, radians)).mean(1) < 0.5][0]
    return [f"first falls below 1/2 at offset {below:.0f};", f"{slow} of 128 pairs"]


def _kv() -> Sequence[str]:
    # Llama 2 70B: 80 layers, 64 query heads of 128; here 8 to a KV head, one byte a number
    cache = 2 * 80 * 8 * 128 * 16_384 * 16 / 1e9
    weights = 2 * 68_976_648_192 / 1e9
    fits = 16 * (192 - weights) / cache
    return [f"takes {cache:,.2f} GB beside {weights:,.1f} GB", f"{fits:,.1f} such sequences fit into 192 GB"]


def _patterns() -> Sequence[str]:
    row = torch.softmax(torch.tensor(data.scores()[1, 0, 1, 11, :12]), -1).numpy()
    most = int(row.argmax())
    spread = math.exp(-sum(p * math.log(p) for p in row))
    return [
        f"Layer 0, head 1: the query {data.TEXTS[1][11]!r} at 11 looks most ({row[most]:.0%})",
        f"{11 - most} back; its weights spread over {spread:.1f} tokens",
    ]


def _activation() -> Sequence[str]:
    z = torch.tensor(0.9, dtype=torch.float64, requires_grad=True)
    value = torch.nn.functional.silu(z)
    value.backward()  # type: ignore[no-untyped-call]
    return [
        f"SwiGLU (the curve is its gate) at z = 0.9: value {value:.2f}, slope {z.grad:.2f}",
        "Layer 1, before",
    ]


# --- chapters 6 to 9 --------------------------------------------------------------------------------------------------


def _logit() -> Sequence[str]:
    logits = torch.tensor([[2.0, 2.0, 1.0, 0.0, -1.0]], dtype=torch.float64) / 2
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor([0]))
    return [
        f"The loss is {loss:.2f} nats",
        "shift of 300: naive in float32, naive in bfloat16, naive in float16",
    ]


def _paths() -> Sequence[str]:
    """torch.optim on the same bowl: eigenvalues 1 and 1/50, the steep axis at 15 degrees."""
    steep = torch.tensor([math.cos(math.radians(15)), math.sin(math.radians(15))], dtype=torch.float64)
    outer = torch.outer(steep, steep)
    hessian = outer + (torch.eye(2, dtype=torch.float64) - outer) / 50
    lr, decay, ends = 10**-1.6, 0.5, []  # a tenth of a decade above the stop nearest to 0.02
    for make in (
        lambda w: torch.optim.SGD([w], lr, weight_decay=decay),
        lambda w: torch.optim.AdamW([w], lr, (0.95, 0.99), weight_decay=decay),
    ):
        w = torch.nn.Parameter(torch.tensor([0.0, 2.0], dtype=torch.float64))
        walker = make(w)
        for _ in range(400):
            w.grad = hessian @ (w.detach() - 1)
            walker.step()
        ends.append(f"ends at ({w[0]:.2f}, {w[1]:.2f})")
    square = torch.linalg.solve(hessian + decay * torch.eye(2), hessian.sum(1))
    return [
        f"SGD {ends[0]}",
        f"AdamW {ends[1]}",
        f"with L2 the minimum is at ({square[0]:.2f}, {square[1]:.2f})",
    ]


def _stepper() -> Sequence[str]:
    x = np.geomspace(0.01, 1, 20)
    for _ in range(4):
        x = 3.5 * x - 4.7 * x**3 + 2.0 * x**5
    low, high = abs(x).min(), abs(x).max()
    return [
        f"a, b, c as set, 4 steps, short: singular values from {low:.3g} to {high:.3g}",
        f"number {high / low:.3g}",
    ]


def _designer() -> Sequence[str]:
    return [
        f"cosine with a peak rate of 0.4: validation loss {data.loss('cosine', 0.4, 0.5, 39):.3f}",
        f"linear with 0.1: {data.loss('linear', 0.1, 0.5, 39):.3f}",
    ]


def _bowl() -> Sequence[str]:
    """E[w²] step by step, at a constant rate of which the first tenth rises from zero."""
    lr, noise, total = 10**-0.25, 1.1, 0.0
    rates = [lr * min((step + 1) / 40, 1) for step in range(400)]
    for curvature in (1.0, 0.03):
        square = 9 / curvature
        for rate in rates:
            square = (1 - rate * curvature) ** 2 * square + rate**2 * noise**2
        total += curvature * square / 2
    return ["constant, peak rate 0.56", f"ends at {total:.3g}"]


# --- chapters 10 and 11 -----------------------------------------------------------------------------------------------


def _timeline() -> Sequence[str]:
    """Weights, and AdamW's two moments, of 2 layers of width 128 and two tables of 4,000 words: 12 bytes a number."""
    hidden = 384  # 8/3 of 128, rounded up to a multiple of 64
    fixed = 12 * (2 * 4000 * 128 + 2 * (4 * 128**2 + 3 * 128 * hidden + 2 * 128) + 128) / 1e6
    return [f"Always there: {fixed:,.0f} MB"]


def _shape() -> Sequence[str]:
    from course_lib.accounting import memory
    from course_lib.model import ModelConfig

    held = memory(ModelConfig(32_000, 128, 512, 4, 4), 1, "adamw", loss_chunk=256)
    return [f"{held / 1e6:,.0f} MB at the peak; the largest part is optimizer, {held.share('optimizer'):.0%}"]


def _ablation() -> Sequence[str]:
    runs = stored().set_index(["change", "seed"])["bits_per_byte"]
    change = "attention: one KV head (MQA)"
    difference = runs[change, 2] - runs["nothing changed"].mean()
    return [
        f"{change}, seed 2: {runs[change, 2]:.3f} bits a byte, {difference:+.3f} to the mean",
        f"the stored runs of this change have {runs[change].mean():.3f}",
    ]


def _calculator() -> Sequence[str]:
    # D 1,024, L 16, V 100,277, heads of 64, two query heads to a KV head, feed-forward 3.5 D gated, head tied
    layer = 2 * 1024**2 + 2 * 1024 * 512 + 3 * 1024 * 3584 + 2 * 1024
    size = 100_277 * 1024 + 16 * layer + 1024
    cache = 2 * 16 * 8 * 64 * 2048 * 2
    # 2 operations forward and 4 backward for each number of a matrix; the table is used as the head
    products = 100_277 * 1024 + 16 * (layer - 2 * 1024)
    token = 6 * products + 12 * 16 * 1024 * 2048
    seconds = 100 * size * token / (989e12 * 0.45)
    return [
        f"{size / 1e6:.0f}M parameters",
        "16 query and 8 KV heads of 64; feed-forward 3,584",
        f"KV cache, bfloat16: {cache / 1e6:.0f} MB for a sequence of 2,048 tokens",
        f"{token / 1e9:.1f} GFLOP a token",
        f"{seconds / 86400:,.1f} days",
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
        "patterns",
        "ch05.pattern_viewer(data.patterns(), distances=8)",
        (("text", "two"), ("query", "ArrowRight"), ("layer", "ArrowLeft"), ("head", "ArrowRight")),
        _patterns,
    ),
    Case(
        "logits",
        "ch06.logit_explorer(cross_entropy.in_formats)",
        (("logit", "ArrowRight"), ("temperature", "ArrowRight"), ("shift", "End")),
        _logit,
    ),
    Case(
        "optimizer paths",
        "ch07.path_explorer(weight_decay.path, weight_decay.Bowl, weight_decay.OPTIMIZERS)",
        (
            ("first", "SGD"),
            ("second", "Adam + L2"),
            ("second", "AdamW"),
            ("lr", "ArrowRight"),
            ("decay", "ArrowRight"),
            ("beta1", "ArrowRight"),
            ("beta2", "ArrowLeft"),
            ("condition", "ArrowRight"),
            ("noise", "ArrowRight"),
            ("noise", "ArrowLeft"),
            ("angle", "ArrowRight"),
        ),
        _paths,
    ),
    Case(
        "Newton-Schulz",
        "ch08.stepper(newton_schulz.composed, newton_schulz.methods(steps=8), "
        '{"long": np.geomspace(1, 1e-4, 64), "short": np.geomspace(1, 0.01, 20)})',
        (
            ("steps", "ArrowLeft"),
            ("spectrum", "short"),
            ("design", "Polar Express"),
            ("a", "ArrowRight"),
            ("b", "ArrowRight"),
            ("c", "ArrowLeft"),
        ),
        _stepper,
    ),
    Case(
        "directions",
        "ch08.direction_explorer(data.directions())",
        (
            ("direction", "gradient"),
            ("matrix", "w1"),
            ("measure", "Frobenius norm"),
            ("measure", "condition number"),
        ),
        # the mean of logarithms over two seeds: √(100 · 1,000) and √(1,000 · 10,000)
        lambda: [f"gradient of w1, at the end: AdamW layer 0 {10**2.5:,.3g}", f"Muon layer 1 {10**3.5:,.3g}"],
    ),
    Case(
        "trajectories",
        "ch08.trajectory_viewer(data.planes())",
        (("path", "AdamW"), ("view", "random"), ("until", "ArrowLeft")),
        lambda: [
            "AdamW on the random plane, which holds 0.45 of the path: snapshot 3 has the loss 2.50",
            "plane 2.25",
        ],
    ),
    Case(
        "designer",
        "shapes = {shape: schedules.schedule(shape, 40) for shape in data.SHAPES}\n"
        "ch09.designer(*data.runs(), schedules.table(shapes, 40))",
        (
            ("shape", "cosine"),
            ("lr", "ArrowRight"),
            ("other", "linear"),
            ("other_lr", "ArrowLeft"),
            ("late", ""),
        ),
        _designer,
    ),
    Case(
        "bowl",
        "ch09.bowl_explorer(schedules.bowl_under, schedules.SHAPES)",
        (
            ("lr", "ArrowRight"),
            ("warmup", "ArrowRight"),
            ("decay", "ArrowRight"),
            ("noise", "ArrowRight"),
            ("flat", "ArrowRight"),
            ("shape", "constant"),
        ),
        _bowl,
    ),
    Case(
        "loaders",
        "ch10.loader_explorer(data.loaders(), data.loaders())",
        (("batch", "ArrowRight"), ("context", "ArrowLeft"), ("pattern", "in order")),
        lambda: [
            "128 windows of 64 tokens, in order: one gather, mapped is fastest, 819 microseconds",
            "row by row, mapped again leaves most in memory, 51 MB",
        ],
    ),
    Case(
        "step timeline",
        "ch10.timeline_explorer(step_memory.timeline_and_peak)",
        (("layers", "ArrowLeft"), ("batch", "ArrowLeft"), ("chunked", ""), ("vocabulary", "ArrowRight")),
        _timeline,
        exact=False,
    ),
    Case(
        "step memory",
        "ch10.step_memory_explorer(step_memory.parts)",
        (
            ("vocabulary", "ArrowRight"),
            ("chunked", ""),
            ("width", "ArrowRight"),
            ("layers", "ArrowLeft"),
            ("batch", "Home"),
            ("context", "ArrowLeft"),
        ),
        _shape,
    ),
    Case(
        "ablations",
        "ch12.ablation_explorer(ablations.stored(), data.stored_run, baseline=ablations.BASELINE, "
        "start='positions: none')",
        (("change", "attention: one KV head (MQA)"), ("seed", "End")),
        _ablation,
    ),
    Case(
        "resources",
        "ch11.resource_calculator()",
        (
            ("d_model", "ArrowRight"),
            ("num_layers", "ArrowRight"),
            ("vocab_size", "ArrowRight"),
            ("ffn", "gated, 3.5 D"),
            ("tied", ""),
            ("context", "ArrowRight"),
            ("batch", "ArrowLeft"),
            ("group", "ArrowRight"),
            ("precision", "bfloat16"),
            ("optimizer", "Muon"),
            ("loss_chunk", "1,024 rows at a time"),
            ("tokens", "ArrowRight"),
            ("device", "H100 (989 TFLOP/s)"),
            ("mfu", "ArrowRight"),
        ),
        _calculator,
    ),
)
