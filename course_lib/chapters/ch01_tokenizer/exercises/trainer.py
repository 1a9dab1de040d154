"""The exercise of chapter 1 on a whole trainer. Results: hand calculation and the compiled engine."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

from course_lib import _bpe
from course_lib.answers.checking import Case, Exercise, Mistake
from course_lib.chapters.ch01_tokenizer.exercises.tokenizer import TEXTS
from course_lib.lab.measure import cpu_seconds
from course_lib.tokenizer import pretokenize
from course_lib.tokenizer.reference import Pair, WordIndex, merge
from course_lib.tokenizer.training import learn_merges

Words = Mapping[bytes, int]

PATIENCE = 8.0
"""How many times as long as ours an answer may take on the long case. Counting all words again takes 60 to 120 times as
long, counting once but looking for the pair in every word about 20 times."""

_LETTERS = "абвгдежзиклмнопрстуфхцчшыэюя"


def _cases() -> Iterator[Case]:
    yield Case(
        ({b"low": 5, b"lower": 2, b"newest": 6, b"widest": 3}, 3),
        [(b"s", b"t"), (b"e", b"st"), (b"o", b"w")],
        "e + s and s + t both occur 9 times; of equals the greater pair wins: s + t. Then e + st, 9 times; then "
        "l + o and o + w, both 7 times.",
    )
    yield Case(
        ({b"aaaa": 1, b"b": 50}, 3),
        [(b"a", b"a"), (b"aa", b"aa")],
        "a + a makes aa aa, which makes aaaa. Then no pair is left: return the two merges that there are. b is a "
        "word without pairs.",
    )
    yield Case(({b"": 3, b"xy": 1}, 0), [], "Without merges to learn, the list is empty.")
    yield Case(
        ({b"abab": 2, b"bab": 3}, 2),
        [(b"a", b"b"), (b"b", b"ab")],
        "a + b occurs 2 + 2 + 3 = 7 times. After it, abab is ab + ab, and bab is b + ab, which occurs 3 times. The "
        "count of b + a must have fallen to 0.",
    )
    for text in TEXTS:
        counted = Counter(word.encode() for word in pretokenize(text))
        yield Case(
            (dict(counted), 25),
            _by_engine(counted, 25),
            "The compiled engine learns other merges. Are ties settled as in exercise 1? And are the counts, after "
            "each merge, those of the words as they are split now?",
        )
    words, num_merges = _long_tail()
    spent, _ = cpu_seconds(lambda: _incremental(words, num_merges))
    yield Case(
        (words, num_merges),
        _by_engine(words, num_merges),
        f"Our incremental trainer takes an {PATIENCE:.0f}th of that time. Most of these {len(words):,} words hold none "
        "of the merged pairs: count once, note for each pair the words that hold it, and touch only those.",
        at_most_seconds=float(f"{PATIENCE * spent:.2g}"),
    )


def _long_tail() -> tuple[dict[bytes, int], int]:
    """Frequent words, a long tail of rare ones that share no pair with them, and a number of merges."""
    chance = random.Random(0)
    rare = {"".join(chance.choices(_LETTERS, k=chance.randint(6, 9))) for _ in range(6_000)}
    frequent = sorted({word for text in TEXTS for word in pretokenize(text)})
    made_up = sorted({"".join(chance.choices("aeilnorst", k=chance.randint(4, 8))) for _ in range(300)})
    words = {word: 1_000_000 + 1_000 * number for number, word in enumerate([*frequent, *made_up])}
    return {word.encode(): count for word, count in (words | dict.fromkeys(sorted(rare), 1)).items()}, 250


def _by_engine(words: Words, num_merges: int) -> list[Pair]:
    counts = _bpe.WordCounts(None, [])
    for word, count in words.items():
        counts.add(word, count)
    return learn_merges(counts, num_merges).merges


def _trainer(
    choose: Callable[[Mapping[Pair, int]], Pair], index: type[WordIndex] = WordIndex
) -> Callable[[Words, int], list[Pair]]:
    """An incremental trainer that takes the pair that ``choose`` picks from the counts."""

    def train(words: Words, num_merges: int) -> list[Pair]:
        state = index(words)
        merges: list[Pair] = []
        while len(merges) < num_merges and state.pair_counts:
            merges.append(choose(state.pair_counts))
            state.merge(merges[-1])
        return merges

    return train


def _best(counts: Mapping[Pair, int]) -> Pair:
    return max(counts, key=lambda pair: (counts[pair], pair))


class _EveryWordOnce(WordIndex):
    def __init__(self, word_counts: Words) -> None:
        super().__init__(dict.fromkeys(word_counts, 1))


class _OnlyThePair(WordIndex):
    """Forgets that a merge also changes the pairs beside it."""

    def merge(self, best: Pair, work: Counter[str] | None = None) -> set[Pair]:
        for index in self.words_with.pop(best):
            self.words[index] = merge(self.words[index], best)
            for pair in pairwise(self.words[index]):
                if best[0] + best[1] in pair:
                    self.pair_counts[pair] += self.word_counts[index]
                    self.words_with[pair].add(index)
        del self.pair_counts[best]
        return set()


_incremental = _trainer(_best)


def _counted_once(words: Words, num_merges: int) -> list[Pair]:
    """The most frequent pairs of bytes, without merging anything."""
    counts = WordIndex(words).pair_counts
    return sorted(counts, key=lambda pair: (counts[pair], pair), reverse=True)[:num_merges]


TRAIN = Exercise(
    id="tok-train",
    chapter=1,
    cases=_cases,
    hint="Three tables: each word as a list of tokens, the count of each pair, and for each pair the set of words that "
    "hold it (a defaultdict(set)). In the loop: the best pair as in exercise 1; for each word that holds it, correct "
    "the counts as in exercise 2, and note the word at its new pairs. Delete pairs whose count is 0, or max will pick "
    "them when nothing is left.",
    mistakes=(
        Mistake(
            _trainer(lambda counts: min(counts, key=lambda pair: (-counts[pair], pair))),
            "Of pairs with equal counts this takes the smaller one. The rule: the greater one.",
        ),
        Mistake(
            _trainer(_best, _EveryWordOnce),
            "This counts every distinct word once. A word that occurs 7 times counts 7 times for each of its pairs.",
        ),
        Mistake(
            _trainer(_best, _OnlyThePair),
            "The new pairs are counted, but the old ones beside a merge keep their counts: after e + st, the e no "
            "longer stands beside w. Both have to change, as in exercise 2.",
        ),
        Mistake(
            _counted_once,
            "These are the most frequent pairs of bytes, counted once. After each merge the words are split anew, and "
            "the next pair may hold the new token.",
        ),
        Mistake(
            lambda words, num_merges: [left + right for left, right in _incremental(words, num_merges)],
            "These are the right tokens. The list should hold the pairs that were merged: (b's', b't'), not b'st'.",
        ),
    ),
)

EXERCISES = (TRAIN,)
