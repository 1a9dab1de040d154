"""Encoding for texts that the engine cannot take as they are: with a normalizer, or a pattern without a scanner.

As in Hugging Face's tokenizers, special tokens are searched for twice if there is a normalizer: most of them in the
original text, those of ``TokenizerData.normalized_tokens`` in the rest after its normalization. Each stretch between
special tokens is normalized by itself.
"""

import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence

import regex

from course_lib import _bpe
from course_lib.tokenizer.formats import TokenizerData
from course_lib.tokenizer.normalization import Form, normalize
from course_lib.tokenizer.patterns import split_by_regex


def any_of(texts: Iterable[str]) -> str:
    """A regular expression for the longest of ``texts``; one that matches nothing if there is none."""
    return "|".join(map(regex.escape, sorted(texts, key=len, reverse=True))) or "(?!)"


class SpecialCuts:
    """Cuts a text at its special tokens and normalizes the parts between them."""

    def __init__(
        self, special_tokens: Iterable[str], normalizer: Sequence[Form] = (), normalized: Collection[str] = ()
    ) -> None:
        self._forms = normalizer
        self._as_it_comes = regex.compile(any_of(text for text in special_tokens if text not in normalized))
        self._when_normalized = regex.compile(any_of(normalized))

    def __call__(self, text: str) -> Iterator[tuple[str, bool]]:
        """The parts of ``text`` in order, and whether each is a special token."""
        for part, is_special in _cut(self._as_it_comes, text):
            if is_special:
                yield part, True
            else:
                yield from _cut(self._when_normalized, normalize(part, self._forms))


def _cut(special: "regex.Pattern[str]", text: str) -> Iterator[tuple[str, bool]]:
    start = 0
    for match in special.finditer(text):
        yield text[start : match.start()], False
        yield match.group(), True
        start = match.end()
    yield text[start:], False


class PiecewiseEncoder:
    """Gives the engine the parts of a text in a form it can take. Bytes that are not UTF-8 become lone surrogates."""

    def __init__(
        self, data: TokenizerData, engine: _bpe.Encoder, scanner: str | None, expression: str
    ) -> None:
        self._data = data
        self._engine = engine
        self._scanner = scanner
        self._expression = expression
        self._cuts = SpecialCuts(data.special_tokens, data.normalizer, data.normalized_tokens)
        first = [text for text in data.special_tokens if text not in data.normalized_tokens]
        self._longest = max((len(text.encode()) for text in first), default=0)
        self._special_bytes = regex.compile(any_of(first).encode())
        # The engine cuts before a space and after a line end. The canonical forms change nothing there: they turn
        # nothing visible into white space. Only special tokens that appear through normalization could cross.
        self._engine_cuts = (
            scanner is not None
            and {"NFC", "NFD"}.issuperset(data.normalizer)
            and all(text.isspace() or not regex.search(r"\s", text) for text in data.normalized_tokens)
        )

    def needed_for(self, text: object) -> bool:
        """False if the engine gives the same ids, faster: most texts are in normal form, and so are their parts."""
        if self._scanner is None or self._data.normalized_tokens:
            return True
        if isinstance(text, bytes | bytearray | memoryview):
            text = bytes(text).decode("utf-8", "surrogateescape")
        forms = self._data.normalizer
        return not isinstance(text, str) or not all(unicodedata.is_normalized(form, text) for form in forms)

    def encode(self, text: object, *, with_specials: bool) -> list[int]:
        """The ids of ``text``, str or bytes. Raises UnicodeEncodeError for a lone surrogate in a str, TypeError."""
        if isinstance(text, str):
            text.encode()
        elif isinstance(text, bytes | bytearray | memoryview):
            text = bytes(text).decode("utf-8", "surrogateescape")
        else:
            raise TypeError(f"text must be str or bytes, not {type(text).__name__}")
        if not with_specials:
            return self._encode_plain(normalize(text, self._data.normalizer))
        ids: list[int] = []
        for part, is_special in self._cuts(text):
            ids += [self._data.special_tokens[part]] if is_special else self._encode_plain(part)
        return ids

    def _encode_plain(self, text: str) -> list[int]:
        if self._scanner is not None:
            return self._engine.encode(text.encode("utf-8", "surrogateescape"), False)
        pieces = split_by_regex(text, self._expression)
        return self._engine.encode_pretokens([piece.encode("utf-8", "surrogateescape") for piece in pieces])

    def safe_cut(self, buffer: bytes) -> int:
        """A place in ``buffer`` where the ids on both sides do not depend on each other; 0 if none is known."""
        if self._engine_cuts:
            return self._engine.safe_cut(buffer)
        # After the last special token that is certainly whole: a longer one could still begin at the same place.
        ends = [
            match.end()
            for match in self._special_bytes.finditer(buffer)
            if match.start() + self._longest <= len(buffer)
        ]
        return ends[-1] if ends else 0
