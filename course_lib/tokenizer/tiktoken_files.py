"""tiktoken's rank files: on each line the base64 of a token and its rank."""

import binascii
import contextlib
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

from course_lib import _bpe
from course_lib.errors import FormatError
from course_lib.files import PathLike, check_input_file
from course_lib.tokenizer.formats import Merge, TokenizerData, assign_special_ids, check_bytes, check_ids


def read_tiktoken(
    path: PathLike, special_tokens: Mapping[str, int] | Sequence[str] | None = None, *, pattern: str
) -> TokenizerData:
    """Read a tiktoken rank file: on each line the base64 of a token, a space, and its rank, which is its id.

    The file holds no merges; they are recovered from the ranks (:func:`recover_merges`). In tiktoken, a pre-token that
    is a token is taken whole, so ``ignore_merges`` is set. Special tokens in a sequence get ids after the largest.
    """
    path = check_input_file(path)
    return tiktoken_data(path, path.read_bytes(), special_tokens or (), pattern=pattern)


def tiktoken_data(
    path: Path, contents: bytes, special_tokens: Mapping[str, int] | Sequence[str], *, pattern: str
) -> TokenizerData:
    """As :func:`read_tiktoken`, from the file's contents; ``path`` is for messages."""
    ranks = _parse_ranks(path, contents)
    check_ids(path, "", ranks)
    check_bytes(path, "", {token for token in ranks if len(token) == 1})
    tokens = sorted(ranks, key=ranks.__getitem__)
    vocab = {ranks[token]: token for token in tokens}
    ids = assign_special_ids(vocab, special_tokens)
    vocab |= {token_id: text.encode() for text, token_id in ids.items()}
    return TokenizerData(vocab, recover_merges(tokens), ids, pattern, ignore_merges=True)


def recover_merges(tokens: list[bytes]) -> list[Merge]:
    """The merges behind a vocabulary of which only the order is known: ``tokens``, lowest rank first.

    tiktoken merges neighbours whose joined bytes are a token, the lowest rank first. Within the bytes of a token, until
    it is made, this goes as if they stood alone, so the token is always made of the same two parts: those that remain
    last when its own bytes are merged. Tokens whose bytes are not merged that far come from no merge and have no entry.
    """
    return [(tokens[first], tokens[second]) for first, second in _bpe.recover_merges(tokens)]


def _parse_ranks(path: Path, contents: bytes) -> dict[bytes, int]:
    words = contents.split()
    decode = functools.partial(binascii.a2b_base64, strict_mode=True)
    with contextlib.suppress(ValueError):
        ranks = dict(zip(map(decode, words[::2]), map(int, words[1::2]), strict=True))
        if ranks and 2 * len(ranks) == len(words) and b"" not in ranks:
            return ranks
    # Something is wrong. Line by line now, to say where.
    seen: dict[bytes, int] = {}
    for number, line in enumerate(contents.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            encoded, rank = line.split()
            token, _ = decode(encoded), int(rank)
        except ValueError as error:
            shown = line[:60].decode("utf-8", "backslashreplace")
            raise FormatError(
                path, f"line {number}", f"expected a token in base64, a space and a rank, got {shown!r}"
            ) from error
        if token in seen or not token:
            problem = f"this token is already on line {seen[token]}" if token else "the token is empty"
            raise FormatError(path, f"line {number}", problem)
        seen[token] = number
    raise FormatError(path, "", "holds no token")
