"""Chapter 1: what the files of published vocabularies hold, and whether merges and ranks cut alike."""

import base64
import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from course_lib.tokenizer import Tokenizer, pretokenize, reference
from course_lib.tokenizer.byte_alphabet import to_chars
from course_lib.tokenizer.pretrained import find_pretrained, install_command
from course_lib.tokenizer.reference import Pair
from course_lib.tokenizer.tiktoken_files import recover_merges


def in_the_files(names: Iterable[str], token: str = " the") -> pd.DataFrame:
    """Contents of the files of published vocabularies, read as they are, without the library's readers.

    Columns: vocabulary; file (its name, with its companion, or how to install it); entries; merges, special (tokens)
    and pattern, what the file holds of them; written, how ``token`` stands there; and id, its number. A vocabulary that
    is not on this machine has a row that says so.
    """
    rows = []
    for name in names:
        path = find_pretrained(name)
        found = _contents(path, token) if path else {"file": f"not here: {install_command(name)}"}
        rows.append({"vocabulary": name} | found)
    columns = ["vocabulary", "file", "entries", "merges", "special", "pattern", "written", "id"]
    frame = pd.DataFrame(rows, columns=columns)
    numbers = ["entries", "merges", "special", "id"]
    return frame.astype(dict.fromkeys(numbers, "Int64")).astype({"pattern": "boolean"})


def _contents(path: Path, token: str) -> dict[str, Any]:
    chars = to_chars(token.encode())
    if path.suffix == ".json":
        document = json.loads(path.read_text(encoding="utf-8"))
        vocab, merges = document["model"]["vocab"], document["model"]["merges"]
        special, pattern = len(document["added_tokens"]), document["pre_tokenizer"] is not None
        return _row(
            path.name,
            len(vocab),
            len(merges),
            special,
            pattern,
            json.dumps(chars, ensure_ascii=False),
            vocab[chars],
        )
    if path.suffix == ".bpe":
        vocab = json.loads(path.with_name("encoder.json").read_text(encoding="utf-8"))
        lines = [
            line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#version")
        ]
        # The special token stands among the others, and nothing marks it.
        return _row(
            f"encoder.json, {path.name}", len(vocab), len(lines), 0, False, f'"{chars}"', vocab[chars]
        )
    contents = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    ranks = dict(line.split() for line in contents.splitlines())
    written = base64.b64encode(token.encode())
    return _row(path.name, len(ranks), 0, 0, False, written.decode(), int(ranks[written]))


def _row(
    file: str, entries: int, merges: int, special: int, pattern: bool, written: str, number: int
) -> dict[str, Any]:
    names = ("file", "entries", "merges", "special", "pattern", "written", "id")
    return dict(zip(names, (file, entries, merges, special, pattern, written, number), strict=True))


class JoinedRanks(Mapping[Pair, int]):
    """tiktoken's rule as ranks of pairs: two neighbours may merge if their joined bytes are a token, by its rank."""

    def __init__(self, tokens: Iterable[bytes]) -> None:
        self._ranks = {token: rank for rank, token in enumerate(tokens)}

    def __getitem__(self, pair: Pair) -> int:
        """The rank of the joined pair. Raises KeyError if it is not a token."""
        return self._ranks[pair[0] + pair[1]]

    def __len__(self) -> int:
        """The number of tokens: above every rank."""
        return len(self._ranks)

    def __iter__(self) -> Iterator[Pair]:
        """Every way to join two parts to a token."""
        return ((token[:cut], token[cut:]) for token in self._ranks for cut in range(1, len(token)))


def merges_and_ranks(tokenizers: Mapping[str, Tokenizer], texts: Iterable[str]) -> pd.DataFrame:
    """Cut the distinct pre-tokens of texts by the merge list, and by the ranks of the joined tokens alone.

    Columns: tokenizer, merges, recovered (those that follow from the order of the tokens), words (distinct pre-tokens),
    different (cut differently by the two rules).
    """
    joined_texts = "\n".join(texts)
    rows = []
    for name, tokenizer in tokenizers.items():
        special = set(tokenizer.special_token_ids.values())
        order = [tokenizer.vocab[number] for number in sorted(tokenizer.vocab) if number not in special]
        back = sum(a == b for a, b in zip(recover_merges(order), tokenizer.merges, strict=False))
        by_list, by_rank = reference.merge_ranks(tokenizer.merges), JoinedRanks(order)
        words = {word.encode() for word in pretokenize(joined_texts, tokenizer.pattern)}
        differ = sum(reference.encode_word(w, by_list) != reference.encode_word(w, by_rank) for w in words)
        rows.append((name, len(tokenizer.merges), back, len(words), differ))
    return pd.DataFrame(rows, columns=["tokenizer", "merges", "recovered", "words", "different"])
