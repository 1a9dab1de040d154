"""The exercises of chapter 3, Gating and activations.

Results: published models, torch's autograd, NumPy in float64, hand calculation.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from course_lib.answers.checking import Case, Exercise, Mistake
from course_lib.answers.methods import Methods

# --- the width of a gated layer ---------------------------------------------------------------------------------------


def _gated_width_cases() -> Iterator[Case]:
    # Llama's hidden widths are published (Touvron et al. 2023 and their code): 8/3 d, rounded up to a multiple of 256.
    yield Case(
        (4096, 256), 11_008, "Llama 7B: 8/3 · 4096 = 10922.67, and 43 · 256 = 11008 is the next multiple."
    )
    yield Case((5120, 256), 13_824, "Llama 13B: 8/3 · 5120 = 13653.3, and 54 · 256 = 13824.")
    yield Case((8192, 256), 22_016, "Llama 65B: 8/3 · 8192 = 21845.3, and 86 · 256 = 22016.")
    yield Case((96, 64), 256, "8/3 · 96 is 256 exactly, a multiple of 64 already: nothing to round.")
    yield Case((64, 1), 171, "8/3 · 64 = 170.67: with multiples of 1, just the next whole number.")


GATED_WIDTH = Exercise(
    id="gate-width",
    chapter=3,
    cases=_gated_width_cases,
    hint="Two matrices of 4 d · d are 8 d² numbers. Three of f · d are 3 f d. Set them equal and solve for f; then "
    "round up: the smallest multiple that is not below f. In whole numbers, -(-a // b) rounds a / b up.",
    mistakes=(
        Mistake(
            lambda d, multiple: multiple * round(8 * d / 3 / multiple),
            "This rounds to the nearest multiple. Round up, so that the gated layer never has fewer parameters.",
        ),
        Mistake(
            lambda d, multiple: multiple * (8 * d // (3 * multiple)),
            "This rounds down. Round up, so that the gated layer never has fewer parameters.",
        ),
        Mistake(
            lambda d, multiple: -(-(8 * d // 3) // multiple) * multiple,
            "This cuts 8/3 d to a whole number before it rounds up, as Llama's own code does: with a multiple of 1 the "
            "layer ends up too narrow.",
        ),
        Mistake(
            lambda d, multiple: 8 * d / 3,
            "This is the width at which the parameters are equal. Round it up to a multiple.",
        ),
        Mistake(
            lambda d, multiple: -(-4 * d // multiple) * multiple,
            "4 d is the width of a plain layer. A gated one has three matrices instead of two: 2/3 of it.",
        ),
        Mistake(
            lambda d, multiple: multiple * (8 * d // (3 * multiple) + 1),
            "This adds a multiple even where 8/3 d is one already.",
        ),
    ),
)

# --- the slope of SiLU ------------------------------------------------------------------------------------------------


def _silu_slope_cases() -> Iterator[Case]:
    yield Case((0.0,), 0.5, "At 0 the sigmoid is 1/2, and z times its slope is 0.")
    for z in (1.0, -1.0, 2.5, -4.5, 20.0):
        s = _sigmoid(z)
        why = (
            f"At {z:g} the sigmoid is {s:.4g} and its own slope {s * (1 - s):.4g}. The product rule takes the first "
            f"once and the second {z:g} times."
        )
        yield Case((z,), _silu_slope_by_autograd(z), why)


def _silu_slope_by_autograd(z: float) -> float:
    x = torch.tensor(z, dtype=torch.float64, device="cpu", requires_grad=True)
    return float(torch.autograd.grad(torch.nn.functional.silu(x), x)[0])


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


SILU_SLOPE = Exercise(
    id="gate-silu-slope",
    chapter=3,
    cases=_silu_slope_cases,
    hint="SiLU is the product z · s(z) with the sigmoid s: use the product rule. The sigmoid's slope is s · (1 - s).",
    mistakes=(
        Mistake(
            _sigmoid,
            "This is the first half of the product rule. The sigmoid's own slope is missing: + z s (1 - s).",
        ),
        Mistake(
            lambda z: _sigmoid(z) * (1 - _sigmoid(z)),
            "This is the slope of the sigmoid, not of z times the sigmoid.",
        ),
        Mistake(
            lambda z: z * _sigmoid(z) * (1 - _sigmoid(z)),
            "This is the second half of the product rule. The first is missing: the sigmoid itself, + s.",
        ),
        Mistake(
            lambda z: _sigmoid(z) + _sigmoid(z) * (1 - _sigmoid(z)),
            "In the product rule the slope of the sigmoid is multiplied by z.",
        ),
        Mistake(lambda z: z * _sigmoid(z), "This is SiLU itself, not its slope."),
    ),
)

# --- the gradient of a gated unit -------------------------------------------------------------------------------------


def _gate_backward_cases() -> Iterator[Case]:
    yield Case((2.0, 3.0, 1.0), (3.0, 2.0), "An open gate: y = g · u, so dy/dg = u and dy/du = g.")
    yield Case(
        (-2.0, 3.0, 1.0), (0.0, 0.0), "A closed gate passes nothing, and neither input gets a gradient."
    )
    yield Case(
        (2.0, 0.0, 5.0), (0.0, 10.0), "The gate's gradient is the value, which is 0; the value's is 5 · 2."
    )
    yield Case((1.5, -4.0, 0.5), (-2.0, 0.75), "0.5 · (-4) for the gate, 0.5 · 1.5 for the value.")
    yield Case((0.5, 2.0, -3.0), (-6.0, -1.5), "-3 · 2 for the gate, -3 · 0.5 for the value.")


def _gate(g: float) -> float:
    return max(g, 0.0)


GATE_BACKWARD = Exercise(
    id="gate-backward",
    chapter=3,
    cases=_gate_backward_cases,
    hint="y = relu(g) · u is a product of two factors. The gradient of one factor is dy times the other factor; for g "
    "the slope of ReLU comes on top: 1 if g > 0, else 0.",
    mistakes=(
        Mistake(
            lambda g, u, dy: (dy * u, dy * _gate(g)),
            "The gate's slope is missing: where g is negative, the gate gets no gradient either.",
        ),
        Mistake(
            lambda g, u, dy: (dy * u * (g > 0), dy * (g > 0)),
            "The value is multiplied by relu(g), not by 0 or 1: so is its gradient.",
        ),
        Mistake(
            lambda g, u, dy: (dy * _gate(g), dy * u * (g > 0)),
            "These two are swapped: return the gate's gradient first. It holds the value u.",
        ),
        Mistake(
            lambda g, u, dy: (u * (g > 0), _gate(g)),
            "The chain rule multiplies both by dy, the gradient that arrives.",
        ),
    ),
)

# --- dead units -------------------------------------------------------------------------------------------------------


def _dead_share_cases() -> Iterator[Case]:
    yield Case(([[0.0, 1.0], [0.0, 0.0]],), 0.5, "Unit 0 is 0 for both tokens; unit 1 fires for the first.")
    yield Case(([[0.0, 0.0, 3.0], [0.0, 2.0, 0.0], [0.0, 0.0, 1.0]],), 1 / 3, "Only unit 0 never fires.")
    yield Case(
        ([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]],), 0.0, "A token without any active unit kills none."
    )
    yield Case(([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]],), 1.0, "No unit ever fires.")
    yield Case(
        ([[-0.1, 0.0, 5.0, 0.0], [-0.2, 0.0, 0.0, 0.0]],),
        0.5,
        "A unit that gives negative values, as SiLU does, is alive.",
    )
    yield Case(
        ([[0.5, 0.0, -0.25, 0.0, 1.0], [-0.5, 0.0, 0.0, 0.0, -2.0], [0.0, 0.0, 0.0, 0.0, 1.0]],),
        0.4,
        "Units 1 and 3 are dead. Units 0 and 4 fire above and below 0, unit 2 once below 0.",
    )
    yield Case(
        ([[0.0, 1e-9], [0.0, 0.0], [0.0, 0.0]],), 0.5, "Unit 1 fires once, ever so little: dead is exactly 0."
    )


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags)


DEAD_SHARE = Exercise(
    id="gate-dead-share",
    chapter=3,
    cases=_dead_share_cases,
    hint="Rows are tokens, columns are units: zip(*hidden) turns the rows into columns. A unit is dead if all of its "
    "column is exactly 0.",
    mistakes=(
        Mistake(
            lambda hidden: _share([value == 0 for row in hidden for value in row]),
            "This is the share of zeros. A unit is dead only if it is 0 for every token.",
        ),
        Mistake(
            lambda hidden: _share([all(value == 0 for value in row) for row in hidden]),
            "This counts tokens (rows) without an active unit. Units are the columns.",
        ),
        Mistake(
            lambda hidden: _share([sum(unit) == 0 for unit in zip(*hidden, strict=True)]),
            "The values of a unit can cancel: their sum is 0 although the unit fires. Each of them must be 0.",
        ),
        Mistake(
            lambda hidden: _share([max(unit) == 0 for unit in zip(*hidden, strict=True)]),
            "A largest value of 0 leaves room for negative ones, which also count. Each of them must be 0.",
        ),
        Mistake(
            lambda hidden: _share([any(value == 0 for value in unit) for unit in zip(*hidden, strict=True)]),
            "A unit that is 0 for some tokens is merely selective. Dead means 0 for all of them.",
        ),
        Mistake(
            lambda hidden: _share([all(value <= 0 for value in unit) for unit in zip(*hidden, strict=True)]),
            "Negative values are values: they carry information and gradient. Dead is exactly 0.",
        ),
        Mistake(
            lambda hidden: sum(all(value == 0 for value in unit) for unit in zip(*hidden, strict=True)),
            "This is the number of dead units: divide by the number of units.",
        ),
        Mistake(
            lambda hidden: sum(not any(unit) for unit in zip(*hidden, strict=True)) / len(hidden),
            "This divides by the number of tokens (rows). It is a share of the units, the columns.",
        ),
        Mistake(
            lambda hidden: _share([any(value != 0 for value in unit) for unit in zip(*hidden, strict=True)]),
            "This is the share of units that are alive.",
        ),
    ),
)

# --- a SwiGLU layer ---------------------------------------------------------------------------------------------------

Array = NDArray[Any]
Weights = tuple[Tensor, Tensor, Tensor]


def _logistic(z: Array) -> Array:
    return (1 + np.tanh(z / 2)) / 2  # without exp, which overflows


def _silu(z: Array) -> Array:
    return z * _logistic(z)


def _by(formula: Callable[[Array, Array], Array]) -> Callable[[Weights, Tensor], dict[str, Array]]:
    """A layer whose hidden values are ``formula(gate, value)``, as a function of a case's arguments."""

    def layer(weights: Weights, x: Tensor) -> dict[str, Array]:
        gate, value, out = (np.asarray(weight, dtype=np.float64) for weight in weights)
        rows = np.asarray(x, dtype=np.float64)
        return {"forward": formula(rows @ gate.T, rows @ value.T) @ out.T}

    return layer


