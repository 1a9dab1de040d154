"""The exercises of chapter 12, Train a language model. Results: hand calculation, counting, and search."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise

from course_lib.answers.checking import Case, Exercise, Mistake

# --- bits per byte ----------------------------------------------------------------------------------------------------


def _bits_cases() -> Iterator[Case]:
    yield Case(
        ([0.5, 0.25], [b"ab", b"cd"]), 0.75, "1 bit and 2 bits for 4 bytes: 3 / 4. The logarithm has base 2."
    )
    yield Case(([1.0], [b"abc"]), 0.0, "What is certain costs nothing.")
    yield Case(([0.125], ["学".encode()]), 1.0, "One character of three bytes, 3 bits: 1 bit per byte.")
    yield Case(
        ([0.5] * 8, [b" a", b"b", b" cde", b"f", b"g", b"h", b"i", b" jklm"]),
        8 / 16,
        "Tokens have different lengths: add up the bits, add up the bytes, then divide once.",
    )
    yield Case(
        ([0.5, 0.25], [b"\xe5\xad", b"\xa6"]),
        1.0,
        "A token may end inside a character: count its bytes, not characters.",
    )
    yield Case(
        ([0.125] * 1000, [b"abc"] * 1000),
        1.0,
        "The product of a thousand probabilities is 0 in a float: add their logarithms instead.",
    )


def _mean_of_ratios(probabilities: Sequence[float], tokens: Sequence[bytes]) -> float:
    ratios = [-math.log2(p) / len(token) for p, token in zip(probabilities, tokens, strict=True)]
    return sum(ratios) / len(ratios)


def _by_characters(probabilities: Sequence[float], tokens: Sequence[bytes]) -> float:
    return -sum(map(math.log2, probabilities)) / sum(len(token.decode()) for token in tokens)


def _by_characters_of_the_text(probabilities: Sequence[float], tokens: Sequence[bytes]) -> float:
    return -sum(map(math.log2, probabilities)) / len(b"".join(tokens).decode())


_CHARACTERS = (
    "This divides by characters; a Chinese character has three bytes, and a token may end inside it."
)

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
        Mistake(_by_characters, _CHARACTERS),
        Mistake(_by_characters_of_the_text, _CHARACTERS),
        Mistake(
            lambda probabilities, tokens: sum(map(math.log2, probabilities)) / sum(map(len, tokens)),
            "The sign is turned: the logarithm of a probability is negative, and the bits are minus it.",
        ),
        Mistake(
            lambda probabilities, tokens: -sum(map(math.log2, probabilities)),
            "These are the bits of the whole text: divide by its bytes.",
        ),
        Mistake(
            lambda probabilities, tokens: -math.log2(sum(probabilities) / len(probabilities)),
            "The probabilities were averaged. Average their logarithms: what is unlikely costs more than what is "
            "likely saves.",
        ),
        Mistake(
            lambda probabilities, tokens: 2 ** (-sum(map(math.log2, probabilities)) / len(tokens)),
            "This is the perplexity, among how many tokens the model wavers. Bits per byte are asked for.",
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
    yield Case((counts, "a", "e", 0.5), 0.0, "No pair ends in e, so nothing of what is handed on goes to it.")
    for before, word in (("san", "francisco"), ("the", "francisco"), ("near", "bay"), ("is", "near")):
        yield Case(
            (_PAIRS, before, word, 0.75),
            _smoothed(_PAIRS, before, word, 0.75),
            "(c - D) / c(before ·) + D · (different words after before) / c(before ·) · (different words before word) "
            "/ (different pairs).",
        )


_Counts = dict[tuple[str, str], int]


def _pairs_share(counts: _Counts, word: str) -> float:
    return sum(1 for _, last in counts if last == word) / len(counts)


def _words_share(counts: _Counts, word: str) -> float:
    return sum(count for (_, last), count in counts.items() if last == word) / sum(counts.values())


def _interpolated(
    *,
    lower: Callable[[_Counts, str], float] | None = _pairs_share,
    kept: Callable[[int, float], float] = lambda count, discount: max(count - discount, 0),
    weight: Callable[[float, int, int], float] = lambda discount, kinds, total: discount * kinds / total,
    unseen: Callable[[_Counts, str], float] | None = None,
) -> Callable[..., float]:
    """The right probability except for what is given. ``lower``: None hands nothing on; ``unseen``: None raises."""

    def probability(counts: _Counts, before: str, word: str, discount: float) -> float:
        following = [count for (first, _), count in counts.items() if first == before]
        total = sum(following)
        if not following and (unseen or lower):
            return (unseen or lower or _pairs_share)(counts, word)
        handed_on = weight(discount, len(following), total) * lower(counts, word) if lower else 0.0
        return kept(counts.get((before, word), 0), discount) / total + handed_on

    return probability


def _distinct_words_share(counts: _Counts, word: str) -> float:
    return sum(1 for _, last in counts if last == word) / len({last for _, last in counts})


_LOST = "What the discount took is lost: the probabilities after a context do not sum to one."
_FREQUENCY = (
    "The lower order counts how often the word occurs. Kneser and Ney count after how many different words: otherwise "
    "francisco is likely everywhere."
)

BIGRAM = Exercise(
    id="train-bigram",
    chapter=12,
    cases=_bigram_cases,
    hint="The lower order is a share of the different pairs: how many of them end in the word? Its weight is what the "
    "discounts took: D for each different word that came after the context, divided by all that came after it.",
    mistakes=(
        Mistake(_interpolated(lower=_words_share), _FREQUENCY),
        Mistake(_interpolated(lower=None, unseen=lambda _counts, _word: 0.0), _LOST),
        Mistake(_interpolated(lower=None, unseen=_pairs_share), _LOST),
        Mistake(_interpolated(lower=None), _LOST),
        Mistake(
            _interpolated(kept=lambda count, _discount: count),
            "Nothing was taken off the counts, but something handed on: the probabilities sum to more than one.",
        ),
        Mistake(
            _interpolated(kept=lambda count, discount: count - discount),
            "A pair that was never seen has nothing to take off: max(count - discount, 0).",
        ),
        Mistake(
            _interpolated(weight=lambda discount, _kinds, _total: discount),
            "The weight of the lower order counts every occurrence after the context. The discount was taken once for "
            "each *different* word.",
        ),
        Mistake(
            _interpolated(weight=lambda discount, _kinds, total: discount / total),
            "Only one discount is handed on. It was taken from every different word after the context.",
        ),
        Mistake(
            _interpolated(weight=lambda _discount, _kinds, _total: 1.0),
            "The lower order has the weight 1: it gets only what the discounts took.",
        ),
        Mistake(
            _interpolated(lower=_distinct_words_share),
            "The lower order is divided by the number of different words. Divide by the number of different pairs: "
            "then it sums to one.",
        ),
        Mistake(
            _interpolated(unseen=lambda _counts, _word: 0.0),
            "After a word that was never seen nothing is impossible: there the lower order has all the weight.",
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
        Mistake(
            lambda save, between: math.sqrt(save * between / 2),
            "The 2 is on the wrong side: C / t = t / (2 M) makes t squared 2 C M.",
        ),
        Mistake(
            lambda save, between: math.sqrt(2 * between / save),
            "What takes longer to save is saved less often: the interval grows with C.",
        ),
        Mistake(
            lambda save, between: math.sqrt(2 * save * between) - save,
            "This is Daly's refinement, which takes the time of saving off the interval. The loss of the task, saving "
            "and half an interval per failure, is least at Young's interval.",
        ),
        Mistake(
            lambda save, between: _lost_share(_best_interval(save, between), save, between),
            "This is the share of the time that is lost. The interval is asked for.",
        ),
        Mistake(
            lambda save, between: between / 2,
            "Half an interval is lost in a failure, but the interval need not be half of the time between failures.",
        ),
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


def _variance(values: Sequence[float], less: int = 1) -> float:
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - less)


def _error(base: Sequence[float], changed: Sequence[float], less: int = 1) -> float:
    return math.sqrt(_variance(base, less) / len(base) + _variance(changed, less) / len(changed))


def _difference(base: Sequence[float], changed: Sequence[float]) -> float:
    return sum(changed) / len(changed) - sum(base) / len(base)


def _paired(base: Sequence[float], changed: Sequence[float], *, strict: bool) -> tuple[float, float]:
    differences = [after - before for before, after in zip(base, changed, strict=strict)]
    return sum(differences) / len(differences), math.sqrt(_variance(differences) / len(differences))


def _pooled(base: Sequence[float], changed: Sequence[float]) -> tuple[float, float]:
    """Student's, with one variance for both."""
    m, n = len(base), len(changed)
    variance = ((m - 1) * _variance(base) + (n - 1) * _variance(changed)) / (m + n - 2)
    return _difference(base, changed), math.sqrt(variance * (1 / m + 1 / n))


