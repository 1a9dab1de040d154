"""Drawing tokens from a language model, one at a time."""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from course_lib.checks import check_positive
from course_lib.model.cache import KVCache
from course_lib.model.checks import check_id_range, check_ids
from course_lib.model.config import ModelConfig
from course_lib.model.functional import softmax
from course_lib.model.linear import Linear


class LanguageModel(Protocol):
    """A model that :func:`generate` can call, such as :class:`TransformerLM`."""

    config: ModelConfig
    lm_head: Linear

    def new_cache(self, batch_size: int, max_seq_len: int) -> KVCache:
        """An empty cache."""

    def next_logits(self, token_ids: Tensor, *, cache: KVCache | None = None) -> Tensor:
        """Logits of the token after each row of ids: (B, T) → (B, V)."""


def generate(
    model: LanguageModel,
    prompt_ids: Tensor | Sequence[int] | Sequence[Sequence[int]],
    max_new_tokens: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop_ids: Collection[int] = (),
    seed: int | None = None,
    use_cache: bool = True,
    allowed_ids: Collection[int] | None = None,
) -> Tensor:
    """Continue each prompt by ``max_new_tokens`` tokens, or up to and including the first of ``stop_ids``.

    Args:
        model: gives the logits.
        prompt_ids: (T,) or (B, T) token ids, or a list of them; prompts in a list may have different lengths.
        max_new_tokens: tokens to add (to the longest prompt).
        temperature: divisor of the logits; 0 takes the most likely token (greedy).
        top_k: draw only from the k most likely tokens (Fan et al. 2018).
        top_p: draw only from the smallest set of most likely tokens whose probabilities sum to p (nucleus sampling,
            Holtzman et al. 2019), after ``temperature`` and ``top_k``.
        stop_ids: a sequence ends after drawing one of them; in a batch it is padded by repeating that token.
        seed: the same seed gives the same tokens; default: torch's global generator.
        use_cache: keep keys and values. Without it, each step computes the whole sequence again: same tokens, slower.
        allowed_ids: draw only from these, such as ``tokenizer.vocab``: a padded vocabulary, or one with gaps, contains
            ids that no tokenizer decodes; default: all.

    Returns:
        Prompt and continuation, int64, (T + new,) for one prompt without batch dimension, else (B, T + new). It is
        shorter when all sequences have stopped. A prompt shorter than the longest is continued from its own end, up
        to the common length.

    Raises:
        TypeError: the prompt is neither a tensor nor a list of ids.
        ValueError: ids that are not integers, an argument outside its range, an empty prompt, or more tokens than
            ``context_length``.
    """
    check_positive("max_new_tokens", max_new_tokens)
    _check_sampling(temperature, top_k, top_p)
    if seed is not None and not -(2**63) <= seed < 2**64:
        raise ValueError(f"seed must be at least -2**63 and below 2**64, not {seed}")
    device = model.lm_head.weight.device
    prompts, lengths = _as_batch(prompt_ids, device)
    check_id_range(prompts, model.config.vocab_size, "prompt_ids")
    stops = torch.tensor(sorted(stop_ids), dtype=torch.int64, device=device)
    check_id_range(stops, model.config.vocab_size, "stop_ids")
    forbidden = _forbidden(allowed_ids, model.config.vocab_size, device)
    total = prompts.shape[1] + max_new_tokens
    if total > model.config.context_length:
        raise ValueError(
            f"prompt and max_new_tokens must fit into context_length = {model.config.context_length}, "
            f"not {prompts.shape[1]} + {max_new_tokens} tokens"
        )
    generator = None if seed is None else torch.Generator(device).manual_seed(seed)
    cache = model.new_cache(len(prompts), total) if use_cache else None

    def draw(ids: Tensor) -> Tensor:
        logits = model.next_logits(ids, cache=cache)  # (B, V)
        if forbidden is not None:
            logits = logits.masked_fill(forbidden, float("-inf"))
        return sample(logits, temperature=temperature, top_k=top_k, top_p=top_p, generator=generator)

    with torch.inference_mode():
        ids = _continue(draw, prompts, lengths, total, stops, reread=not use_cache)
    ids = ids.clone()  # an ordinary tensor, which may go into a model that learns
    return ids[0] if _is_single(prompt_ids) else ids


