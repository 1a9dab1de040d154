"""The arithmetic of a Transformer as plain functions of tensors: softmax, SiLU, norms, rotation, attention.

These are the forms to read. The modules call fused kernels, which give the same numbers (the tests compare them)
without keeping every intermediate tensor.
"""

import math

import torch
from torch import Tensor


def softmax(x: Tensor, dim: int) -> Tensor:
    """exp(x) / sum(exp(x)) along ``dim``, same shape as ``x``.

    The maximum is subtracted first, which changes nothing in exact arithmetic (numerator and denominator shrink by
    the same factor) and keeps exp from overflowing.
    """
    exponentials = torch.exp(x - x.amax(dim, keepdim=True))
    return exponentials / exponentials.sum(dim, keepdim=True)


def silu(x: Tensor) -> Tensor:
    """Sigmoid linear unit: x * sigmoid(x), also called Swish (Elfwing et al. 2017; Ramachandran et al. 2017)."""
    return x * torch.sigmoid(x)


def rms_norm_reference(x: Tensor, weight: Tensor, eps: float = 1e-5) -> Tensor:
    """The formula of RMSNorm: x / sqrt(mean(x²) + eps) * weight (Zhang & Sennrich 2019, equation 4).

    The form to read; :class:`RMSNorm` is the one to use. Shapes: x (..., d), weight (d,). The mean over the last
    dimension is taken in float32 at least, since a sum of squares in 16 bits overflows or loses its small terms; the
    result has the dtype of ``x``.
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    normed = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
    return (normed * weight).to(x.dtype)


def layer_norm_reference(x: Tensor, weight: Tensor, bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """(x - mean) / sqrt(variance + eps) * weight + bias along the last dimension (Ba et al. 2016, equation 4).

    The form to read; :class:`LayerNorm` is the one to use. Shapes: x (..., d), weight and bias (d,).
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    centred = wide - wide.mean(-1, keepdim=True)
    normed = centred * torch.rsqrt(centred.square().mean(-1, keepdim=True) + eps) * weight
    return (normed if bias is None else normed + bias).to(x.dtype)


def rotate_pairs(x: Tensor, cos: Tensor, sin: Tensor, layout: str = "interleaved") -> Tensor:
    """(a, b) → (a cos - b sin, a sin + b cos) for each pair of features of ``x``.

    Shapes: x (..., T, head_dim), cos and sin (..., T, head_dim / 2). Equation 34 of the RoFormer paper.
    """
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    if layout == "half":
        a, b = x.chunk(2, -1)
        return torch.cat((a * cos - b * sin, a * sin + b * cos), -1)
    a, b = x[..., 0::2], x[..., 1::2]
    turned = torch.stack((a * cos - b * sin, a * sin + b * cos), -1)  # (..., T, head_dim / 2, 2)
    return turned.reshape(*turned.shape[:-2], x.shape[-1])


def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, *, is_causal: bool = False
) -> Tensor:
    """softmax(q k^T / sqrt(d_k) + mask) v (Vaswani et al. 2017, equation 1). The reference; modules use the fused one.

    Equals ``torch.nn.functional.scaled_dot_product_attention``, with ``enable_gqa=True`` where the numbers of heads
    differ, but keeps the whole matrix of weights.

    Args:
        q: queries, (..., T, d_k), or (..., H, T, d_k) where heads are grouped.
        k: keys, (..., S, d_k), or (..., H_kv, S, d_k) with H_kv a divisor of H: query head h reads key and value head
            h // (H / H_kv) (Ainslie et al. 2023).
        v: values, (..., S, d_v).
        mask: (..., T, S), broadcast over the heads: boolean, True where a query may look, or numbers to be added to the
            scores. A query that may look nowhere (all minus infinity) gets zeros.
        is_causal: query i sees keys 0 … i. Not together with ``mask``.

    Returns:
        (..., T, d_v)

    Raises:
        ValueError: shapes do not fit, or both ``mask`` and ``is_causal`` are given.
    """
    if mask is not None and is_causal:
        raise ValueError("mask and is_causal exclude each other: put the causal mask into mask")
    if q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ValueError(
            f"q, k and v must have shapes (..., T, d_k), (..., S, d_k) and (..., S, d_v), "
            f"not {tuple(q.shape)}, {tuple(k.shape)} and {tuple(v.shape)}"
        )
    if is_causal:
        mask = causal_mask(q.shape[-2], k.shape[-2], device=q.device)
    if q.ndim >= 3 and q.ndim == k.ndim and q.shape[-3] != k.shape[-3]:
        return _grouped(q, k, v, mask)
    return _weighted_mean(q, k, v, mask)


def _weighted_mean(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (..., T, S)
    if mask is None:
        return softmax(scores, -1) @ v
    scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    # A query that may look nowhere has no maximum to subtract: its weights and gradients would be 0 / 0.
    nowhere = scores.isneginf().all(-1, keepdim=True)
    weights = softmax(scores.masked_fill(nowhere, 0.0), -1)
    return weights.masked_fill(nowhere, 0.0) @ v


def _grouped(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Attention in which each key and value head serves a group of query heads, without copies."""
    heads, kv_heads = q.shape[-3], k.shape[-3]
    if heads % kv_heads:
        raise ValueError(f"the {kv_heads} heads of k and v must divide the {heads} heads of q")
    groups = (kv_heads, heads // kv_heads)
    if mask is not None and mask.ndim >= 3:
        mask = torch.unflatten(mask, -3, groups) if mask.shape[-3] == heads else mask.unsqueeze(-3)
    q = torch.unflatten(q, -3, groups)  # (..., H_kv, H / H_kv, T, d_k)
    return _weighted_mean(q, k.unsqueeze(-3), v.unsqueeze(-3), mask).flatten(-4, -3)


def causal_mask(
    num_queries: int,
    num_keys: int,
    *,
    offset: int = 0,
    window: int | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Which keys a query may look at: True where key j ≤ i + ``offset`` for query i, (num_queries, num_keys).

    ``offset`` is the number of tokens before the first query (those in a KV cache). With ``window``, only the last
    ``window`` of these keys, the query's own included, are seen: sliding-window attention (Beltagy et al. 2020).
    """
    query = torch.arange(num_queries, device=device).unsqueeze(1) + offset
    key = torch.arange(num_keys, device=device)
    allowed = key <= query
    return allowed if window is None else allowed & (key > query - window)
