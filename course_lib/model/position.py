"""Positions that are added to the embedding, what Transformers had before rotary ones."""

import math

import torch
from torch import Tensor, nn


class SinusoidalEmbedding(nn.Module):
    """sin and cos of the position at wavelengths from 2 pi to 20,000 pi (Vaswani et al. 2017, section 3.5).

    The table of (max_seq_len, d) is a buffer that no checkpoint holds; feature 2i is sin(m / 10000^(2i / d)), feature
    2i + 1 the cosine. ``forward(positions)``: (...) integers → (..., d).
    """

    table: Tensor

    def __init__(self, max_seq_len: int, d: int) -> None:
        super().__init__()
        rates = torch.exp(torch.arange(0, d, 2, dtype=torch.float32, device="cpu") * (-math.log(10000.0) / d))
        angles = torch.outer(torch.arange(max_seq_len, dtype=torch.float32, device="cpu"), rates)
        table = torch.stack((angles.sin(), angles.cos()), -1).flatten(-2)[:, :d]
        self.register_buffer("table", table.to(torch.get_default_device()), persistent=False)

    def forward(self, positions: Tensor) -> Tensor:
        """(...) → (..., d)."""
        return self.table[positions]
