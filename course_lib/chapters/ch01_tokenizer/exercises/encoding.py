"""The exercise of chapter 1 on encoding with a merge list. Results: hand calculation and the compiled engine."""

import itertools
from collections.abc import Iterator, Sequence

from course_lib.answers.checking import Case, Exercise, Mistake
from course_lib.chapters.ch01_tokenizer.exercises.tokenizer import TEXTS
from course_lib.tokenizer import Tokenizer, pretokenize, train_bpe
from course_lib.tokenizer.reference import Pair, Word, merge, split_bytes

_HELLO = [(b"l", b"l"), (b"e", b"l"), (b"H", b"el"), (b"ll", b"o")]


def _encode_cases() -> Iterator[Case]:
    yield Case(
        (b"Hello", _HELLO),
        (b"H", b"e", b"llo"),
        "l + l is first in the list. After it e + l no longer exists, but ll + o does.",
    )
    yield Case((b"", _HELLO), (), "An empty word has no tokens.")
    yield Case((b"xyz", _HELLO), (b"x", b"y", b"z"), "No pair is in the list: the bytes stay.")
    yield Case(
        (b"aaaaa", [(b"a", b"a"), (b"aa", b"aa")]),
        (b"aaaa", b"a"),
        "a a a a a → aa aa a → aaaa a, from the left.",
    )
    yield Case(
        (b"abcd", [(b"c", b"d"), (b"b", b"cd"), (b"a", b"b")]),
        (b"a", b"bcd"),
        "c + d makes b + cd, which comes before a + b in the list: after each merge look at all pairs again.",
    )
    yield Case(
        (b"abc", [(b"a", b"b"), (b"b", b"c"), (b"a", b"bc")]),
        (b"ab", b"c"),
        "a + b goes first. abc is a token, but only a + bc makes it, and ab + c is not in the list.",
    )
    yield Case(
        (b"abcd", [(b"a", b"b"), (b"b", b"c"), (b"a", b"bc")]),
        (b"ab", b"c", b"d"),
        "a + b goes first, and no pair of ab + c + d is in the list.",
    )
    yield Case(
        (b"abc", [(b"ab", b"c"), (b"a", b"b")]),
        (b"abc",),
        "a + b makes ab + c. That it stands earlier in the list does not matter: it is in the list.",
    )
    yield Case(
        (b"abcd", [(b"c", b"d"), (b"a", b"b"), (b"b", b"cd")]),
        (b"ab", b"cd"),
        "c + d goes first. Then a + b comes before b + cd in the list, though b + cd makes the longer token.",
    )
    yield Case(
        (b"abcd", [(b"abc", b"d"), (b"ab", b"c"), (b"a", b"b")]),
        (b"abcd",),
        "Each merge makes the pair of the one before it in the list: look at all pairs until none is in the list.",
    )
    for text in TEXTS:
        tokenizer = train_bpe([text], 256 + 20)
        for word in [*pretokenize(text)[:6], "shellwood", "跟学我习"]:
            expected = _engine_tokens(tokenizer, word)
            yield Case(
                (word.encode(), list(tokenizer.merges)),
                expected,
                "Of the pairs in the word, merge the one that comes first in the list; look again; continue until "
                "no pair is in the list. The compiled engine does so.",
            )


def _engine_tokens(tokenizer: Tokenizer, word: str) -> Word:
    return tuple(tokenizer.vocab[token] for token in tokenizer.encode(word))


def _left_to_right(word: bytes, merges: Sequence[Pair]) -> Word:
    tokens = split_bytes(word)
    while True:
        found = next((pair for pair in itertools.pairwise(tokens) if pair in set(merges)), None)
        if found is None:
            return tokens
        place = list(itertools.pairwise(tokens)).index(found)
        tokens = (*tokens[:place], found[0] + found[1], *tokens[place + 2 :])


