"""The exercises of chapter 8, Muon.

Results come from numbers worked out by hand, and from the library on matrices and paths.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from course_lib.diagnostics import trajectory_projection
from course_lib.exercises.checking import Case, Exercise, Mistake
from course_lib.optim import MUON_COEFFICIENTS, newton_schulz

Triple = tuple[float, float, float]

# --- the batch that makes it cheap ------------------------------------------------------------------------------------


def _batch_cases() -> Iterator[Case]:
    # Five steps of 4·d³ + 2·d³ FLOPs, over 6·d² FLOPs a token: 5·d / N is to be the share.
    yield Case(
        (64, 0.5), 640.0, "Five steps of 6 · 64³ FLOPs are as much as forward and backward on 5 · 64 tokens."
    )
    yield Case((768, 0.01), 384_000.0, "5 · 768 tokens for 100 %; a hundred times as many for 1 %.")
    yield Case((4096, 0.01), 2_048_000.0, "Twice the width needs twice the batch for the same share.")
    yield Case((4096, 0.05), 409_600.0, "A share five times as large is reached with a fifth of the batch.")


BATCH = Exercise(
    id="muon-batch",
    chapter=8,
    cases=_batch_cases,
    hint="One Newton-Schulz step on a d by d matrix is three products of 2·d³ FLOPs. Forward and backward take 6 FLOPs "
    "for each of its d² weights and each of the N tokens. Set 5 steps over the latter equal to the share.",
    mistakes=(
        Mistake(
            lambda d_model, share: 15 * d_model / share,
            "This counts the forward pass alone, 2 FLOPs a weight and token. The backward pass takes 4 more.",
        ),
        Mistake(lambda d_model, share: d_model / share, "This is one Newton-Schulz step; Muon takes five."),
        Mistake(
            lambda d_model, share: 5 * d_model * share,
            "This is upside down: a smaller share needs a larger batch.",
        ),
        Mistake(
            lambda d_model, share: 5 * d_model**2 / share,
            "One d too many: d³ over d² leaves a single d.",
        ),
    ),
)

# --- singular values --------------------------------------------------------------------------------------------------


def _by_matrix(values: Sequence[float], coefficients: Triple, steps: int) -> list[float]:
    """What the library does to a random matrix with these singular values, seen along its singular vectors."""
    generator = torch.Generator().manual_seed(0)
    size = len(values)
    left, right = (
        torch.linalg.qr(torch.randn(n, size, dtype=torch.float64, generator=generator))[0]
        for n in (size + 2, size + 5)
    )
    result = newton_schulz(left * torch.tensor(values, dtype=torch.float64) @ right.T, steps, coefficients)
    return [float(value) for value in (left.T @ result @ right).diagonal()]


def _spectrum_cases() -> Iterator[Case]:
    cubic = (1.5, -0.5, 0.0)
    yield Case(
        ([4.0, 3.0], cubic, 1),
        [1.5 * 0.8 - 0.5 * 0.8**3, 1.5 * 0.6 - 0.5 * 0.6**3],
        "The Frobenius norm is the root of 16 + 9, which is 5: the values start as 0.8 and 0.6.",
    )
    yield Case(([2.0], MUON_COEFFICIENTS, 0), [1.0], "No step: only the division by the norm.")
    whys = {
        (1.0, 0.1): "Each step is applied to what the last one gave.",
        (3.0, 1.0, 0.01): "Small values grow by about a in every step.",
        (1.0, 1.0, 1.0): "Equal values stay equal; the norm of this matrix is the root of 3.",
    }
    for values, why in whys.items():
        for coefficients, steps in ((cubic, 2), (MUON_COEFFICIENTS, 5)):
            yield Case((list(values), coefficients, steps), _by_matrix(values, coefficients, steps), why)


def _polynomial(values: np.ndarray, coefficients: Triple, steps: int) -> list[float]:
    a, b, c = coefficients
    for _ in range(steps):
        values = a * values + b * values**3 + c * values**5
    return [float(value) for value in values]


def _not_divided(values: Sequence[float], coefficients: Triple, steps: int) -> list[float]:
    return _polynomial(np.array(values), coefficients, steps)


def _divided_by_the_largest(values: Sequence[float], coefficients: Triple, steps: int) -> list[float]:
    return _polynomial(np.array(values) / max(values), coefficients, steps)


def _one_step(values: Sequence[float], coefficients: Triple, steps: int) -> list[float]:
    return _polynomial(np.array(values) / np.linalg.norm(values), coefficients, min(steps, 1))


def _all_powers(values: Sequence[float], coefficients: Triple, steps: int) -> list[float]:
    a, b, c = coefficients
    x = np.array(values) / np.linalg.norm(values)
    for _ in range(steps):
        x = a * x + b * x**2 + c * x**3
    return [float(value) for value in x]


SPECTRUM = Exercise(
    id="muon-spectrum",
    chapter=8,
    cases=_spectrum_cases,
    hint="The Frobenius norm of a matrix is the root of the sum of its squared singular values: divide by it once, at "
    "the start. Then replace every value x by a·x + b·x³ + c·x⁵, as often as there are steps.",
    mistakes=(
        Mistake(
            _not_divided,
            "These values were not divided by the Frobenius norm first. Above about 1.5 the iteration runs away.",
        ),
        Mistake(
            _divided_by_the_largest,
            "This divides by the largest singular value. The library does not know it; it divides by the "
            "Frobenius norm, "
            "the root of the sum of their squares.",
        ),
        Mistake(_one_step, "This is the result of a single step; there are several."),
        Mistake(
            _all_powers,
            "These are powers 1, 2 and 3. Products of X and XXᵀ give odd powers only: 1, 3 and 5.",
        ),
    ),
)

# --- who gets Muon ----------------------------------------------------------------------------------------------------

_Shapes = Mapping[str, tuple[int, ...]]


def _parameter_cases() -> Iterator[Case]:
    yield Case(
        (
            {
                "token_embeddings.weight": (256, 64),
                "layers.0.attn.q_proj.weight": (64, 64),
                "ln_final.weight": (64,),
            },
        ),
        ["layers.0.attn.q_proj.weight"],
        "The embedding is a table of rows, the norm's gain a vector.",
    )
    yield Case(
        ({"layers.0.ffn.w1.weight": (192, 64), "layers.0.ffn.w1.bias": (192,), "lm_head.weight": (256, 64)},),
        ["layers.0.ffn.w1.weight"],
        "The output head is a table too, one row a token; a bias is a vector.",
    )
    yield Case(
        (
            {
                "layers.1.ln1.weight": (64,),
                "layers.1.ffn.w2.weight": (64, 192),
                "layers.1.attn.output_proj.weight": (64, 64),
            },
        ),
        ["layers.1.ffn.w2.weight", "layers.1.attn.output_proj.weight"],
        "output_proj belongs to attention and is a hidden matrix; only lm_head is the output head.",
    )
    yield Case(({"position_embedding.weight": (64, 64)},), [], "Positions are looked up in a table as well.")


def _matrices(shapes: _Shapes) -> list[str]:
    return [name for name, shape in shapes.items() if len(shape) == 2]


def _no_embeddings(shapes: _Shapes) -> list[str]:
    return [name for name in shapes if "embedding" not in name and "lm_head" not in name]


def _head_too(shapes: _Shapes) -> list[str]:
    return [name for name in _matrices(shapes) if "embedding" not in name]


def _square_only(shapes: _Shapes) -> list[str]:
    return [name for name in _head_too(shapes) if shapes[name][0] == shapes[name][1]]


def _no_output(shapes: _Shapes) -> list[str]:
    return [name for name in _head_too(shapes) if "lm_head" not in name and "output" not in name]


PARAMETERS = Exercise(
    id="muon-parameters",
    chapter=8,
    cases=_parameter_cases,
    hint="Two tests: the shape has two numbers, and the name holds neither 'embedding' nor 'lm_head'.",
    mistakes=(
        Mistake(
            _matrices,
            "These are all matrices. Embeddings and the output head are tables: they stay with AdamW.",
        ),
        Mistake(
            _no_embeddings, "Vectors (gains, biases) have no singular vectors to keep: they stay with AdamW."
        ),
        Mistake(
            _head_too, "The output head, lm_head, is a table with a row for each token: it stays with AdamW."
        ),
        Mistake(
            _square_only, "A matrix need not be square: Newton-Schulz makes its shorter side orthonormal."
        ),
        Mistake(_no_output, "output_proj mixes the heads of attention: a hidden matrix like the others."),
    ),
)

# --- the share of the first axis --------------------------------------------------------------------------------------


def _axis_cases() -> Iterator[Case]:
    yield Case(([[0.0, 0.0], [1.0, 2.0], [3.0, 6.0]],), 1.0, "A straight path lies on one axis.")
    yield Case(
        ([[3.0, 0.0], [0.0, 1.0], [0.0, 0.0]],),
        0.9,
        "Seen from its end, (0, 0), the path has squares 9 along x and 1 along y: 9 of 10.",
    )
    yield Case(
        ([[2.0, 0.0], [-2.0, 0.0], [0.0, 2.0], [0.0, -2.0], [0.0, 0.0]],), 0.5, "Two axes with 8 each."
    )
    for seed in (0, 1):
        path = np.random.default_rng(seed).normal(size=(12, 40)).cumsum(0).round(3)
        share = trajectory_projection(list(torch.tensor(path))).explained[0]
        yield Case((path.tolist(),), float(share), "A random walk: the library finds another share.")


def _shares(path: Sequence[Sequence[float]], origin: str, power: int) -> float:
    points = np.array(path)
    points = points - {"mean": points.mean(0), "end": points[-1], "start": points[0]}[origin]
    values = np.linalg.svd(points, compute_uv=False) ** power
    return float(values[0] / values.sum())


FIRST_AXIS = Exercise(
    id="muon-first-axis",
    chapter=8,
    cases=_axis_cases,
    hint="Subtract the last point from all. The squared singular values of that matrix are the sums of squares along "
    "its principal axes: the first over the sum of all.",
    mistakes=(
        Mistake(
            lambda path: _shares(path, "mean", 2),
            "This measures from the mean of the path. The plane of this chapter goes through its last point.",
        ),
        Mistake(
            lambda path: _shares(path, "end", 1),
            "These are shares of singular values. Squared distances are the squares of singular values.",
        ),
        Mistake(lambda path: _shares(path, "start", 2), "This measures from the first point; take the last."),
    ),
)

EXERCISES = (BATCH, SPECTRUM, PARAMETERS, FIRST_AXIS)
