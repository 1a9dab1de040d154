"""The exercise of chapter 1 on a whole tokenizer. Results: tiktoken where it is installed, else the compiled engine."""

import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from course_lib.answers.checking import Case, Exercise, Mistake
from course_lib.answers.methods import Methods
from course_lib.chapters.ch01_tokenizer.exercises.tokenizer import TEXTS
from course_lib.tokenizer import PATTERNS, Tokenizer, pretokenize, train_bpe
from course_lib.tokenizer.byte_alphabet import byte_to_char
from course_lib.tokenizer.pretrained import load_pretrained
from course_lib.tokenizer.reference import encode_by_rank
from course_lib.tokenizer.tiktoken_files import recover_merges

Ranks = Mapping[bytes, int]
MadeOf = Sequence[Any]
"""What the class is called with: ranks, and maybe a pattern, and maybe special tokens with their ids."""

WHOLE = r"[\s\S]+"
"""The pattern that cuts nothing."""

_GPT4_RANKS = 2_000
_ANSWERED = "<|user|>what is 12345678?<|assistant|>I'LL see:\n\n  跟我学习😀 she  sells<|endoftext|>"


def by_engine(
    ranks: Ranks, pattern: str | None, specials: Mapping[str, int], text: str, ids: Sequence[int]
) -> dict[str, Any]:
    """The results of a tokenizer's two methods, by the compiled engine."""
    tokens = sorted(ranks, key=ranks.__getitem__)
    vocab = {ranks[token]: token for token in tokens} | {
        number: name.encode() for name, number in specials.items()
    }
    tokenizer = Tokenizer(
        vocab, recover_merges(tokens), list(specials), pattern=pattern or WHOLE, ignore_merges=True
    )
    return {"encode": tokenizer.encode(text), "decode": tokenizer.decode(ids)}


def by_tiktoken(
    ranks: Ranks, pattern: str | None, specials: Mapping[str, int], text: str, ids: Sequence[int]
) -> dict[str, Any]:
    """The results of a tokenizer's two methods, by tiktoken, which needs no file to be made from ranks."""
    import tiktoken

    expression = PATTERNS.get(pattern or "", pattern or WHOLE)
    encoding = tiktoken.Encoding(
        "ranks", pat_str=expression, mergeable_ranks=dict(ranks), special_tokens=dict(specials)
    )
    return {"encode": encoding.encode(text, allowed_special="all"), "decode": encoding.decode(list(ids))}


@cache
def byte_ranks() -> dict[bytes, int]:
    """The single bytes in the order that OpenAI's rank files have them: first those that are visible in Latin-1."""
    order = sorted(range(256), key=byte_to_char().__getitem__)
    return {bytes([byte]): rank for rank, byte in enumerate(order)}


@cache
def trained_ranks(pattern: str) -> dict[bytes, int]:
    """Ranks of a small vocabulary trained on the exercises' texts, cut by ``pattern``."""
    merges = train_bpe(TEXTS, 256 + 60, pattern=pattern).merges
    return byte_ranks() | {left + right: 256 + number for number, (left, right) in enumerate(merges)}


@cache
def gpt4_ranks() -> tuple[dict[bytes, int], dict[str, int]] | None:
    """The first of GPT-4's ranks, a vocabulary themselves, and its special tokens; None where they are missing."""
    try:
        data = load_pretrained("cl100k_base")
    except FileNotFoundError:
        return None
    return {data.vocab[rank]: rank for rank in range(_GPT4_RANKS)}, dict(data.special_tokens)


