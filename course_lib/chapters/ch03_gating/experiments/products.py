"""Chapter 3: layers that multiply, exactly and after training."""

from collections.abc import Callable, Mapping

import pandas as pd
import torch
from torch import Tensor, nn

from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.small_runs import one_thread
from course_lib.model import FFN, GatedFFN
from course_lib.model.config import GATED_ACTIVATIONS
from course_lib.optim import linear

TARGETS: dict[str, Callable[[Tensor], Tensor]] = {
    "product": lambda x: x.prod(-1),
    "maximum": lambda x: x.amax(-1),
}
"""What layers are taught, as functions of (..., 2). The maximum is x2 + relu(x1 - x2): three plain ReLU units."""

WIDTHS = {"relu": 12, "silu": 12, "relu2": 12, "bilinear": 8, "reglu": 8, "swiglu": 8}
"""Hidden widths with equally many parameters."""


@float32_on_cpu()
def multiplier() -> GatedFFN:
    """A ReGLU of two units that multiplies: (x1, x2) → (x1 · x2, 0), exactly.

    relu(x1) x2 + relu(-x1) (-x2) = x1 x2: the gate chooses the sign, the value brings the factor.
    """
    layer = GatedFFN(2, 2, "reglu")
    with torch.no_grad():
        layer.w1.weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
        layer.w3.weight.copy_(torch.tensor([[0.0, 1.0], [0.0, -1.0]]))
        layer.w2.weight.copy_(torch.tensor([[1.0, 1.0], [0.0, 0.0]]))
    return layer


@float32_on_cpu()
def learn(
    target: str,
    widths: Mapping[str, int] | None = None,
    *,
    seeds: int = 5,
    steps: int = 300,
    lr: float = 0.03,
) -> pd.DataFrame:
    """Teach small layers a function of two numbers in [-1, 1], all seeds side by side.

    Args:
        target: "product" or "maximum".
        widths: Hidden width by activation; default: :data:`WIDTHS`.
        seeds: Number of initializations.
        steps: Of Adam on 256 points, with a linearly falling learning rate.
        lr: Initial learning rate.

    Returns:
        Columns activation, seed, error: root mean square on a grid, relative to the function's own.
    """
    rows = []
    function = TARGETS[target]
    side = torch.linspace(-1, 1, 21)
    grid = torch.cartesian_prod(side, side)
    truth = function(grid)
    for name, width in (WIDTHS if widths is None else widths).items():
        torch.manual_seed(0)
        layers = nn.ModuleList(_layer(name, width) for _ in range(seeds))
        with one_thread():
            _train(layers, function, steps, lr)
            with torch.no_grad():
                for seed, layer in enumerate(layers):
                    error = (layer(grid)[:, 0] - truth).square().mean().sqrt() / truth.square().mean().sqrt()
                    rows.append((name, seed, float(error)))
    return pd.DataFrame(rows, columns=["activation", "seed", "error"])


def _train(layers: nn.ModuleList, function: Callable[[Tensor], Tensor], steps: int, lr: float) -> None:
    optimizer = torch.optim.Adam(layers.parameters(), lr=lr)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = linear(step, max_lr=lr, warmup_steps=0, total_steps=steps)
        x = 2 * torch.rand(256, 2) - 1
        losses = [(layer(x)[:, 0] - function(x)).square().mean() for layer in layers]
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def _layer(activation: str, width: int) -> FFN | GatedFFN:
    return (GatedFFN if activation in GATED_ACTIVATIONS else FFN)(2, width, activation)
