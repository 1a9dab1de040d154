"""Right and wrong answers to the exercises of chapter 12."""

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from tests.exercises.answers import Answers, run_tables

# In a notebook NumPy warns of log2(0) and goes on.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

Pairs = Mapping[tuple[str, str], int]

# --- bits per byte ----------------------------------------------------------------------------------------------------


def bits_in_a_loop(probabilities: Sequence[float], tokens: Sequence[bytes]) -> float:
    bits, size = 0.0, 0
    for p, token in zip(probabilities, tokens, strict=True):
        bits += math.log(1 / p, 2)
        size += len(token)
    return bits / size


def bits_by_numpy(probabilities: Sequence[float], tokens: Sequence[bytes]) -> np.float64:
    return -np.log2(probabilities).sum() / len(b"".join(tokens))


def bits_in_torch(probabilities: Sequence[float], tokens: Sequence[bytes]) -> torch.Tensor:
    nats = -torch.tensor(probabilities).log().sum()
    return nats / math.log(2) / sum(len(token) for token in tokens)


def bits_weighed(probabilities: Sequence[float], tokens: Sequence[bytes]) -> float:
    sizes = [len(token) for token in tokens]
    return float(np.average(-np.log2(probabilities) / sizes, weights=sizes))


def bits_in_nats(probabilities: Sequence[float], tokens: Sequence[bytes]) -> float:
    return -sum(np.log(probabilities)) / sum(map(len, tokens))


def bits_per_token(probabilities: Sequence[float], tokens: Sequence[bytes]) -> float:
    return -np.mean(np.log2(probabilities))


def bits_per_character(probabilities: Sequence[float], tokens: Sequence[bytes]) -> float:
    return -sum(np.log2(probabilities)) / len(b"".join(tokens).decode())


def bits_per_decoded_token(probabilities: Sequence[float], tokens: Sequence[bytes]) -> float:
    return -sum(np.log2(probabilities)) / sum(len(str(token, "utf-8")) for token in tokens)


def bits_mean_of_tokens(probabilities: Sequence[float], tokens: Sequence[bytes]) -> float:
    return np.mean([-math.log2(p) / len(t) for p, t in zip(probabilities, tokens, strict=True)])


def bits_negative(probabilities: Sequence[float], tokens: Sequence[bytes]) -> float:
    return sum(np.log2(probabilities)) / sum(map(len, tokens))


def bits_of_the_text(probabilities: Sequence[float], tokens: Sequence[bytes]) -> float:
    return -sum(np.log2(probabilities))


def bits_of_the_mean(probabilities: Sequence[float], tokens: Sequence[bytes]) -> float:
    return -math.log2(np.mean(probabilities))


def bits_as_perplexity(probabilities: Sequence[float], tokens: Sequence[bytes]) -> float:
    return math.exp(-np.mean(np.log(probabilities)))


def bits_of_a_product(probabilities: Sequence[float], tokens: Sequence[bytes]) -> float:
    return -math.log2(math.prod(probabilities)) / sum(map(len, tokens))


# --- a smoothed bigram ------------------------------------------------------------------------------------------------


def bigram_with_counters(counts: Pairs, before: str, word: str, discount: float) -> float:
    total: Counter[str] = Counter()
    after: defaultdict[str, set[str]] = defaultdict(set)
    contexts: defaultdict[str, set[str]] = defaultdict(set)
    for (a, b), count in counts.items():
        total[a] += count
        after[a].add(b)
        contexts[b].add(a)
    lower = len(contexts[word]) / sum(map(len, contexts.values()))
    if before not in total:
        return lower
    weight = discount * len(after[before]) / total[before]
    return max(counts.get((before, word), 0) - discount, 0) / total[before] + weight * lower


def bigram_by_numpy(counts: Pairs, before: str, word: str, discount: float) -> np.float64:
    words = sorted({w for pair in counts for w in pair} | {before, word})
    table = np.zeros((len(words), len(words)))
    for (a, b), count in counts.items():
        table[words.index(a), words.index(b)] = count
    lower = (table > 0).sum(0) / (table > 0).sum()
    row = table[words.index(before)]
    rest = discount * (row > 0).sum() / row.sum() if row.any() else 1.0
    own = np.clip(row - discount, 0, None) / max(row.sum(), 1)
    return (own + rest * lower)[words.index(word)]


