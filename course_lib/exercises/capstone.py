"""The exercises of chapter 12. Results come from hand, from counting, and from trying intervals one by one."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from course_lib.exercises.checking import Case, Exercise, Mistake

# --- bits per byte ----------------------------------------------------------------------------------------------------


def _bits_cases() -> Iterator[Case]:
    yield Case(
        ([0.5, 0.25], [b"ab", b"cd"]), 0.75, "1 bit and 2 bits for 4 bytes: 3 / 4. The logarithm has base 2."
    )
    yield Case(([1.0], [b"abc"]), 0.0, "What is certain costs nothing.")
    yield Case(([0.125], ["学".encode()]), 1.0, "One character of three bytes, 3 bits: 1 bit a byte.")
    yield Case(
        ([0.5] * 8, [b" a", b"b", b" cde", b"f", b"g", b"h", b"i", b" jklm"]),
        8 / 16,
        "Tokens have different lengths: add up the bits, add up the bytes, then divide once.",
    )


def _mean_of_ratios(probabilities: Sequence[float], tokens: Sequence[bytes]) -> float:
    ratios = [-math.log2(p) / len(token) for p, token in zip(probabilities, tokens, strict=True)]
    return sum(ratios) / len(ratios)


BITS = Exercise(
    id="train-bits",
    chapter=12,
    cases=_bits_cases,
    hint="A token of probability p costs -log2(p) bits. Add up the bits of all tokens and divide by the bytes of all "
    "tokens together.",
    mistakes=(
        Mistake(
            lambda probabilities, tokens: -sum(map(math.log, probabilities)) / sum(map(len, tokens)),
            "These are nats: the natural logarithm. Bits need log2, or a division by ln 2.",
        ),
        Mistake(
            lambda probabilities, tokens: -sum(map(math.log2, probabilities)) / len(tokens),
            "This is bits per token: it depends on the tokenizer. Divide by bytes.",
        ),
        Mistake(
            lambda probabilities, tokens: (
                -sum(map(math.log2, probabilities)) / sum(len(token.decode()) for token in tokens)
            ),
            "This divides by characters; a Chinese character has three bytes.",
        ),
        Mistake(
            _mean_of_ratios,
            "A mean of each token's bits per byte counts a short token as much as a long one.",
        ),
    ),
)

# --- a smoothed bigram ------------------------------------------------------------------------------------------------

_TEXT = "san francisco is near san francisco bay and the bay is near the sea"
_PAIRS = dict(Counter(pairwise(_TEXT.split(" "))))


def _smoothed(counts: dict[tuple[str, str], int], before: str, word: str, discount: float) -> float:
    """Spend the probability pair by pair: what each count keeps, and what it gives to all words by their contexts."""
    total = sum(count for (first, _), count in counts.items() if first == before)
    share = sum(1 for _, last in counts if last == word) / len(counts)
    if not total:
        return share
    kept = max(counts.get((before, word), 0) - discount, 0.0)
    given = sum(min(discount, count) for (first, _), count in counts.items() if first == before)
    return (kept + given * share) / total


def _bigram_cases() -> Iterator[Case]:
    counts = {("a", "b"): 3, ("a", "c"): 1, ("d", "b"): 1}
    # By hand: (3 - 0.5) / 4 + 0.5 · 2 / 4 · 2/3.
    yield Case(
        (counts, "a", "b", 0.5),
        2.5 / 4 + 0.25 * 2 / 3,
        "Kept: (3 - 0.5) / 4. Handed on: 0.5 from each of 2 pairs, of 4. b comes last in 2 of the 3 different pairs.",
    )
    yield Case((counts, "d", "c", 0.5), 0.5 / 1 * 1 / 3, "Never seen together: only what is handed on.")
    yield Case(
        (counts, "z", "b", 0.5), 2 / 3, "Nothing was seen after z: everything comes from the lower order."
    )
    for before, word in (("san", "francisco"), ("the", "francisco"), ("near", "bay"), ("is", "near")):
        yield Case(
            (_PAIRS, before, word, 0.75),
            _smoothed(_PAIRS, before, word, 0.75),
            "(c - D) / c(before ·) + D · (different words after before) / c(before ·) · (different words before word) "
            "/ (different pairs).",
        )


def _by_frequency(counts: dict[tuple[str, str], int], before: str, word: str, discount: float) -> float:
    total = sum(count for (first, _), count in counts.items() if first == before)
    share = sum(count for (_, last), count in counts.items() if last == word) / sum(counts.values())
    if not total:
        return share
    followers = sum(1 for first, _ in counts if first == before)
    return max(counts.get((before, word), 0) - discount, 0) / total + discount * followers / total * share


def _without_lower_order(
    counts: dict[tuple[str, str], int], before: str, word: str, discount: float
) -> float:
    total = sum(count for (first, _), count in counts.items() if first == before)
    return max(counts.get((before, word), 0) - discount, 0) / total if total else 0.0


BIGRAM = Exercise(
    id="train-bigram",
    chapter=12,
    cases=_bigram_cases,
    hint="The lower order is a share of the different pairs: how many of them end in the word? Its weight is what the "
    "discounts took: D for each different word that came after the context, divided by all that came after it.",
    mistakes=(
        Mistake(
            _by_frequency,
            "The lower order counts how often the word occurs. Kneser and Ney count after how many different words: "
            "otherwise francisco is likely everywhere.",
        ),
        Mistake(
            _without_lower_order,
            "What the discount took is lost: the probabilities after a context do not sum to one.",
        ),
    ),
)

# --- how often to save ------------------------------------------------------------------------------------------------


def _lost_share(interval: float, seconds_to_save: float, seconds_between_failures: float) -> float:
    """The part of the time lost by saving, and by making half an interval again after each failure."""
    return seconds_to_save / interval + interval / (2 * seconds_between_failures)


def _best_interval(seconds_to_save: float, seconds_between_failures: float) -> float:
    """The interval with the least loss, by narrowing down (the loss has one minimum)."""
    low, high = 1e-3, 1e9
    for _ in range(200):
        left, right = low ** (2 / 3) * high ** (1 / 3), low ** (1 / 3) * high ** (2 / 3)
        if _lost_share(left, seconds_to_save, seconds_between_failures) < _lost_share(
            right, seconds_to_save, seconds_between_failures
        ):
            high = right
        else:
            low = left
    return math.sqrt(low * high)


def _interval_cases() -> Iterator[Case]:
    yield Case(
        (2.0, 100.0), 20.0, "At 20 s: 2 / 20 for saving, 20 / 200 for repeating: the two losses are equal."
    )
    for save, between in ((30.0, 3 * 3600.0), (1.0, 7 * 86400.0), (0.5, 1.0)):
        yield Case(
            (save, between),
            _best_interval(save, between),
            "Saving costs C / t of the time; a failure, every M seconds, t / 2 on average. Where is the sum least?",
        )


INTERVAL = Exercise(
    id="train-interval",
    chapter=12,
    cases=_interval_cases,
    hint="Lost share of the time: C / t + t / (2 M). Set its derivative to zero.",
    mistakes=(
        Mistake(
            lambda save, between: math.sqrt(save * between),
            "A failure comes, on average, in the middle of an interval: half of it is lost, not all.",
        ),
        Mistake(lambda save, between: 2 * save * between, "This is the square of the interval."),
    ),
)

# --- is it more than the seeds? ---------------------------------------------------------------------------------------


def _effect_cases() -> Iterator[Case]:
    # By hand: variances 1 and 4 (divided by n - 1), so sqrt(1/3 + 4/3).
    yield Case(
        ([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]),
        (2.0, math.sqrt(5 / 3)),
        "Means 2 and 4; variances 1 and 4 with n - 1; the error of the difference is sqrt(1 / 3 + 4 / 3).",
    )
    yield Case(
        ([1.5, 1.5], [1.0, 1.0]), (-0.5, 0.0), "Without spread there is no error. The sign: changed - base."
    )
    yield Case(
        ([0.0, 2.0], [1.0, 1.0, 1.0, 5.0]),
        (1.0, math.sqrt(2 / 2 + 4 / 4)),
        "The two may have different numbers of seeds: each variance is divided by its own.",
    )
    yield Case(
        ([2.0, 4.0], [1.0, 1.0, 1.0]),
        (-2.0, 1.0),
        "All the spread is in the base runs: variance 2, divided by 2 runs.",
    )


def _variance(values: Sequence[float], less: int) -> float:
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - less)


def _difference(base: Sequence[float], changed: Sequence[float]) -> float:
    return sum(changed) / len(changed) - sum(base) / len(base)


EFFECT = Exercise(
    id="train-effect",
    chapter=12,
    cases=_effect_cases,
    hint="The variance of a mean is the variance of the runs, with n - 1 below, divided by n. Variances of independent "
    "means add.",
    mistakes=(
        Mistake(
            lambda base, changed: (
                _difference(base, changed),
                math.sqrt(_variance(base, 0) / len(base) + _variance(changed, 0) / len(changed)),
            ),
            "These variances are divided by n: with so few seeds that is clearly too small. Divide by n - 1.",
        ),
        Mistake(
            lambda base, changed: (
                _difference(base, changed),
                math.sqrt(_variance(base, 1) + _variance(changed, 1)),
            ),
            "This is the spread of the difference of two runs. Means of n runs vary less: divide each variance by n.",
        ),
        Mistake(
            lambda base, changed: (
                -_difference(base, changed),
                math.sqrt(_variance(base, 1) / len(base) + _variance(changed, 1) / len(changed)),
            ),
            "The sign is turned round: the difference is changed - base.",
        ),
    ),
)

EXERCISES = (BITS, BIGRAM, INTERVAL, EFFECT)
