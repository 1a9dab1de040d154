"""Right and wrong answers to chapter 1's exercises on training BPE."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from course_lib import exercises
from course_lib.tokenizer import reference
from tests.exercises.answers import Answers, run_tables

Word = tuple[bytes, ...]
Pair = tuple[bytes, bytes]

# --- the best pair ----------------------------------------------------------------------------------------------------


def best_sorted(words: Mapping[Word, int]) -> Pair:
    counts: defaultdict[Pair, int] = defaultdict(int)
    for word, count in words.items():
        for i in range(len(word) - 1):
            counts[word[i], word[i + 1]] += count
    return sorted((count, pair) for pair, count in counts.items())[-1][1]


def best_by_hand(words: Mapping[Word, int]) -> list[bytes]:
    best: Pair = (b"", b"")
    most = 0
    pairs = {pair for word in words for pair in pairwise(word)}
    for pair in pairs:
        count = sum(n * [*pairwise(word)].count(pair) for word, n in words.items())
        if count > most or (count == most and pair > best):
            best, most = pair, count
    return list(best)


def best_by_maximum_then_ties(words: Mapping[Word, int]) -> Pair:
    counts = sum((Counter({pair: 0}) for word in words for pair in pairwise(word)), Counter())
    for word, count in words.items():
        counts.update({pair: k * count for pair, k in Counter(pairwise(word)).items()})
    return max(pair for pair in counts if counts[pair] == max(counts.values()))


def _counts(words: Mapping[Word, int]) -> Counter[Pair]:
    return Counter(pair for word, n in words.items() for pair in pairwise(word) for _ in range(n))


def best_first_seen(words: Mapping[Word, int]) -> Pair:
    counts = _counts(words)
    return max(counts, key=counts.__getitem__)


def best_last_seen(words: Mapping[Word, int]) -> Pair:
    counts = _counts(words)
    best = next(iter(counts))
    for pair, count in counts.items():
        if count >= counts[best]:
            best = pair
    return best


def best_longest(words: Mapping[Word, int]) -> Pair:
    counts = _counts(words)
    return max(counts, key=lambda pair: (counts[pair], sum(map(len, pair)), pair))


def best_shortest(words: Mapping[Word, int]) -> Pair:
    counts = _counts(words)
    return max(counts, key=lambda pair: (counts[pair], -sum(map(len, pair)), pair))


def best_shortest_right_part(words: Mapping[Word, int]) -> Pair:
    counts = _counts(words)
    return max(counts, key=lambda pair: (counts[pair], -len(pair[1]), pair))


def best_joined(words: Mapping[Word, int]) -> Pair:
    counts = _counts(words)
    return max(counts, key=lambda pair: (counts[pair], b"".join(pair)))


def best_smallest(words: Mapping[Word, int]) -> Pair:
    counts = _counts(words)
    return min(counts, key=lambda pair: (-counts[pair], pair))


def best_unweighted(words: Mapping[Word, int]) -> Pair:
    counts = Counter(pair for word in words for pair in pairwise(word))
    return max(counts, key=lambda pair: (counts[pair], pair))


def best_once_a_word(words: Mapping[Word, int]) -> Pair:
    counts: Counter[Pair] = Counter()
    for word, count in words.items():
        for pair in set(pairwise(word)):
            counts[pair] += count
    return max(counts, key=lambda pair: (counts[pair], pair))


def best_across_words(words: Mapping[Word, int]) -> Pair:
    counts = Counter(pairwise(token for word, n in words.items() for _ in range(n) for token in word))
    return max(counts, key=lambda pair: (counts[pair], pair))


def best_merged(words: Mapping[Word, int]) -> bytes:
    return b"".join(best_sorted(words))


def best_with_count(words: Mapping[Word, int]) -> Any:
    return _counts(words).most_common(1)[0]


# --- what a merge changes ---------------------------------------------------------------------------------------------


def changes_as_counter(word: Word, pair: Pair, count: int) -> Counter[Pair]:
    changes: Counter[Pair] = Counter()
    for tokens, sign in ((word, -1), (reference.merge(word, pair), 1)):
        for neighbours in pairwise(tokens):
            changes[neighbours] += sign * count
    return Counter({key: change for key, change in changes.items() if change})


def changes_by_walking(word: Word, pair: Pair, count: int) -> dict[Pair, np.int64]:
    after: list[bytes] = []
    i = 0
    while i < len(word):
        if word[i : i + 2] == pair:
            after.append(word[i] + word[i + 1])
            i += 2
        else:
            after.append(word[i])
            i += 1
    pairs = {*pairwise(word), *pairwise(after)}
    change = {key: [*pairwise(after)].count(key) - [*pairwise(word)].count(key) for key in pairs}
    return {key: np.int64(value) * count for key, value in change.items() if value != 0}


def changes_deleting_zeros(word: Word, pair: Pair, count: int) -> dict[Pair, int]:
    before, after = Counter(pairwise(word)), Counter(pairwise(reference.merge(word, pair)))
    result = {key: count * (after[key] - before[key]) for key in [*before, *after]}
    for key in [key for key in result if result[key] == 0]:
        del result[key]
    return result


def changes_with_zeros(word: Word, pair: Pair, count: int) -> dict[Pair, int]:
    before, after = Counter(pairwise(word)), Counter(pairwise(reference.merge(word, pair)))
    return {key: count * (after[key] - before[key]) for key in before | after}


def changes_by_minus(word: Word, pair: Pair, count: int) -> dict[Pair, int]:
    gained = Counter(pairwise(reference.merge(word, pair))) - Counter(pairwise(word))
    return {key: count * n for key, n in gained.items()}


def changes_lost(word: Word, pair: Pair, count: int) -> dict[Pair, int]:
    lost = Counter(pairwise(word)) - Counter(pairwise(reference.merge(word, pair)))
    return {key: -count * n for key, n in lost.items()}


def changes_turned(word: Word, pair: Pair, count: int) -> dict[Pair, int]:
    return {key: -change for key, change in changes_as_counter(word, pair, count).items()}


def changes_once(word: Word, pair: Pair, count: int) -> dict[Pair, int]:
    return dict(changes_as_counter(word, pair, 1))


def changes_of_the_pair(word: Word, pair: Pair, count: int) -> dict[Pair, int]:
    times = sum(neighbours == pair for neighbours in pairwise(word))
    return {pair: -times * count} if times else {}


def changes_of_the_others(word: Word, pair: Pair, count: int) -> dict[Pair, int]:
    changes = dict(changes_as_counter(word, pair, count))
    changes.pop(pair, None)
    return changes


def changes_neighbour_by_neighbour(word: Word, pair: Pair, count: int) -> dict[Pair, int]:
    """Right as long as occurrences neither touch nor overlap."""
    changes: Counter[Pair] = Counter()
    for i in range(len(word) - 1):
        if word[i : i + 2] == pair:
            changes[pair] -= count
            if i > 0:
                changes[word[i - 1], word[i]] -= count
                changes[word[i - 1], word[i] + word[i + 1]] += count
            if i + 2 < len(word):
                changes[word[i + 1], word[i + 2]] -= count
                changes[word[i] + word[i + 1], word[i + 2]] += count
    return {key: change for key, change in changes.items() if change}


def changes_always_right_neighbour(word: Word, pair: Pair, count: int) -> dict[Pair, int]:
    i = [*pairwise(word)].index(pair)
    changes = {pair: -count, (word[i - 1], word[i]): -count, (word[i - 1], b"".join(pair)): count}
    return changes | {(word[i + 1], word[i + 2]): -count, (b"".join(pair), word[i + 2]): count}


def changes_as_pairs(word: Word, pair: Pair, count: int) -> Any:
    return list(changes_as_counter(word, pair, count).items())


ANSWERS = {
    "tok-best-pair": Answers(
        right=(best_sorted, best_by_hand, best_by_maximum_then_ties),
        wrong=(
            (
                best_first_seen,
                "The count is the highest, but of equal counts this takes the pair that was seen first",
            ),
            (
                best_last_seen,
                "The count is the highest, but of equal counts this takes the pair that was seen last",
            ),
            (best_longest, "Of equal counts this prefers the longer text"),
            (best_shortest, "Three pairs occur 4 times"),
            (best_shortest_right_part, "The left parts are equal, so the right ones decide"),
            (best_joined, "Of equal counts this compares the joined bytes"),
            (best_smallest, "The count is the highest, but of equal counts this takes the smaller pair"),
            (best_unweighted, "This counts every distinct word once"),
            (best_once_a_word, "bbb holds b + b twice"),
            (best_across_words, "bbb holds b + b twice. A word of one token has no pair."),
            (best_merged, "e + s and s + t both occur"),
            (best_with_count, "e + s and s + t both occur"),
        ),
    ),
    "tok-count-changes": Answers(
        right=(changes_as_counter, changes_by_walking, changes_deleting_zeros),
        wrong=(
            (changes_with_zeros, "Right, but pairs that did not change are listed with 0"),
            (changes_by_minus, "This is what is gained"),
            (changes_lost, "This is what is lost"),
            (changes_turned, "The signs are turned round"),
            (changes_once, "Right for a word that occurs once"),
            (changes_of_the_pair, "The merged pair is gone, but its neighbours"),
            (changes_of_the_others, "The neighbours are right. The merged pair itself"),
            (changes_neighbour_by_neighbour, "a + a occurs three times, overlapping"),
            (changes_always_right_neighbour, "e + st is gone. So is w + e"),
            (changes_as_pairs, "e + st is gone. So is w + e"),
        ),
    ),
}

test_right_answers_pass, test_wrong_answers_are_explained, test_there_are_enough = run_tables(ANSWERS)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    "length",
    [
        lambda left, right: len(left),
        lambda left, right: len(right),
        lambda left, right: len(left + right),
        lambda left, right: max(len(left), len(right)),
        lambda left, right: min(len(left), len(right)),
    ],
    ids=["left", "right", "both", "longer", "shorter"],
)
def test_no_length_may_break_a_tie(length: Callable[[bytes, bytes], int], sign: int) -> None:
    def answer(words: Mapping[Word, int]) -> Pair:
        counts = _counts(words)
        return max(counts, key=lambda pair: (counts[pair], sign * length(*pair), pair))

    with pytest.raises(exercises.CheckError):
        exercises.check("tok-best-pair", answer)
