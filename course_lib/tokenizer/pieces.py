"""The base of the tokenizers whose vocabulary is a list of strings: Unigram and WordPiece."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import SupportsIndex

from course_lib.tokenizer.encoder import surrogate_error
from course_lib.tokenizer.patterns import pretokenize, resolve_pattern

_CACHED_WORDS = 1 << 16


class PieceTokenizer(ABC):
    """A vocabulary of strings, encoded word by word. ``vocab``: id → piece. ``pattern``: cuts a text into words."""

    def __init__(self, pieces: Iterable[str], pattern: str) -> None:
        resolve_pattern(pattern)
        self.pattern = pattern
        self.vocab: dict[int, str] = {}
        self._ids: dict[str, int] = {}
        self._cache: dict[str, list[int]] = {}
        for token_id, piece in enumerate(pieces):
            if not isinstance(piece, str) or not piece:
                raise ValueError(f"the vocabulary holds {piece!r}; every piece must be a non-empty str")
            if piece in self._ids:
                raise ValueError(
                    f"the vocabulary holds {piece!r} twice, as id {self._ids[piece]} and {token_id}"
                )
            self.vocab[token_id] = piece
            self._ids[piece] = token_id

    @property
    def vocab_size(self) -> int:
        """The number of ids."""
        return len(self.vocab)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(vocab_size={self.vocab_size}, pattern={self.pattern!r})"

    def encode(self, text: str) -> list[int]:
        """The ids of ``text``. Raises ValueError for a lone surrogate in it, TypeError for anything but a str."""
        ids: list[int] = []
        for word in self._words(text):
            if word not in self._cache:
                if len(self._cache) >= _CACHED_WORDS:
                    self._cache.clear()
                self._cache[word] = self._encode_word(word)
            ids += self._cache[word]
        return ids

    @abstractmethod
    def decode_bytes(self, ids: Iterable[SupportsIndex]) -> bytes:
        """The bytes of ``ids``. Raises ValueError for an unknown id."""

    @abstractmethod
    def _encode_word(self, word: str) -> list[int]: ...

    def _words(self, text: str) -> list[str]:
        try:
            words = pretokenize(text, self.pattern)
            text.encode()
        except UnicodeEncodeError as error:
            raise surrogate_error(error) from None
        return words

    def _piece(self, token_id: SupportsIndex) -> str:
        number = token_id.__index__()
        if number not in self.vocab:
            raise ValueError(f"ids holds {number}; this vocabulary has the ids 0 to {self.vocab_size - 1}")
        return self.vocab[number]
