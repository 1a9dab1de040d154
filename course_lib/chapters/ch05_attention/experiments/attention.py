"""Chapter 5's experiments on attention: scale, mask, heads of a trained model, memory and time, sliding windows."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from course_lib.diagnostics import memory_timeline
from course_lib.files import progress
from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.hooks import hooked
from course_lib.lab.measure import take_turns
from course_lib.lab.small_runs import held_out_bytes, one_thread, small_config
from course_lib.model import (
    CausalSelfAttention,
    RotaryEmbedding,
    TransformerLM,
    causal_mask,
    online_attention,
    recomputed_attention,
    scaled_dot_product_attention,
    softmax,
)

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]

# --- the scale and the mask -------------------------------------------------------------------------------------------


@float32_on_cpu()
def scale_effect(
    head_dims: Sequence[int] = (4, 16, 64, 256, 1024, 4096),
    *,
    num_keys: int = 64,
    draws: int = 200,
    seeds: Sequence[int] = (0, 1, 2),
) -> pd.DataFrame:
    """The sharpness of the softmax over scores of standard normal vectors, with and without the factor 1/sqrt(d).

    Columns: head_dim, scaled, seed, score_std, largest_weight (mean over queries), sensitivity (Frobenius norm of the
    derivative of the weights with respect to the scores, mean over queries; gradients are multiplied by it).
    """
    rows = []
    for head_dim in head_dims:
        for seed in seeds:
            generator = torch.Generator().manual_seed(seed)
            q = torch.randn(draws, 1, head_dim, generator=generator)
            k = torch.randn(draws, num_keys, head_dim, generator=generator)
            products = (q @ k.mT).squeeze(-2)  # (draws, num_keys)
            for scaled in (False, True):
                scores = products / math.sqrt(head_dim) if scaled else products
                weights = softmax(scores, -1)
                jacobian = torch.diag_embed(weights) - weights.unsqueeze(-1) * weights.unsqueeze(-2)
                numbers = (scores.std(), weights.amax(-1).mean(), jacobian.norm(dim=(-2, -1)).mean())
                rows.append((head_dim, scaled, seed, *map(float, numbers)))
    return pd.DataFrame(
        rows, columns=["head_dim", "scaled", "seed", "score_std", "largest_weight", "sensitivity"]
    )


def mask_before(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention as it should be: minus infinity before the softmax."""
    return scaled_dot_product_attention(q, k, v, is_causal=True)


