"""Right and wrong answers to the exercises of chapter 5."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.exercises.answers import Answers, run_tables

# --- what fits --------------------------------------------------------------------------------------------------------


def context_by_division(memory: int, layers: int, kv_heads: int, head_dim: int, size: int) -> int:
    return int(memory / (2 * layers * kv_heads * head_dim * size))


def context_with_numpy(memory: int, layers: int, kv_heads: int, head_dim: int, size: int) -> np.floating[Any]:
    return np.floor(np.float64(memory) / np.prod([2, layers, kv_heads, head_dim, size]))


def context_by_doubling(memory: int, layers: int, kv_heads: int, head_dim: int, size: int) -> int:
    token = sum(kv_heads * head_dim * size for _ in ("keys", "values")) * layers
    tokens = 0
    for bit in reversed(range(40)):
        if (tokens + 2**bit) * token <= memory:
            tokens += 2**bit
    return tokens


def context_keys(memory: int, layers: int, kv_heads: int, head_dim: int, size: int) -> int:
    return memory // (layers * kv_heads * head_dim * size)


def context_one_layer(memory: int, layers: int, kv_heads: int, head_dim: int, size: int) -> int:
    return memory // (2 * kv_heads * head_dim * size)


def context_up(memory: int, layers: int, kv_heads: int, head_dim: int, size: int) -> int:
    return math.ceil(memory / (2 * layers * kv_heads * head_dim * size))


def context_two_bytes(memory: int, layers: int, kv_heads: int, head_dim: int, size: int) -> int:
    return memory // (2 * 2 * layers * kv_heads * head_dim)


def context_of_numbers(memory: int, layers: int, kv_heads: int, head_dim: int, size: int) -> int:
    return memory // (2 * layers * kv_heads * head_dim)


def context_squared_bytes(memory: int, layers: int, kv_heads: int, head_dim: int, size: int) -> int:
    return memory // (layers * kv_heads * head_dim * size**2)


def context_fraction(memory: int, layers: int, kv_heads: int, head_dim: int, size: int) -> float:
    return memory / (2 * layers * kv_heads * head_dim * size)


def context_nearest(memory: int, layers: int, kv_heads: int, head_dim: int, size: int) -> int:
    return round(memory / (2 * layers * kv_heads * head_dim * size))


def context_in_bits(memory: int, layers: int, kv_heads: int, head_dim: int, size: int) -> int:
    return 8 * memory // (2 * layers * kv_heads * head_dim * size)


def context_one_head(memory: int, layers: int, kv_heads: int, head_dim: int, size: int) -> int:
    return memory // (2 * layers * head_dim * size)


# --- multi-head attention ---------------------------------------------------------------------------------------------


def heads_by_torch(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, w_o: Tensor, num_heads: int, num_kv_heads: int
) -> Tensor:
    b, t, _ = x.shape
    q = (x @ w_q.T).view(b, t, num_heads, -1).transpose(1, 2)
    k, v = ((x @ w.T).view(b, t, num_kv_heads, -1).transpose(1, 2) for w in (w_k, w_v))
    mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    return mixed.transpose(1, 2).reshape(b, t, -1) @ w_o.T


def heads_by_loop(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, w_o: Tensor, num_heads: int, num_kv_heads: int
) -> list[list[list[float]]]:
    d, results = len(w_q) // num_heads, []
    for sequence in x.double():
        parts = []
        for head in range(num_heads):
            mine = slice(head * d, head * d + d)
            other = head // (num_heads // num_kv_heads)
            theirs = slice(other * d, other * d + d)
            q, k, v = (sequence @ w.double().T for w in (w_q[mine], w_k[theirs], w_v[theirs]))
            scores = q @ k.T / d**0.5
            scores = scores + torch.full_like(scores, -math.inf).triu(1)
            parts.append(scores.softmax(-1) @ v)
        results.append((torch.cat(parts, -1) @ w_o.double().T).tolist())
    return results


def heads_by_einsum(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, w_o: Tensor, num_heads: int, num_kv_heads: int
) -> np.ndarray:
    wq, wk, wv = (
        w.unflatten(0, (n, -1)) for w, n in ((w_q, num_heads), (w_k, num_kv_heads), (w_v, num_kv_heads))
    )
    q, k, v = (torch.einsum("btc, hdc -> bhtd", x, w) for w in (wq, wk, wv))
    k, v = (y.repeat_interleave(num_heads // num_kv_heads, 1) for y in (k, v))
    scores = torch.einsum("bhtd, bhsd -> bhts", q, k) / math.sqrt(q.shape[-1])
    future = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
    weights = scores.masked_fill(future, -math.inf).softmax(-1)
    return torch.einsum("bhts, bhsd, chd -> btc", weights, v, w_o.unflatten(1, (num_heads, -1))).numpy()


def _heads(
    x: Tensor,
    w_q: Tensor,
    w_k: Tensor,
    w_v: Tensor,
    w_o: Tensor,
    num_heads: int,
    num_kv_heads: int,
    *,
    scale: float | None = None,
    repeat: Callable[[Tensor, int], Tensor] = lambda y, n: y.repeat_interleave(n, 1),
    weigh: Callable[[Tensor], Tensor] | None = None,
    make_heads: Callable[[Tensor, int], Tensor] = lambda y, n: y.unflatten(-1, (n, -1)).transpose(1, 2),
    join: Callable[[Tensor], Tensor] = lambda y: y.transpose(1, 2).flatten(-2),
) -> Tensor:
    q, k, v = (
        make_heads(x @ w.T, n) for w, n in ((w_q, num_heads), (w_k, num_kv_heads), (w_v, num_kv_heads))
    )
    k, v = (repeat(y, num_heads // num_kv_heads) for y in (k, v))
    scores = q @ k.mT * (q.shape[-1] ** -0.5 if scale is None else scale)
    future = torch.ones_like(scores, dtype=torch.bool).triu(1)
    weights = scores.masked_fill(future, -math.inf).softmax(-1) if weigh is None else weigh(scores)
    return join(weights @ v) @ w_o.T


def heads_unscaled(*given: Any) -> Tensor:
    return _heads(*given, scale=1.0)


def heads_by_model_width(*given: Any) -> Tensor:
    return _heads(*given, scale=given[0].shape[-1] ** -0.5)


def heads_over_d(*given: Any) -> Tensor:
    return _heads(*given, scale=given[5] / len(given[1]))


def heads_without_mask(*given: Any) -> Tensor:
    return _heads(*given, weigh=lambda scores: scores.softmax(-1))


def heads_masked_late(*given: Any) -> Tensor:
    return _heads(*given, weigh=lambda scores: scores.softmax(-1).tril())


def heads_without_diagonal(*given: Any) -> Tensor:
    def weigh(scores: Tensor) -> Tensor:
        return scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(), -math.inf).softmax(-1)

    return _heads(*given, weigh=weigh)


def heads_masked_with_zero(*given: Any) -> Tensor:
    return _heads(*given, weigh=lambda scores: scores.tril().softmax(-1))


def heads_seeing_the_future_only(*given: Any) -> Tensor:
    def weigh(scores: Tensor) -> Tensor:
        return scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).tril(-1), -math.inf).softmax(-1)

    return _heads(*given, weigh=weigh)


def heads_softmax_over_queries(*given: Any) -> Tensor:
    def weigh(scores: Tensor) -> Tensor:
        return scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -math.inf).softmax(-2)

    return _heads(*given, weigh=weigh)


def heads_viewed(*given: Any) -> Tensor:
    return _heads(*given, make_heads=lambda y, n: y.reshape(len(y), n, y.shape[1], -1))


def heads_interleaved(*given: Any) -> Tensor:
    return _heads(*given, make_heads=lambda y, n: y.unflatten(-1, (-1, n)).permute(0, 3, 1, 2))


def heads_in_turn(*given: Any) -> Tensor:
    return _heads(*given, repeat=lambda y, n: y.repeat(1, n, 1, 1))


def heads_joined_as_they_lie(*given: Any) -> Tensor:
    return _heads(*given, join=lambda y: y.reshape(len(y), y.shape[2], -1))


def heads_without_output(*given: Any) -> Tensor:
    return _heads(*given[:4], torch.eye(len(given[1])), *given[5:])


def heads_without_transposed_weights(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, w_o: Tensor, num_heads: int, num_kv_heads: int
) -> Tensor:
    return _heads(x, w_q.T, w_k.T, w_v.T, w_o.T, num_heads, num_kv_heads)


# --- one step with a cache --------------------------------------------------------------------------------------------


def step_by_torch(q: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, ...]:
    keys, values = torch.cat((keys, key[:, None]), 1), torch.cat((values, value[:, None]), 1)
    mixed = F.scaled_dot_product_attention(q[:, None], keys, values, enable_gqa=True)
    return mixed[:, 0], keys, values


def step_by_groups(q: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor) -> list[np.ndarray]:
    k, v = (np.append(a, b[:, None], axis=1) for a, b in ((keys, key), (values, value)))
    rows = q.numpy().reshape(len(k), -1, q.shape[-1])
    scores = rows @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1])
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return [(weights / weights.sum(-1, keepdims=True) @ v).reshape(len(q), -1), k, v]


def step_by_a_larger_buffer(
    q: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    heads, length, d = keys.shape
    k, v = torch.zeros(2, heads, length + 1, d)
    k[:, :length], v[:, :length], k[:, length], v[:, length] = keys, values, key, value
    shared = torch.arange(len(q)) // (len(q) // heads)
    weights = torch.einsum("hd, htd -> ht", q, k[shared]).div(d**0.5).softmax(-1)
    return torch.einsum("ht, htd -> hd", weights, v[shared]), k, v


def step_not_itself(
    q: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor
) -> tuple[Tensor, ...]:
    n = len(q) // len(keys)
    scores = torch.einsum("hd, htd -> ht", q, keys.repeat_interleave(n, 0)) / math.sqrt(q.shape[-1])
    mixed = torch.einsum("ht, htd -> hd", scores.softmax(-1), values.repeat_interleave(n, 0))
    return mixed, torch.cat((keys, key[:, None]), 1), torch.cat((values, value[:, None]), 1)


def step_at_the_front(
    q: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor
) -> tuple[Tensor, ...]:
    keys, values = torch.cat((key[:, None], keys), 1), torch.cat((value[:, None], values), 1)
    return F.scaled_dot_product_attention(q[:, None], keys, values, enable_gqa=True)[:, 0], keys, values


def step_in_turn(q: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, ...]:
    keys, values = torch.cat((keys, key[:, None]), 1), torch.cat((values, value[:, None]), 1)
    k, v = (y.repeat(len(q) // len(key), 1, 1) for y in (keys, values))
    return F.scaled_dot_product_attention(q[:, None], k, v)[:, 0], keys, values


def step_unscaled(q: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, ...]:
    keys, values = torch.cat((keys, key[:, None]), 1), torch.cat((values, value[:, None]), 1)
    mixed = F.scaled_dot_product_attention(q[:, None], keys, values, enable_gqa=True, scale=1.0)
    return mixed[:, 0], keys, values


def step_without_growing(
    q: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor
) -> tuple[Tensor, ...]:
    return step_by_torch(q, key, value, keys, values)[0], keys, values


def step_result_only(q: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    return step_by_torch(q, key, value, keys, values)[0]


def step_swapped(q: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, ...]:
    mixed, k, v = step_by_torch(q, key, value, keys, values)
    return mixed, v, k


def step_causal(q: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, ...]:
    """Torch's causal mask counts from the first key: the one query sees one key."""
    keys, values = torch.cat((keys, key[:, None]), 1), torch.cat((values, value[:, None]), 1)
    mixed = F.scaled_dot_product_attention(q[:, None], keys, values, is_causal=True, enable_gqa=True)
    return mixed[:, 0], keys, values