_swiglu = _by(lambda gate, value: _silu(gate) * value)


def _untransposed(weights: Weights, x: Tensor) -> dict[str, Array]:
    gate, value, out = (np.asarray(weight, dtype=np.float64) for weight in weights)
    rows = np.asarray(x, dtype=np.float64)
    if rows.shape[-1] != len(gate):
        raise RuntimeError("shapes do not fit")
    return {"forward": (_silu(rows @ gate) * (rows @ value)) @ out}


def _swiglu_cases() -> Iterator[Case]:
    def tensor(rows: list[list[float]]) -> Tensor:
        return torch.from_numpy(np.array(rows, np.float32))  # whatever torch's defaults are

    one = [tensor([[value]]) for value in (1.0, -3.0, 2.0)]
    x = tensor([[2.0], [-1.0]])
    why = "One unit: the gate lets silu(x) pass, the value is -3 x, and the result is twice their product."
    yield Case((tuple(one), x), _swiglu((one[0], one[1], one[2]), x), why)
    rng = np.random.default_rng(0)
    for shape, width, size, why in (
        (
            (2, 3),
            3,
            1.0,
            "Weights are (out, in), as in torch: x W^T, also where a square matrix would take both.",
        ),
        ((2, 5, 4), 7, 1.0, "Leading dimensions, such as batch and position, stay as they are."),
        ((4,), 6, 1.0, "A single token without a batch has shape (d,)."),
        ((3, 4), 5, 90.0, "Gates of plus and minus hundreds: exp of them is infinite, the sigmoid is not."),
    ):
        d = shape[-1]
        made = [
            rng.standard_normal((width, d)),
            rng.standard_normal((width, d)),
            rng.standard_normal((d, width)),
        ]
        weights = tuple(torch.from_numpy(matrix.astype(np.float32)) for matrix in made)
        inputs = torch.from_numpy((size * rng.standard_normal(shape)).astype(np.float32))
        yield Case((weights, inputs), _swiglu((weights[0], weights[1], weights[2]), inputs), why)