def _forbidden(allowed_ids: Collection[int] | None, vocab_size: int, device: torch.device) -> Tensor | None:
    """(V,) bool, true for ids that must not be drawn; None if all may be."""
    if allowed_ids is None:
        return None
    if not allowed_ids:
        raise ValueError("allowed_ids is empty: no token is left to draw")
    allowed = torch.tensor(sorted(allowed_ids), dtype=torch.int64, device=device)
    check_id_range(allowed, vocab_size, "allowed_ids")
    forbidden = torch.ones(vocab_size, dtype=torch.bool, device=device)
    forbidden[allowed] = False
    return forbidden if forbidden.any() else None


def _continue(
    draw: Callable[[Tensor], Tensor],
    prompts: Tensor,
    lengths: Tensor,
    total: int,
    stops: Tensor,
    *,
    reread: bool,
) -> Tensor:
    """Fill (B, total) ids from the left; ``draw`` gets the ids it has not read yet, or with ``reread`` all of them."""
    ids = torch.cat((prompts, prompts.new_zeros(len(prompts), total - prompts.shape[1])), 1)
    done = torch.zeros(len(prompts), dtype=torch.bool, device=prompts.device)
    read, end = 0, int(lengths.min())
    while end < total:
        drawn = draw(ids[:, read:end])
        if len(stops):
            drawn = torch.where(done, ids[:, end - 1], drawn)
            done |= torch.isin(drawn, stops) & (lengths <= end)
        if end < prompts.shape[1]:  # some still read their prompt
            drawn = torch.where(lengths <= end, drawn, ids[:, end])
        ids[:, end] = drawn
        read, end = (0 if reread else end), end + 1
        if len(stops) and done.all():
            break
    return ids[:, :end]


def sample(
    logits: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw one id per row: logits (B, V) → ids (B,) int64, in float32 at least. Arguments as in :func:`generate`."""
    _check_sampling(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    # 16 bits cannot hold the small probabilities of a large vocabulary, nor large logits over a small temperature.
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32)) / temperature
    if top_k is not None:
        logits = keep_top_k(logits, top_k)
    if top_p is not None:
        logits = keep_top_p(logits, top_p)
    return torch.multinomial(softmax(logits, -1), 1, generator=generator).squeeze(-1)


def keep_top_k(logits: Tensor, top_k: int) -> Tensor:
    """Minus infinity for all but the ``top_k`` largest of the last dimension; ties with the smallest of them stay."""
    threshold = logits.topk(min(top_k, logits.shape[-1]), -1).values[..., -1:]
    return logits.masked_fill(logits < threshold, float("-inf"))


def keep_top_p(logits: Tensor, top_p: float) -> Tensor:
    """Minus infinity outside the smallest set of most likely tokens whose probabilities sum to at least ``top_p``."""
    ordered, order = logits.sort(-1, descending=True)
    probabilities = softmax(ordered.to(torch.promote_types(logits.dtype, torch.float32)), -1)
    before = probabilities.cumsum(-1) - probabilities  # probability of all tokens that are more likely
    dropped = before >= top_p
    dropped[..., 0] = False
    return logits.masked_fill(torch.zeros_like(dropped).scatter(-1, order, dropped), float("-inf"))


def _check_sampling(temperature: float, top_k: int | None, top_p: float | None) -> None:
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"temperature must be finite and not negative, not {temperature}")
    if top_k is not None:
        check_positive("top_k", top_k)
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must be greater than 0 and at most 1, not {top_p}")


def _is_single(prompt_ids: Tensor | Sequence[int] | Sequence[Sequence[int]]) -> bool:
    if isinstance(prompt_ids, Tensor):
        return prompt_ids.ndim == 1
    return len(prompt_ids) > 0 and isinstance(prompt_ids[0], int)


def _as_batch(
    prompt_ids: Tensor | Sequence[int] | Sequence[Sequence[int]], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Prompts as (B, T) with zeros behind the shorter ones, and their lengths (B,)."""
    if isinstance(prompt_ids, Tensor):
        check_ids(prompt_ids, "prompt_ids")
        rows = [prompt_ids] if prompt_ids.ndim == 1 else list(prompt_ids)
    elif _is_single(prompt_ids):
        rows = [torch.tensor(prompt_ids, device="cpu")]
    else:
        rows = [row if isinstance(row, Tensor) else torch.tensor(row, device="cpu") for row in prompt_ids]
    if not rows or any(row.ndim != 1 or not len(row) for row in rows):
        raise ValueError(
            "prompt_ids must have shape (T,) or (B, T), or be a list of such rows, with at least one token"
        )
    for row in rows:
        check_ids(row, "prompt_ids")
    lengths = torch.tensor([len(row) for row in rows], device=device)
    return pad_sequence(rows, batch_first=True).to(device=device, dtype=torch.int64), lengths