def step_over_the_last(
    q: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor
) -> tuple[Tensor, ...]:
    """As in a buffer that is full: the newest takes the place of the last."""
    keys, values = (torch.cat((y[:, :-1], z[:, None]), 1) for y, z in ((keys, key), (values, value)))
    return F.scaled_dot_product_attention(q[:, None], keys, values, enable_gqa=True)[:, 0], keys, values


# --- attention by blocks ----------------------------------------------------------------------------------------------

Blocks = Sequence[tuple[Tensor, Tensor]]


def blocks_at_once(q: Tensor, blocks: Blocks) -> Tensor:
    keys, values = (torch.cat(parts) for parts in zip(*blocks, strict=True))
    return F.scaled_dot_product_attention(q[None], keys[None], values[None])[0]


def blocks_online(q: Tensor, blocks: Blocks) -> Tensor:
    largest = torch.full((len(q), 1), -math.inf)
    total, mixed = torch.zeros(len(q), 1), torch.zeros(len(q), blocks[0][1].shape[1])
    for keys, values in blocks:
        scores = q @ keys.T / q.shape[1] ** 0.5
        new = torch.maximum(largest, scores.max(-1, keepdim=True).values)
        shrink, weights = (largest - new).exp(), (scores - new).exp()
        total, mixed = total * shrink + weights.sum(-1, keepdim=True), mixed * shrink + weights @ values
        largest = new
    return mixed / total