def bigram_as_fraction(counts: Pairs, before: str, word: str, discount: float) -> Fraction:
    d = Fraction(discount)
    lower = Fraction(sum(b == word for _, b in counts), len(counts))
    row = {b: count for (a, b), count in counts.items() if a == before}
    if not row:
        return lower
    kept = {b: max(count - d, Fraction(0)) / sum(row.values()) for b, count in row.items()}
    return kept.get(word, Fraction(0)) + (1 - sum(kept.values())) * lower


def _bigram(counts: Pairs, before: str, word: str, discount: float, **changed: Any) -> Any:
    row = [count for (a, _), count in counts.items() if a == before]
    lower = changed.get("lower", sum(b == word for _, b in counts) / len(counts))
    if not row:
        return changed.get("unseen", lower)
    own = changed.get("own", max(counts.get((before, word), 0) - discount, 0)) / sum(row)
    return own + changed.get("weight", discount * len(row) / sum(row)) * lower


def bigram_by_frequency(counts: Pairs, before: str, word: str, discount: float) -> float:
    lower = sum(count for (_, b), count in counts.items() if b == word) / sum(counts.values())
    return _bigram(counts, before, word, discount, lower=lower)


def bigram_loses(counts: Pairs, before: str, word: str, discount: float) -> float:
    total = sum(count for (a, _), count in counts.items() if a == before)
    return max(counts.get((before, word), 0) - discount, 0) / total


def bigram_loses_all(counts: Pairs, before: str, word: str, discount: float) -> float:
    return _bigram(counts, before, word, discount, weight=0, unseen=0)


def bigram_backs_off_if_unseen(counts: Pairs, before: str, word: str, discount: float) -> float:
    return _bigram(counts, before, word, discount, weight=0)


def bigram_not_discounted(counts: Pairs, before: str, word: str, discount: float) -> float:
    return _bigram(counts, before, word, discount, own=counts.get((before, word), 0))


def bigram_below_zero(counts: Pairs, before: str, word: str, discount: float) -> float:
    return _bigram(counts, before, word, discount, own=counts.get((before, word), 0) - discount)


def bigram_weighed_by_all(counts: Pairs, before: str, word: str, discount: float) -> float:
    return _bigram(counts, before, word, discount, weight=discount)


def bigram_weighed_by_one(counts: Pairs, before: str, word: str, discount: float) -> float:
    total = sum(count for (a, _), count in counts.items() if a == before)
    return _bigram(counts, before, word, discount, weight=discount / max(total, 1))


def bigram_not_weighed(counts: Pairs, before: str, word: str, discount: float) -> float:
    return _bigram(counts, before, word, discount, weight=1)


def bigram_over_words(counts: Pairs, before: str, word: str, discount: float) -> float:
    lower = sum(b == word for _, b in counts) / len({b for _, b in counts})
    return _bigram(counts, before, word, discount, lower=lower)


def bigram_unseen_is_0(counts: Pairs, before: str, word: str, discount: float) -> float:
    return _bigram(counts, before, word, discount, unseen=0.0)


def bigram_divides_by_0(counts: Pairs, before: str, word: str, discount: float) -> float:
    row = [count for (a, _), count in counts.items() if a == before]
    lower = sum(b == word for _, b in counts) / len(counts)
    return (max(counts.get((before, word), 0) - discount, 0) + discount * len(row) * lower) / sum(row)


def bigram_is_0(counts: Pairs, before: str, word: str, discount: float) -> float:
    return 0.0


def bigram_looks_up(counts: Pairs, before: str, word: str, discount: float) -> float:
    return _bigram(counts, before, word, discount, own=max(counts[before, word] - discount, 0))


# --- how often to save ------------------------------------------------------------------------------------------------


def interval_by_numpy(seconds_to_save: float, seconds_between_failures: float) -> np.ndarray:
    return np.max(np.roots([1 / (2 * seconds_between_failures), 0, -seconds_to_save]))


def interval_by_derivative(seconds_to_save: float, seconds_between_failures: float) -> float:
    low, high = 1e-6, 1e9
    for _ in range(200):
        t = math.sqrt(low * high)
        rising = -seconds_to_save / t**2 + 1 / (2 * seconds_between_failures) > 0
        low, high = (low, t) if rising else (t, high)
    return low


