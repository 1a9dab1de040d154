"""Texts that are hard on purpose, and the references, for all tests of tokenizers."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import tiktoken
import tiktoken_ext.openai_public
import tokenizers
import unicodedata2
from hypothesis import strategies as st

from course_lib.tokenizer import Tokenizer

# Characters and strings where patterns, cuts or decoders differ if anything does.
_FRAGMENTS = [
    *" \t\n\r\f\v\x1c\x85\xa0\u1680\u2003\u2028\u3000\u200b\ufeff",
    *"aZéßǅʰªжΣאあ語中々ーㄅ한ก",
    *"0⅕²Ⅷ٣",
    *"'’!?,.;-_/\\~$€+^`|。，“”…—",
    *"\u0301\u0903\u20dd\ufe0f\u200d",
    *"😀\U0001f1e6\U00020000\ud7ff\ue000\U000f0000\U0010ffff\x00\x07\x7f",
    *["'s", "'S", "'ſ", "'ll", "'LL", "'Ve", "n't", "\r\n", "\n\n", "  ", " \n ", "//", "123", "1234567"],
    *[
        "<|endoftext|>",
        "<|endofprompt|>",
        "<|endof",
        "the",
        " the",
        "Hello",
        " world",
        "tokenizer",
        "跟我学习",
        "\x00\x00",
    ],
]

# Characters that Python's Unicode or that of the engine does not know yet are left out: the references know different
# versions. test_unicode.py has them all.
_known = st.characters(exclude_categories=["Cs", "Cn"]).filter(lambda c: unicodedata2.category(c) != "Cn")
hard_text = st.lists(st.one_of(st.sampled_from(_FRAGMENTS), _known), max_size=40).map("".join)

hard_bytes = st.lists(
    st.one_of(
        hard_text.map(str.encode),
        st.binary(max_size=4),
        st.sampled_from(
            [
                b"\xff",
                b"\xc3",
                b"\xe4\xb8",
                b"\xf0\x9f\x98",
                b"\xed\xa0\x80",
                b"\xc0\x80",
                b"\xf4\x90\x80\x80",
            ]
        ),
    ),
    max_size=12,
).map(b"".join)


@cache
def pretrained(name: str) -> Tokenizer:
    """A published tokenizer, loaded once."""
    return Tokenizer.from_pretrained(name)


@cache
def hugging_face(path: Path) -> tokenizers.Tokenizer:
    """Hugging Face's reading of a ``tokenizer.json``."""
    return tokenizers.Tokenizer.from_file(str(path))


@cache
def tiktoken_encoding(name: str) -> tiktoken.Encoding:
    """tiktoken's own encoding ``name``, with its ranks from our copy of the vocabulary instead of the network."""
    ours = pretrained("gpt2" if name == "r50k_base" else name)
    specials = set(ours.special_token_ids.values())

    def ranks(*_: object, **__: object) -> dict[bytes, int]:
        return {token: token_id for token_id, token in ours.vocab.items() if token_id not in specials}

    constructor: Callable[[], dict[str, object]] = getattr(tiktoken_ext.openai_public, name)
    original = tiktoken_ext.openai_public.load_tiktoken_bpe
    tiktoken_ext.openai_public.load_tiktoken_bpe = ranks
    try:
        return tiktoken.Encoding(**constructor())
    finally:
        tiktoken_ext.openai_public.load_tiktoken_bpe = original
