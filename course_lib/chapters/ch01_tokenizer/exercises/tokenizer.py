"""The exercises of chapter 1, Tokenizer, on vocabulary size and BPE.

Results come from numbers worked out by hand, from the compiled engine, and from brute force.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping

from course_lib.answers.checking import Case, Exercise, Mistake
from course_lib.tokenizer import pretokenize, train_bpe
from course_lib.tokenizer.reference import Pair, Word, merge, split_bytes

TEXTS = (
    "she sells sea shells by the sea shore, the shells she sells are sea shells for sure",
    "跟我学习语文，跟我来。学习，学习，再学习。",
    "how much wood would a woodchuck chuck if a woodchuck could chuck wood",
)

# --- half of the parameters -------------------------------------------------------------------------------------------


def _half_vocab_cases() -> Iterator[Case]:
    # Solve tables · V · d = 12 · L · d² for V; by hand.
    yield Case(
        (64, 1, True), 768.0, "One layer of width 64 has 12 · 64 · 64 parameters, as many as 768 rows of 64."
    )
    yield Case((768, 12, True), 110_592.0, "Each of the 12 layers is worth 12 · 768 rows.")
    yield Case((768, 12, False), 55_296.0, "Untied, there are two tables: half as many rows in each.")
    yield Case(
        (4096, 32, False), 786_432.0, "The wider and deeper the model, the later its vocabulary weighs."
    )


EMBEDDING_HALF = Exercise(
    id="tok-half-embedding",
    chapter=1,
    cases=_half_vocab_cases,
    hint="Write both sides down: tables times V times d for embedding and output head, 12 times L times d times d for "
    "the layers. At one half they are equal. Then solve for V; one d cancels.",
    mistakes=(
        Mistake(
            lambda d_model, num_layers, tied: 12 * num_layers * d_model,
            "An untied model has two tables of V rows: the embedding and the output head.",
        ),
        Mistake(
            lambda d_model, num_layers, tied: 12 * num_layers * d_model / 2,
            "A tied model has one table of V rows, which is embedding and output head at once.",
        ),
        Mistake(
            lambda d_model, num_layers, tied: 12 * num_layers * d_model / (2 if tied else 1),
            "The other way round: tied, embedding and output head share one table; untied, there are two.",
        ),
        Mistake(
            lambda d_model, num_layers, tied: 6 * num_layers * d_model / (1 if tied else 2),
            "Here the tables hold half as much as the layers, a third of all. They are to hold as much as the layers.",
        ),
        Mistake(
            lambda d_model, num_layers, tied: 12 * num_layers * d_model**2 / (1 if tied else 2),
            "These are the parameters of the layers. A row of the table has d numbers: divide by d.",
        ),
        Mistake(
            lambda d_model, num_layers, tied: 12 * d_model / (1 if tied else 2),
            "This is for a single layer; there are num_layers of them.",
        ),
    ),
)

# --- the best pair ----------------------------------------------------------------------------------------------------


def _best_pair_cases() -> Iterator[Case]:
    sennrich = {"low": 5, "lower": 2, "newest": 6, "widest": 3}
    yield Case(
        ({split_bytes(word.encode()): count for word, count in sennrich.items()},),
        (b"s", b"t"),
        "e + s and s + t both occur 6 + 3 = 9 times; (b's', b't') is the greater pair.",
    )
    yield Case(
        ({(b"x", b"y"): 1, (b"a", b"b"): 7, (b"x", b"y", b"z"): 3},),
        (b"a", b"b"),
        "a + b is in one word, but that word occurs 7 times; x + y occurs 1 + 3 times.",
    )
    yield Case(
        ({(b"a", b"bc"): 2, (b"ab", b"b"): 2},),
        (b"ab", b"b"),
        "Tuples of bytes are compared part by part: b'ab' is greater than b'a', whatever follows.",
    )
    yield Case(
        ({(b"th", b"e"): 4, (b"q", b"u"): 4, (b"i", b"ng"): 4},),
        (b"th", b"e"),
        "Three pairs occur 4 times; b'th' is greater than b'q' and b'i'.",
    )
    yield Case(
        ({(b"z", b"a"): 5, (b"the", b"re"): 5, (b"z", b""): 1, (b"c", b"d"): 5},),
        (b"z", b"a"),
        "b'z' is greater than b'the': bytes are compared one by one, and the longer text does not win.",
    )
    yield Case(
        ({(b"a",): 9, (b"b", b"b", b"b"): 2, (b"c", b"b"): 3},),
        (b"b", b"b"),
        "bbb holds b + b twice. A word of one token has no pair.",
    )
    yield Case(
        ({(b"st", b"e"): 5, (b"st", b"ep"): 5, (b"st", b"a"): 5, (b"st", b"arch"): 5},),
        (b"st", b"ep"),
        "The left parts are equal, so the right ones decide: b'ep' is greater than b'e', with which it begins.",
    )
    yield Case(
        ({(b"\xff", b"a"): 1, (b"z", b"a"): 1},), (b"\xff", b"a"), "Bytes above 127 are greater than letters."
    )
    for text in TEXTS:
        words = Counter(split_bytes(word.encode()) for word in pretokenize(text))
        yield Case(
            (dict(words),),
            train_bpe([text], 257).merges[0],
            "The compiled trainer finds another pair first.",
        )


def _count_pairs(words: Mapping[Word, int], *, by_word: bool = False) -> Counter[Pair]:
    counts: Counter[Pair] = Counter()
    for word, count in words.items():
        for pair in itertools.pairwise(word):
            counts[pair] += 1 if by_word else count
    return counts


def _first_of_equals(words: Mapping[Word, int]) -> Pair:
    return _count_pairs(words).most_common(1)[0][0]


def _smallest_of_equals(words: Mapping[Word, int]) -> Pair:
    counts = _count_pairs(words)
    return min(counts, key=lambda pair: (-counts[pair], pair))


def _greatest_text_of_equals(words: Mapping[Word, int]) -> Pair:
    counts = _count_pairs(words)
    return max(counts, key=lambda pair: (counts[pair], pair[0] + pair[1]))


def _last_of_equals(words: Mapping[Word, int]) -> Pair:
    counts = _count_pairs(words)
    return max(reversed(counts), key=counts.__getitem__)


def _longest_of_equals(words: Mapping[Word, int]) -> Pair:
    counts = _count_pairs(words)
    return max(counts, key=lambda pair: (counts[pair], len(pair[0] + pair[1]), pair))


def _words_counted_once(words: Mapping[Word, int]) -> Pair:
    counts = _count_pairs(words, by_word=True)
    return max(counts, key=lambda pair: (counts[pair], pair))


BEST_PAIR = Exercise(
    id="tok-best-pair",
    chapter=1,
    cases=_best_pair_cases,
    hint="Count with a Counter, adding each word's count for each of its neighbours (itertools.pairwise gives them). "
    "Then max with a key: Python compares tuples from left to right, so (count, pair) settles ties as well.",
    mistakes=(
        Mistake(
            _first_of_equals,
            "The count is the highest, but of equal counts this takes the pair that was seen first: the result then "
            "depends on the order of the words. The rule: the lexicographically greater pair.",
        ),
        Mistake(
            _last_of_equals,
            "The count is the highest, but of equal counts this takes the pair that was seen last: the result then "
            "depends on the order of the words. The rule: the lexicographically greater pair.",
        ),
        Mistake(
            _longest_of_equals,
            "Of equal counts this prefers the longer text. The rule compares the pairs as Python does, whatever their "
            "length.",
        ),
        Mistake(
            _smallest_of_equals,
            "The count is the highest, but of equal counts this takes the smaller pair. The rule: the greater one.",
        ),
        Mistake(
            _greatest_text_of_equals,
            "Of equal counts this compares the joined bytes. The rule compares the pairs: first their left parts, "
            "then their right parts.",
        ),
        Mistake(
            _words_counted_once,
            "This counts every distinct word once. A word that occurs 7 times counts 7 times for each of its pairs.",
        ),
    ),
)

# --- what a merge changes ---------------------------------------------------------------------------------------------


def _count_changes_cases() -> Iterator[Case]:
    yield Case(
        ((b"n", b"e", b"w", b"e", b"st"), (b"e", b"st"), 6),
        {(b"e", b"st"): -6, (b"w", b"e"): -6, (b"w", b"est"): 6},
        "e + st is gone. So is w + e before it: the e is part of est now, and w has a new neighbour.",
    )
    yield Case(
        ((b"l", b"o", b"w"), (b"o", b"w"), 1),
        {(b"o", b"w"): -1, (b"l", b"o"): -1, (b"l", b"ow"): 1},
        "The pair at the end of a word has no right neighbour.",
    )
    yield Case(((b"l", b"o", b"w"), (b"w", b"o"), 3), {}, "The pair is not in the word: nothing changes.")
    yield Case(
        ((b"a", b"a", b"a", b"a"), (b"a", b"a"), 1),
        {(b"a", b"a"): -3, (b"aa", b"aa"): 1},
        "a + a occurs three times, overlapping; the merges make aa + aa, one pair.",
    )
    yield Case(
        ((b"a", b"b", b"a", b"b", b"c"), (b"a", b"b"), 2),
        {(b"a", b"b"): -4, (b"b", b"a"): -2, (b"b", b"c"): -2, (b"ab", b"ab"): 2, (b"ab", b"c"): 2},
        "Two merges side by side: each is the other's neighbour.",
    )
    for text in TEXTS:
        words = {split_bytes(word.encode()) for word in pretokenize(text)}
        for word in sorted(words, key=lambda word: (len(word), word))[-2:]:
            for pair in sorted(set(itertools.pairwise(word)))[:4]:
                yield Case(
                    (word, pair, 3),
                    _recounted(word, pair, 3),
                    "Count the word's pairs before and after the merge: the difference is something else.",
                )


def _recounted(word: Word, pair: Pair, count: int) -> dict[Pair, int]:
    """Brute force: the difference between two full counts."""
    before = Counter(itertools.pairwise(word))
    after = Counter(itertools.pairwise(merge(word, pair)))
    difference = {key: (after[key] - before[key]) * count for key in before | after}
    return {key: change for key, change in difference.items() if change}


def _only_the_pair(word: Word, pair: Pair, count: int) -> dict[Pair, int]:
    times = Counter(itertools.pairwise(word))[pair]
    return {pair: -times * count} if times else {}


def _changes_once(word: Word, pair: Pair, _: int) -> dict[Pair, int]:
    return _recounted(word, pair, 1)


def _changes_with_zeros(word: Word, pair: Pair, count: int) -> dict[Pair, int]:
    pairs = {*itertools.pairwise(word), *itertools.pairwise(merge(word, pair))}
    return {key: _recounted(word, pair, count).get(key, 0) for key in pairs}


def _without_the_pair(word: Word, pair: Pair, count: int) -> dict[Pair, int]:
    return {key: change for key, change in _recounted(word, pair, count).items() if key != pair}


def _only_what_is_lost(word: Word, pair: Pair, count: int) -> dict[Pair, int]:
    return {key: change for key, change in _recounted(word, pair, count).items() if change < 0}


def _only_what_is_gained(word: Word, pair: Pair, count: int) -> dict[Pair, int]:
    return {key: change for key, change in _recounted(word, pair, count).items() if change > 0}


def _signs_turned(word: Word, pair: Pair, count: int) -> dict[Pair, int]:
    return {key: -change for key, change in _recounted(word, pair, count).items()}


COUNT_CHANGES = Exercise(
    id="tok-count-changes",
    chapter=1,
    cases=_count_changes_cases,
    hint="reference.merge makes the merge. A Counter of itertools.pairwise before, another one after, and subtract(): "
    "the rest is multiplying by the word's count and leaving out what did not change. (Counter's minus sign would drop "
    "the negative changes.)",
    mistakes=(
        Mistake(
            _only_the_pair,
            "The merged pair is gone, but its neighbours are touched as well: the pairs on both sides lose an "
            "occurrence, and the new token makes new pairs.",
        ),
        Mistake(_without_the_pair, "The neighbours are right. The merged pair itself also disappears."),
        Mistake(
            _only_what_is_lost,
            "This is what is lost; the new token has neighbours, and those pairs are gained.",
        ),
        Mistake(
            _only_what_is_gained,
            "This is what is gained; the pairs that disappear are missing. (A Counter's + and - drop what is not "
            "positive; subtract() keeps both signs.)",
        ),
        Mistake(_signs_turned, "The signs are turned round: what a merge takes away is negative."),
        Mistake(_changes_once, "Right for a word that occurs once. This one occurs count times: multiply."),
        Mistake(
            _changes_with_zeros,
            "Right, but pairs that did not change are listed with 0: leave them out. A trainer that visits them would "
            "do work for nothing.",
        ),
    ),
)

EXERCISES = (EMBEDDING_HALF, BEST_PAIR, COUNT_CHANGES)
