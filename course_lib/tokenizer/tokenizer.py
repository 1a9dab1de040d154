"""The Tokenizer: byte-level BPE on the compiled engine."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from course_lib import _bpe
from course_lib.checks import check_positive
from course_lib.files import PathLike, atomic_write, check_input_file, check_not_sources, check_output_file
from course_lib.files import progress as progress_bar
from course_lib.token_file import TokenFile, description_path, token_dtype, write_token_file
from course_lib.tokenizer.encoder import make_encoder, surrogate_error
from course_lib.tokenizer.formats import TokenizerData, assign_special_ids
from course_lib.tokenizer.gpt2_files import read_vocab_merges
from course_lib.tokenizer.huggingface import read_tokenizer_json, write_tokenizer_json
from course_lib.tokenizer.normalization import Form, check_normalizer
from course_lib.tokenizer.patterns import resolve_pattern
from course_lib.tokenizer.piecewise import PiecewiseEncoder
from course_lib.tokenizer.pretrained import PRETRAINED, load_pretrained
from course_lib.tokenizer.streaming import checked_items, safe_parts
from course_lib.tokenizer.tiktoken_files import read_tiktoken

# The number of ids that decode_file decodes at a time.
_DECODED_IDS = 1 << 20


class Tokenizer:
    """A byte-level BPE tokenizer (Sennrich et al. 2016, section 3.2; on bytes: Radford et al. 2019, section 2.2).

    ``vocab``: id → bytes; it must hold all 256 single bytes, so that any text can be encoded. ``merges``: pairs of byte
    strings in the order they apply; both parts and their concatenation must be in ``vocab``. ``special_tokens``: texts
    that are never split; those in ``vocab`` keep their id, others get the next free ones. ``pattern``: cuts a text into
    pre-tokens; a name in ``PATTERNS`` (fast) or a regular expression of the ``regex`` package (slower, same results).
    ``ignore_merges``: a pre-token that is a whole vocabulary entry becomes that entry before any merge is tried (as in
    tiktoken and Llama 3). ``normalizer``: the Unicode normal form applied to a text before it is cut, "NFC"
    (Qwen, GPT-NeoX, OLMo), "NFD", "NFKC" or "NFKD", or several that are applied in turn; the ids then decode to the
    normalized text. Special tokens are found first, and the text between two of them is normalized separately.
    Bytes that are not UTF-8 stay as they are. Normalization runs in Python, so files, and texts that are not yet in
    normal form, are encoded on one thread.

    A tokenizer is immutable and may be used from several threads at once.

    Raises ValueError, naming the entry, for vocabularies and merges that do not fit together.
    """

    def __init__(
        self,
        vocab: Mapping[int, bytes],
        merges: Iterable[tuple[bytes, bytes]],
        special_tokens: Sequence[str] | None = None,
        *,
        pattern: str = "gpt2",
        ignore_merges: bool = False,
        normalizer: str | Sequence[str] = (),
    ) -> None:
        contents = dict(vocab)
        special_ids = assign_special_ids(contents, special_tokens or ())
        contents |= {token_id: text.encode() for text, token_id in special_ids.items()}
        forms = check_normalizer(normalizer)
        self._set(TokenizerData(contents, list(merges), special_ids, pattern, ignore_merges, forms))

    def _set(self, data: TokenizerData, merge_ids: NDArray[np.uint32] | None = None) -> None:
        self._data = data
        self._sources: list[Path] = []  # files it was made from, which nothing may overwrite
        self._saved: list[Path] = []  # its own tokenizer.json, which only it may replace
        scanner, expression = resolve_pattern(data.pattern)
        self._engine = make_encoder(data, scanner, merge_ids)
        # For texts that the engine cannot take as they are.
        self._piecewise = (
            PiecewiseEncoder(data, self._engine, scanner, expression)
            if scanner is None or data.normalizer
            else None
        )

    @classmethod
    def _from_data(
        cls, data: TokenizerData, *sources: PathLike, merge_ids: NDArray[np.uint32] | None = None
    ) -> Self:
        tokenizer = cls.__new__(cls)
        tokenizer._set(data, merge_ids)
        tokenizer._sources = [Path(source).absolute() for source in sources]
        return tokenizer

    # --- what it is ----------------------------------------------------------------------------------------------

    @property
    def vocab(self) -> dict[int, bytes]:
        """Id → bytes, including special tokens. Do not change it."""
        return self._data.vocab

    @property
    def merges(self) -> list[tuple[bytes, bytes]]:
        """The merges in the order they apply. Do not change them."""
        return self._data.merges

    @property
    def special_tokens(self) -> list[str]:
        """The special tokens in the order they were given."""
        return list(self._data.special_tokens)

    @property
    def special_token_ids(self) -> dict[str, int]:
        """Special token → id."""
        return dict(self._data.special_tokens)

    @property
    def pattern(self) -> str:
        """The pre-tokenization pattern as it was given: a name or a regular expression."""
        return self._data.pattern

    @property
    def ignore_merges(self) -> bool:
        """Whether a pre-token that is a whole vocabulary entry is taken as it is."""
        return self._data.ignore_merges

    @property
    def normalizer(self) -> tuple[Form, ...]:
        """The normal forms of Unicode that are applied, in turn, before a text is cut; empty for none."""
        return self._data.normalizer

    @property
    def normalized_tokens(self) -> frozenset[str]:
        """The special tokens that are searched for in the normalized text; all others are found before."""
        return self._data.normalized_tokens

    @property
    def vocab_size(self) -> int:
        """The number of rows an embedding needs: the largest id + 1 (published vocabularies have unused ids)."""
        return max(self._data.vocab) + 1

    def sha256(self) -> str:
        """SHA-256, in hexadecimal, of everything that determines the ids; token files record it."""
        return self._data.sha256()

    def __repr__(self) -> str:
        return (
            f"Tokenizer(vocab_size={self.vocab_size}, merges={len(self.merges)}, "
            f"special_tokens={self.special_tokens[:3]}{'…' if len(self.special_tokens) > 3 else ''}, "
            f"pattern={self.pattern!r})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self)._from_data, (self._data,))

    # --- encoding ------------------------------------------------------------------------------------------------

    def encode(self, text: str | bytes) -> list[int]:
        """The ids of ``text``; special tokens in it become their id, the longest one if several match.

        Bytes that are not UTF-8 are kept: each counts as a symbol (neither letter, digit nor space). Raises
        ValueError for a str with a lone surrogate, which no UTF-8 text can hold, and TypeError for other types.
        """
        try:
            if self._piecewise is not None and self._piecewise.needed_for(text):
                return self._piecewise.encode(text, with_specials=True)
            return self._engine.encode(text, True)
        except UnicodeEncodeError as error:
            raise surrogate_error(error) from None

    def encode_ordinary(self, text: str | bytes) -> list[int]:
        """The ids of ``text`` with special tokens in it taken as plain text. Errors as :meth:`encode`."""
        try:
            if self._piecewise is not None and self._piecewise.needed_for(text):
                return self._piecewise.encode(text, with_specials=False)
            return self._engine.encode(text, False)
        except UnicodeEncodeError as error:
            raise surrogate_error(error) from None

    def encode_batch(
        self, texts: Sequence[str | bytes], *, num_threads: int | None = None
    ) -> list[list[int]]:
        """``[encode(text) for text in texts]`` on ``num_threads`` threads (default: every processor)."""
        texts = _checked_batch(texts, num_threads)
        if self._piecewise is not None and any(map(self._piecewise.needed_for, texts)):
            return [self.encode(text) for text in texts]
        try:
            return self._engine.encode_batch(
                texts, with_specials=True, num_threads=num_threads, progress=None
            )
        except UnicodeEncodeError as error:
            raise surrogate_error(error) from None

    def encode_batch_to_numpy(
        self, texts: Sequence[str | bytes], *, num_threads: int | None = None
    ) -> tuple[NDArray[np.uint16] | NDArray[np.uint32], NDArray[np.int64]]:
        """The ids of all ``texts`` in one array, and offsets: much faster than the lists of :meth:`encode_batch`.

        ``ids`` has shape ``(tokens,)`` and the type that :meth:`encode_to_numpy` returns, ``offsets`` shape
        ``(texts + 1,)``: the ids of text k are ``ids[offsets[k] : offsets[k + 1]]``. Threads and errors as in
        :meth:`encode_batch`; one thread where a text must be normalized first or the pattern has no compiled scanner.
        """
        texts = _checked_batch(texts, num_threads)
        if self._piecewise is not None and any(map(self._piecewise.needed_for, texts)):
            arrays = [self.encode_to_numpy(text) for text in texts]
            ids: NDArray[Any] = np.concatenate(arrays)
            return ids, np.cumsum([0, *map(len, arrays)], dtype=np.int64)
        try:
            return self._engine.encode_batch_numpy(
                texts, with_specials=True, num_threads=num_threads, progress=None
            )
        except UnicodeEncodeError as error:
            raise surrogate_error(error) from None

    def encode_to_numpy(self, text: str | bytes) -> NDArray[np.uint16] | NDArray[np.uint32]:
        """The ids of ``text`` as an array of shape ``(tokens,)``: uint16 where ``vocab_size`` allows, else uint32."""
        if self._piecewise is not None and self._piecewise.needed_for(text):
            ids = self.encode(text)
            return np.array(ids, np.uint16) if self.vocab_size <= 1 << 16 else np.array(ids, np.uint32)
        try:
            return self._engine.encode_numpy(text, True)
        except UnicodeEncodeError as error:
            raise surrogate_error(error) from None

    def encode_iterable(self, iterable: Iterable[str]) -> Iterator[int]:
        """The ids of ``"".join(iterable)``, lazily; they do not depend on where items end.

        Items are consumed as needed and dropped once they are encoded, so that memory does not grow with the input. The
        text is cut where no pre-token, special token or normalization can cross. With a ``pattern`` that has no
        compiled scanner, and with NFKC or NFKD, there are such places only at special tokens.
        """
        for part in safe_parts(checked_items(iterable), self._cutter.safe_cut):
            yield from self.encode(part)

    def encode_file(
        self, source: PathLike, target: PathLike, *, num_threads: int | None = None, progress: bool = False
    ) -> TokenFile:
        """Encode the file ``source`` into the token file ``target``, on ``num_threads`` threads, and open it.

        The source is mapped and encoded window by window: memory does not grow with it. With a ``normalizer``, or a
        ``pattern`` without a compiled scanner, it is read and cut as by :meth:`encode_iterable`, on one thread. Nothing
        appears at ``target`` before it is complete. Raises OSError naming the file that cannot be read or written, and
        ValueError if ``target``, or its description beside it, is ``source`` or a file of this tokenizer.
        """
        if num_threads is not None:
            check_positive("num_threads", num_threads)
        source = check_input_file(source)
        target = self.check_target(source, target)
        with progress_bar(description=f"encoding {source.name}", unit="B", enabled=progress) as bar:
            return write_token_file(
                target,
                self._file_ids(source, num_threads, bar),
                vocab_size=self.vocab_size,
                tokenizer_sha256=self.sha256(),
            )

    @property
    def can_cut_files(self) -> bool:
        """Whether :meth:`encode_range` takes parts of a file: the pattern has a scanner, and there is no normalizer."""
        return self._piecewise is None

    def encode_range(self, source: PathLike, start: int, stop: int) -> NDArray[Any]:
        """The ids of a part of a file, on one thread, as an array of the type that :meth:`encode_to_numpy` returns.

        The part runs from the first safe cut at or after byte ``start`` to the first one at or after ``stop``: the
        parts of adjacent ranges, joined, are the ids of the file. Where files cannot be cut (:attr:`can_cut_files`),
        the range must be the whole file.

        Raises ValueError for another range of a file that cannot be cut, and OSError for a file that cannot be read.
        """
        if self._piecewise is not None:
            contents = Path(source).read_bytes()
            if (start, stop) != (0, len(contents)):
                raise ValueError(
                    f"a file can only be encoded whole with this pattern or normalizer, not from {start} to {stop}"
                )
            return self.encode_to_numpy(contents)
        encoder = _bpe.FileEncoder(
            self._engine, os.fsencode(source), num_threads=1, progress=None, start=start, stop=stop
        )
        return np.concatenate([*encoder] or [np.empty(0, token_dtype(self.vocab_size))])

    def check_target(self, source: PathLike, target: PathLike) -> Path:
        """The file that ``target`` names, after checking that the tokens of ``source`` may be written there.

        Raises what :meth:`encode_file` raises for a wrong target.
        """
        checked = check_output_file(target)
        written = (target, description_path(target), description_path(checked))
        check_not_sources(written, (source, *self._saved, *self._sources))
        return checked

    # --- decoding ------------------------------------------------------------------------------------------------

    def decode(self, ids: Iterable[SupportsIndex] | NDArray[Any], errors: str = "replace") -> str:
        """The text of ``ids``. ``errors`` as in ``bytes.decode``, since a token may hold part of a character."""
        return self.decode_bytes(ids).decode("utf-8", errors)

    def decode_bytes(self, ids: Iterable[SupportsIndex] | NDArray[Any]) -> bytes:
        """The bytes of ``ids``, exactly those that were encoded; with a ``normalizer``, those of the normalized text.

        Raises ValueError for an unknown id.
        """
        return self._engine.decode(np.asarray(ids) if hasattr(ids, "__array__") else ids)

    def decode_file(self, source: PathLike, target: PathLike, *, progress: bool = False) -> int:
        """Decode the token file ``source`` into the file ``target`` and return the number of bytes written.

        Memory does not grow with the file, and nothing appears at ``target`` before it is complete. Raises
        FormatError for a source that is damaged, is not a token file, or was encoded with another tokenizer, OSError
        naming the file that cannot be read or written, and ValueError when ``target`` is the source, its description
        or a file of this tokenizer.
        """
        tokens = TokenFile.open(source)
        check_output_file(target)
        check_not_sources([target], [source, description_path(source), *self._saved, *self._sources])
        named = str(self._saved[0]) if self._saved else "the one given"
        tokens.expect(tokenizer_sha256=self.sha256(), named=named)
        size = 0
        with (
            atomic_write(target) as file,
            progress_bar(description="decoding", total=len(tokens), enabled=progress) as bar,
        ):
            for start in range(0, len(tokens), _DECODED_IDS):
                [part] = tokens.windows(np.array([start]), min(_DECODED_IDS, len(tokens) - start))
                size += file.write(self.decode_bytes(part))
                bar.update(len(part))
        return size

    # --- files ---------------------------------------------------------------------------------------------------

    def save(self, path: PathLike) -> None:
        """Write Hugging Face's ``tokenizer.json``, atomically.

        Raises ValueError for a file that this tokenizer was trained on or read from, unless it is a tokenizer.json.
        """
        check_not_sources([path], self._sources)
        write_tokenizer_json(path, self._data)
        self._saved.append(Path(path).absolute())

    @classmethod
    def load(cls, path: PathLike) -> Self:
        """Read a ``tokenizer.json``. Raises FormatError, with the place, for one that would not give the same ids."""
        tokenizer = cls._from_data(read_tokenizer_json(path))
        tokenizer._saved.append(Path(path).absolute())
        return tokenizer

    @classmethod
    def from_vocab_merges(
        cls,
        vocab_path: PathLike,
        merges_path: PathLike,
        special_tokens: Sequence[str] | None = None,
        *,
        pattern: str = "gpt2",
    ) -> Self:
        """Read GPT-2's ``vocab.json`` and ``merges.txt``. Raises FormatError, with the place, for bad files."""
        data = read_vocab_merges(vocab_path, merges_path, special_tokens, pattern=pattern)
        return cls._from_data(data, vocab_path, merges_path)

    @classmethod
    def from_tiktoken(
        cls,
        path: PathLike,
        *,
        pattern: str,
        special_tokens: Mapping[str, int] | Sequence[str] | None = None,
    ) -> Self:
        """Read a tiktoken rank file; special tokens have ids of their own or get the next ones. Raises FormatError."""
        return cls._from_data(read_tiktoken(path, special_tokens, pattern=pattern), path)

    @classmethod
    def from_pretrained(cls, name: str) -> Self:
        """A published tokenizer by name: "gpt2", "cl100k_base", "o200k_base" or "deepseek", without a network.

        Its vocabulary comes from installed packages or local caches; if it is missing, FileNotFoundError says what to
        install. Raises ValueError for another name.
        """
        return cls._from_data(load_pretrained(name))

    @classmethod
    def open(cls, name: str | PathLike) -> Self:
        """The tokenizer in the file ``name``, else the published one of that name.

        Raises what :meth:`load` and :meth:`from_pretrained` raise.
        """
        if name in PRETRAINED and not Path(name).exists():
            return cls.from_pretrained(str(name))
        return cls.load(name)

    # --- how it is done ------------------------------------------------------------------------------------------

    @property
    def _cutter(self) -> PiecewiseEncoder | _bpe.Encoder:
        return self._piecewise or self._engine

    def _file_ids(self, source: Any, num_threads: int | None, bar: Any) -> Iterator[NDArray[Any]]:
        if self._piecewise is None:
            name = os.fsencode(source)  # need not be UTF-8
            yield from _bpe.FileEncoder(self._engine, name, num_threads=num_threads, progress=bar)
            return
        with open(source, "rb") as file:
            bar(0, source.stat().st_size)
            for part in safe_parts(iter(lambda: file.read(1 << 20), b""), self._cutter.safe_cut):
                yield self.encode_to_numpy(part)
                bar.update(len(part))


def _checked_batch(texts: Sequence[str | bytes], num_threads: int | None) -> list[str | bytes]:
    """The arguments of a batch, after checking all but the types of its texts; a list that nobody else changes."""
    if num_threads is not None:
        check_positive("num_threads", num_threads)
    if isinstance(texts, str | bytes):
        raise TypeError("texts must be a sequence of str, not a single text")
    return list(texts)
