"""Positions that are added to the embedding, as in Transformers before rotary embeddings."""

import math

import torch
from torch import Tensor

from course_lib.model.tables import TableModule


class SinusoidalEmbedding(TableModule):
    """sin and cos of the position at wavelengths from 2 pi to 20,000 pi (Vaswani et al. 2017, section 3.5).

    The table of (max_seq_len, d) is a buffer that checkpoints do not contain; feature 2i is sin(m / 10000^(2i / d)),
    feature 2i + 1 the cosine. ``forward(positions)``: (...) integers → (..., d).
    """

    table: Tensor

    def __init__(self, max_seq_len: int, d: int) -> None:
        super().__init__()
        self.max_seq_len, self.d = max_seq_len, d
        self.reset_parameters()

    def make_tables(self) -> dict[str, Tensor]:
        """The waves of all positions, (max_seq_len, d)."""
        d = self.d
        rates = torch.exp(torch.arange(0, d, 2, dtype=torch.float32, device="cpu") * (-math.log(10000.0) / d))
        angles = torch.outer(torch.arange(self.max_seq_len, dtype=torch.float32, device="cpu"), rates)
        table = torch.stack((angles.sin(), angles.cos()), -1).flatten(-2)[:, :d]
        return {"table": table}

    def forward(self, positions: Tensor) -> Tensor:
        """(...) → (..., d). Raises RuntimeError where the table is still on the meta device."""
        self.check_made(positions)
        return self.table[positions]