def blocks_by_log_sums(q: Tensor, blocks: Blocks) -> np.ndarray:
    """The results of the blocks, weighted by their share of the sum of exponentials."""
    scores = [q.double() @ keys.double().T / math.sqrt(q.shape[1]) for keys, _ in blocks]
    shares = torch.stack([s.logsumexp(-1) for s in scores]).softmax(0)
    results = [s.softmax(-1) @ v.double() for s, (_, v) in zip(scores, blocks, strict=True)]
    return sum(share[:, None] * r for share, r in zip(shares, results, strict=True)).numpy()  # type: ignore[union-attr]


def _online(
    q: Tensor,
    blocks: Blocks,
    scale: float,
    *,
    total_shrinks: bool = True,
    mixed_shrinks: bool = True,
    divide: bool = True,
) -> Tensor:
    largest, total, mixed = torch.full((len(q), 1), -math.inf), torch.zeros(len(q), 1), 0.0
    for keys, values in blocks:
        scores = q @ keys.T * scale
        new = torch.maximum(largest, scores.amax(-1, keepdim=True))
        shrink, weights = (largest - new).exp(), (scores - new).exp()
        total = total * (shrink if total_shrinks else 1) + weights.sum(-1, keepdim=True)
        mixed = mixed * (shrink if mixed_shrinks else 1) + weights @ values
        largest = new
    return mixed / total if divide else mixed  # type: ignore[return-value]


