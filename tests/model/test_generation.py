"""Drawing tokens: the cache changes nothing, filters keep what they say, the same seed gives the same text."""

import dataclasses
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from course_lib.model import KVCache, ModelConfig, TransformerLM, sample
from course_lib.model.generation import keep_top_k, keep_top_p
from course_lib.tokenizer import Tokenizer

CONFIG = ModelConfig(50, 32, 32, 2, 4, 2)


@pytest.fixture(scope="module")
def model() -> TransformerLM:
    torch.manual_seed(0)
    return TransformerLM(CONFIG)


@pytest.mark.parametrize(
    "change",
    [{}, {"window": 4}, {"position": "learned"}, {"norm_placement": "deepnorm"}, {"num_kv_heads": 1}],
)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_cached_generation_equals_recomputation(change: dict[str, object], temperature: float) -> None:
    torch.manual_seed(1)
    model = TransformerLM(dataclasses.replace(CONFIG, **change)).double()  # type: ignore[arg-type]
    for prompt in (torch.randint(0, 50, (3, 6)), [[1, 2, 3, 4, 5], [7], [8, 9]]):
        cached, plain = (
            model.generate(prompt, 20, temperature=temperature, seed=5, use_cache=use_cache)
            for use_cache in (True, False)
        )
        assert torch.equal(cached, plain)


def test_greedy_is_the_argmax_of_the_model(model: TransformerLM) -> None:
    ids = torch.tensor([3, 1, 4])
    for _ in range(10):
        ids = torch.cat((ids, model(ids)[-1:].argmax(-1)))
    assert torch.equal(model.generate([3, 1, 4], 10, temperature=0), ids)
    assert torch.equal(model.generate(torch.tensor([3, 1, 4]), 10, top_k=1), ids)
    assert torch.equal(model.generate([3, 1, 4], 10, top_p=1e-9, seed=3), ids)


def test_prompts_of_different_length_are_continued_as_alone(model: TransformerLM) -> None:
    together = model.generate([[5], [1, 2, 3, 4]], 6, temperature=0)
    assert together.shape == (2, 10)
    assert torch.equal(together[0], model.generate([5], 9, temperature=0))
    assert torch.equal(together[1], model.generate([1, 2, 3, 4], 6, temperature=0))


def test_stop_ids_end_a_sequence(model: TransformerLM) -> None:
    free = model.generate([[1], [2]], 20, temperature=0)
    stop = int(free[0, 4])
    first = free[0, 1:].tolist().index(stop) + 1
    stopped = model.generate([[1], [2]], 20, temperature=0, stop_ids=[stop])
    assert torch.equal(stopped[0, : first + 1], free[0, : first + 1])
    assert set(stopped[0, first:].tolist()) == {stop}
    alone = model.generate([1], 20, temperature=0, stop_ids={stop})
    assert torch.equal(alone, free[0, : first + 1])
    assert (
        len(model.generate([stop, 1], 3, temperature=0, stop_ids=[stop])) > 2
    )  # in the prompt it stops nothing


def test_seeds(model: TransformerLM) -> None:
    one, same, other = (model.generate([1, 2], 20, seed=seed) for seed in (7, 7, 8))
    assert torch.equal(one, same) and not torch.equal(one, other)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    model.generate([1, 2], 5, seed=7)
    assert torch.equal(torch.get_rng_state(), state)
    assert not one.is_inference() and one.dtype == torch.int64


@settings(max_examples=30)
@given(
    gaps=st.sets(st.integers(256, 299), max_size=30),
    padding=st.integers(0, 40),
    temperature=st.sampled_from([0.0, 1.0]),
    top_k=st.sampled_from([None, 1, 7, 1000]),
    top_p=st.sampled_from([None, 0.5, 1.0]),
    seed=st.integers(0, 99),
)
def test_what_a_tokenizer_allows_can_be_decoded(
    gaps: set[int], padding: int, temperature: float, top_k: int | None, top_p: float | None, seed: int
) -> None:
    """A vocabulary with holes, as cl100k_base has, and a model whose own is larger still."""
    ids = [token for token in range(300) if token not in gaps]
    vocab = {token: bytes([token]) if token < 256 else b"t%d" % token for token in ids}
    tokenizer = Tokenizer(vocab, [])
    torch.manual_seed(seed)
    model = TransformerLM(ModelConfig(tokenizer.vocab_size + padding, 16, 8, 1, 2))
    with torch.no_grad():  # what must not come is the most likely
        for token in set(range(model.config.vocab_size)) - set(ids):
            model.lm_head.weight[token] = 50 * model.lm_head.weight[65]
    options: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    made = model.generate([[65], [66, 67]], 6, allowed_ids=tokenizer.vocab, **options)
    for row in made.tolist():
        assert tokenizer.decode(row)
    assert set(made.flatten().tolist()) <= set(ids)
    assert torch.equal(
        made, model.generate([[65], [66, 67]], 6, allowed_ids=sorted(ids), use_cache=False, **options)
    )


def test_allowed_ids_that_cannot_be_are_named(model: TransformerLM) -> None:
    everything = model.generate([1], 9, seed=0)
    assert torch.equal(model.generate([1], 9, seed=0, allowed_ids=range(50)), everything)
    assert set(model.generate([1], 9, seed=0, allowed_ids={4}).tolist()[1:]) == {4}
    with pytest.raises(ValueError, match="allowed_ids is empty"):
        model.generate([1], 9, allowed_ids=[])
    with pytest.raises(ValueError, match=r"allowed_ids must .*50"):
        model.generate([1], 9, allowed_ids=[3, 50])


