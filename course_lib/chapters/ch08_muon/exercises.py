"""The exercises of chapter 8, Muon.

Results are worked out by hand, or come from the library on matrices and paths.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch

from course_lib.answers.checking import Case, Exercise, Mistake
from course_lib.diagnostics import trajectory_projection
from course_lib.optim import MUON_COEFFICIENTS, newton_schulz

Triple = tuple[float, float, float]

# --- the batch that makes it cheap ------------------------------------------------------------------------------------


def _batch_cases() -> Iterator[Case]:
    # Five steps of 4·d³ + 2·d³ FLOPs, over 6·d² FLOPs per token: 5·d / N is to be the share.
    yield Case(
        (64, 0.5), 640.0, "Five steps of 6 · 64³ FLOPs are as much as forward and backward on 5 · 64 tokens."
    )
    yield Case((768, 0.01), 384_000.0, "5 · 768 tokens for 100 %; a hundred times as many for 1 %.")
    yield Case((4096, 0.01), 2_048_000.0, "Twice the width needs twice the batch for the same share.")
    yield Case((4096, 0.05), 409_600.0, "A share five times as large is reached with a fifth of the batch.")
    yield Case((96, 0.07), 48_000 / 7, "5 · 96 / 0.07: on average over steps, it need not be a whole number.")


BATCH = Exercise(
    id="muon-batch",
    chapter=8,
    cases=_batch_cases,
    hint="One Newton-Schulz step on a d by d matrix is three products of 2·d³ FLOPs. Forward and backward take 6 FLOPs "
    "for each of its d² weights and each of the N tokens. Set 5 steps over the latter equal to the share.",
    mistakes=(
        Mistake(
            lambda d_model, share: 15 * d_model / share,
            "This counts the forward pass alone, 2 FLOPs per weight and token. The backward pass takes 4 more.",
        ),
        Mistake(lambda d_model, share: d_model / share, "This is one Newton-Schulz step; Muon takes five."),
        Mistake(
            lambda d_model, share: 10 * d_model / (3 * share),
            "This counts two products a step. There are three: XXᵀ, its square, and one with X.",
        ),
        Mistake(
            lambda d_model, share: 2.5 * d_model / share,
            "A product of d by d matrices takes 2·d³ FLOPs: d³ multiplications and as many additions.",
        ),
        Mistake(
            lambda d_model, share: 5 * d_model,
            "Here the steps cost as much as forward and backward. The share is missing.",
        ),
        Mistake(lambda d_model, share: 5 * d_model // share, "// rounds down: divide with /."),
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
    """The library's result for a random matrix with these singular values, along its singular vectors."""
    generator = torch.Generator().manual_seed(0)
    size = len(values)
    with torch.device("cpu"):
        left, right = (
            torch.linalg.qr(torch.randn(n, size, dtype=torch.float64, generator=generator))[0]
            for n in (size + 2, size + 5)
        )
        matrix = left * torch.tensor(values, dtype=torch.float64) @ right.T
    result = newton_schulz(matrix, steps, coefficients)
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
        (0.2, 1.0, 0.5): "The results stand in the order of the values given, not in the order of size.",
    }
    for values, why in whys.items():
        for coefficients, steps in ((cubic, 2), (MUON_COEFFICIENTS, 5)):
            yield Case((list(values), coefficients, steps), _by_matrix(values, coefficients, steps), why)


def _polynomial(values: np.ndarray, coefficients: Triple, steps: int) -> list[float]:
    a, b, c = coefficients
    for _ in range(steps):
        values = a * values + b * values**3 + c * values**5
    return [float(value) for value in values]


def _scaled(norm: Callable[[np.ndarray], float]) -> Callable[..., list[float]]:
    """The right way, except divided by another norm."""

    def after(values: Sequence[float], coefficients: Triple, steps: int) -> list[float]:
        with np.errstate(all="ignore"):
            return _polynomial(np.array(values) / norm(np.array(values)), coefficients, steps)

    return after


_right = _scaled(lambda values: float(np.linalg.norm(values)))


def _not_divided_in_python(values: Sequence[float], coefficients: Triple, steps: int) -> list[float]:
    a, b, c = coefficients
    x = list(values)
    for _ in range(steps):
        x = [a * v + b * v**3 + c * v**5 for v in x]  # raises where NumPy gives inf and NaN
    return x


