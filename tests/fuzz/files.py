"""Damaged tokenizer files: each is read, or refused with an error that names it; whatever is read can be used.

What the package that the format comes from reads, too, gives the same ids there.
"""

import base64
import copy
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import tiktoken
import tokenizers

from course_lib.errors import FormatError
from course_lib.tokenizer import PATTERNS, Tokenizer, train_bpe

TEXT: Final = "low lower lowest, newer wider: 我来学习语文。 It's 2024!\n\n  don't   stop\t<|end|>"

# What stands where something else belongs.
_VALUES: Final = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        255,
        2**24,
        2**63,
        10**30,
        1.5,
        float("inf"),
        "",
        "a",
        " ",
        "\ud800",
        "<|end|>",
    ),
    *(
        "Ġ",
        "a b",
        "ByteLevel",
        "NFC",
        r"\p{L}+",
        "(",
        r"(a+)+$",
        r"\w+|\W",
        r"(?r)\S+",
        r"(?i:[st])+?|\S*",
        "gpt2",
        [],
        {},
        [[]],
        ["a", "b"],
        ["a", "b", "c"],
        {"a": 1},
    ),
    *({"type": "NFC"}, {"type": "ByteLevel"}, {"Regex": "("}, {"String": ""}),
)


class Files:
    """The three kinds of files of one small tokenizer, and how they are read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        tokenizer = train_bpe([TEXT] * 3, 300, ["<|end|>"], pattern="cl100k")
        tokenizer.save(folder / "tokenizer.json")
        document = json.loads((folder / "tokenizer.json").read_bytes())
        merges = [" ".join(pair) for pair in document["model"]["merges"]]
        ranks = [
            base64.b64encode(token) + b" %d" % token_id
            for token_id, token in tokenizer.vocab.items()
            if token_id not in tokenizer.special_token_ids.values()
        ]
        self._documents = {"tokenizer.json": document, "vocab.json": document["model"]["vocab"]}
        self._lines = {
            "merges.txt": ["#version: 0.2", *merges],
            "ranks.tiktoken": [rank.decode() for rank in ranks],
        }
        for name in self._documents | self._lines:
            (folder / name).write_bytes(self._whole(name))

    def _whole(self, name: str) -> bytes:
        if name in self._documents:
            return json.dumps(self._documents[name]).encode()
        return "\n".join(self._lines[name]).encode() + b"\n"

    def damaged(self, chance: random.Random) -> tuple[str, bytes]:
        """The name of one of the files and contents for it: a value, a line or some bytes are changed."""
        name = chance.choice(list(self._documents | self._lines))
        times = chance.choice([1, 1, 1, 2, 5])
        if chance.random() < 0.3:
            contents = bytearray(self._whole(name))
            for _ in range(times):
                _damage_bytes(contents, chance)
            return name, bytes(contents)
        if name in self._documents:
            document = copy.deepcopy(self._documents[name])
            for _ in range(times):
                document = _damage_value(document, chance)
            return name, json.dumps(document, ensure_ascii=chance.random() < 0.5).encode(
                "utf-8", "surrogatepass"
            )
        lines = list(self._lines[name])
        for _ in range(times):
            at, other = chance.randrange(len(lines)), chance.choice(lines)
            change = chance.choice(
                [lines[at][:-1], lines[at] + " 1", other, "", " ", "a b", "YQ== 300", "== x", "\0"]
            )
            lines[at : at + chance.randrange(2)] = [change]
        return name, "\n".join(lines).encode()

    def read(self, name: str, contents: bytes) -> Tokenizer | None:
        """The tokenizer, after using it, or None where the file is refused. AssertionError for a bad message."""
        path = self._folder / f"damaged-{name}"
        path.write_bytes(contents)
        try:
            if name == "tokenizer.json":
                tokenizer = Tokenizer.load(path)
            elif name == "ranks.tiktoken":
                tokenizer = Tokenizer.from_tiktoken(path, pattern="gpt2", special_tokens=["<|end|>"])
            elif name == "vocab.json":
                tokenizer = Tokenizer.from_vocab_merges(path, self._folder / "merges.txt")
            else:
                tokenizer = Tokenizer.from_vocab_merges(self._folder / "vocab.json", path)
        except FormatError as error:
            if self._folder.name not in str(error) or len(str(error)) > 2000:
                raise AssertionError("the message does not say what is wrong, or quotes too much") from error
            return None
        ids = tokenizer.encode(TEXT)
        if not tokenizer.normalizer:
            assert tokenizer.decode_bytes(ids) == TEXT.encode(), "the text does not come back"
        if name == "tokenizer.json":
            _compare_with_hugging_face(tokenizer, contents)
            tokenizer.save(path)
            assert Tokenizer.load(path).sha256() == tokenizer.sha256(), "saving changes the tokenizer"
        elif name == "ranks.tiktoken":
            _compare_with_tiktoken(tokenizer, contents)
        return tokenizer


def _compare_with_hugging_face(tokenizer: Tokenizer, contents: bytes) -> None:
    try:
        theirs = tokenizers.Tokenizer.from_buffer(contents)
    except Exception:  # the only class that its errors have; much that is ignored here is refused there
        return
    ids = theirs.encode(TEXT, add_special_tokens=False).ids
    assert tokenizer.encode(TEXT) == ids, "Hugging Face gives other ids"


def _compare_with_tiktoken(tokenizer: Tokenizer, contents: bytes) -> None:
    # As tiktoken.load does, which remembers the first contents that it saw at a path.
    lines = [line.split() for line in contents.splitlines() if line.strip()]
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    theirs = tiktoken.Encoding(
        "damaged", pat_str=PATTERNS["gpt2"], mergeable_ranks=ranks, special_tokens=tokenizer.special_token_ids
    )
    assert tokenizer.encode(TEXT) == theirs.encode(TEXT, allowed_special="all"), "tiktoken gives other ids"


def _damage_bytes(contents: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(contents) + 1)
    stop = at + chance.choice([0, 0, 1, 2, 50, 10_000])
    piece = chance.choice([b"", b"\xff", b"\0", b"{", b"]", b'"', b",", b"1", b"\\ud800", b"[" * 100_000])
    contents[at:stop] = piece


def _damage_text(text: str, chance: random.Random) -> str:
    at = chance.randrange(len(text) + 1)
    piece = chance.choice(
        ["", text[at : at + 1] * 2, *"()[]{}\\^$|?*+-&'aé我", r"\w", r"\P{L}", "(?i:", "(?=", "++"]
    )
    return text[:at] + piece + text[at + chance.randrange(2) :]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container of a document with every key or index of it."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def _damage_value(document: Any, chance: random.Random) -> Any:
    if not isinstance(document, dict | list) or not document:
        return document
    places = list(_places(document))
    # Most places are entries of the vocabulary and merges: the others get half of the changes.
    few = [place for place in places if len(place[0]) < 40]
    container, key = chance.choice(few if few and chance.random() < 0.5 else places)
    value = copy.deepcopy(chance.choice([*_VALUES, chance.choice(places)[0]]))
    if isinstance(container[key], str) and chance.random() < 0.2:
        container[key] = _damage_text(container[key], chance)
        return document
    match chance.randrange(3):
        case 0:
            del container[key]
        case 1:
            container[key] = value
        case _ if isinstance(container, dict):
            container[chance.choice(["a", "", "Ġ", "type", "\ud800"])] = value
        case _:
            container.insert(key, value)
    return document


def run(folder: Path, *, seconds: float, first: int) -> tuple[int, int]:
    """Damage files for ``seconds``, with seeds from ``first`` on. Returns how many were tried, and how many read."""
    files = Files(folder)
    stop = time.monotonic() + seconds
    tried = accepted = 0
    while time.monotonic() < stop:
        name, contents = files.damaged(random.Random(first + tried))
        try:
            accepted += files.read(name, contents) is not None
        except Exception as error:
            error.add_note(f"while reading the {name} of seed {first + tried}")
            raise
        tried += 1
    return tried, accepted
