"""Parts of tokenizer.json files, how tests change them, and the ids of a text by definition."""

import copy
import json
from functools import reduce
from pathlib import Path
from typing import Any

import regex

from course_lib.tokenizer.formats import TokenizerData
from course_lib.tokenizer.patterns import PATTERNS

BYTES = [bytes([byte]) for byte in range(256)]


TEXT = "low lower lowest, newer wider: 我来学习语文，跟我学习。 It's 2024!\n\n  don't   stop\t" * 3


def encode(data: TokenizerData, text: str) -> list[int]:
    """The ids of ``text`` by definition: special tokens, pattern, then always the earliest merge that applies."""
    ids_of = {contents: token_id for token_id, contents in reversed(data.vocab.items())}
    ids_of |= {
        contents: token_id
        for token_id, contents in data.vocab.items()
        if token_id not in data.special_tokens.values()
    }
    ranks = {pair: rank for rank, pair in enumerate(data.merges)}
    ids: list[int] = []
    longest_first = sorted(data.special_tokens, key=len, reverse=True)
    parts = regex.split(f"({'|'.join(map(regex.escape, longest_first))})", text) if longest_first else [text]
    for part in parts:
        if part in data.special_tokens:
            ids.append(data.special_tokens[part])
            continue
        for piece in regex.findall(PATTERNS.get(data.pattern, data.pattern), part):
            tokens = [bytes([byte]) for byte in piece.encode()]
            while len(tokens) > 1:
                rank, at = min(
                    (ranks.get(tuple(tokens[i : i + 2]), len(ranks)), i) for i in range(len(tokens) - 1)
                )
                if rank == len(ranks):
                    break
                tokens[at : at + 2] = [tokens[at] + tokens[at + 1]]
            ids += [ids_of[token] for token in tokens]
    return ids


def write(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


SPLIT = {"type": "Split", "pattern": {"Regex": r"\p{L}+|."}, "behavior": "Isolated", "invert": False}


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}


def sequence(*steps: Any) -> dict[str, Any]:
    return {"type": "Sequence", "pretokenizers": list(steps)}


def changed(document: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """A copy of ``document`` with ``value`` at a dotted place."""
    document = copy.deepcopy(document)
    *way, last = [int(key) if key.isdigit() else key for key in place.split(".")]
    reduce(lambda item, key: item[key], way, document)[last] = value
    return document
