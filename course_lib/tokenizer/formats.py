"""A byte-level BPE tokenizer as plain data, and the checks that its file formats share.

Three families of files hold such tokenizers, each with a module of its own: GPT-2's ``vocab.json`` with ``merges.txt``
(``gpt2_files.py``), tiktoken's rank files (``tiktoken_files.py``) and Hugging Face's ``tokenizer.json``
(``huggingface.py``). All are read into one neutral :class:`TokenizerData`. A file that cannot be read without doubt
raises FormatError, which names file, place and reason.
"""

import collections
import contextlib
import hashlib
import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from course_lib.checks import check_integer
from course_lib.errors import FormatError
from course_lib.files import PathLike, check_input_file
from course_lib.tokenizer.byte_alphabet import to_bytes
from course_lib.tokenizer.normalization import Form

MAX_ID = 2**24 - 1
"""The largest token id: the engine packs ids into 24 bits."""

Merge = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class TokenizerData:
    """A byte-level BPE tokenizer as plain data, whatever file it came from.

    ``vocab``: id → bytes, including special tokens (as UTF-8); ids may have gaps, and a special token may have the
    bytes of an ordinary one. ``merges``: the pairs in the order they apply; each concatenation is in the vocabulary.
    ``special_tokens``: text → id. ``pattern``: a name in ``PATTERNS`` or a regular expression of the ``regex`` package.
    ``ignore_merges``: a pre-token that is a whole vocabulary entry becomes that entry before any merge is tried. Only
    ordinary entries count for this: single bytes, products of merges and the rest of the ordinary vocabulary.
    ``normalizer``: the normal forms of Unicode that are applied to a text, in turn, before it is cut;
    ``normalized_tokens``: the special tokens that are searched for after that instead of before.
    """

    vocab: dict[int, bytes]
    merges: list[Merge]
    special_tokens: dict[str, int] = field(default_factory=dict)
    pattern: str = "gpt2"
    ignore_merges: bool = False
    normalizer: tuple[Form, ...] = ()
    normalized_tokens: frozenset[str] = frozenset()

    def sha256(self) -> str:
        """SHA-256 in hexadecimal of everything that determines the ids, the same whatever file the data came from.

        Every string is hashed with its length, so that no two tokenizers give the hash the same bytes.
        """

        def strings(items: Iterable[bytes]) -> bytes:
            return b"".join([struct.pack("<I", len(item)) + item for item in items])

        digest = hashlib.sha256()
        if self.normalizer:  # cannot be mistaken for a number of ids
            late = sorted(self.normalized_tokens)
            digest.update(b"normalizer" + struct.pack("<II", len(self.normalizer), len(late)))
            digest.update(strings(text.encode() for text in (*self.normalizer, *late)))
        ids = sorted(self.vocab)
        digest.update(struct.pack(f"<Q{len(ids)}I", len(ids), *ids))
        digest.update(strings(self.vocab[token_id] for token_id in ids))
        digest.update(struct.pack("<Q", len(self.merges)))
        digest.update(strings(part for pair in self.merges for part in pair))
        for text, token_id in sorted(self.special_tokens.items()):
            digest.update(strings([text.encode()]) + struct.pack("<I", token_id))
        digest.update(strings([self.pattern.encode()]) + bytes([self.ignore_merges]))
        return digest.hexdigest()


class _DuplicateKeyError(Exception):
    pass


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        counts = collections.Counter(key for key, _ in pairs)
        raise _DuplicateKeyError(counts.most_common(1)[0][0])
    return entries


def read_json(path: PathLike) -> Any:
    """The contents of a JSON file. Raises FormatError if it is not JSON, naming the line, or repeats a key."""
    path = check_input_file(path)
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig"), object_pairs_hook=_refuse_duplicates)
    except json.JSONDecodeError as error:
        raise FormatError(
            path, f"line {error.lineno} column {error.colno}", f"not valid JSON ({error.msg})"
        ) from error
    except UnicodeDecodeError as error:
        raise FormatError(path, f"byte {error.start}", "not UTF-8 text") from error
    except _DuplicateKeyError as error:
        raise FormatError(path, repr(error.args[0]), "occurs twice in one object") from error
    except RecursionError as error:
        raise FormatError(path, "", "nested too deeply to be a tokenizer") from error


def read_vocab(
    path: PathLike, place: str, vocab: Any, special: Mapping[str, int] | Sequence[str] = ()
) -> dict[str, tuple[int, bytes]]:
    """Check a JSON vocabulary: token text → (id, bytes), byte-level except for the ``special`` texts.

    ``place`` is the JSON path of ``vocab`` for messages. Special tokens with ids of their own, in a mapping, may
    have the bytes of an ordinary token. Raises FormatError for ids that are not integers or occur twice, for texts
    outside GPT-2's alphabet and for single bytes that have no token.
    """
    if not isinstance(vocab, dict) or not vocab:
        raise FormatError(path, place, "a vocabulary must be an object of token: id, and not empty")
    check_ids(path, place, vocab)
    decoded: dict[str, tuple[int, bytes]] = {}
    specials = set(special)
    for token, token_id in vocab.items():
        contents = to_bytes(token)
        if token in specials:
            contents = special_bytes(token)
        elif not contents:
            reason = (
                "is empty"
                if not token
                else "is not written in GPT-2's byte alphabet: not a byte-level vocabulary"
            )
            raise FormatError(path, place, f"token {token!r} (id {token_id}) {reason}")
        decoded[token] = (token_id, contents)
    check_bytes(path, place, {contents for token, (_, contents) in decoded.items() if len(token) == 1})
    with_own_ids = specials if isinstance(special, Mapping) else ()
    counts = collections.Counter(bytes_ for text, (_, bytes_) in decoded.items() if text not in with_own_ids)
    if counts.total() != len(counts):
        raise FormatError(path, place, f"two tokens stand for the bytes {counts.most_common(1)[0][0]!r}")
    return decoded