def _cases() -> Iterator[Case]:
    expect = by_tiktoken if importlib.util.find_spec("tiktoken") else by_engine

    def case(made_of: MadeOf, text: str, ids: Sequence[int], why: str) -> Case:
        return Case((made_of, text, list(ids)), expect(*_three(made_of), text, ids), why)

    single, uncut, cut = byte_ranks(), trained_ranks(WHOLE), trained_ranks("cl100k")
    letters = [single[bytes([byte])] for byte in "跟我".encode()]
    yield case((single,), "Hi!", [single[b"H"], single[b"!"]], "Step 1, bytes: the id of a byte is its rank.")
    yield case(
        (single,),
        "跟我",
        letters[:4],
        "Step 1, bytes: a character may be cut off at the end. Join the bytes of all ids, then decode them, with "
        'errors="replace".',
    )
    yield case((single,), "", [], "Step 1, bytes: an empty text has no ids, and no ids are an empty text.")
    for text in TEXTS:
        expected = expect(uncut, None, {}, text, [])["encode"]
        yield case(
            (uncut,),
            text,
            expected[::-1],
            "Step 1, bytes: merge the neighbours whose joined bytes have the lowest rank; go on until none have one.",
        )
    unreachable = {**single, b"xyz": 256}
    yield case(
        (unreachable,),
        "xyz",
        [256],
        "Step 1, bytes: no merge leads to xyz, but a piece that is a token as a whole becomes that token at once.",
    )
    for pattern, text in (
        ("gpt2", TEXTS[0]),
        ("cl100k", TEXTS[1] + " 1234567 I'LL"),
        ("gpt2", " \n\nshe  sells\n"),
    ):
        yield case(
            (uncut, pattern),
            text,
            [300, 260],
            "Step 2, with a pattern: cut the text with pretokenize first. No merge crosses a cut.",
        )
    specials = {"<|endoftext|>": 100_257, "<|user|>": 100_300, "<|assistant|>": 100_301}
    yield case(
        (cut, "cl100k", specials),
        _ANSWERED,
        [100_300, cut[b"s"], 100_257],
        "Step 3, special tokens: find them first. The texts between them are cut and merged, each for itself.",
    )
    yield case(
        (cut, "cl100k", {"<|a.c|>": 1_000, "<|a|>": 1_001}),
        "she<|a|><|abc|><|a.c|> sells",
        [1_000],
        "Step 3, special tokens: in a regular expression, | and . have a meaning; re.escape takes it away.",
    )
    if (published := gpt4_ranks()) is not None:
        ranks, names = published
        yield case(
            (ranks, "cl100k", names),
            _ANSWERED,
            [ranks[b" the"], 100_257, ranks[b"\n"]],
            "Step 3, GPT-4's own special tokens and the first 2,000 of its ranks: a text that is not one of these "
            "special tokens is ordinary text.",
        )


def variant(
    merge: Callable[[bytes, Ranks], Sequence[bytes]] = encode_by_rank,
    *,
    cut: bool = True,
    find: Callable[[Mapping[str, int], str], Sequence[str]] | None = None,
    decode: Callable[[Mapping[int, bytes], Sequence[int]], str] | None = None,
    number: Callable[[Ranks, bytes], int] = lambda ranks, token: ranks[token],
    special_ids: bool = True,
) -> Callable[..., dict[str, Any]]:
    """A tokenizer as a function of a case's arguments, right by default; the arguments replace its parts."""

    def use(made_of: MadeOf, text: str, ids: Sequence[int]) -> dict[str, Any]:
        ranks, pattern, specials = _three(made_of)
        tokens = {rank: token for token, rank in ranks.items()}
        if special_ids:
            tokens |= {token_id: name.encode() for name, token_id in specials.items()}
        found: list[int] = []
        for part in (find or _split_at)(specials, text):
            if part in specials:
                found.append(specials[part])
                continue
            pieces = pretokenize(part, pattern) if cut and pattern else [part] if part else []
            found += [number(ranks, token) for piece in pieces for token in merge(piece.encode(), ranks)]
        return {"encode": found, "decode": (decode or _decode)(tokens, ids)}

    return use


