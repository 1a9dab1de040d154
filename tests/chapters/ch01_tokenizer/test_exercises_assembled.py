"""Right and wrong answers to chapter 1's exercise on a whole tokenizer, and where its results come from."""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest

from course_lib import exercises
from course_lib.chapters.ch01_tokenizer.exercises import assembled
from course_lib.tokenizer import PATTERNS, Tokenizer, pretokenize, reference, tiktoken_files
from tests.exercises.answers import Answers, run_tables
from tests.tokenizer.references import pretrained


class BySplitting:
    """As in the chapter's solution."""

    def __init__(
        self,
        ranks: Mapping[bytes, int],
        pattern: str | None = None,
        specials: Mapping[str, int] | None = None,
    ) -> None:
        self.ranks, self.pattern, self.specials = ranks, pattern, specials or {}
        self.tokens = {token_id: token for token, token_id in ranks.items()}
        self.tokens |= {token_id: name.encode() for name, token_id in self.specials.items()}

    def parts(self, text: str) -> Sequence[str]:
        names = "|".join(map(re.escape, self.specials))
        return re.split(f"({names})", text) if names else [text]

    def pieces(self, part: str) -> Sequence[str]:
        return pretokenize(part, self.pattern) if self.pattern else [part] if part else []

    def merge(self, piece: bytes) -> Sequence[bytes]:
        return reference.encode_by_rank(piece, self.ranks)

    def number(self, token: bytes) -> int:
        return self.ranks[token]

    def encode(self, text: str) -> Any:
        ids = []
        for part in self.parts(text):
            if part in self.specials:
                ids.append(self.specials[part])
            else:
                ids += [
                    self.number(token) for piece in self.pieces(part) for token in self.merge(piece.encode())
                ]
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        return b"".join(self.tokens[token_id] for token_id in ids).decode(errors="replace")


class ByFinding(BySplitting):
    """Walks through the text, yields ids one by one, and merges by a loop of its own, on ids."""

    def encode(self, text: str) -> Any:
        while text:
            found = [(text.find(name), name) for name in self.specials if name in text]
            start, name = min(found, default=(len(text), ""))
            for piece in self.pieces(text[:start]):
                yield from self.merge_ids(piece.encode())
            if name:
                yield self.specials[name]
            text = text[start + len(name) :]

    def merge_ids(self, piece: bytes) -> list[int]:
        if piece in self.ranks:
            return [self.ranks[piece]]
        ids = [self.ranks[bytes([byte])] for byte in piece]
        while True:
            joined = [self.ranks.get(self.tokens[a] + self.tokens[b], 1 << 30) for a, b in pairwise(ids)]
            if min(joined, default=1 << 30) == 1 << 30:
                return ids
            place = joined.index(min(joined))
            ids[place : place + 2] = [joined[place]]


class ByMerges(BySplitting):
    """Recovers the merges once, and encodes by them."""

    def __init__(self, ranks: Mapping[bytes, int], *others: Any) -> None:
        super().__init__(ranks, *others)
        tokens = sorted(ranks, key=ranks.__getitem__)
        self.merges = reference.merge_ranks(tiktoken_files.recover_merges(tokens))

    def merge(self, piece: bytes) -> Sequence[bytes]:
        return (piece,) if piece in self.ranks else reference.encode_word(piece, self.merges)


class StepOne(BySplitting):
    def __init__(self, ranks: Mapping[bytes, int], pattern: str | None = None, specials: Any = None) -> None:
        super().__init__(ranks)


class StepTwo(BySplitting):
    def __init__(self, ranks: Mapping[bytes, int], pattern: str | None = None, specials: Any = None) -> None:
        super().__init__(ranks, pattern)


class SpecialsOnlyDecoded(BySplitting):
    def parts(self, text: str) -> Sequence[str]:
        return [text]


class SpecialsDropped(BySplitting):
    def parts(self, text: str) -> Sequence[str]:
        names = "|".join(map(re.escape, self.specials))
        return re.split(names, text) if names else [text]


class SpecialsUnescaped(BySplitting):
    def parts(self, text: str) -> Sequence[str]:
        names = "|".join(self.specials)
        return re.split(f"({names})", text) if names else [text]


class ByteValues(BySplitting):
    def number(self, token: bytes) -> int:
        return token[0] if len(token) == 1 else self.ranks[token]