def check_ids(path: PathLike, place: str, vocab: Mapping[Any, Any]) -> None:
    """Raise FormatError unless the values are distinct ids, integers from 0 to ``MAX_ID``."""
    for token, token_id in vocab.items():
        if type(token_id) is not int or not 0 <= token_id <= MAX_ID:
            raise FormatError(
                path,
                place,
                f"the id of token {token!r} must be an integer from 0 to {MAX_ID}, not {token_id!r}",
            )
    if len(set(vocab.values())) != len(vocab):
        owners: dict[int, Any] = {}
        for token, token_id in vocab.items():
            if token_id in owners:
                raise FormatError(
                    path, place, f"id {token_id} belongs to both {owners[token_id]!r} and {token!r}"
                )
            owners[token_id] = token


def check_bytes(path: PathLike, place: str, tokens: set[bytes]) -> None:
    """Raise FormatError unless every single byte is a token: without them some text could not be encoded."""
    missing = [byte for byte in range(256) if bytes([byte]) not in tokens]
    if missing:
        more = f" and {len(missing) - 1} other bytes" if len(missing) > 1 else ""
        raise FormatError(path, place, f"no token for byte 0x{missing[0]:02x}{more}; all 256 are needed")


def special_bytes(text: Any) -> bytes:
    """The UTF-8 of a special token; ValueError if it is not a str, is empty or holds a lone surrogate."""
    if not isinstance(text, str) or not text:
        raise ValueError(f"a special token must be a non-empty str, not {text!r}")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"special token {text!r} holds a lone surrogate") from error


def resolve_merges(
    path: PathLike,
    places: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    vocab: Mapping[str, tuple[int, bytes]],
) -> list[Merge]:
    """The bytes of textual merges, each checked against the vocabulary; ``places``: where each one stands."""
    with contextlib.suppress(KeyError):
        merges = [(vocab[first][1], vocab[second][1]) for first, second in pairs]
        products = [vocab[first + second][1] for first, second in pairs]
        if len(set(pairs)) == len(pairs) and products == [first + second for first, second in merges]:
            return merges
    seen: dict[tuple[str, str], str] = {}
    for place, (first, second) in zip(places, pairs, strict=True):
        unknown = next((token for token in (first, second, first + second) if token not in vocab), None)
        if unknown is not None:
            raise FormatError(
                path, place, f"merge of {first!r} and {second!r}: {unknown!r} is not in the vocabulary"
            )
        if (first, second) in seen:
            raise FormatError(path, place, f"merge of {first!r} and {second!r} repeats {seen[first, second]}")
        seen[first, second] = place
        if vocab[first][1] + vocab[second][1] != vocab[first + second][1]:
            raise FormatError(
                path,
                place,
                f"merge of {first!r} and {second!r}: one of them or the result is a special token",
            )
    raise AssertionError("unreachable: the quick check and the careful one disagree")


def assign_special_ids(
    vocab: Mapping[int, bytes],
    special_tokens: Mapping[str, int] | Sequence[str],
    *,
    may_repeat: bool = False,
) -> dict[str, int]:
    """An id for each special token beside the tokens of ``vocab``: text → id, in the order given.

    A mapping gives the ids. In a sequence, texts that ``vocab`` holds keep their id and the others get the ids after
    the largest. With ``may_repeat``, a text may have one id as a special token and another as an ordinary one, as with
    runs of spaces that were added to a finished vocabulary. Raises ValueError for an empty or repeated special token
    and for ids that do not fit the vocabulary, TypeError for a single string.
    """
    if isinstance(special_tokens, str):
        raise TypeError(
            f"special_tokens must be a sequence of str or a mapping to ids, not {special_tokens!r}"
        )
    given = special_tokens if isinstance(special_tokens, Mapping) else {}
    wanted = {special_bytes(text) for text in special_tokens}
    ids_of = (
        {contents: token_id for token_id, contents in vocab.items() if contents in wanted} if wanted else {}
    )
    next_id = max(vocab, default=-1) + 1
    ids: dict[str, int] = {}
    for text in special_tokens:
        contents = special_bytes(text)
        if text in ids:
            raise ValueError(f"special_tokens holds {text!r} twice")
        own_id = ids_of.get(contents)
        token_id = given.get(text, next_id if own_id is None else own_id)
        token_id = check_integer(f"special_tokens[{text!r}]", token_id, least=0, most=MAX_ID)
        if token_id in ids.values() or vocab.get(token_id, contents) != contents:
            raise ValueError(f"special_tokens[{text!r}] is {token_id}, the id of another token")
        if own_id not in (None, token_id) and not may_repeat:
            raise ValueError(
                f"special_tokens[{text!r}] is {token_id}, but the vocabulary holds it as {own_id}"
            )
        ids[text] = token_id
        next_id = max(next_id, token_id + 1)
    return ids
