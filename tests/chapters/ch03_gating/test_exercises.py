"""Right and wrong answers to the exercises of chapter 3."""

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.exercises.answers import Answers, run_tables

Hidden = Sequence[Sequence[float]]

# --- the width --------------------------------------------------------------------------------------------------------


def width_by_counting(d: int, multiple: int) -> int:
    return next(f for f in itertools.count(multiple, multiple) if 3 * f * d >= 8 * d * d)


def width_by_fraction(d: int, multiple: int) -> int:
    return math.ceil(Fraction(8 * d, 3) / multiple) * multiple


def width_with_numpy(d: int, multiple: int) -> np.floating[Any]:
    return np.ceil(np.float64(8 * d / 3) / multiple) * multiple


def width_like_llama_but_up(d: int, multiple: int) -> int:
    hidden = (2 * 4 * d + 2) // 3
    return multiple * ((hidden + multiple - 1) // multiple)


def width_nearest(d: int, multiple: int) -> int:
    return round(8 * d / 3 / multiple) * multiple


def width_down(d: int, multiple: int) -> int:
    return int(8 * d / 3) // multiple * multiple


def width_plain(d: int, multiple: int) -> int:
    return math.ceil(4 * d / multiple) * multiple


def width_one_more(d: int, multiple: int) -> int:
    return (8 * d // 3 // multiple + 1) * multiple


def width_like_llama(d: int, multiple: int) -> int:
    hidden = int(2 * 4 * d / 3)
    return multiple * ((hidden + multiple - 1) // multiple)


def width_not_rounded(d: int, multiple: int) -> float:
    return 8 / 3 * d


def width_of_two_thirds(d: int, multiple: int) -> int:
    return math.ceil(2 / 3 * d / multiple) * multiple


def width_in_multiples(d: int, multiple: int) -> int:
    return math.ceil(8 * d / 3 / multiple)


def width_for_equal_total(d: int, multiple: int) -> int:
    return math.ceil(3 / 2 * 4 * d / multiple) * multiple


# --- the slope of SiLU ------------------------------------------------------------------------------------------------


def slope_by_autograd(z: float) -> torch.Tensor:
    x = torch.tensor(z, requires_grad=True)
    F.silu(x).backward()
    assert x.grad is not None
    return x.grad


def slope_by_quotient(z: float) -> float:
    e = math.exp(-z)
    return (1 + e + z * e) / (1 + e) ** 2


def slope_by_central_difference(z: float) -> float:
    def silu(x: float) -> float:
        return x / (1 + math.exp(-x))

    return (silu(z + 1e-5) - silu(z - 1e-5)) / 2e-5


def slope_with_tanh(z: float) -> np.float32:
    s = (1 + np.tanh(np.float32(z) / 2)) / 2
    return np.float32(s * (1 + z * (1 - s)))


def slope_sigmoid(z: float) -> torch.Tensor:
    return torch.sigmoid(torch.tensor(z))


def slope_of_sigmoid(z: float) -> torch.Tensor:
    s = torch.sigmoid(torch.tensor(z))
    return s * (1 - s)


def slope_second_half(z: float) -> float:
    s = 1 / (1 + math.exp(-z))
    return z * s * (1 - s)


def slope_without_z(z: float) -> float:
    s = 1 / (1 + math.exp(-z))
    return s + s * (1 - s)


def slope_silu(z: float) -> torch.Tensor:
    return F.silu(torch.tensor(z))


def slope_other_sign(z: float) -> float:
    s = 1 / (1 + math.exp(-z))
    return s - z * s * (1 - s)


def slope_of_the_wrong_sigmoid(z: float) -> float:
    s = 1 / (1 + math.exp(z))
    return s + z * s * (1 - s)


def slope_forward_difference(z: float) -> float:
    def silu(x: float) -> float:
        return x / (1 + math.exp(-x))

    return (silu(z + 0.01) - silu(z)) / 0.01


def slope_of_relu(z: float) -> float:
    return 1.0 if z > 0 else 0.5 if z == 0 else 0.0


# --- backward through a gate ------------------------------------------------------------------------------------------


def gate_by_autograd(g: float, u: float, dy: float) -> tuple[torch.Tensor, ...]:
    gate, value = (torch.tensor(x, requires_grad=True) for x in (g, u))
    return torch.autograd.grad(gate.relu() * value, [gate, value], torch.tensor(dy))


def gate_with_conditions(g: float, u: float, dy: float) -> list[float]:
    if g <= 0:
        return [0, 0]
    return [dy * u, dy * g]


def gate_with_numpy(g: float, u: float, dy: float) -> np.ndarray:
    return dy * np.where(g > 0, [u, g], 0.0).astype(np.float32)


def gate_without_slope(g: float, u: float, dy: float) -> tuple[float, float]:
    return dy * u, dy * max(0.0, g)


def gate_as_switch(g: float, u: float, dy: float) -> tuple[float, float]:
    return (dy * u, dy) if g > 0 else (0.0, 0.0)


def gate_swapped(g: float, u: float, dy: float) -> tuple[float, float]:
    return (dy * g, dy * u) if g > 0 else (0.0, 0.0)


def gate_without_dy(g: float, u: float, dy: float) -> tuple[float, float]:
    return (u, g) if g > 0 else (0.0, 0.0)


def gate_open_for_the_value(g: float, u: float, dy: float) -> tuple[float, float]:
    return dy * u * (g > 0), dy * g


def gate_first_only(g: float, u: float, dy: float) -> float:
    return dy * u * (g > 0)


def gate_forward(g: float, u: float, dy: float) -> tuple[float, float]:
    return max(g, 0.0), u


def gate_relu_on_both(g: float, u: float, dy: float) -> tuple[float, float]:
    return dy * max(u, 0.0) * (g > 0), dy * max(g, 0.0) * (u > 0)


# --- dead units -------------------------------------------------------------------------------------------------------


def dead_with_numpy(hidden: Hidden) -> np.floating[Any]:
    return (np.array(hidden) == 0).all(axis=0).mean()


def dead_with_torch(hidden: Hidden) -> torch.Tensor:
    return 1 - (torch.tensor(hidden) != 0).any(0).float().mean()


def dead_by_counting(hidden: Hidden) -> float:
    dead = 0
    for unit in range(len(hidden[0])):
        for row in hidden:
            if row[unit] != 0:
                break
        else:
            dead += 1
    return dead / len(hidden[0])


def dead_by_absolute_sum(hidden: Hidden) -> float:
    sums = [sum(map(abs, unit)) for unit in zip(*hidden, strict=True)]
    return sums.count(0) / len(sums)


def dead_zeros(hidden: Hidden) -> np.floating[Any]:
    return (np.array(hidden) == 0).mean()


def dead_rows(hidden: Hidden) -> np.floating[Any]:
    return (np.array(hidden) == 0).all(axis=1).mean()


def dead_sometimes(hidden: Hidden) -> np.floating[Any]:
    return (np.array(hidden) == 0).any(axis=0).mean()


def dead_not_positive(hidden: Hidden) -> np.floating[Any]:
    return (np.array(hidden) <= 0).all(axis=0).mean()


def dead_by_sum(hidden: Hidden) -> np.floating[Any]:
    return (np.array(hidden).sum(axis=0) == 0).mean()


def dead_by_maximum(hidden: Hidden) -> np.floating[Any]:
    return (np.array(hidden).max(axis=0) == 0).mean()


def dead_alive(hidden: Hidden) -> np.floating[Any]:
    return (np.array(hidden) != 0).any(axis=0).mean()


def dead_count(hidden: Hidden) -> int:
    return int((np.array(hidden) == 0).all(axis=0).sum())


def dead_nearly(hidden: Hidden) -> np.floating[Any]:
    return (np.abs(hidden) < 1e-6).all(axis=0).mean()


def dead_of_tokens(hidden: Hidden) -> float:
    return sum(all(v == 0 for v in unit) for unit in zip(*hidden, strict=True)) / len(hidden)


def dead_rounded(hidden: Hidden) -> float:
    return round(float(dead_with_numpy(hidden)), 2)


# --- a SwiGLU layer ---------------------------------------------------------------------------------------------------


class GatedModule(nn.Module):
    """The base of the answers that are torch modules."""

    def __init__(self, w_gate: Tensor, w_value: Tensor, w_out: Tensor) -> None:
        super().__init__()
        self.w_gate, self.w_value, self.w_out = map(nn.Parameter, (w_gate, w_value, w_out))


class SwigluModule(GatedModule):
    def forward(self, x: Tensor) -> Tensor:
        return (F.silu(x @ self.w_gate.T) * (x @ self.w_value.T)) @ self.w_out.T


class SwigluByFunctional(GatedModule):
    def forward(self, x: Tensor) -> Tensor:
        gate = F.linear(x, self.w_gate)
        return F.linear(gate * torch.sigmoid(gate) * F.linear(x, self.w_value), self.w_out)


class SwigluByNumpy:
    def __init__(self, *weights: Tensor) -> None:
        self.weights = [weight.numpy() for weight in weights]

    def forward(self, x: Tensor) -> np.ndarray:
        gate, value, out = self.weights
        g = x.numpy() @ gate.T
        with np.errstate(over="ignore"):
            return (g / (1 + np.exp(-g)) * (x.numpy() @ value.T)) @ out.T


class SwigluTogether:
    def __init__(self, w_gate: Tensor, w_value: Tensor, w_out: Tensor) -> None:
        self.both, self.w_out = torch.cat((w_gate, w_value)), w_out

    def forward(self, x: Tensor) -> Tensor:
        gate, value = torch.einsum("...d,fd->...f", x, self.both).chunk(2, -1)
        return torch.einsum("...f,df->...d", F.silu(gate) * value, self.w_out)


class SwigluSigmoid(GatedModule):
    def forward(self, x: Tensor) -> Tensor:
        return (torch.sigmoid(x @ self.w_gate.T) * (x @ self.w_value.T)) @ self.w_out.T


class SwigluSwapped(GatedModule):
    def forward(self, x: Tensor) -> Tensor:
        return ((x @ self.w_gate.T) * F.silu(x @ self.w_value.T)) @ self.w_out.T


class SwigluTwice(GatedModule):
    def forward(self, x: Tensor) -> Tensor:
        return (F.silu(x @ self.w_gate.T) * F.silu(x @ self.w_value.T)) @ self.w_out.T


class SwigluAfterwards(GatedModule):
    def forward(self, x: Tensor) -> Tensor:
        return F.silu((x @ self.w_gate.T) * (x @ self.w_value.T)) @ self.w_out.T


class SwigluBilinear(GatedModule):
    def forward(self, x: Tensor) -> Tensor:
        return ((x @ self.w_gate.T) * (x @ self.w_value.T)) @ self.w_out.T


class SwigluRelu(GatedModule):
    def forward(self, x: Tensor) -> Tensor:
        return (F.relu(x @ self.w_gate.T) * (x @ self.w_value.T)) @ self.w_out.T


class SwigluPlain(GatedModule):
    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x @ self.w_gate.T) @ self.w_out.T


class SwigluSum(GatedModule):
    def forward(self, x: Tensor) -> Tensor:
        return (F.silu(x @ self.w_gate.T) + x @ self.w_value.T) @ self.w_out.T


class SwigluUntransposed(GatedModule):
    def forward(self, x: Tensor) -> Tensor:
        return (F.silu(x @ self.w_gate) * (x @ self.w_value)) @ self.w_out


class SwigluOverflows(GatedModule):
    def forward(self, x: Tensor) -> Tensor:
        e = torch.exp(x @ self.w_gate.T)
        return (x @ self.w_gate.T * e / (1 + e) * (x @ self.w_value.T)) @ self.w_out.T


class SwigluGelu(GatedModule):
    def forward(self, x: Tensor) -> Tensor:
        return (F.gelu(x @ self.w_gate.T) * (x @ self.w_value.T)) @ self.w_out.T


ANSWERS = {
    "gate-width": Answers(
        right=(width_by_counting, width_by_fraction, width_with_numpy, width_like_llama_but_up),
        wrong=(
            (width_nearest, "This rounds to the nearest multiple"),
            (width_down, "This rounds down"),
            (width_plain, "4 d is the width of a plain layer"),
            (width_one_more, "This adds a multiple even where"),
            (width_like_llama, "This cuts 8/3 d to a whole number before it rounds up"),
            (width_not_rounded, "This is the width at which the parameters are equal"),
            (width_of_two_thirds, "Llama 7B: 8/3 · 4096"),
            (width_in_multiples, "Llama 7B: 8/3 · 4096"),
            (width_for_equal_total, "Llama 7B: 8/3 · 4096"),
        ),
    ),
    "gate-silu-slope": Answers(
        right=(slope_by_autograd, slope_by_quotient, slope_by_central_difference, slope_with_tanh),
        wrong=(
            (slope_sigmoid, "This is the first half of the product rule"),
            (slope_of_sigmoid, "This is the slope of the sigmoid, not"),
            (slope_second_half, "This is the second half of the product rule"),
            (slope_without_z, "In the product rule the slope of the sigmoid is multiplied by z"),
            (slope_silu, "This is SiLU itself"),
            (slope_other_sign, "At 1 the sigmoid is 0.7311 and its own slope 0.1966"),
            (slope_of_the_wrong_sigmoid, "At 1 the sigmoid is 0.7311"),
            (slope_forward_difference, "At 0 the sigmoid is 1/2"),
            (slope_of_relu, "At 1 the sigmoid is 0.7311"),
        ),
    ),
    "gate-backward": Answers(
        right=(gate_by_autograd, gate_with_conditions, gate_with_numpy),
        wrong=(
            (gate_without_slope, "The gate's slope is missing"),
            (gate_as_switch, "The value is multiplied by relu(g)"),
            (gate_swapped, "These two are swapped"),
            (gate_without_dy, "The chain rule multiplies both by dy"),
            (gate_open_for_the_value, "A closed gate passes nothing"),
            (gate_first_only, "An open gate: y = g · u"),
            (gate_forward, "An open gate: y = g · u"),
            (gate_relu_on_both, "The gate's gradient is the value"),
        ),
    ),
    "gate-dead-share": Answers(
        right=(dead_with_numpy, dead_with_torch, dead_by_counting, dead_by_absolute_sum),
        wrong=(
            (dead_zeros, "This is the share of zeros"),
            (dead_rows, "This counts tokens (rows)"),
            (dead_sometimes, "A unit that is 0 for some tokens is merely selective"),
            (dead_not_positive, "Negative values are values"),
            (dead_by_sum, "The values of a unit can cancel"),
            (dead_by_maximum, "A largest value of 0 leaves room"),
            (dead_alive, "This is the share of units that are alive"),
            (dead_count, "This is the number of dead units"),
            (dead_nearly, "Unit 1 fires once, ever so little"),
            (dead_of_tokens, "This divides by the number of tokens"),
            (dead_rounded, "This is right but rounded"),
        ),
    ),
    "gate-swiglu": Answers(
        right=(SwigluModule, SwigluByFunctional, SwigluByNumpy, SwigluTogether),
        wrong=(
            (SwigluSigmoid, "This gate is the sigmoid: a GLU"),
            (SwigluSwapped, "SiLU belongs around the gate"),
            (SwigluTwice, "Only the gate goes through SiLU"),
            (SwigluAfterwards, "SiLU goes around the gate alone"),
            (SwigluBilinear, "Without SiLU this is the bilinear layer"),
            (SwigluRelu, "This gate is ReLU"),
            (SwigluPlain, "This is a plain layer"),
            (SwigluSum, "Gate and value are multiplied"),
            (SwigluUntransposed, "Weights are (out, in), as torch keeps them"),
            (SwigluOverflows, "Gates of plus and minus hundreds"),
            (SwigluGelu, "One unit: the gate lets silu(x) pass"),
        ),
    ),
}

test_right_answers_pass, test_wrong_answers_are_explained, test_there_are_enough = run_tables(ANSWERS)
