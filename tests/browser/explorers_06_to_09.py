"""The explorers of chapters 6 to 9: cells, moves and expected descriptions."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from tests.browser import explorer_data as data
from tests.browser.explorer_case import Case


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
        f"cosine to 10 % with a peak rate of 0.4: held-out loss {data.loss('cosine to 10 %', 0.4, 0.5, 39):.3f}",
        f"linear to 0 with 0.1: {data.loss('linear to 0', 0.1, 0.5, 39):.3f}",
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


CASES = (
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
        "factors = shapes.table({shape: shapes.arm(shape, 40) for shape in data.SHAPES}, 40)\n"
        "ch09.designer(*data.runs(), factors, {'bigram': 2.5})",
        (
            ("shape", "cosine to 10 %"),
            ("lr", "ArrowRight"),
            ("other", "linear to 0"),
            ("other_lr", "ArrowLeft"),
            ("late", ""),
        ),
        _designer,
    ),
    Case(
        "bowl",
        "ch09.bowl_explorer(bowl.bowl_under, shapes.SHAPES)",
        (
            ("lr", "ArrowRight"),
            ("warmup", "ArrowRight"),
            ("final", "ArrowRight"),
            ("decay", "ArrowRight"),
            ("noise", "ArrowRight"),
            ("flat", "ArrowRight"),
            ("shape", "constant"),
        ),
        _bowl,
    ),
)