def _other_step(step: Callable[[np.ndarray, float, float, float], np.ndarray]) -> Callable[..., list[float]]:
    """The right way except for the effect of a step on the values."""

    def after(values: Sequence[float], coefficients: Triple, steps: int) -> list[float]:
        x = np.array(values) / np.linalg.norm(values)
        for _ in range(steps):
            x = step(x, *coefficients)
        return [float(value) for value in x]

    return after


def _overwritten(x: np.ndarray, a: float, b: float, c: float) -> np.ndarray:
    x = a * x
    x = x + b * x**3
    return x + c * x**5


def _divided_again(x: np.ndarray, a: float, b: float, c: float) -> np.ndarray:
    x = x / np.linalg.norm(x)
    return a * x + b * x**3 + c * x**5


_NOT_DIVIDED = (
    "These values were not divided by the Frobenius norm first. Above about 1.5 the iteration runs away."
)

SPECTRUM = Exercise(
    id="muon-spectrum",
    chapter=8,
    cases=_spectrum_cases,
    hint="The Frobenius norm of a matrix is the root of the sum of its squared singular values: divide by it once, at "
    "the start. Then replace every value x by a·x + b·x³ + c·x⁵, as often as there are steps.",
    mistakes=(
        Mistake(_scaled(lambda _: 1.0), _NOT_DIVIDED),
        Mistake(_not_divided_in_python, _NOT_DIVIDED),
        Mistake(
            _scaled(lambda values: float(values.max())),
            "This divides by the largest singular value. The library does not know it; it divides by the "
            "Frobenius norm, the root of the sum of their squares.",
        ),
        Mistake(
            _scaled(lambda values: float(values.sum())),
            "This divides by the sum of the values. The Frobenius norm is the root of the sum of their squares.",
        ),
        Mistake(
            _scaled(lambda values: float((values**2).sum())),
            "This divides by the sum of the squares. The Frobenius norm is the root of it.",
        ),
        Mistake(
            _other_step(_divided_again), "The norm is divided out once, at the start, not in every step."
        ),
        Mistake(
            lambda values, coefficients, steps: _right(values, coefficients, min(steps, 1)),
            "This is the result of a single step; there are several.",
        ),
        Mistake(
            _other_step(lambda x, a, b, c: a * x + b * x**2 + c * x**3),
            "These are powers 1, 2 and 3. Products of X and XXᵀ give odd powers only: 1, 3 and 5.",
        ),
        Mistake(
            _other_step(_overwritten),
            "x has changed before its powers were taken. All three terms need the x of the beginning of the step.",
        ),
        Mistake(
            lambda values, _coefficients, steps: _right(values, MUON_COEFFICIENTS, steps),
            "These are always Muon's coefficients; use those that are given.",
        ),
        Mistake(
            lambda values, coefficients, steps: sorted(_right(values, coefficients, steps), reverse=True),
            "These are sorted. The results belong in the order of the values given.",
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
        "The output head is also a table, with one row per token; a bias is a vector.",
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
    yield Case(
        ({"layers.0.attn.relative_embeddings": (32, 8), "layers.0.attn.scale": ()},),
        [],
        "Here a table stands inside a layer, and a single number, which has no axis at all.",
    )
    yield Case(
        ({"blocks.0.mixer": (48, 80), "blocks.0.q_norm.weight": (32,), "blocks.0.down.weight": (80, 48)},),
        ["blocks.0.mixer", "blocks.0.down.weight"],
        "Another model has other names. Only the tables can be told by theirs; for all else the shape decides.",
    )


def _matrices(shapes: _Shapes) -> list[str]:
    return [name for name, shape in shapes.items() if len(shape) == 2]


def _no_embeddings(shapes: _Shapes) -> list[str]:
    return [name for name in shapes if "embedding" not in name and "lm_head" not in name]


def _head_too(shapes: _Shapes) -> list[str]:
    return [name for name in _matrices(shapes) if "embedding" not in name]


def _square_only(shapes: _Shapes) -> list[str]:
    return [name for name in _head_too(shapes) if shapes[name][0] == shapes[name][1]]


def _hidden(shapes: _Shapes) -> list[str]:
    return [name for name in _head_too(shapes) if "lm_head" not in name]


def _in_layers(shapes: _Shapes) -> list[str]:
    return [name for name in _matrices(shapes) if name.startswith("layers")]


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
        Mistake(
            _in_layers,
            "Other models have other names: nothing says that hidden matrices are in something called layers. Take out "
            "the tables instead.",
        ),
        Mistake(
            lambda shapes: sorted(_hidden(shapes)),
            "These are sorted. The order is that of the model's parameters.",
        ),
        Mistake(
            lambda shapes: set(_hidden(shapes)),
            "These are the right names, but a set has no order: return a list.",
        ),
        Mistake(
            lambda shapes: {name: shapes[name] for name in _hidden(shapes)},
            "These are the right parameters, with their shapes: return a list of their names.",
        ),
        Mistake(_no_output, "output_proj mixes the heads of attention: a hidden matrix like the others."),
    ),
)

# --- the share of the first axis --------------------------------------------------------------------------------------


def _axis_cases() -> Iterator[Case]:
    yield Case(([[1.0, 0.0], [2.0, 2.0], [4.0, 6.0]],), 1.0, "A straight path lies on one axis.")
    yield Case(
        ([[8.0, -2.0], [5.0, -1.0], [5.0, -2.0]],),
        0.9,
        "Seen from its end, (5, -2), the path has squares 9 along x and 1 along y: 9 of 10.",
    )
    yield Case(
        ([[3.0, 1.0], [-1.0, 1.0], [1.0, 3.0], [1.0, -1.0], [1.0, 1.0]],),
        0.5,
        "Seen from its end, (1, 1), the path has squares 8 along x and 8 along y.",
    )
    for seed in (0, 1):
        path = np.random.default_rng(seed).normal(size=(12, 40)).cumsum(0).round(3)
        share = trajectory_projection(list(torch.from_numpy(path))).explained[0]
        yield Case((path.tolist(),), float(share), "A random walk: the library finds another share.")


def _seen_from(origin: str) -> Callable[[Sequence[Sequence[float]]], np.ndarray]:
    """The squares along the principal axes of a path that is measured from somewhere."""

    def squares(path: Sequence[Sequence[float]]) -> np.ndarray:
        points = np.array(path)
        start = {"mean": points.mean(0), "end": points[-1], "start": points[0], "zero": 0 * points[0]}[origin]
        return np.linalg.svd(points - start, compute_uv=False) ** 2

    return squares


def _first_share(squares: np.ndarray) -> float:
    return float(squares[0] / squares.sum())


def _largest_coordinate(path: Sequence[Sequence[float]]) -> float:
    squares = ((np.array(path) - np.array(path[-1])) ** 2).sum(0)
    return float(squares.max() / squares.sum())


FIRST_AXIS = Exercise(
    id="muon-first-axis",
    chapter=8,
    cases=_axis_cases,
    hint="Subtract the last point from all. The squared singular values of that matrix are the sums of squares along "
    "its principal axes: the first over the sum of all.",
    mistakes=(
        Mistake(
            lambda path: _first_share(_seen_from("mean")(path)),
            "This measures from the mean of the path. The plane of this chapter goes through its last point.",
        ),
        Mistake(
            lambda path: _first_share(_seen_from("start")(path)),
            "This measures from the first point; take the last.",
        ),
        Mistake(
            lambda path: _first_share(_seen_from("zero")(path)),
            "This measures from the origin of the coordinates. Subtract the last point from all.",
        ),
        Mistake(
            lambda path: _first_share(_seen_from("end")(path) ** 0.5),
            "These are shares of singular values. Squared distances are the squares of singular values.",
        ),
        Mistake(
            lambda path: _first_share(_seen_from("end")(path)) ** 0.5,
            "The root is taken of the share. A share of *squared* distances is asked for.",
        ),
        Mistake(
            lambda path: float(_seen_from("end")(path)[0]),
            "This is the sum of squares along the first axis. Divide by the sum of all.",
        ),
        Mistake(
            lambda path: float(_seen_from("end")(path)[:2].sum() / _seen_from("end")(path).sum()),
            "This is the share of the first two axes, as in the picture of section 7. Take the first alone.",
        ),
        Mistake(
            _largest_coordinate,
            "This is the largest coordinate's share. A principal axis may lie oblique to all coordinates: take "
            "singular values.",
        ),
    ),
)

EXERCISES = (BATCH, SPECTRUM, PARAMETERS, FIRST_AXIS)