def interval_in_float32(seconds_to_save: float, seconds_between_failures: float) -> torch.Tensor:
    return torch.sqrt(torch.tensor(2.0) * seconds_to_save * seconds_between_failures)


def interval_whole(seconds_to_save: float, seconds_between_failures: float) -> float:
    return (seconds_to_save * seconds_between_failures) ** 0.5


def interval_squared(seconds_to_save: float, seconds_between_failures: float) -> float:
    return 2 * seconds_to_save * seconds_between_failures


def interval_halved(seconds_to_save: float, seconds_between_failures: float) -> float:
    return math.sqrt(seconds_to_save * seconds_between_failures / 2)


def interval_falls_with_c(seconds_to_save: float, seconds_between_failures: float) -> float:
    return math.sqrt(2 * seconds_between_failures / seconds_to_save)


def interval_of_daly(seconds_to_save: float, seconds_between_failures: float) -> float:
    return math.sqrt(2 * seconds_to_save * seconds_between_failures) - seconds_to_save


def interval_loss(seconds_to_save: float, seconds_between_failures: float) -> float:
    t = math.sqrt(2 * seconds_to_save * seconds_between_failures)
    return seconds_to_save / t + t / 2 / seconds_between_failures


def interval_half_of_failures(seconds_to_save: float, seconds_between_failures: float) -> float:
    return seconds_between_failures / 2


def interval_in_whole_seconds(seconds_to_save: float, seconds_between_failures: float) -> int:
    def lost(t: int) -> float:
        return seconds_to_save / t + t / (2 * seconds_between_failures)

    return min(range(1, 2000), key=lost)


# --- is it more than the seeds? ---------------------------------------------------------------------------------------


def effect_by_statistics(base: Sequence[float], changed: Sequence[float]) -> tuple[float, float]:
    error = math.hypot(*(statistics.stdev(group) / math.sqrt(len(group)) for group in (base, changed)))
    return statistics.fmean(changed) - statistics.fmean(base), error


def effect_in_torch(base: Sequence[float], changed: Sequence[float]) -> torch.Tensor:
    a, b = torch.tensor(base), torch.tensor(changed)
    return torch.stack([b.mean() - a.mean(), (a.var() / len(a) + b.var() / len(b)).sqrt()])


def effect_by_hand(base: Sequence[float], changed: Sequence[float]) -> list[float]:
    means, variance = [], 0.0
    for group in (base, changed):
        n = len(group)
        means.append(sum(group) / n)
        variance += (sum(x * x for x in group) - n * means[-1] ** 2) / (n - 1) / n
    return [means[1] - means[0], variance**0.5]


def effect_paired(base: Sequence[float], changed: Sequence[float]) -> tuple[float, float]:
    differences = np.array(changed) - np.array(base)
    return differences.mean(), differences.std(ddof=1) / np.sqrt(len(differences))


def effect_paired_and_cut(base: Sequence[float], changed: Sequence[float]) -> tuple[float, float]:
    differences = [b - a for a, b in zip(base, changed, strict=False)]
    return statistics.fmean(differences), statistics.stdev(differences) / len(differences) ** 0.5


def effect_of_student(base: Sequence[float], changed: Sequence[float]) -> tuple[float, float]:
    m, n = len(base), len(changed)
    squares = (m - 1) * statistics.variance(base) + (n - 1) * statistics.variance(changed)
    return np.mean(changed) - np.mean(base), math.sqrt(squares / (m + n - 2) * (1 / m + 1 / n))


def effect_over_n(base: Sequence[float], changed: Sequence[float]) -> tuple[float, float]:
    error = np.sqrt(np.var(base) / len(base) + np.var(changed) / len(changed))
    return np.mean(changed) - np.mean(base), error


def effect_of_two_runs(base: Sequence[float], changed: Sequence[float]) -> tuple[float, float]:
    return np.mean(changed) - np.mean(base), np.hypot(np.std(base, ddof=1), np.std(changed, ddof=1))


def effect_variance(base: Sequence[float], changed: Sequence[float]) -> tuple[float, float]:
    difference, error = effect_by_statistics(base, changed)
    return difference, error**2


def effect_errors_added(base: Sequence[float], changed: Sequence[float]) -> tuple[float, float]:
    error = sum(np.std(group, ddof=1) / len(group) ** 0.5 for group in (base, changed))
    return np.mean(changed) - np.mean(base), error


