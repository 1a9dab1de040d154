"""Rotary position embedding (旋转位置编码): positions as angles, so that attention depends only on offsets."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from course_lib.checks import check_choice, check_positive
from course_lib.model import kernels
from course_lib.model.checks import check_ids
from course_lib.model.config import ROPE_LAYOUTS, RopeScaling, as_rope_scaling
from course_lib.model.tables import TableModule
from course_lib.model.watchers import may_be_bypassed


@may_be_bypassed
class RotaryEmbedding(TableModule):
    """Turns pair i of the features at position m by the angle m * theta^(-2i / head_dim).

    Su et al. 2021 (RoFormer), section 3.2. The inner product of a query turned for position m and a key turned for
    position n depends only on n - m. Cosines and sines are computed once, for ``max_seq_len`` positions, in
    float32 as published models were trained with; they are buffers that checkpoints do not contain, computed again by
    ``reset_parameters()`` and after every move or conversion of the module, ``to_empty`` included.

    Args:
        theta: base of the frequencies.
        head_dim: number of features per head, even.
        max_seq_len: number of positions in the table.
        layout: ``"interleaved"``: pair i is features 2i and 2i + 1 (the paper, GPT-J, Meta's Llama);
            ``"half"``: features i and i + head_dim / 2 (GPT-NeoX, Hugging Face).
        scaling: a :class:`RopeScaling` or a mapping of its fields, to stretch the context.

    Shapes: x (..., T, head_dim) and token_positions (..., T), integers, broadcast over the leading dimensions of x:
    (B, T) fits x (B, T, head_dim), (B, 1, T) fits x (B, H, T, head_dim), (T,) fits both. Without token_positions they
    are 0 … T - 1. The result has the shape and dtype of x.

    Raises:
        ValueError: an odd ``head_dim``, an unknown layout, a shape that does not fit, a position outside the table.
        RuntimeError: the tables are still on the meta device.
    """

    cos: Tensor
    sin: Tensor

    def __init__(
        self,
        theta: float,
        head_dim: int,
        max_seq_len: int,
        *,
        layout: str = "interleaved",
        scaling: RopeScaling | Mapping[str, Any] | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        check_positive("max_seq_len", max_seq_len)
        check_choice("layout", layout, ROPE_LAYOUTS)
        self.theta, self.head_dim, self.max_seq_len, self.layout = theta, head_dim, max_seq_len, layout
        self.scaling = as_rope_scaling(scaling)
        self.reset_parameters(device)

    def make_tables(self) -> dict[str, Tensor]:
        """Cosines and sines of all positions, (max_seq_len, head_dim / 2)."""
        frequencies, factor = rotary_frequencies(self.theta, self.head_dim, self.scaling)
        angles = torch.outer(torch.arange(self.max_seq_len, dtype=torch.float32, device="cpu"), frequencies)
        return {"cos": angles.cos() * factor, "sin": angles.sin() * factor}

    def forward(self, x: Tensor, token_positions: Tensor | None = None) -> Tensor:
        """(..., T, head_dim) → (..., T, head_dim)."""
        if x.ndim < 2 or x.shape[-1] != self.head_dim:
            raise ValueError(f"x must have shape (..., T, {self.head_dim}), not {tuple(x.shape)}")
        x = x.unsqueeze(-2)  # one head
        return self.rotate_heads((x,), self.tables_for(x.shape[:-2], token_positions))[0].squeeze(-2)

    def rotate_heads(self, tensors: tuple[Tensor, ...], tables: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        """Turn each of ``tensors``, (..., T, heads, head_dim), by tables from :meth:`tables_for`."""
        cos, sin = tables
        if cos.is_meta:
            self.check_made(*tensors)
        return kernels.rotate(tensors, cos, sin, self.layout)

    def tables_for(
        self, shape: torch.Size, token_positions: Tensor | None = None, *, start: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Cosines and sines, (..., T, head_dim / 2) each, for tokens of ``shape`` (..., T).

        Without ``token_positions`` (..., T) they are ``start``, ``start`` + 1, …
        """
        if token_positions is None:
            return self.tables(shape[-1], start)
        return self.tables_at(token_positions, shape)

    def tables(self, length: int, start: int = 0) -> tuple[Tensor, Tensor]:
        """Cosines and sines, (length, head_dim / 2) each, of the positions from ``start`` on."""
        if start + length > self.max_seq_len:
            raise ValueError(
                f"position {start + length - 1} is beyond the table: max_seq_len is {self.max_seq_len}, "
                f"positions 0 … {self.max_seq_len - 1}"
            )
        return self.cos[start : start + length], self.sin[start : start + length]

    def tables_at(self, token_positions: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor]:
        """Cosines and sines, (..., T, head_dim / 2) each, of any positions that broadcast to ``shape``, (..., T)."""
        check_ids(token_positions, "token_positions")
        if not _broadcasts(token_positions.shape, shape):
            raise ValueError(
                f"token_positions must broadcast to {tuple(shape)}, the leading dimensions of x, "
                f"not have shape {tuple(token_positions.shape)}"
            )
        if token_positions.numel():
            low, high = (int(bound) for bound in token_positions.aminmax())
            if low < 0 or high >= self.max_seq_len:
                raise ValueError(
                    f"token_positions must be in 0 … {self.max_seq_len - 1} (max_seq_len is {self.max_seq_len}), "
                    f"not {low if low < 0 else high}"
                )
        return self.cos[token_positions], self.sin[token_positions]

    def extra_repr(self) -> str:
        """Options shown by ``repr``."""
        scaling = f", scaling={self.scaling}" if self.scaling else ""
        sizes = f"theta={self.theta}, head_dim={self.head_dim}, max_seq_len={self.max_seq_len}"
        return f"{sizes}, layout={self.layout!r}{scaling}"


def rotary_frequencies(
    theta: float, head_dim: int, scaling: RopeScaling | Mapping[str, Any] | None = None
) -> tuple[Tensor, float]:
    """The angles by which one step turns each pair, (head_dim / 2,), and the factor on cosine and sine.

    In float32 on the CPU, whatever torch's defaults are: the same numbers for every device. The factor is 1 but for
    YaRN, where it makes attention sharper. Raises ValueError for an odd ``head_dim`` or a
    ``theta`` that is not positive.
    """
    check_positive("head_dim", head_dim)
    if head_dim % 2:
        raise ValueError(f"head_dim must be even, features are turned in pairs, not {head_dim}")
    if not theta > 0:
        raise ValueError(f"theta must be positive, not {theta}")
    scaling = as_rope_scaling(scaling)
    if scaling is None:
        return _powers(theta, head_dim), 1.0
    if scaling.type == "linear":
        return _powers(theta, head_dim) / scaling.factor, 1.0
    if scaling.type == "ntk":
        # The slowest pair, i = head_dim / 2 - 1, comes out at exactly its old frequency / factor.
        stretched = theta * scaling.factor ** (head_dim / (head_dim - 2)) if head_dim > 2 else theta
        return _powers(stretched, head_dim), 1.0
    if scaling.type == "yarn":
        return _yarn(theta, head_dim, scaling)
    return _llama3(_powers(theta, head_dim), scaling), 1.0


def _powers(theta: float, head_dim: int) -> Tensor:
    """theta^(-2i / head_dim) for pair i."""
    return 1.0 / theta ** (torch.arange(0, head_dim, 2, dtype=torch.float32, device="cpu") / head_dim)


def _yarn(theta: float, head_dim: int, scaling: RopeScaling) -> tuple[Tensor, float]:
    """YaRN (Peng et al. 2023, section 3): each pair kept, interpolated, or between, by how often it turns.

    The ramp runs over the index of the pair, as in the authors' code, between the pairs that make ``beta_fast`` and
    ``beta_slow`` rotations within the original length; the paper writes it over the number of rotations.
    """
    original_length = scaling.original_max_seq_len
    assert original_length is not None

    def pair_that_turns(rotations: float) -> float:
        # Solves original_length * theta^(-2i / head_dim) = 2 pi * rotations for i.
        length = original_length / (2 * math.pi * rotations)
        return head_dim * math.log(length) / (2 * math.log(theta))

    first = max(math.floor(pair_that_turns(scaling.beta_fast)), 0)
    last = min(math.ceil(pair_that_turns(scaling.beta_slow)), head_dim - 1)
    index = torch.arange(head_dim // 2, dtype=torch.float32, device="cpu")
    ramp = ((index - first) / max(last - first, 0.001)).clamp(0, 1)  # 0: kept, 1: interpolated
    frequencies = _powers(theta, head_dim)
    factor = scaling.attention_factor
    if factor is None:
        factor = 0.1 * math.log(scaling.factor) + 1.0
    return frequencies * (1 - ramp) + frequencies / scaling.factor * ramp, factor


def _llama3(frequencies: Tensor, scaling: RopeScaling) -> Tensor:
    """Long wavelengths interpolated, short ones kept, between them a ramp over original length / wavelength."""
    assert scaling.original_max_seq_len is not None
    turns = scaling.original_max_seq_len * frequencies / (2 * math.pi)
    kept = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)
    kept = kept.clamp(0, 1)
    return frequencies * kept + frequencies / scaling.factor * (1 - kept)


def interleaved_to_half(weight: Tensor, head_dim: int) -> Tensor:
    """Reorder the rows of a query or key projection made for ``layout="interleaved"`` to that for ``"half"``.

    Within each head, feature 2i moves to i and feature 2i + 1 to i + head_dim / 2; scores stay the same, since
    queries and keys are reordered alike. Shape (heads * head_dim, ...) → the same.
    """
    return torch.unflatten(_per_head(weight, head_dim), 1, (-1, 2)).transpose(1, 2).flatten(0, 2)


def half_to_interleaved(weight: Tensor, head_dim: int) -> Tensor:
    """Undo :func:`interleaved_to_half`: from Hugging Face's order of features to that of the paper."""
    return torch.unflatten(_per_head(weight, head_dim), 1, (2, -1)).transpose(1, 2).flatten(0, 2)


def _per_head(weight: Tensor, head_dim: int) -> Tensor:
    if head_dim < 2 or head_dim % 2 or weight.shape[0] % head_dim:
        raise ValueError(
            f"head_dim must be even and divide the {weight.shape[0]} rows of weight, not {head_dim}"
        )
    return torch.unflatten(weight, 0, (-1, head_dim))


def _broadcasts(shape: torch.Size, to: torch.Size) -> bool:
    return len(shape) <= len(to) and all(a in (1, b) for a, b in zip(shape[::-1], to[::-1], strict=False))