def blocks_unscaled(q: Tensor, blocks: Blocks) -> Tensor:
    return _online(q, blocks, 1.0)


def blocks_never_shrunk(q: Tensor, blocks: Blocks) -> Tensor:
    return _online(q, blocks, q.shape[1] ** -0.5, total_shrinks=False, mixed_shrinks=False)


def blocks_values_not_shrunk(q: Tensor, blocks: Blocks) -> Tensor:
    return _online(q, blocks, q.shape[1] ** -0.5, mixed_shrinks=False)


def blocks_sums_not_shrunk(q: Tensor, blocks: Blocks) -> Tensor:
    return _online(q, blocks, q.shape[1] ** -0.5, total_shrinks=False)


def blocks_not_divided(q: Tensor, blocks: Blocks) -> Tensor:
    return _online(q, blocks, q.shape[1] ** -0.5, divide=False)


def blocks_overflowing(q: Tensor, blocks: Blocks) -> Tensor:
    weights = [(q @ keys.T / math.sqrt(q.shape[1])).exp() for keys, _ in blocks]
    mixed = sum(w @ values for w, (_, values) in zip(weights, blocks, strict=True))
    return mixed / sum(w.sum(-1, keepdim=True) for w in weights)


def blocks_mean(q: Tensor, blocks: Blocks) -> Tensor:
    return torch.stack([blocks_at_once(q, [block]) for block in blocks]).mean(0)


def blocks_mean_by_size(q: Tensor, blocks: Blocks) -> Tensor:
    keys = sum(len(k) for k, _ in blocks)
    return sum(len(block[0]) / keys * blocks_at_once(q, [block]) for block in blocks)  # type: ignore[return-value]


def blocks_last(q: Tensor, blocks: Blocks) -> Tensor:
    return blocks_at_once(q, blocks[-1:])