def effect_turned(base: Sequence[float], changed: Sequence[float]) -> tuple[float, float]:
    return effect_by_statistics(changed, base)


def effect_without_sign(base: Sequence[float], changed: Sequence[float]) -> tuple[float, float]:
    difference, error = effect_by_statistics(base, changed)
    return abs(difference), error


def effect_in_other_order(base: Sequence[float], changed: Sequence[float]) -> tuple[float, float]:
    return effect_by_statistics(base, changed)[::-1]


def effect_of_changed_only(base: Sequence[float], changed: Sequence[float]) -> tuple[float, float]:
    return np.mean(changed) - np.mean(base), np.std(changed, ddof=1) / len(changed) ** 0.5


def effect_number_only(base: Sequence[float], changed: Sequence[float]) -> float:
    return np.mean(changed) - np.mean(base)


ANSWERS = {
    "train-bits": Answers(
        right=(bits_in_a_loop, bits_by_numpy, bits_in_torch, bits_weighed),
        wrong=(
            (bits_in_nats, "These are nats"),
            (bits_per_token, "This is bits per token"),
            (bits_per_character, "This divides by characters"),
            (bits_per_decoded_token, "This divides by characters"),
            (bits_mean_of_tokens, "A mean of each token's bits per byte"),
            (bits_negative, "The sign is turned"),
            (bits_of_the_text, "These are the bits of the whole text"),
            (bits_of_the_mean, "The probabilities were averaged."),
            (bits_as_perplexity, "This is the perplexity"),
            (bits_of_a_product, "The product of a thousand probabilities is 0 in a float"),
        ),
    ),
    "train-bigram": Answers(
        right=(bigram_with_counters, bigram_by_numpy, bigram_as_fraction),
        wrong=(
            (bigram_by_frequency, "The lower order counts how often the word occurs."),
            (bigram_loses, "What the discount took is lost"),
            (bigram_loses_all, "What the discount took is lost"),
            (bigram_backs_off_if_unseen, "What the discount took is lost"),
            (bigram_not_discounted, "Nothing was taken off the counts"),
            (bigram_below_zero, "A pair that was never seen has nothing to take off"),
            (bigram_weighed_by_all, "The weight of the lower order counts every occurrence"),
            (bigram_weighed_by_one, "Only one discount is handed on."),
            (bigram_not_weighed, "The lower order has the weight 1"),
            (bigram_over_words, "The lower order is divided by the number of different words."),
            (bigram_unseen_is_0, "After a word that was never seen nothing is impossible"),
            (bigram_divides_by_0, "Nothing was seen after z"),
            (bigram_is_0, "Kept: (3 - 0.5) / 4."),
            (bigram_looks_up, "Never seen together: only what is handed on."),
        ),
    ),
    "train-interval": Answers(
        right=(interval_by_numpy, interval_by_derivative, interval_in_float32),
        wrong=(
            (interval_whole, "A failure comes, on average, in the middle of an interval"),
            (interval_squared, "This is the square of the interval."),
            (interval_halved, "The 2 is on the wrong side"),
            (interval_falls_with_c, "What takes longer to save is saved less often"),
            (interval_of_daly, "This is Daly's refinement"),
            (interval_loss, "This is the share of the time that is lost."),
            (interval_half_of_failures, "Half an interval is lost in a failure"),
            (interval_in_whole_seconds, "This is right but rounded"),
        ),
    ),
    "train-effect": Answers(
        right=(effect_by_statistics, effect_in_torch, effect_by_hand),
        wrong=(
            (effect_paired, "You compared run by run."),
            (effect_paired_and_cut, "You compared run by run."),
            (effect_of_student, "This takes one variance for both"),
            (effect_over_n, "These variances are divided by n"),
            (effect_of_two_runs, "This is the spread of the difference of two runs."),
            (effect_variance, "The second number is the variance"),
            (effect_errors_added, "The standard errors were added."),
            (effect_turned, "The sign is turned round"),
            (effect_without_sign, "The sign is lost"),
            (effect_in_other_order, "Both numbers are right, in the wrong order"),
            (effect_of_changed_only, "Means 2 and 4; variances 1 and 4"),
            (effect_number_only, "Means 2 and 4; variances 1 and 4"),
        ),
    ),
}

test_right_answers_pass, test_wrong_answers_are_explained, test_there_are_enough = run_tables(ANSWERS)