_PAIRED = (
    "You compared run by run. Where the i-th runs share a seed, as in stored, that is right, and sharper: try it "
    "there. Here each run has its own seed, and there may be more runs of one kind: add the variances of the two means."
)

EFFECT = Exercise(
    id="train-effect",
    chapter=12,
    cases=_effect_cases,
    hint="The variance of a mean is the variance of the runs, with n - 1 below, divided by n. Variances of independent "
    "means add.",
    mistakes=(
        Mistake(partial(_paired, strict=True), _PAIRED),
        Mistake(partial(_paired, strict=False), _PAIRED),
        Mistake(
            _pooled,
            "This takes one variance for both, as Student did. A change may change the spread as well: let each mean "
            "have its own, as Welch did.",
        ),
        Mistake(
            lambda base, changed: (_difference(base, changed), _error(base, changed, 0)),
            "These variances are divided by n: with so few seeds that is clearly too small. Divide by n - 1.",
        ),
        Mistake(
            lambda base, changed: (
                _difference(base, changed),
                math.sqrt(_variance(base) + _variance(changed)),
            ),
            "This is the spread of the difference of two runs. Means of n runs vary less: divide each variance by n.",
        ),
        Mistake(
            lambda base, changed: (_difference(base, changed), _error(base, changed) ** 2),
            "The second number is the variance of the difference: its root is the standard error.",
        ),
        Mistake(
            lambda base, changed: (
                _difference(base, changed),
                math.sqrt(_variance(base) / len(base)) + math.sqrt(_variance(changed) / len(changed)),
            ),
            "The standard errors were added. Of independent means the variances add; then take the root.",
        ),
        Mistake(
            lambda base, changed: (-_difference(base, changed), _error(base, changed)),
            "The sign is turned round: the difference is changed - base.",
        ),
        Mistake(
            lambda base, changed: (abs(_difference(base, changed)), _error(base, changed)),
            "The sign is lost: a change for the better is negative.",
        ),
        Mistake(
            lambda base, changed: (_error(base, changed), _difference(base, changed)),
            "Both numbers are right, in the wrong order: the difference comes first.",
        ),
    ),
)

EXERCISES = (BITS, BIGRAM, INTERVAL, EFFECT)
