"""The n-gram models against their formulas, computed with dictionaries."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.lab.ngrams import NGramModel

V = 4
texts = st.lists(st.integers(0, V - 1), min_size=5, max_size=60)
Gram = tuple[int, ...]


def by_the_formulas(text: list[int], n: int) -> Callable[[Gram, int], float]:
    """P(token | context) of modified Kneser-Ney, from Chen & Goodman 1998, section 3."""
    occurrences = {
        k: Counter(tuple(text[i : i + k]) for i in range(len(text) - k + 1)) for k in range(1, n + 1)
    }
    counts = dict(occurrences)
    for k in range(1, n):
        counts[k] = Counter(dict.fromkeys(occurrences[k], 0))
        counts[k].update(longer[1:] for longer in occurrences[k + 1])

    def discount(k: int, count: int) -> float:
        n1, n2, n3, n4 = (sum(c == r for c in counts[k].values()) for r in (1, 2, 3, 4))
        r = min(count, 3)
        if min(n1, n2, n3, n4) == 0:
            return [0, 0.5, 1, 1.5][r]
        y = n1 / (n1 + 2 * n2)
        d = [0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3][r]
        return min(max(d, 0), r)

    def probability(context: Gram, token: int) -> float:
        context = context[max(0, len(context) - n + 1) :]
        lower = probability(context[1:], token) if context else 1 / V
        k = len(context) + 1
        following = {gram[-1]: count for gram, count in counts[k].items() if gram[:-1] == context}
        total = sum(following.values())
        if total == 0:
            return lower
        own = following.get(token, 0)
        backoff = sum(discount(k, count) for count in following.values()) / total
        return max(own - discount(k, own), 0) / total + backoff * lower

    return probability


@given(texts, texts, st.integers(1, 4))
def test_probabilities_are_those_of_the_formulas(text: list[int], held_out: list[int], n: int) -> None:
    probability = by_the_formulas(text, n)
    expected = [probability(tuple(held_out[:i]), token) for i, token in enumerate(held_out)]
    np.testing.assert_allclose(NGramModel(text, n, V).probabilities(held_out), expected, rtol=1e-12)


@given(texts, st.lists(st.integers(0, V - 1), max_size=6), st.integers(1, 5))
def test_probabilities_of_all_tokens_sum_to_one(text: list[int], context: list[int], n: int) -> None:
    model = NGramModel(text, n, V)
    total = sum(model.probabilities([*context, token])[-1] for token in range(V))
    assert total == pytest.approx(1, abs=1e-12)


def test_estimated_discounts() -> None:
    """A text long enough to have n-grams of all counts, so that none of the fixed discounts are used."""
    text = np.random.default_rng(0).choice(V, 150, p=[0.55, 0.3, 0.1, 0.05]).tolist()
    probability = by_the_formulas(text, 4)
    held_out = np.random.default_rng(1).integers(0, V, 40).tolist()
    expected = [probability(tuple(held_out[:i]), token) for i, token in enumerate(held_out)]
    np.testing.assert_allclose(NGramModel(text, 4, V).probabilities(held_out), expected, rtol=1e-12)


def test_a_token_that_follows_one_context_only_is_a_poor_guess_elsewhere() -> None:
    """Kneser and Ney's point: "1" is more frequent than "2", but comes after "0" only."""
    text = [0, 1] * 30 + [2, 3, 3, 2, 0, 2, 2] * 5
    model = NGramModel(text, 2, 5)
    after_unseen = model.probabilities([4, 1])[1], model.probabilities([4, 2])[1]
    assert text.count(1) > text.count(2) and after_unseen[0] < after_unseen[1]


@pytest.mark.parametrize(
    ("tokens", "n", "message"),
    [
        ([0, 1, 2], 0, "n must be at least 1, not 0"),
        ([0, 1, 2], 4, "tokens must hold at least n = 4 ids, not 3"),
        ([0, 1, 4], 2, "tokens must be in 0 … 3, not 0 … 4"),
        ([0, -1, 2], 2, "tokens must be in 0 … 3, not -1 … 2"),
        ([[0, 1], [2, 3]], 2, "tokens must have one dimension, not 2"),
    ],
)
def test_bad_input(tokens: list[int], n: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NGramModel(tokens, n, V)


def test_held_out_ids_are_checked() -> None:
    with pytest.raises(ValueError, match=r"tokens must be in 0 … 3, not 0 … 7"):
        NGramModel([0, 1, 2], 2, V).probabilities([0, 7])
