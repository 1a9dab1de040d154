"""Online softmax: attention that reads keys and values block by block and never holds a row of weights.

The idea behind FlashAttention (Dao et al. 2022, section 3.1; Milakov & Gimelshein 2018): exact, and written to be read.
The modules call fused kernels, which do the same in one pass within the processor's cache.
"""

import math

import torch
from torch import Tensor

from course_lib.checks import check_positive
from course_lib.model.functional import causal_mask


def online_softmax(x: Tensor, block_size: int) -> tuple[Tensor, Tensor]:
    """Maximum and sum of exp(x - maximum) over the last dimension, in one pass over blocks: (..., N) → (...), (...).

    When a block brings a larger maximum, the sum so far is multiplied by exp(old maximum - new maximum).
    Where all of x is minus infinity, so is the maximum, and the sum is 0.
    """
    check_positive("block_size", block_size)
    maximum = torch.full(x.shape[:-1], float("-inf"), dtype=x.dtype, device=x.device)
    total = torch.zeros_like(maximum)
    for block in torch.split(x, block_size, dim=-1):
        larger = torch.maximum(maximum, block.amax(-1))
        safe = _finite(larger)
        total = total * torch.exp(maximum - safe) + torch.exp(block - safe.unsqueeze(-1)).sum(-1)
        maximum = larger
    return maximum, total


def online_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    block_size: int = 64,
    is_causal: bool = False,
    window: int | None = None,
) -> Tensor:
    """The result of ``scaled_dot_product_attention`` with memory for T x ``block_size`` scores instead of T x S.

    Args:
        q: queries, (..., T, d_k).
        k: keys, (..., S, d_k).
        v: values, (..., S, d_v).
        block_size: keys and values read at a time; any size gives the same result up to rounding.
        is_causal: query i sees keys 0 … i.
        window: with ``is_causal``, only the last ``window`` of these.

    Returns:
        (..., T, d_v)

    Raises:
        ValueError: ``block_size`` or ``window`` is below 1, or ``window`` without ``is_causal``.
    """
    check_positive("block_size", block_size)
    if window is not None:
        check_positive("window", window)
        if not is_causal:
            raise ValueError("window needs is_causal=True: it counts back from the query")
    num_queries, num_keys = q.shape[-2], k.shape[-2]
    maximum = q.new_full((*q.shape[:-1], 1), float("-inf"))
    total = torch.zeros_like(maximum)
    mixed = q.new_zeros((*q.shape[:-1], v.shape[-1]))
    for start in range(0, num_keys, block_size):
        keys, values = k[..., start : start + block_size, :], v[..., start : start + block_size, :]
        scores = q @ keys.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (..., T, block)
        if is_causal:
            allowed = causal_mask(num_queries, keys.shape[-2], offset=-start, window=window, device=q.device)
            scores = scores.masked_fill(~allowed, float("-inf"))
        larger = torch.maximum(maximum, scores.amax(-1, keepdim=True))
        safe = _finite(larger)
        weights = torch.exp(scores - safe)
        shrink = torch.exp(maximum - safe)
        total = total * shrink + weights.sum(-1, keepdim=True)
        mixed = mixed * shrink + weights @ values
        maximum = larger
    return mixed / total.masked_fill(total == 0, 1.0)  # a query that may look nowhere gets zeros


def _finite(maximum: Tensor) -> Tensor:
    """The maximum to subtract: where everything so far is minus infinity, any finite number leaves zeros."""
    return maximum.masked_fill(maximum.isneginf(), 0.0)