SWIGLU = Exercise(
    id="gate-swiglu",
    chapter=3,
    cases=_swiglu_cases,
    methods=Methods(("forward",)),
    hint="forward(x) is three products and one SiLU: silu(x @ w_gate.T) * (x @ w_value.T), and all of it @ w_out.T. "
    "torch.nn.functional.silu is z times the sigmoid of z.",
    mistakes=(
        Mistake(
            _by(lambda gate, value: _logistic(gate) * value),
            "This gate is the sigmoid: a GLU. SiLU multiplies the sigmoid by its input.",
        ),
        Mistake(
            _by(lambda gate, value: gate * _silu(value)),
            "SiLU belongs around the gate, the product with w_gate; the value passes as it is.",
        ),
        Mistake(
            _by(lambda gate, value: _silu(gate) * _silu(value)),
            "Only the gate goes through SiLU; the value passes as it is.",
        ),
        Mistake(
            _by(lambda gate, value: _silu(gate * value)),
            "SiLU goes around the gate alone, before the product with the value.",
        ),
        Mistake(_by(lambda gate, value: gate * value), "Without SiLU this is the bilinear layer."),
        Mistake(
            _by(lambda gate, value: np.maximum(gate, 0) * value),
            "This gate is ReLU: a ReGLU.",
        ),
        Mistake(
            _by(lambda gate, value: _silu(gate)),
            "This is a plain layer: the value, the product with w_value, is missing.",
        ),
        Mistake(
            _by(lambda gate, value: _silu(gate) + value),
            "Gate and value are multiplied, number by number, not added.",
        ),
        Mistake(_untransposed, "Weights are (out, in), as torch keeps them: multiply by their transposes."),
    ),
)

EXERCISES = (GATED_WIDTH, SILU_SLOPE, GATE_BACKWARD, DEAD_SHARE, SWIGLU)
