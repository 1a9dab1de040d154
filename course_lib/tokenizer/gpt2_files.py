"""GPT-2's two files: ``vocab.json`` (also ``encoder.json``) and ``merges.txt`` (also ``vocab.bpe``)."""

from collections.abc import Sequence

from course_lib.errors import FormatError
from course_lib.files import PathLike, check_input_file
from course_lib.tokenizer.formats import (
    TokenizerData,
    assign_special_ids,
    read_json,
    read_vocab,
    resolve_merges,
)


def read_vocab_merges(
    vocab_path: PathLike,
    merges_path: PathLike,
    special_tokens: Sequence[str] | None = None,
    *,
    pattern: str = "gpt2",
) -> TokenizerData:
    """Read GPT-2's two files: ``vocab.json`` (token → id) and ``merges.txt`` (two tokens per line, lowest rank
    first).

    A first line that starts with ``#version`` is a comment. Special tokens in the vocabulary keep their id; others get
    the ids after the largest.
    """
    specials = list(special_tokens or ())
    raw = read_json(vocab_path)
    if isinstance(raw, dict) and isinstance(raw.get("model"), dict):
        raise FormatError(vocab_path, "model", "this is a tokenizer.json: read it with Tokenizer.load")
    vocab = read_vocab(vocab_path, "", raw, specials)
    pairs, places = _read_merge_lines(merges_path)
    merges = resolve_merges(merges_path, places, pairs, vocab)
    contents = dict(vocab.values())
    ids = assign_special_ids(contents, specials)
    contents |= {token_id: text.encode() for text, token_id in ids.items()}
    return TokenizerData(contents, merges, ids, pattern)


def _read_merge_lines(path: PathLike) -> tuple[list[tuple[str, str]], list[str]]:
    path = check_input_file(path)
    try:
        # Only "\n" ends a line here: str.splitlines knows more line ends than this format does.
        lines = path.read_bytes().decode().replace("\r\n", "\n").rstrip("\n").split("\n")
    except UnicodeDecodeError as error:
        raise FormatError(path, f"byte {error.start}", "not UTF-8 text") from error
    first = 1 if lines[0].startswith("#version") else 0
    pairs: list[tuple[str, str]] = []
    for number, line in enumerate(lines[first:], first + 1):
        parts = line.split(" ")
        if len(parts) != 2 or not all(parts):
            if lines == [""]:
                break  # an empty file: a vocabulary of single bytes
            raise FormatError(
                path, f"line {number}", f"a merge is two tokens with a space between, got {line[:60]!r}"
            )
        pairs.append((parts[0], parts[1]))
    return pairs, [f"line {number}" for number in range(first + 1, first + 1 + len(pairs))]
