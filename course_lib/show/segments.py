"""Tokens in a form that can be displayed: ids, bytes and readable text."""

import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

MAX_TOKENS_SHOWN = 1500
"""The number of tokens displayed; all tokens of longer texts are counted."""

# control, format, private, unassigned, line and paragraph separators
_INVISIBLE = {"Cc", "Cf", "Co", "Cn", "Zl", "Zp"}
_MARKS = {"\n": "↵", "\r": "␍", "\t": "⇥"}


class TokenizerLike(Protocol):
    """Anything that turns text into ids and ids into bytes."""

    def encode(self, text: str) -> Sequence[int]:
        """The ids of a text."""

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """The bytes of a list of ids."""


@dataclass(frozen=True)
class Part:
    """A piece of a token's text. ``kind``: "text", "bytes" (part of a character), "mark" (invisible character)."""

    kind: str
    text: str


@dataclass(frozen=True)
class Token:
    """One token: its id, its bytes in hexadecimal, and the parts to display."""

    id: int
    bytes: str
    parts: list[Part]
    breaks: bool
    """Whether the line ends after this token."""


@dataclass(frozen=True)
class Row:
    """A text under one tokenizer. ``tokens`` may stop early (``MAX_TOKENS_SHOWN``); ``count`` counts all of them."""

    name: str
    count: int
    bytes: int
    ratio: float
    tokens: list[Token]
    error: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The row as plain dictionaries and lists, for JSON."""
        return asdict(self)


def tokenize(name: str, tokenizer: TokenizerLike, text: str) -> Row:
    """Encode ``text`` and describe its tokens; a tokenizer's error becomes the row's ``error``."""
    try:
        num_bytes = len(text.encode("utf-8", errors="surrogatepass"))
        ids = list(tokenizer.encode(text))
        tokens = [_token(token_id, tokenizer.decode_bytes([token_id])) for token_id in ids[:MAX_TOKENS_SHOWN]]
    except Exception as error:  # a reader's own tokenizer may raise anything; the row shows the error
        return Row(name, 0, 0, 0.0, [], f"{type(error).__name__}: {error}")
    return Row(name, len(ids), num_bytes, num_bytes / len(ids) if ids else 0.0, tokens)


def _token(token_id: int, data: bytes) -> Token:
    return Token(int(token_id), data.hex(" ").upper(), parts_of(data), data.endswith(b"\n"))


def parts_of(data: bytes) -> list[Part]:
    """Cut a token's bytes into readable text, marks for invisible characters, and bytes that do not form a character.

    >>> parts_of(b"a" + "觥".encode()[:2])
    [Part(kind='text', text='a'), Part(kind='bytes', text='⟨E8 A7⟩')]
    """
    parts: list[Part] = []
    broken = b""
    # surrogateescape turns every byte that cannot be decoded into a lone surrogate, U+DC00 plus the byte
    for character in data.decode("utf-8", errors="surrogateescape"):
        if 0xDC80 <= ord(character) <= 0xDCFF:
            broken += bytes([ord(character) - 0xDC00])
            continue
        if broken:
            parts.append(_bytes_part(broken))
            broken = b""
        part = _character_part(character)
        if part.kind == "text" and parts and parts[-1].kind == "text":
            part = Part("text", parts.pop().text + part.text)
        parts.append(part)
    if broken:
        parts.append(_bytes_part(broken))
    return parts


def face(data: bytes) -> str:
    """A token's bytes as one string to display: ``parts_of``, joined."""
    return "".join(part.text for part in parts_of(data))


def _bytes_part(data: bytes) -> Part:
    return Part("bytes", f"⟨{data.hex(' ').upper()}⟩")


def _character_part(character: str) -> Part:
    if character in _MARKS:
        return Part("mark", _MARKS[character])
    if unicodedata.category(character) in _INVISIBLE:
        return Part("mark", f"⟨U+{ord(character):04X}⟩")
    return Part("text", character)
