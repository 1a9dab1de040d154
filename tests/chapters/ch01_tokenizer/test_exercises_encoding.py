"""Right and wrong answers to chapter 1's exercise on encoding with a merge list."""

import math
from itertools import pairwise

from course_lib.chapters.ch01_tokenizer.exercises.encoding import ENCODE
from course_lib.show.stepper import HELLO
from course_lib.tokenizer import reference
from tests.exercises.answers import Answers, run_tables

Word = tuple[bytes, ...]
Pair = tuple[bytes, bytes]

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


def encode_longest_result(word: bytes, merges: list[Pair]) -> Word:
    tokens = reference.split_bytes(word)
    while known := [pair for pair in pairwise(tokens) if pair in merges]:
        tokens = reference.merge(
            tokens, min(known, key=lambda pair: (-len(pair[0] + pair[1]), merges.index(pair)))
        )
    return tokens


def encode_list_twice(word: bytes, merges: list[Pair]) -> Word:
    tokens = reference.split_bytes(word)
    for pair in [*merges, *merges]:
        tokens = reference.merge(tokens, pair)
    return tokens


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


ANSWERS = {
    "tok-encode": Answers(
        right=(encode_by_index, encode_recursively, encode_restarting),
        wrong=(
            (encode_left_to_right, "This merges the first pair from the left"),
            (encode_last_first, "Of the pairs in the word this takes the one that comes last"),
            (encode_like_tiktoken, "This looks up the joined bytes, as tiktoken does"),
            (encode_whole_word, "This takes a word that is a token as a whole"),
            (encode_longest_match, "This takes the longest token that fits"),
            (encode_list_once, "This goes through the list once"),
            (encode_one_merge, "One merge is done correctly"),
            (encode_first_candidates, "This uses only pairs that were in the word at the beginning"),
            (encode_from_the_right, "a a a a a → aa aa a → aaaa a, from the left"),
            (encode_longest_result, "c + d goes first. Then a + b comes before"),
            (encode_list_twice, "Each merge makes the pair of the one before it in the list"),
            (encode_nothing_empty, "An empty word has no tokens."),
            (encode_unknown, "l + l is first in the list"),
            (encode_integers, "l + l is first in the list"),
        ),
    ),
}

test_right_answers_pass, test_wrong_answers_are_explained, test_there_are_enough = run_tables(ANSWERS)


def test_hello_has_the_merge_list_of_the_stepper() -> None:
    """The text, the stepper and the exercise cut the same word by the same merges."""
    hello = next(iter(ENCODE.cases()))
    assert hello.arguments == (b"Hello", [*HELLO])
