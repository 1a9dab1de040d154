"""Right and wrong answers to chapter 1's exercise on a whole trainer, and the time that it allows."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from course_lib.chapters.ch01_tokenizer.exercises.trainer import PATIENCE, TRAIN
from course_lib.lab.measure import cpu_seconds
from course_lib.tokenizer import reference
from tests.exercises.answers import Answers, run_tables

Pair = tuple[bytes, bytes]
Words = Mapping[bytes, int]
Choose = Callable[[Mapping[Pair, int]], Pair]


def best(counts: Mapping[Pair, int]) -> Pair:
    return max(counts, key=lambda pair: (counts[pair], pair))


def train_with_sets(words: Words, num_merges: int, choose: Choose = best) -> list[Pair]:
    split = {word: [bytes([byte]) for byte in word] for word in words}
    counts: Counter[Pair] = Counter()
    holds = defaultdict(set)
    for word, tokens in split.items():
        for pair in pairwise(tokens):
            counts[pair] += words[word]
            holds[pair].add(word)
    merges: list[Pair] = []
    while len(merges) < num_merges and counts:
        pair = choose(counts)
        merges.append(pair)
        for word in holds.pop(pair):
            before, after = split[word], list(reference.merge(split[word], pair))
            for old in pairwise(before):
                counts[old] -= words[word]
            for new in pairwise(after):
                counts[new] += words[word]
                holds[new].add(word)
            split[word] = after
            for old in pairwise(before):
                if not counts[old]:
                    del counts[old]
    return merges


def train_with_exercise_2(words: Words, num_merges: int) -> list[list[bytes]]:
    """With the answers to exercises 1 and 2; stale entries of the index are skipped, and pairs are lists."""
    tokens = [tuple(word[i : i + 1] for i in range(len(word))) for word in words]
    numbers = list(words.values())
    counts: dict[Pair, int] = {}
    index: dict[Pair, list[int]] = {}
    for place, word in enumerate(tokens):
        for pair in pairwise(word):
            counts[pair] = counts.get(pair, 0) + numbers[place]
            index.setdefault(pair, []).append(place)
    merges = []
    for _ in range(num_merges):
        alive = {pair: count for pair, count in counts.items() if count}
        if not alive:
            break
        pair = max((count, pair) for pair, count in alive.items())[1]
        merges.append(list(pair))
        for place in set(index[pair]):
            after = reference.merge(tokens[place], pair)
            change = Counter(pairwise(after))
            change.subtract(pairwise(tokens[place]))
            for changed, times in change.items():
                counts[changed] = counts.get(changed, 0) + times * numbers[place]
                index.setdefault(changed, []).append(place)
            tokens[place] = after
    return merges


def train_with_a_heap(words: Words, num_merges: int) -> list[Pair]:
    state = reference.WordIndex(words)
    heap = reference.LazyMaxHeap(state.pair_counts)
    merges: list[Pair] = []
    while len(merges) < num_merges and (pair := heap.pop()):
        for changed in state.merge(pair):
            if pair[0] + pair[1] in changed and changed in state.pair_counts:
                heap.raised(changed)
        merges.append(pair)
    return merges


def train_naive(words: Words, num_merges: int) -> list[Pair]:
    split = {tuple(bytes([byte]) for byte in word): count for word, count in words.items()}
    merges: list[Pair] = []
    while len(merges) < num_merges:
        counts: Counter[Pair] = Counter()
        for word, count in split.items():
            for pair in pairwise(word):
                counts[pair] += count
        if not counts:
            break
        merges.append(best(counts))
        split = {reference.merge(word, merges[-1]): count for word, count in split.items()}
    return merges


def train_without_an_index(words: Words, num_merges: int) -> list[Pair]:
    """Corrects the counts, but looks for the pair in every word."""
    split = {tuple(bytes([byte]) for byte in word): count for word, count in words.items()}
    counts: Counter[Pair] = Counter()
    for word, count in split.items():
        for pair in pairwise(word):
            counts[pair] += count
    merges: list[Pair] = []
    while len(merges) < num_merges and counts:
        pair = best(counts)
        merges.append(pair)
        for word in [word for word in split if pair in pairwise(word)]:
            after = reference.merge(word, pair)
            count = split.pop(word)
            split[after] = count
            for old in pairwise(word):
                counts[old] -= count
            for new in pairwise(after):
                counts[new] += count
        counts = +counts
    return merges


def train_first_of_equals(words: Words, num_merges: int) -> list[Pair]:
    return train_with_sets(words, num_merges, lambda counts: max(counts, key=counts.__getitem__))


def train_smallest_of_equals(words: Words, num_merges: int) -> list[Pair]:
    return train_with_sets(
        words, num_merges, lambda counts: sorted(counts, key=lambda pair: (-counts[pair], pair))[0]
    )


def train_longest_of_equals(words: Words, num_merges: int) -> list[Pair]:
    return train_with_sets(
        words,
        num_merges,
        lambda counts: max(counts, key=lambda pair: (counts[pair], len(b"".join(pair)), pair)),
    )


def train_unweighted(words: Words, num_merges: int) -> list[Pair]:
    return train_with_sets(dict.fromkeys(words, 1), num_merges)


def train_tokens(words: Words, num_merges: int) -> list[bytes]:
    return [left + right for left, right in train_with_sets(words, num_merges)]


def train_most_frequent_bytes(words: Words, num_merges: int) -> list[Pair]:
    counts: Counter[Pair] = Counter()
    for word, count in words.items():
        for left, right in pairwise(word):
            counts[bytes([left]), bytes([right])] += count
    return heapq.nlargest(num_merges, counts, key=lambda pair: (counts[pair], pair))


def train_keeping_zeros(words: Words, num_merges: int) -> list[Pair]:
    """Goes on with pairs that are gone."""
    state = reference.WordIndex(words)
    gone: Counter[Pair] = Counter()
    merges = []
    for _ in range(num_merges):
        counts = {**gone, **state.pair_counts}
        pair = best(counts)
        merges.append(pair)
        gone[pair] = 0
        if pair in state.pair_counts:
            state.merge(pair)
    return merges


def train_one_too_many(words: Words, num_merges: int) -> list[Pair]:
    return train_with_sets(words, num_merges + 1)


def train_emptying_the_words(words: dict[bytes, int], num_merges: int) -> list[Pair]:
    merges = train_with_sets(dict(words), num_merges)
    words.clear()
    return merges


def train_forgets_neighbours(words: Words, num_merges: int) -> list[Pair]:
    """The new pairs are counted; the old ones beside the merge keep their counts."""
    split = {word: tuple(bytes([byte]) for byte in word) for word in words}
    counts: Counter[Pair] = Counter()
    for word, tokens in split.items():
        for pair in pairwise(tokens):
            counts[pair] += words[word]
    merges: list[Pair] = []
    while len(merges) < num_merges and counts:
        pair = best(counts)
        merges.append(pair)
        for word in words:
            if pair in [*pairwise(split[word])]:
                split[word] = reference.merge(split[word], pair)
                for new in pairwise(split[word]):
                    if pair[0] + pair[1] in new:
                        counts[new] += words[word]
        del counts[pair]
    return merges


ANSWERS = {
    "tok-train": Answers(
        right=(train_with_sets, train_with_exercise_2, train_with_a_heap),
        wrong=(
            (train_naive, "Our incremental trainer takes an 8th of that time"),
            (train_without_an_index, "Our incremental trainer takes an 8th of that time"),
            (train_first_of_equals, "e + s and s + t both occur 9 times; of equals the greater pair wins"),
            (train_smallest_of_equals, "Of pairs with equal counts this takes the smaller one"),
            (train_longest_of_equals, "The compiled engine learns other merges. Are ties"),
            (train_unweighted, "This counts every distinct word once"),
            (train_tokens, "These are the right tokens. The list should hold the pairs"),
            (train_most_frequent_bytes, "These are the most frequent pairs of bytes, counted once"),
            (train_keeping_zeros, "a + a makes aa aa, which makes aaaa"),
            (train_one_too_many, "e + s and s + t both occur 9 times"),
            (train_forgets_neighbours, "The new pairs are counted, but the old ones"),
            (train_emptying_the_words, "Whoever called the function still needs its arguments"),
        ),
    ),
}

test_right_answers_pass, test_wrong_answers_are_explained, test_there_are_enough = run_tables(ANSWERS)


def test_the_limit_tells_the_incremental_trainer_from_the_others() -> None:
    """Ratios of computing times in this process: far from the limit on both sides."""
    *_, (words, num_merges) = (case.arguments for case in TRAIN.cases())
    times: dict[Any, float] = {
        train: cpu_seconds(lambda: train(words, num_merges))[0]  # noqa: B023
        for train in (train_with_sets, train_with_a_heap, train_with_exercise_2, train_without_an_index)
    }
    ours = min(times.values())
    assert max(times[train_with_sets], times[train_with_exercise_2]) < PATIENCE / 2 * ours
    assert times[train_without_an_index] > 1.5 * PATIENCE * ours
    limits = [case.at_most_seconds for case in TRAIN.cases()]
    assert limits[:-1] == [None] * (len(limits) - 1)
    assert PATIENCE * ours / 3 < (limits[-1] or 0) < 3 * PATIENCE * ours