class Strict(BySplitting):
    def decode(self, ids: Sequence[int]) -> str:
        return b"".join(self.tokens[token_id] for token_id in ids).decode()


class Ignoring(BySplitting):
    def decode(self, ids: Sequence[int]) -> str:
        return b"".join(self.tokens[token_id] for token_id in ids).decode(errors="ignore")


class TokenByToken(BySplitting):
    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self.tokens[token_id].decode(errors="replace") for token_id in ids)


class OnlyMerges(BySplitting):
    def merge(self, piece: bytes) -> Sequence[bytes]:
        return reference.encode_by_rank(
            piece, {token: self.ranks[token] for token in self.ranks if token != piece}
        )


class LongestMatch(BySplitting):
    def merge(self, piece: bytes) -> Sequence[bytes]:
        tokens = []
        while piece:
            size = max(size for size in range(1, len(piece) + 1) if piece[:size] in self.ranks)
            tokens.append(piece[:size])
            piece = piece[size:]
        return tokens


class LeftToRight(BySplitting):
    def merge(self, piece: bytes) -> Sequence[bytes]:
        tokens: list[bytes] = []
        for byte in piece:
            tokens.append(bytes([byte]))
            while len(tokens) > 1 and tokens[-2] + tokens[-1] in self.ranks:
                tokens[-2:] = [tokens[-2] + tokens[-1]]
        return tokens


class Tokens(BySplitting):
    def encode(self, text: str) -> Any:
        return [self.tokens[token_id] for token_id in super().encode(text)]


ANSWERS = {
    "tok-tokenizer": Answers(
        right=(BySplitting, ByFinding, ByMerges),
        wrong=(
            (StepOne, "Step 1 is done. Step 2: cut the text"),
            (StepTwo, "Steps 1 and 2 are done. Step 3: find the special tokens"),
            (SpecialsOnlyDecoded, "decode knows the special tokens, encode takes them"),
            (SpecialsDropped, "The special tokens are lost: re.split"),
            (SpecialsUnescaped, "decode knows the special tokens, encode takes them"),
            (ByteValues, "A single byte gets its value as id"),
            (Strict, "decode raises an error where a character is cut off"),
            (Ignoring, "Step 1, bytes: a character may be cut off"),
            (TokenByToken, "This decodes token by token"),
            (OnlyMerges, "A piece that is a token as a whole becomes that token"),
            (LongestMatch, "This takes the longest token that fits"),
            (LeftToRight, "Step 1, bytes: merge the neighbours whose joined bytes have the lowest rank"),
            (Tokens, "Step 1, bytes: the id of a byte is its rank."),
        ),
    ),
}

test_right_answers_pass, test_wrong_answers_are_explained, test_there_are_enough = run_tables(ANSWERS)


def test_tiktoken_and_the_engine_agree_on_all_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tiktoken")
    with_tiktoken = list(assembled.ASSEMBLED.cases())
    monkeypatch.setattr(assembled, "by_tiktoken", assembled.by_engine)
    assert [case.expected for case in assembled.ASSEMBLED.cases()] == [
        case.expected for case in with_tiktoken
    ]


def test_without_the_optional_packages_the_check_still_tells_right_from_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(assembled.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(assembled, "load_pretrained", _missing)
    assembled.gpt4_ranks.cache_clear()
    try:
        passed = exercises.check("tok-tokenizer", BySplitting)
        for wrong in (StepOne, StepTwo, ByteValues, TokenByToken, OnlyMerges):
            with pytest.raises(exercises.CheckError):
                exercises.check("tok-tokenizer", wrong)
    finally:
        assembled.gpt4_ranks.cache_clear()
    assert passed.cases >= 10


def _missing(name: str) -> None:
    raise FileNotFoundError(name)


def test_the_solution_is_gpt_4s_tokenizer() -> None:
    published = pretrained("cl100k_base")
    ranks = {token: rank for rank, token in published.vocab.items() if rank < 100_256}
    made = BySplitting(ranks, "cl100k", published.special_token_ids)
    text = "def f(x): return 1234567 # 跟我学习\n\n\t<|endoftext|>I'LL  see\n"
    assert made.encode(text) == published.encode(text)
    assert made.decode(made.encode(text)) == text
    assert isinstance(published, Tokenizer) and published.pattern in (*PATTERNS, *PATTERNS.values())
