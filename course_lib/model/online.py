"""Online softmax: attention that reads keys and values block by block and never holds a row of weights.

The idea behind FlashAttention (Dao et al. 2022, section 3.1; Milakov & Gimelshein 2018): exact, and written to be read.
The modules call fused kernels, which do the same in one pass within the processor's cache.
"""

import math
from typing import Any

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
    query_block_size: int | None = None,
    is_causal: bool = False,
    window: int | None = None,
) -> Tensor:
    """The result of ``scaled_dot_product_attention`` with memory for a tile of scores instead of T x S.

    Args:
        q: queries, (..., T, d_k).
        k: keys, (..., S, d_k).
        v: values, (..., S, d_v).
        block_size: keys and values read at a time; any size gives the same result up to rounding.
        query_block_size: queries worked on at a time; default: all. Tiles that the mask hides are then left out.
        is_causal: query i sees keys 0 … i.
        window: with ``is_causal``, only the last ``window`` of these.

    Returns:
        (..., T, d_v)

    Raises:
        ValueError: a block size or ``window`` is below 1, or ``window`` without ``is_causal``.
    """
    _check_options(block_size, is_causal, window)
    if query_block_size is not None:
        check_positive("query_block_size", query_block_size)
    rows = max(1, q.shape[-2]) if query_block_size is None else query_block_size
    tiles = []
    for start in range(0, q.shape[-2], rows):
        tile = q[..., start : start + rows, :]
        tiles.append(_attend(tile, k, v, start, block_size, is_causal=is_causal, window=window)[0])
    return torch.cat(tiles, -2) if tiles else q.new_zeros((*q.shape[:-1], v.shape[-1]))


def _attend(
    q: Tensor, k: Tensor, v: Tensor, position: int, block_size: int, *, is_causal: bool, window: int | None
) -> tuple[Tensor, Tensor]:
    """The results of queries that begin at ``position``, and the logarithms of their sums, (..., T, 1)."""
    maximum = q.new_full((*q.shape[:-1], 1), float("-inf"))
    total = torch.zeros_like(maximum)
    mixed = q.new_zeros((*q.shape[:-1], v.shape[-1]))
    for start in _visible_blocks(q.shape[-2], k.shape[-2], position, block_size, is_causal, window):
        keys, values = k[..., start : start + block_size, :], v[..., start : start + block_size, :]
        scores = _scores(q, keys, position - start, is_causal, window)
        larger = torch.maximum(maximum, scores.amax(-1, keepdim=True))
        safe = _finite(larger)
        weights = torch.exp(scores - safe)
        shrink = torch.exp(maximum - safe)
        total = total * shrink + weights.sum(-1, keepdim=True)
        mixed = mixed * shrink + weights @ values
        maximum = larger
    # A query that may look nowhere gets zeros.
    return mixed / total.masked_fill(total == 0, 1.0), maximum + total.log()


def recomputed_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    block_size: int = 64,
    is_causal: bool = False,
    window: int | None = None,
) -> Tensor:
    """:func:`online_attention` whose backward pass computes the weights again, tile by tile, instead of keeping them.

    What is kept for it is q, k, v, the result and one number per query, the logarithm of the sum of its exponentials:
    memory that grows with T (Dao et al. 2022, section 3.1 and appendix B.4). Queries are worked on in tiles of
    ``block_size`` as well. Arguments, shapes and errors as there.

    Raises:
        ValueError: also where the leading dimensions of q, k and v differ.
        NotImplementedError: gradients of gradients are asked for.
    """
    if not q.shape[:-2] == k.shape[:-2] == v.shape[:-2]:
        raise ValueError(
            f"q, k and v must have the same leading dimensions, not shapes {tuple(q.shape)}, {tuple(k.shape)} and "
            f"{tuple(v.shape)}"
        )
    _check_options(block_size, is_causal, window)
    return _Recomputed.apply(q, k, v, block_size, is_causal, window)  # type: ignore[no-any-return, no-untyped-call]


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, block_size: int, is_causal: bool, window: int | None
    ) -> Tensor:
        mixed = q.new_zeros((*q.shape[:-1], v.shape[-1]))
        log_sums = q.new_zeros((*q.shape[:-1], 1))
        for start in range(0, q.shape[-2], block_size):
            rows = slice(start, start + block_size)
            mixed[..., rows, :], log_sums[..., rows, :] = _attend(
                q[..., rows, :], k, v, start, block_size, is_causal=is_causal, window=window
            )
        ctx.save_for_backward(q, k, v, mixed, log_sums)
        ctx.options = block_size, is_causal, window
        return mixed

    @staticmethod
    def backward(ctx: Any, d_mixed: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph=True
            raise NotImplementedError(
                "recomputed_attention has first derivatives only; take higher ones of online_attention"
            )
        q, k, v, mixed, log_sums = ctx.saved_tensors
        block_size, is_causal, window = ctx.options
        dq, dk, dv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
        scale = 1 / math.sqrt(q.shape[-1])
        common = (d_mixed * mixed).sum(
            -1, keepdim=True
        )  # what the softmax's derivative subtracts from every key
        for start in range(0, q.shape[-2], block_size):
            rows = slice(start, start + block_size)
            queries, slopes = q[..., rows, :], d_mixed[..., rows, :]
            for first in _visible_blocks(
                queries.shape[-2], k.shape[-2], start, block_size, is_causal, window
            ):
                keys = slice(first, first + block_size)
                scores = _scores(queries, k[..., keys, :], start - first, is_causal, window)
                weights = torch.exp(scores - _finite(log_sums[..., rows, :]))  # the weights, once more
                dv[..., keys, :] += weights.mT @ slopes
                d_scores = weights * (slopes @ v[..., keys, :].mT - common[..., rows, :]) * scale
                dq[..., rows, :] += d_scores @ k[..., keys, :]
                dk[..., keys, :] += d_scores.mT @ queries
        return dq, dk, dv, None, None, None


def _scores(q: Tensor, k: Tensor, offset: int, is_causal: bool, window: int | None) -> Tensor:
    """Scores of a tile, (..., T, block), minus infinity where the mask hides; its first query sees key ``offset``."""
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if not is_causal:
        return scores
    allowed = causal_mask(*scores.shape[-2:], offset=offset, window=window, device=q.device)
    return scores.masked_fill(~allowed, float("-inf"))


def _visible_blocks(
    num_queries: int, num_keys: int, position: int, block_size: int, is_causal: bool, window: int | None
) -> range:
    """First keys of the blocks of which queries from ``position`` on see anything."""
    first = 0 if window is None else max(0, position - window + 1)
    end = min(num_keys, position + num_queries) if is_causal else num_keys
    return range(first // block_size * block_size, end, block_size)


def _check_options(block_size: int, is_causal: bool, window: int | None) -> None:
    check_positive("block_size", block_size)
    if window is not None:
        check_positive("window", window)
        if not is_causal:
            raise ValueError("window needs is_causal=True: it counts back from the query")


def _finite(maximum: Tensor) -> Tensor:
    """The maximum to subtract: where everything so far is minus infinity, any finite number leaves zeros."""
    return maximum.masked_fill(maximum.isneginf(), 0.0)