def mask_after(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """A tempting mistake: zeros after the softmax."""
    weights = softmax(q @ k.mT / math.sqrt(q.shape[-1]), -1)
    return (weights * causal_mask(q.shape[-2], k.shape[-2])) @ v


def mask_after_and_divide(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The control: zeros after the softmax, and the remaining weights divided by their own sum."""
    weights = softmax(q @ k.mT / math.sqrt(q.shape[-1]), -1) * causal_mask(q.shape[-2], k.shape[-2])
    return weights / weights.sum(-1, keepdim=True) @ v


@float32_on_cpu()
def future_leaks(*, length: int = 16, head_dim: int = 32, seeds: Sequence[int] = (0, 1, 2)) -> pd.DataFrame:
    """The change of earlier tokens' results when the last token's key and value change.

    Columns: mask ("none", "after softmax", "after softmax, divided again", "before softmax"), seed, change (largest, in
    any feature).
    """
    forms: dict[str, Attention] = {
        "none": scaled_dot_product_attention,
        "after softmax": mask_after,
        "after softmax, divided again": mask_after_and_divide,
        "before softmax": mask_before,
    }
    rows = []
    for name, attend in forms.items():
        for seed in seeds:
            generator = torch.Generator().manual_seed(seed)
            q, k, v = torch.randn(3, length, head_dim, generator=generator)
            other_k, other_v = k.clone(), v.clone()
            other_k[-1], other_v[-1] = torch.randn(2, head_dim, generator=generator)
            change = attend(q, other_k, other_v)[:-1] - attend(q, k, v)[:-1]
            rows.append((name, seed, float(change.abs().max())))
    return pd.DataFrame(rows, columns=["mask", "seed", "change"])


# --- heads ------------------------------------------------------------------------------------------------------------


def heads_one_by_one(attention: CausalSelfAttention, x: Tensor) -> Tensor:
    """The module's result, one head at a time, from its weights; query head h reads key head h // group."""
    d, group = attention.head_dim, attention.num_heads // attention.num_kv_heads
    weights = (attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight)
    results = []
    for head in range(attention.num_heads):
        rows = (slice(h * d, h * d + d) for h in (head, head // group, head // group))
        q, k, v = (x @ weight[part].T for weight, part in zip(weights, rows, strict=True))  # (T, d) each
        if attention.rope is not None:
            q, k = attention.rope(q), attention.rope(k)
        results.append(mask_before(q, k, v))
    return torch.cat(results, -1) @ attention.output_proj.weight.T


def heads_by_einsum(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention of all heads: q (B, H, T, d), k and v (B, H_kv, T, d) → (B, T, H d).

    Query heads have two indices (g, r): all r share the key and value head g, without copies.
    """
    q = torch.unflatten(q, 1, (k.shape[1], -1))
    scores = torch.einsum("bgrtd, bgsd -> bgrts", q, k) / math.sqrt(q.shape[-1])
    scores = scores.masked_fill(~causal_mask(q.shape[-2], k.shape[-2]), float("-inf"))
    return torch.einsum("bgrts, bgsd -> btgrd", softmax(scores, -1), v).flatten(-3)


# --- the heads of a trained model -------------------------------------------------------------------------------------


@torch.no_grad()
def attention_weights(model: TransformerLM, token_ids: Tensor) -> Tensor:
    """Attention weights: (T,) ids → (layers, heads, T, T), where rows are queries; (B, T) → (B, layers, …)."""
    found: list[Tensor] = []

    def look(attention: CausalSelfAttention, inputs: tuple[Tensor, ...]) -> None:
        q, k, _ = attention.heads(inputs[0])
        k = k.repeat_interleave(attention.num_heads // attention.num_kv_heads, -3)
        mask = causal_mask(q.shape[-2], k.shape[-2], window=attention.window)
        scores = (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(~mask, float("-inf"))
        found.append(softmax(scores, -1))

    modules = [module for module in model.modules() if isinstance(module, CausalSelfAttention)]
    with hooked(module.register_forward_pre_hook(look) for module in modules):
        model(token_ids)
    return torch.stack(found, dim=-4)


@float32_on_cpu()
def patterns(model: TransformerLM, texts: Sequence[str]) -> dict[str, tuple[list[str], NDArray[np.float32]]]:
    """Tokens and attention weights (layers, heads, T, T) of a byte-level model on the first T letters of each text.

    T is the model's context length. The keys are the first letters of each text. Raises ValueError for a text that is
    shorter than T or not ASCII.
    """
    length = model.config.context_length
    found = {}
    for text in texts:
        if len(text) < length or not text.isascii():
            raise ValueError(f"texts must be ASCII and at least {length} letters long, not {text!r}")
        tokens = list(text[:length])
        ids = torch.tensor([ord(token) for token in tokens])
        found[f"{text[:24]}…"] = (tokens, attention_weights(model, ids).numpy())
    return found


@float32_on_cpu()
def head_habits(model: TransformerLM, *, windows: int = 64) -> pd.DataFrame:
    """The places that each head attends to, on held-out stories.

    Columns: layer, head, and the means over queries (without the first quarter, which sees few tokens) of: self,
    previous (the token before), first (of the window), distance (in tokens) and entropy (nats).
    """
    length = model.config.context_length
    ids = held_out_bytes()[: windows * length].view(windows, length)
    with one_thread():
        weights = attention_weights(model, ids)[..., length // 4 :, :]  # (B, layers, heads, T', T)
    query = torch.arange(length // 4, length)
    distance = query[:, None] - torch.arange(length)
    numbers = {
        "self": weights.where(distance == 0, 0.0).sum(-1),
        "previous": weights.where(distance == 1, 0.0).sum(-1),
        "first": weights[..., 0],
        "distance": (weights * distance).sum(-1),
        "entropy": torch.special.entr(weights).sum(-1),
    }
    means = {name: number.mean((0, -1)) for name, number in numbers.items()}  # (layers, heads) each
    layers, heads = means["self"].shape
    return pd.DataFrame(
        [
            {"layer": layer, "head": head} | {name: float(mean[layer, head]) for name, mean in means.items()}
            for layer in range(layers)
            for head in range(heads)
        ]
    )


# --- attention without the whole matrix, and sliding windows ----------------------------------------------------------


@float32_on_cpu()
def attention_costs(
    lengths: Sequence[int] = (256, 512, 1024, 2048),
    *,
    heads: int = 4,
    head_dim: int = 32,
    block_size: int = 128,
    repeats: int = 3,
) -> pd.DataFrame:
    """Peak memory and CPU time of causal attention over T tokens in three forms, which must agree.

    Columns: form ("whole matrix", "online, in Python", "fused"), length, bytes (peak above the inputs), cpu_seconds
    (median).
    """
    forms: dict[str, Attention] = {
        "whole matrix": mask_before,
        "online, in Python": lambda q, k, v: online_attention(
            q, k, v, block_size=block_size, query_block_size=block_size, is_causal=True
        ),
        "fused": lambda q, k, v: functional.scaled_dot_product_attention(q, k, v, is_causal=True),
    }
    rows = []
    with one_thread():
        for length in progress(lengths, description="attending"):
            q, k, v = torch.randn(
                3, 1, heads, length, head_dim, generator=torch.Generator().manual_seed(length)
            )
            expected = forms["fused"](q, k, v)
            for name, attend in forms.items():
                torch.testing.assert_close(attend(q, k, v), expected, atol=1e-5, rtol=1e-4, msg=name)
            calls = {name: partial(attend, q, k, v) for name, attend in forms.items()}
            peaks = {name: int(memory_timeline(call)["bytes"].max()) for name, call in calls.items()}
            seconds = take_turns(calls, repeats)
            rows += [(name, length, peaks[name], median(seconds[name])) for name in forms]
    return pd.DataFrame(rows, columns=["form", "length", "bytes", "cpu_seconds"])


@float32_on_cpu()
def kept_for_backward(
    lengths: Sequence[int] = (256, 512, 1024), *, heads: int = 2, head_dim: int = 32, block_size: int = 64
) -> pd.DataFrame:
    """Memory that the backward pass of causal attention needs to keep, in three forms whose gradients must agree.

    Columns: form ("whole matrix", "online", "online, recomputed"), length, bytes (of all tensors that autograd keeps).
    """
    forms: dict[str, Attention] = {
        "whole matrix": mask_before,
        "online": lambda q, k, v: online_attention(q, k, v, block_size=block_size, is_causal=True),
        "online, recomputed": lambda q, k, v: recomputed_attention(
            q, k, v, block_size=block_size, is_causal=True
        ),
    }
    rows = []
    for length in lengths:
        inputs = torch.randn(4, heads, length, head_dim, generator=torch.Generator().manual_seed(length))
        q, k, v, slope = (tensor.double() for tensor in inputs)
        expected: tuple[Tensor, ...] | None = None
        for name, attend in forms.items():
            leaves = [tensor.clone().requires_grad_() for tensor in (q, k, v)]
            result, size = _keeping(attend, leaves)
            gradients = torch.autograd.grad(result, leaves, slope)
            expected = gradients if expected is None else expected
            torch.testing.assert_close(gradients, expected, atol=1e-10, rtol=1e-8, msg=name)
            rows.append((name, length, size))
    return pd.DataFrame(rows, columns=["form", "length", "bytes"])


def _keeping(attend: Attention, inputs: Sequence[Tensor]) -> tuple[Tensor, int]:
    """The result, and the bytes of all storages that autograd keeps for its backward pass."""
    storages: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = attend(*inputs)
    return result, sum(storages.values())


@float32_on_cpu()
def reach(
    windows: Sequence[int] = (4, 8),
    num_layers: Sequence[int] = (1, 2, 3, 4),
    *,
    length: int = 48,
    seed: int = 0,
) -> pd.DataFrame:
    """With sliding windows, the farthest token on which the last logits depend: the farthest with a gradient.

    Columns: window, layers, reach (tokens, the last one included), law (1 + layers · (window - 1)).
    """
    rows = []
    for window in windows:
        for layers in num_layers:
            torch.manual_seed(seed)
            model = TransformerLM(small_config(context_length=length, num_layers=layers, window=window))
            embedded: list[Tensor] = []
            with model.token_embeddings.register_forward_hook(lambda *call: embedded.append(call[2])):  # noqa: B023
                logits = model(torch.arange(length))
            (gradient,) = torch.autograd.grad(logits[-1].sum(), embedded)
            seen = gradient.abs().sum(-1).nonzero()  # the tokens that count
            rows.append((window, layers, length - int(seen.min()), 1 + layers * (window - 1)))
    return pd.DataFrame(rows, columns=["window", "layers", "reach", "law"])


@float32_on_cpu()
def with_rope(
    d_model: int = 64, num_heads: int = 8, num_kv_heads: int = 2, length: int = 32
) -> CausalSelfAttention:
    """An untrained attention layer with rotary positions."""
    rope = RotaryEmbedding(10000.0, d_model // num_heads, length)
    return CausalSelfAttention(d_model, num_heads, num_kv_heads, rope=rope)
