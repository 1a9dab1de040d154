"""What a reader of chapter 1 might write."""

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from course_lib.tokenizer import reference
from tests.exercises.answers import Answers, run_tables

Word = tuple[bytes, ...]
Pair = tuple[bytes, bytes]

# --- half of the parameters -------------------------------------------------------------------------------------------


def half_as_fraction(d: int, layers: int, tied: bool) -> Fraction:
    return Fraction(12 * layers * d, 2 - tied)


def half_in_float32(d: int, layers: int, tied: bool) -> torch.Tensor:
    return torch.tensor(12.0 * layers) * d**2 / (d * torch.tensor(1.0 if tied else 2.0))


def half_by_bisection(d: int, layers: int, tied: bool) -> float:
    low, high = 0.0, 1e9
    while high - low > 1e-7 * high:
        middle = (low + high) / 2
        tables = middle * d * (1 if tied else 2)
        low, high = (middle, high) if tables < 12 * layers * d * d else (low, middle)
    return high


def half_in_integers(d: int, layers: int, tied: bool) -> np.int64:
    return np.int64(12 * layers * d // (1 if tied else 2))


def half_untied_forgotten(d: int, layers: int, tied: bool) -> float:
    return 12 * layers * d


def half_tied_forgotten(d: int, layers: int, tied: bool) -> float:
    return 12 * layers * d / 2


def half_swapped(d: int, layers: int, tied: bool) -> float:
    return 12 * layers * d / (2 if tied else 1)


def half_multiplied(d: int, layers: int, tied: bool) -> float:
    return 12 * layers * d * (1 if tied else 2)


def half_of_the_layers(d: int, layers: int, tied: bool) -> float:
    return 0.5 * 12 * layers * d / (1 if tied else 2)


def half_without_dividing(d: int, layers: int, tied: bool) -> int:
    return 12 * layers * d**2 // (1 if tied else 2)


def half_of_one_layer(d: int, layers: int, tied: bool) -> int:
    return 12 * d // (1 if tied else 2)


def half_is_unknown(d: int, layers: int, tied: bool) -> float:
    return 12 * layers * d / len(tied)  # type: ignore[arg-type]


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


# --- encoding ---------------------------------------------------------------------------------------------------------


def encode_by_index(word: bytes, merges: list[Pair]) -> list[bytes]:
    tokens = [word[i : i + 1] for i in range(len(word))]
    while True:
        known = [pair for pair in pairwise(tokens) if pair in merges]
        if not known:
            return tokens
        best = min(known, key=merges.index)
        i = [*pairwise(tokens)].index(best)
        tokens = [*tokens[:i], best[0] + best[1], *tokens[i + 2 :]]


def encode_recursively(word: bytes, merges: list[Pair]) -> Word:
    def step(tokens: Word) -> Word:
        for pair in merges:
            if pair in pairwise(tokens):
                return step(reference.merge(tokens, pair))
        return tokens

    return step(tuple(bytes([byte]) for byte in word))


def encode_restarting(word: bytes, merges: list[Pair]) -> list[bytes]:
    tokens = [bytes([byte]) for byte in word]
    place = 0
    while place < len(merges):
        left, right = merges[place]
        for i in range(len(tokens) - 1):
            if (tokens[i], tokens[i + 1]) == (left, right):
                tokens[i : i + 2] = [left + right]
                place = -1
                break
        place += 1
    return tokens


def encode_left_to_right(word: bytes, merges: list[Pair]) -> list[bytes]:
    tokens = [bytes([byte]) for byte in word]
    i = 0
    while i < len(tokens) - 1:
        if (tokens[i], tokens[i + 1]) in merges:
            tokens[i : i + 2] = [tokens[i] + tokens[i + 1]]
            i = 0
        else:
            i += 1
    return tokens


def encode_last_first(word: bytes, merges: list[Pair]) -> Word:
    tokens = reference.split_bytes(word)
    while known := [pair for pair in pairwise(tokens) if pair in merges]:
        tokens = reference.merge(tokens, max(known, key=merges.index))
    return tokens


def encode_like_tiktoken(word: bytes, merges: list[Pair]) -> list[bytes]:
    ranks: dict[bytes, int] = {}
    for rank, (left, right) in enumerate(merges):
        ranks.setdefault(left + right, rank)
    parts = [bytes([byte]) for byte in word]
    while True:
        found = [(ranks[a + b], i) for i, (a, b) in enumerate(pairwise(parts)) if a + b in ranks]
        if not found:
            return parts
        i = min(found)[1]
        parts[i : i + 2] = [parts[i] + parts[i + 1]]


def encode_whole_word(word: bytes, merges: list[Pair]) -> list[bytes]:
    if any(left + right == word for left, right in merges):
        return [word]
    return encode_by_index(word, merges)


def encode_longest_match(word: bytes, merges: list[Pair]) -> list[bytes]:
    vocabulary = {a + b for a, b in merges} | {bytes([b]) for b in range(256)}
    tokens = []
    while word:
        size = max(n for n in range(1, len(word) + 1) if word[:n] in vocabulary)
        tokens.append(word[:size])
        word = word[size:]
    return tokens


def encode_list_once(word: bytes, merges: list[Pair]) -> Word:
    tokens = reference.split_bytes(word)
    for pair in merges:
        tokens = reference.merge(tokens, pair)
    return tokens


def encode_one_merge(word: bytes, merges: list[Pair]) -> Word:
    tokens = reference.split_bytes(word)
    for pair in merges:
        if pair in pairwise(tokens):
            return reference.merge(tokens, pair)
    return tokens


def encode_first_candidates(word: bytes, merges: list[Pair]) -> Word:
    tokens = reference.split_bytes(word)
    for pair in [pair for pair in merges if pair in pairwise(tokens)]:
        tokens = reference.merge(tokens, pair)
    return tokens


def encode_from_the_right(word: bytes, merges: list[Pair]) -> list[bytes]:
    tokens = [bytes([byte]) for byte in word]
    while True:
        known = [(merges.index(pair), -i) for i, pair in enumerate(pairwise(tokens)) if pair in merges]
        if not known:
            return tokens
        i = -min(known)[1]
        tokens[i : i + 2] = [tokens[i] + tokens[i + 1]]


def encode_nothing_empty(word: bytes, merges: list[Pair]) -> Word:
    tokens = reference.split_bytes(word)
    while True:
        best = min(pairwise(tokens), key=lambda pair: merges.index(pair) if pair in merges else math.inf)
        if best not in merges:
            return tokens
        tokens = reference.merge(tokens, best)


def encode_unknown(word: bytes, merges: list[Pair]) -> Word:
    tokens = reference.split_bytes(word)
    while len(tokens) > 1:
        tokens = reference.merge(tokens, min(pairwise(tokens), key=merges.index))
    return tokens


def encode_integers(word: bytes, merges: list[Pair]) -> list[int]:
    return list(word)


# --- Unigram ----------------------------------------------------------------------------------------------------------


def viterbi_with_ways(word: str, scores: Mapping[str, float]) -> list[str]:
    best: list[tuple[float, list[str]]] = [(0.0, [])]
    for end in range(1, len(word) + 1):
        ways = [
            (best[start][0] + scores[word[start:end]], [*best[start][1], word[start:end]])
            for start in range(end)
            if word[start:end] in scores and best[start]
        ]
        best.append(max(ways, default=()))  # type: ignore[arg-type]
    return best[-1][1]


def viterbi_remembering(word: str, scores: Mapping[str, float]) -> Word:
    @cache
    def rest(start: int) -> tuple[float, tuple[str, ...]]:
        if start == len(word):
            return 0.0, ()
        ways = [(-math.inf, ())]
        for end in range(start + 1, len(word) + 1):
            if word[start:end] in scores:
                total, pieces = rest(end)
                ways.append((scores[word[start:end]] + total, (word[start:end], *pieces)))
        return max(ways)

    return rest(0)[1]  # type: ignore[return-value]


def viterbi_with_numpy(word: str, scores: Mapping[str, float]) -> np.ndarray:
    best = np.full(len(word) + 1, -np.inf, dtype=np.float32)
    best[0], back = 0, np.zeros(len(word) + 1, dtype=int)
    for start, (piece, score) in itertools.product(range(len(word)), scores.items()):
        end = start + len(piece)
        if word.startswith(piece, start) and best[start] + score > best[end]:
            best[end], back[end] = best[start] + score, start
    cuts = [len(word)]
    while cuts[-1]:
        cuts.append(int(back[cuts[-1]]))
    return np.array([word[a:b] for a, b in pairwise(cuts[::-1])])


def _all_ways(word: str, scores: Mapping[str, float]) -> Any:
    if not word:
        yield []
    for size in range(1, len(word) + 1):
        if word[:size] in scores:
            for way in _all_ways(word[size:], scores):
                yield [word[:size], *way]


def viterbi_every_way(word: str, scores: Mapping[str, float]) -> list[str]:
    return max(_all_ways(word, scores), key=lambda way: sum(scores[piece] for piece in way))


def viterbi_every_cut(word: str, scores: Mapping[str, float]) -> list[str]:
    best, best_score = [], -math.inf
    for cuts in itertools.product((0, 1), repeat=len(word) - 1):
        places = [0, *(i + 1 for i, cut in enumerate(cuts) if cut), len(word)]
        way = [word[a:b] for a, b in pairwise(places)]
        score = sum(scores.get(piece, -math.inf) for piece in way)
        if score > best_score:
            best, best_score = way, score
    return best


def viterbi_recursive(word: str, scores: Mapping[str, float]) -> list[str]:
    def rest(start: int) -> tuple[float, list[str]]:
        ways = [
            (scores[word[start:end]] + rest(end)[0], [word[start:end], *rest(end)[1]])
            for end in range(start + 1, len(word) + 1)
            if word[start:end] in scores
        ]
        return max(ways) if ways else ((0.0, []) if start == len(word) else (-math.inf, []))

    return rest(0)[1]


def viterbi_greedy(word: str, scores: Mapping[str, float]) -> list[str] | None:
    pieces = []
    while word:
        for size in range(len(word), 0, -1):
            if word[:size] in scores:
                pieces.append(word[:size])
                word = word[size:]
                break
        else:
            return None
    return pieces


def viterbi_greedy_that_raises(word: str, scores: Mapping[str, float]) -> list[str]:
    pieces = []
    while word:
        pieces.append(max((word[:n] for n in range(1, len(word) + 1) if word[:n] in scores), key=len))
        word = word[len(pieces[-1]) :]
    return pieces


def viterbi_sum_of_probabilities(word: str, scores: Mapping[str, float]) -> list[str]:
    return viterbi_remembering(word, {piece: math.exp(score) for piece, score in scores.items()})  # type: ignore[return-value]


def viterbi_sum_of_few(word: str, scores: Mapping[str, float]) -> list[str]:
    return list(viterbi_remembering(word, dict.fromkeys(scores, -1.0)))  # type: ignore[arg-type]


def viterbi_least(word: str, scores: Mapping[str, float]) -> list[str]:
    return viterbi_with_ways(word, {piece: -score for piece, score in scores.items()})


def viterbi_two(word: str, scores: Mapping[str, float]) -> list[str]:
    short = {piece: score for piece, score in scores.items() if len(piece) < 3}
    return viterbi_remembering(word, short)  # type: ignore[return-value]


def viterbi_backwards(word: str, scores: Mapping[str, float]) -> list[str]:
    return viterbi_with_ways(word, scores)[::-1]


def viterbi_mean(word: str, scores: Mapping[str, float]) -> list[str]:
    best: list[tuple[float, list[str]]] = [(0.0, [])]
    for end in range(1, len(word) + 1):
        ways = []
        for start in range(end):
            if word[start:end] in scores and best[start][0] > -math.inf:
                way = [*best[start][1], word[start:end]]
                ways.append((sum(map(scores.__getitem__, way)) / len(way), way))
        best.append(max(ways, default=(-math.inf, [])))
    return best[-1][1]


def viterbi_text(word: str, scores: Mapping[str, float]) -> str:
    return " ".join(viterbi_with_ways(word, scores))


ANSWERS = {
    "tok-half-embedding": Answers(
        right=(half_as_fraction, half_in_float32, half_by_bisection, half_in_integers),
        wrong=(
            (half_untied_forgotten, "An untied model has two tables"),
            (half_tied_forgotten, "A tied model has one table"),
            (half_swapped, "The other way round"),
            (half_multiplied, "Untied, there are two tables: half as many rows"),
            (half_of_the_layers, "Here the tables hold half as much as the layers"),
            (half_without_dividing, "These are the parameters of the layers"),
            (half_of_one_layer, "This is for a single layer"),
            (half_is_unknown, "One layer of width 64 has"),
        ),
    ),
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
    "tok-encode": Answers(
        right=(encode_by_index, encode_recursively, encode_restarting),
        wrong=(
            (encode_left_to_right, "This merges the first pair from the left"),
            (encode_last_first, "Of the pairs in the word this takes the one that comes last"),
            (encode_like_tiktoken, "This looks up the joined bytes, as tiktoken does"),
            (encode_whole_word, "This takes a word that is a token as a whole"),
            (encode_longest_match, "This takes the longest token that fits"),
            (encode_list_once, "This goes through the list once"),
            (encode_one_merge, "One merge is done, and rightly"),
            (encode_first_candidates, "This uses only pairs that were in the word at the beginning"),
            (encode_from_the_right, "a a a a a → aa aa a → aaaa a, from the left"),
            (encode_nothing_empty, "An empty word has no tokens."),
            (encode_unknown, "l + l is first in the list"),
            (encode_integers, "l + l is first in the list"),
        ),
    ),
    "tok-viterbi": Answers(
        right=(viterbi_with_ways, viterbi_remembering, viterbi_with_numpy),
        wrong=(
            (viterbi_every_way, "In about n² steps"),
            (viterbi_every_cut, "There are 2^20 ways to cut"),
            (viterbi_recursive, "There are 2^20 ways to cut"),
            (viterbi_greedy, "This takes the longest piece from the left each time"),
            (viterbi_greedy_that_raises, "h + ugs has"),
            (viterbi_sum_of_probabilities, "This adds probabilities"),
            (viterbi_sum_of_few, "h + ugs has"),
            (viterbi_least, "This is the least probable way"),
            (viterbi_two, "This tries pieces of one and two characters only"),
            (viterbi_backwards, "These are the right pieces from the end"),
            (viterbi_mean, "ab + c has -2.5"),
            (viterbi_text, "h + ugs has"),
        ),
    ),
}

test_right_answers_pass, test_wrong_answers_are_explained, test_there_are_enough = run_tables(ANSWERS)
