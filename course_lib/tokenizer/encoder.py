"""The compiled encoder of a tokenizer, made from plain data after checking that the parts fit together."""

from collections.abc import Collection, Mapping, Sequence

from course_lib import _bpe
from course_lib.tokenizer.formats import MAX_ID, TokenizerData


def make_encoder(data: TokenizerData, scanner: str | None) -> _bpe.Encoder:
    """The encoder for ``data``; ``scanner`` names the compiled pre-tokenizer, None if there is none for the pattern.

    Raises ValueError, naming the entry, for a vocabulary and merges that do not fit together.
    """
    ids_of = _invert(data.vocab, set(data.special_tokens.values()))
    missing = [byte for byte in range(256) if bytes([byte]) not in ids_of]
    if missing:
        raise ValueError(
            f"vocab has no token for byte {bytes([missing[0]])!r}; all 256 single bytes are needed"
        )
    byte_ids = [ids_of[bytes([byte])] for byte in range(256)]
    merges = _resolve_merges(data.merges, ids_of)
    return _bpe.Encoder(
        tokens=list(data.vocab.items()),
        merges=merges,
        special_tokens=list(data.special_tokens.items()),
        byte_ids=byte_ids,
        whole_tokens=_whole_tokens(data, byte_ids, merges) if data.ignore_merges else [],
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


def _resolve_merges(
    merges: Sequence[tuple[bytes, bytes]], ids_of: Mapping[bytes, int]
) -> list[tuple[int, int, int]]:
    """Each merge as ids: left, right, result."""
    try:
        return [(ids_of[left], ids_of[right], ids_of[left + right]) for left, right in merges]
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


def _whole_tokens(
    data: TokenizerData, byte_ids: Sequence[int], merges: Sequence[tuple[int, int, int]]
) -> list[int]:
    """The ids that a whole pre-token may become: all tokens except those that are only special."""
    ordinary = {*byte_ids, *(result for _, _, result in merges)}
    specials = set(data.special_tokens.values()) - ordinary
    return [token_id for token_id in data.vocab if token_id not in specials]


def surrogate_error(error: UnicodeEncodeError) -> ValueError:
    """The error for a str that UTF-8 cannot hold."""
    return ValueError(
        f"text holds a lone surrogate, {error.object[error.start]!r}, at position {error.start}: "
        "no UTF-8 text can hold one (decode the source with errors='replace', or pass bytes)"
    )