def _three(made_of: MadeOf) -> tuple[Ranks, str | None, Mapping[str, int]]:
    ranks, pattern, specials = (*made_of, None, None)[:3]
    return ranks, pattern, specials or {}


def _split_at(specials: Mapping[str, int], text: str) -> Sequence[str]:
    names = "|".join(re.escape(name) for name in sorted(specials, key=len, reverse=True))
    return re.split(f"({names})", text) if names else [text]


def _decode(tokens: Mapping[int, bytes], ids: Sequence[int]) -> str:
    return b"".join(tokens[token_id] for token_id in ids).decode(errors="replace")


def _longest_match(word: bytes, ranks: Ranks) -> Sequence[bytes]:
    tokens = []
    while word:
        size = next(size for size in range(len(word), 0, -1) if word[:size] in ranks)
        tokens.append(word[:size])
        word = word[size:]
    return tokens


def _only_merges(word: bytes, ranks: Ranks) -> Sequence[bytes]:
    return encode_by_rank(word, {token: rank for token, rank in ranks.items() if token != word})


ASSEMBLED = Exercise(
    id="tok-tokenizer",
    chapter=1,
    cases=_cases,
    methods=Methods(("encode", "decode")),
    hint="In __init__, keep the three arguments and a dict from id to bytes: the ranks turned round, and the special "
    "tokens' bytes. decode joins the bytes of all ids and decodes them once. encode, step 1: "
    "reference.encode_by_rank(text.encode(), ranks), then the rank of each token. Step 2: the same for each piece of "
    "pretokenize(text, pattern). Step 3: re.split with the special tokens in parentheses keeps them in the list; "
    "re.escape each name, and do steps 1 and 2 for the parts between them.",
    mistakes=(
        Mistake(
            variant(cut=False, find=lambda specials, text: [text], special_ids=False),
            "Step 1 is done. Step 2: cut the text with pretokenize(text, pattern) if there is a pattern, and merge "
            "each piece by itself.",
        ),
        Mistake(
            variant(cut=False),
            "Nothing is cut by the pattern. Cut the text with pretokenize(text, pattern) if there is a pattern, and "
            "merge each piece by itself.",
        ),
        Mistake(
            variant(find=lambda specials, text: [text], special_ids=False),
            "Steps 1 and 2 are done. Step 3: find the special tokens in the text before anything else, and let decode "
            "know their ids.",
        ),
        Mistake(
            variant(find=lambda specials, text: [text]),
            "decode knows the special tokens, encode takes them for ordinary text: find them first, with re.split, and "
            "with re.escape for their names, in which | and . would mean something else.",
        ),
        Mistake(
            variant(find=lambda specials, text: re.split("|".join(map(re.escape, specials)) or "(?!)", text)),
            "The special tokens are lost: re.split keeps what it splits at only if the pattern stands in parentheses.",
        ),
        Mistake(
            variant(number=lambda ranks, token: token[0] if len(token) == 1 else ranks[token]),
            "A single byte gets its value as id. In OpenAI's files its id is its rank, like that of any other token: "
            "! is 0, not 33.",
        ),
        Mistake(
            variant(decode=lambda tokens, ids: b"".join(map(tokens.__getitem__, ids)).decode()),
            "decode raises an error where a character is cut off at the end. A model may stop there: "
            'decode(errors="replace").',
        ),
        Mistake(
            variant(decode=lambda tokens, ids: "".join(tokens[i].decode(errors="replace") for i in ids)),
            "This decodes token by token, and a character whose bytes are in two tokens is lost. Join the bytes first.",
        ),
        Mistake(
            variant(_only_merges),
            "A piece that is a token as a whole becomes that token before any merge. (In a trained vocabulary, merges "
            "lead there anyway.)",
        ),
        Mistake(
            variant(_longest_match),
            "This takes the longest token that fits from the left: WordPiece's way. The rank decides which neighbours "
            "are merged first.",
        ),
    ),
)

EXERCISES = (ASSEMBLED,)