LOGITS = st.lists(st.floats(-5, 5), min_size=1, max_size=12)


@given(LOGITS, st.integers(1, 14))
def test_top_k_keeps_the_largest(values: list[float], k: int) -> None:
    logits = torch.tensor([values], dtype=torch.float64)
    threshold = sorted(values, reverse=True)[min(k, len(values)) - 1]
    kept = keep_top_k(logits, k)[0]
    assert [value >= threshold for value in values] == kept.isfinite().tolist()


@given(LOGITS, st.floats(0.01, 1))
def test_top_p_keeps_the_fewest_that_reach_p(values: list[float], p: float) -> None:
    logits = torch.tensor([values], dtype=torch.float64)
    kept = keep_top_p(logits, p)[0].isfinite()
    probabilities = torch.softmax(logits[0], -1)
    assert kept.any()
    assert probabilities[kept].sum() >= p - 1e-9
    assert probabilities[kept].min() >= probabilities[~kept].max() if not kept.all() else True
    assert probabilities[kept].sum() - probabilities[kept].min() < p


def test_sampling_follows_the_probabilities() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0]).expand(40_000, 4)
    generator = torch.Generator().manual_seed(0)
    for temperature in (0.5, 1.0, 2.0):
        counts = torch.bincount(sample(logits, temperature=temperature, generator=generator), minlength=4)
        torch.testing.assert_close(
            counts / 40_000, torch.softmax(logits[0] / temperature, -1), atol=0.01, rtol=0
        )
    drawn = sample(logits, top_k=2, generator=generator)
    assert set(drawn.tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1], 0), "max_new_tokens must be at least 1, not 0"),
        (([1], 32), r"context_length = 32, not 1 \+ 32 tokens"),
        (([], 3), "with at least one token"),
        (([[1], []], 3), "with at least one token"),
        (([1, 50], 3), r"prompt_ids must be in 0 … 49, not 50"),
    ],
)
def test_bad_prompts(model: TransformerLM, arguments: tuple[list[int], int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model.generate(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1.0}, "temperature must be finite and not negative, not -1.0"),
        ({"top_k": 0}, "top_k must be at least 1, not 0"),
        ({"top_p": 0.0}, "top_p must be greater than 0 and at most 1, not 0.0"),
        ({"top_p": 1.5}, "top_p must be greater than 0 and at most 1, not 1.5"),
        ({"stop_ids": [50]}, r"stop_ids must be in 0 … 49, not 50"),
    ],
)
def test_bad_options(model: TransformerLM, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model.generate([1], 3, **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="prompt_ids must be a tensor of int64"):
        model.generate(torch.tensor([1.0]), 3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("change", [{}, {"qk_norm": True}, {"position": "learned", "norm": "layernorm"}])
def test_generation_under_autocast(dtype: torch.dtype, training: bool, change: dict[str, object]) -> None:
    torch.manual_seed(0)
    model = TransformerLM(dataclasses.replace(CONFIG, **change)).train(training)  # type: ignore[arg-type]
    with torch.autocast("cpu", dtype):
        for prompt in ([1, 2, 3, 4, 5, 6, 7, 8], [[1], [2, 3, 4]]):
            assert model.generate(prompt, 6, seed=0).shape[-1] >= 9
        ids = torch.arange(8).unsqueeze(0)
        for cache in (model.new_cache(), KVCache(model.config)):
            parts = [model(part, cache=cache) for part in ids.split([5, 1, 2], 1)]
            torch.testing.assert_close(torch.cat(parts, 1), model(ids), atol=0.05, rtol=0.05)
    with pytest.raises(ValueError, match=r"keys for this cache must be torch\.float64"):
        model(ids, cache=KVCache(model.config, dtype=torch.float64))


@given(
    st.sampled_from([torch.float16, torch.bfloat16, torch.float32]),
    st.integers(1, 5),
    st.floats(0.05, 0.95),
    st.sampled_from([1e-3, 0.5, 1.0, 1e3]),
    st.integers(0, 1000),
)
@settings(max_examples=15)
def test_nothing_outside_of_top_k_and_top_p_is_drawn(
    dtype: torch.dtype, top_k: int, top_p: float, temperature: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(1, 1000, generator=generator).to(dtype)
    drawn = sample(logits.expand(50, -1), top_k=top_k, temperature=temperature, generator=generator)
    assert (logits[0, drawn] >= logits[0].sort(descending=True).values[top_k - 1]).all()
    drawn = sample(logits.expand(50, -1), top_p=top_p, temperature=temperature, generator=generator)
    exact = torch.softmax(logits[0].double() / temperature, -1)
    more_likely = torch.stack([exact[exact > exact[i]].sum() for i in drawn.unique()])
    assert (more_likely < top_p + 1e-4).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_large_vocabulary_in_16_bits(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn_from: list[Tensor] = []
    multinomial = torch.multinomial

    def watched(probabilities: Tensor, *arguments: int, **options: Any) -> Tensor:
        drawn_from.append(probabilities)
        return multinomial(probabilities, *arguments, **options)

    monkeypatch.setattr(torch, "multinomial", watched)
    logits = torch.zeros(8, 151_936, dtype=dtype)
    assert len(sample(logits, generator=torch.Generator().manual_seed(0)).unique()) > 5
    torch.testing.assert_close(drawn_from[0], torch.full((8, 151_936), 1 / 151_936))
    logits[:, 77] = 20
    assert (sample(logits, top_k=1) == 77).all() and (sample(logits, temperature=1e-30) == 77).all()
    assert all(probabilities.dtype == torch.float32 for probabilities in drawn_from)