def _last_first(word: bytes, merges: Sequence[Pair]) -> Word:
    tokens = split_bytes(word)
    while pairs := set(itertools.pairwise(tokens)) & set(merges):
        tokens = merge(tokens, max(pairs, key=merges.index))
    return tokens


def _by_joined_bytes(word: bytes, merges: Sequence[Pair]) -> Word:
    """As tiktoken does: the rank belongs to the token that a pair makes."""
    ranks = {left + right: rank for rank, (left, right) in reversed([*enumerate(merges)])}
    tokens = split_bytes(word)
    while pairs := [pair for pair in itertools.pairwise(tokens) if pair[0] + pair[1] in ranks]:
        tokens = merge(tokens, min(pairs, key=lambda pair: ranks[pair[0] + pair[1]]))
    return tokens


def _whole_word_first(word: bytes, merges: Sequence[Pair]) -> Word:
    return (word,) if word in {left + right for left, right in merges} else _by_pairs(word, merges)


def _by_pairs(word: bytes, merges: Sequence[Pair]) -> Word:
    tokens = split_bytes(word)
    while pairs := set(itertools.pairwise(tokens)) & set(merges):
        tokens = merge(tokens, min(pairs, key=merges.index))
    return tokens


def _longest_match(word: bytes, merges: Sequence[Pair]) -> Word:
    vocabulary = {left + right for left, right in merges}
    tokens: list[bytes] = []
    while word:
        size = next((size for size in range(len(word), 1, -1) if word[:size] in vocabulary), 1)
        tokens.append(word[:size])
        word = word[size:]
    return tuple(tokens)


def _each_merge_once(word: bytes, merges: Sequence[Pair]) -> Word:
    tokens = split_bytes(word)
    for pair in merges:
        tokens = merge(tokens, pair)
    return tokens


def _only_first_candidates(word: bytes, merges: Sequence[Pair]) -> Word:
    tokens = split_bytes(word)
    present = set(itertools.pairwise(tokens))
    for pair in merges:
        if pair in present:
            tokens = merge(tokens, pair)
    return tokens


def _one_merge(word: bytes, merges: Sequence[Pair]) -> Word:
    tokens = split_bytes(word)
    present = set(itertools.pairwise(tokens))
    return next((merge(tokens, pair) for pair in merges if pair in present), tokens)


ENCODE = Exercise(
    id="tok-encode",
    chapter=1,
    cases=_encode_cases,
    hint="Give each merge its rank, its place in the list, in a dict. Then a while loop: of the pairs that are in the "
    "word now, take the one of lowest rank (min with a key), merge it, and look again. Stop when no pair has a rank.",
    mistakes=(
        Mistake(
            _left_to_right,
            "This merges the first pair from the left that is in the list. The list is an order: the pair that comes "
            "first in the list goes first, wherever it stands in the word.",
        ),
        Mistake(
            _last_first,
            "Of the pairs in the word this takes the one that comes last in the list. The first has the highest "
            "priority.",
        ),
        Mistake(
            _by_joined_bytes,
            "This looks up the joined bytes, as tiktoken does, and so merges ab + c because a + bc makes the same "
            "bytes. The list holds pairs. (With a list that came out of training the two agree.)",
        ),
        Mistake(
            _whole_word_first,
            "This takes a word that is a token as a whole. Only merges lead to a token, and here they do not: a + b "
            "goes first. (With a list that came out of training they do.)",
        ),
        Mistake(
            _longest_match,
            "This takes the longest token that fits from the left: WordPiece's way, not BPE's. Only the merges, in "
            "their order, decide.",
        ),
        Mistake(
            _only_first_candidates,
            "This uses only pairs that were in the word at the beginning. A merge makes new pairs: look again.",
        ),
        Mistake(_one_merge, "One merge is done correctly; continue until no pair is in the list."),
        Mistake(
            _each_merge_once,
            "This goes through the list once. A merge can make a pair that stands earlier in the list: look at all "
            "pairs again after each merge. (In a list that came out of training it cannot.)",
        ),
    ),
)

EXERCISES = (ENCODE,)