def blocks_first(q: Tensor, blocks: Blocks) -> Tensor:
    return blocks_at_once(q, blocks[:1])


def blocks_causal(q: Tensor, blocks: Blocks) -> Tensor:
    keys, values = (torch.cat(parts) for parts in zip(*blocks, strict=True))
    return F.scaled_dot_product_attention(q[None], keys[None], values[None], is_causal=True)[0]


ANSWERS = {
    "att-context": Answers(
        right=(context_by_division, context_with_numpy, context_by_doubling),
        wrong=(
            (context_keys, "There are keys and values"),
            (context_one_layer, "Every layer has its own keys and values"),
            (context_up, "A token needs all of its bytes"),
            (context_two_bytes, "This takes every number for two bytes"),
            (context_of_numbers, "This counts numbers"),
            (context_squared_bytes, "2 * 2 * 3 * 5 numbers of four bytes"),
            (context_fraction, "The 51st token would need"),
            (context_nearest, "The 51st token would need"),
            (context_in_bits, "Llama 3 8B keeps"),
            (context_one_head, "Llama 3 8B keeps"),
        ),
    ),
    "att-heads": Answers(
        right=(heads_by_torch, heads_by_loop, heads_by_einsum),
        wrong=(
            (heads_unscaled, "The scores are not divided by sqrt(d)"),
            (heads_by_model_width, "sqrt(d) is that of one head"),
            (heads_over_d, "The scores are divided by d"),
            (heads_without_mask, "Tokens see the future"),
            (heads_masked_late, "The mask comes too late"),
            (heads_without_diagonal, "A token sees itself too"),
            (heads_masked_with_zero, "One head: softmax(Q K^T / sqrt(4)) V"),
            (heads_seeing_the_future_only, "One head: softmax(Q K^T / sqrt(4)) V"),
            (heads_softmax_over_queries, "One head: softmax(Q K^T / sqrt(4)) V"),
            (heads_viewed, "(B, T, H d) was reshaped to (B, H, T, d) at once"),
            (heads_interleaved, "A head has d neighbouring features"),
            (heads_in_turn, "The key heads are dealt out in turn"),
            (heads_joined_as_they_lie, "(B, H, T, d) was reshaped to (B, T, H d) at once"),
            (heads_without_output, "The output projection W_o is missing"),
            (heads_without_transposed_weights, "One head: softmax(Q K^T / sqrt(4)) V"),
        ),
    ),
    "att-step": Answers(
        right=(step_by_torch, step_by_groups, step_by_a_larger_buffer),
        wrong=(
            (step_not_itself, "The token does not see itself"),
            (step_at_the_front, "The new position belongs at the end"),
            (step_in_turn, "The key heads are dealt out in turn"),
            (step_unscaled, "The scores are not divided by sqrt(d)"),
            (step_without_growing, "The result is right, but the cache did not grow"),
            (step_result_only, "The query meets the three old keys and its own"),
            (step_swapped, "The query meets the three old keys and its own"),
            (step_causal, "The query meets the three old keys and its own"),
            (step_over_the_last, "The query meets the three old keys and its own"),
        ),
    ),
    "att-blocks": Answers(
        right=(blocks_at_once, blocks_online, blocks_by_log_sums),
        wrong=(
            (blocks_unscaled, "The scores are not divided by sqrt(d)"),
            (blocks_never_shrunk, "The sums of different blocks are relative"),
            (blocks_values_not_shrunk, "The weighted sum of values is relative"),
            (blocks_sums_not_shrunk, "The sum of exponentials is relative"),
            (blocks_not_divided, "Divide by the sum of the exponentials"),
            (blocks_overflowing, "exp of a large score is infinite"),
            (blocks_mean, "This is the mean of the blocks' results"),
            (blocks_mean_by_size, "A block's sums are relative"),
            (blocks_last, "Only the last block counts"),
            (blocks_first, "A block's sums are relative"),
            (blocks_causal, "A single block: ordinary attention"),
        ),
    ),
}

test_right_answers_pass, test_wrong_answers_are_explained, test_there_are_enough = run_tables(ANSWERS)
