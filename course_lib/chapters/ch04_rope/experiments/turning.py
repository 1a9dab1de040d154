"""Chapter 4: which matrices make a score depend on the offset, what is turned by them, and turned keys in a cache."""

import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from course_lib.lab.defaults import float32_on_cpu
from course_lib.model import (
    RopeScaling,
    RotaryEmbedding,
    causal_mask,
    rotate_pairs,
    scaled_dot_product_attention,
)

# --- which matrices can do it -----------------------------------------------------------------------------------------


@float32_on_cpu()
def families(length: int = 32, head_dim: int = 8, *, seed: int = 0) -> dict[str, NDArray]:  # type: ignore[type-arg]
    """Scores of one query and one key at all positions, (length, length), when position m is a matrix R_m.

    "powers of a rotation": R_m is the m-th power of a random rotation. "the same as pairs": query and key are written
    in the rotation's own basis, and turned pair by pair. The other two lack a condition each: "powers of another
    matrix" is not orthogonal, "rotations, no powers" draws a new rotation for each position. In float64.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    q, k = normal(2, head_dim)
    raw = normal(head_dim, head_dim) / head_dim**0.5
    rotation = torch.linalg.matrix_exp(raw - raw.T)
    stretch = torch.eye(head_dim, dtype=torch.float64) + 0.02 * (raw + raw.T)
    another = [
        torch.linalg.matrix_exp(step - step.mT) for step in normal(length, head_dim, head_dim)
    ]  # one for each position

    def scores(matrices: list[Tensor]) -> NDArray:  # type: ignore[type-arg]
        placed = torch.stack(matrices)  # (T, d, d)
        return ((placed @ q) @ (placed @ k).T).numpy()  # type: ignore[no-any-return]

    def powers(matrix: Tensor) -> list[Tensor]:
        return [torch.linalg.matrix_power(matrix, m) for m in range(length)]

    basis, angles = own_basis(rotation)
    turns = torch.outer(torch.arange(length, dtype=torch.float64), angles)
    turned = [rotate_pairs((basis @ x).expand(length, -1), turns.cos(), turns.sin()) for x in (q, k)]
    return {
        "powers of a rotation": scores(powers(rotation)),
        "the same as pairs": (turned[0] @ turned[1].T).numpy(),
        "powers of another matrix": scores(powers(rotation @ stretch)),
        "rotations, no powers": scores(another),
    }


def own_basis(rotation: Tensor) -> tuple[Tensor, Tensor]:
    """A basis in which a rotation turns pairs of neighbours, and by which angles.

    ``rotation``: (d, d), orthogonal, with d different eigenvalues that are not real. Returns the basis as rows, (d, d),
    and the angles in radians, (d / 2,): the eigenvalues are exp(±i angle).
    """
    values, vectors = torch.linalg.eig(rotation)
    above = values.imag > 0  # one of each conjugate pair
    chosen = vectors[:, above].T * 2**0.5
    return torch.stack((chosen.imag, chosen.real), 1).flatten(0, 1), values[above].angle()


# --- what is turned ---------------------------------------------------------------------------------------------------


@float32_on_cpu()
def turned_values(shift: int = 100, *, length: int = 24, head_dim: int = 16, seed: int = 0) -> pd.DataFrame:
    """How much the result of attention changes when all tokens move by ``shift``, by what is turned.

    Columns: turned, change (norm of the difference, relative to that of the result).
    """
    q, k, v = torch.randn(3, length, head_dim, generator=torch.Generator().manual_seed(seed))
    rope = RotaryEmbedding(10_000.0, head_dim, shift + length)
    mask = causal_mask(length, length)

    def result(turned: str, start: int) -> Tensor:
        cos, sin = rope.tables(length, start)
        values = v if turned == "queries and keys" else rotate_pairs(v, cos, sin)
        mixed = scaled_dot_product_attention(
            rotate_pairs(q, cos, sin), rotate_pairs(k, cos, sin), values, mask
        )
        return rotate_pairs(mixed, cos, -sin) if turned.endswith("turned back") else mixed

    rows = []
    for turned in ("queries and keys", "values, too", "values, too, and the result turned back"):
        here, there = result(turned, 0), result(turned, shift)
        rows.append((turned, float((there - here).norm() / here.norm())))
    return pd.DataFrame(rows, columns=["turned", "change"])


@float32_on_cpu()
def moved_keys(moved: int = 37, *, count: int = 64, head_dim: int = 64, seed: int = 0) -> pd.DataFrame:
    """Keys that lie in a cache, turned, and are needed at other positions or at other speeds.

    Columns: needed, done (to the cached keys), error (of the keys, relative to their norm).
    """
    keys = torch.randn(count, head_dim, generator=torch.Generator().manual_seed(seed))
    rope = RotaryEmbedding(10_000.0, head_dim, moved + count)
    slower = RotaryEmbedding(10_000.0, head_dim, count, scaling=RopeScaling("linear", 4.0))
    cached = rope(keys)
    place = torch.arange(count)
    cos, sin = rope.tables(count)
    wanted = {f"{moved} tokens later": rope(keys, place + moved), "pairs four times as slow": slower(keys)}
    done = {
        (f"{moved} tokens later", "nothing"): cached,
        (f"{moved} tokens later", f"turned for position {moved}"): rope(
            cached, torch.full_like(place, moved)
        ),
        ("pairs four times as slow", "nothing"): cached,
        ("pairs four times as slow", "turned back, then anew"): slower(rotate_pairs(cached, cos, -sin)),
    }
    rows = [
        (needed, how, float((found - wanted[needed]).norm() / keys.norm()))
        for (needed, how), found in done.items()
    ]
    return pd.DataFrame(rows, columns=["needed", "done", "error"])
