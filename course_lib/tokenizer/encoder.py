"""The compiled encoder of a tokenizer, made from plain data after checking that the parts fit together."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from course_lib import _bpe
from course_lib.tokenizer.formats import MAX_ID, TokenizerData


def make_encoder(
    data: TokenizerData, scanner: str | None, merge_ids: NDArray[np.uint32] | None = None
) -> _bpe.Encoder:
    """The encoder for ``data``; ``scanner`` names the compiled pre-tokenizer, None if there is none for the pattern.

    ``merge_ids``, shape (3, merges), says which ids each merge joins and which it makes, if that is known; then ids
    from 0 to 255 must be the bytes.

    Raises ValueError, naming the entry, for a vocabulary and merges that do not fit together.
    """
    if merge_ids is None:
        ids_of = _invert(data.vocab, set(data.special_tokens.values()))
        missing = [byte for byte in range(256) if bytes([byte]) not in ids_of]
        if missing:
            raise ValueError(
                f"vocab has no token for byte {bytes([missing[0]])!r}; all 256 single bytes are needed"
            )
        byte_ids = [ids_of[bytes([byte])] for byte in range(256)]
        merge_ids = _resolve_merges(data.merges, ids_of)
    else:
        byte_ids = list(range(256))
    return _bpe.Encoder(
        tokens=data.vocab,
        merges=merge_ids,
        special_tokens=list(data.special_tokens.items()),
        byte_ids=byte_ids,
        whole_tokens=_whole_tokens(data, byte_ids, merge_ids) if data.ignore_merges else [],
        pattern=scanner,
    )


def _invert(vocab: Mapping[int, bytes], special_ids: Collection[int]) -> dict[bytes, int]:
    """Bytes → id; an ordinary id wins over a special one. Raises ValueError for bytes with two ordinary ids."""
    ids_of: dict[bytes, int] = {}
    for token_id, token in vocab.items():
        if type(token_id) is not int or not 0 <= token_id <= MAX_ID:
            raise ValueError(f"vocab: ids must be integers from 0 to {MAX_ID}, not {token_id!r}")
        if not isinstance(token, bytes) or not token:
            raise ValueError(f"vocab[{token_id}] must be non-empty bytes, not {token!r}")
        other = ids_of.get(token)
        if other is None or other in special_ids:
            ids_of[token] = token_id
        elif token_id not in special_ids:
            raise ValueError(f"vocab: {token!r} has two ids, {other} and {token_id}")
    return ids_of


def _resolve_merges(merges: Sequence[tuple[bytes, bytes]], ids_of: Mapping[bytes, int]) -> NDArray[np.uint32]:
    """The merges as ids, shape (3, merges): left, right and result."""
    try:
        lefts = [ids_of[left] for left, _ in merges]
        rights = [ids_of[right] for _, right in merges]
        results = [ids_of[left + right] for left, right in merges]
    except (KeyError, TypeError, ValueError):
        for number, merge in enumerate(merges):
            if not (
                isinstance(merge, tuple | list)
                and len(merge) == 2
                and all(type(part) is bytes for part in merge)
            ):
                raise ValueError(f"merges[{number}] must be a pair of bytes, not {merge!r}") from None
            left, right = merge
            unknown = next((token for token in (left, right, left + right) if token not in ids_of), None)
            if unknown is not None:
                raise ValueError(f"merges[{number}] is {merge!r}, but {unknown!r} is not in vocab") from None
        raise
    return np.array([lefts, rights, results], np.uint32)


def _whole_tokens(data: TokenizerData, byte_ids: Sequence[int], merge_ids: NDArray[np.uint32]) -> list[int]:
    """The ids that a whole pre-token may become: all tokens except those that are only special."""
    ordinary = {*byte_ids, *merge_ids[2].tolist()}
    specials = set(data.special_tokens.values()) - ordinary
    return [token_id for token_id in data.vocab if token_id not in specials]


def surrogate_error(error: UnicodeEncodeError) -> ValueError:
    """The error for a str that UTF-8 cannot hold."""
    return ValueError(
        f"text holds a lone surrogate, {error.object[error.start]!r}, at position {error.start}: "
        "no UTF-8 text can hold one (decode the source with errors='replace', or pass bytes)"
    )
