"""The texts and vocabularies of tokenizer_speed.py, as files that every measuring process opens."""

import base64
import ctypes
import json
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

SEPARATOR = "<|endoftext|>"
TOKENS_IN_A_SHORT_STRING = 24


@dataclass(frozen=True)
class Corpus:
    """A UTF-8 file of documents with ``<|endoftext|>`` between them, in the forms that packages take."""

    path: Path

    @cached_property
    def documents(self) -> list[str]:
        """The texts between separators; empty ones are dropped, as gigatoken and tokie do."""
        contents = self.path.read_bytes().decode("utf-8")
        return _with_utf8([document for document in contents.split(SEPARATOR) if document])

    @cached_property
    def text(self) -> str:
        """All documents joined, without separators."""
        [text] = _with_utf8(["".join(self.documents)])
        return text

    @cached_property
    def megabytes(self) -> float:
        """Size of the documents in UTF-8, in millions of bytes."""
        return len(self.text.encode()) / 1e6

    @cached_property
    def short_strings(self) -> list[str]:
        """Distinct strings of 24 tokens each, written by :func:`write_short_strings`."""
        return _with_utf8(json.loads(self.path.read_text(encoding="utf-8")))


def _with_utf8(texts: list[str]) -> list[str]:
    """The same texts, which have their UTF-8 form already.

    A str that is not ASCII makes it when a compiled package first asks, and keeps it. That is Python's work: 3.6 ms for
    3 MB of novels, more than encoding them takes with filled caches.
    """
    ask = ctypes.pythonapi.PyUnicode_AsUTF8AndSize
    ask.argtypes, ask.restype = (ctypes.py_object, ctypes.c_void_p), ctypes.c_void_p
    for text in texts:
        ask(text, None)
    return texts


@dataclass(frozen=True)
class Vocabulary:
    """A published vocabulary as ``tokenizer.json``, as ranks in tiktoken's format, and its pattern."""

    name: str
    folder: Path

    @property
    def json(self) -> str:
        """The path of the ``tokenizer.json``."""
        return str(self.folder / f"{self.name}.json")

    @property
    def ranks(self) -> str:
        """The path of the rank file."""
        return str(self.folder / f"{self.name}.tiktoken")

    @cached_property
    def description(self) -> dict[str, Any]:
        """``pattern``, a regular expression, and ``special_tokens`` with their ids."""
        return json.loads((self.folder / f"{self.name}.description").read_text(encoding="utf-8"))


def write_vocabulary(name: str, folder: Path) -> None:
    """Write the files of :class:`Vocabulary`, from what course_lib finds on this machine."""
    from course_lib.tokenizer import PATTERNS, Tokenizer

    tokenizer = Tokenizer.from_pretrained(name)
    vocabulary = Vocabulary(name, folder)
    tokenizer.save(vocabulary.json)
    specials = tokenizer.special_token_ids
    only_special = set(specials.values())
    Path(vocabulary.ranks).write_bytes(
        b"".join(
            base64.b64encode(token) + b" %d\n" % token_id
            for token_id, token in sorted(tokenizer.vocab.items())
            if token_id not in only_special
        )
    )
    description = {"pattern": PATTERNS[tokenizer.pattern], "special_tokens": specials}
    (folder / f"{name}.description").write_text(json.dumps(description), encoding="utf-8")


def write_texts(folder: Path, megabytes: float) -> dict[str, Path]:
    """The default texts: at most ``megabytes`` of novels, classics and Python code, and four times that of stories.

    The code is that of the standard library of the Python that runs, so it differs between Python versions.
    """
    from course_lib.data import split, stories

    def real(name: str) -> Iterator[str]:
        parts = split(name)
        yield from (*parts.training, *parts.held_out)

    size = round(megabytes * 1e6)
    sources = {
        "English": real("novels_en"),
        "Chinese": real("classics_zh"),
        "stories": stories(4 * size, seed=0, language="en"),
        "code": (
            path.read_text(encoding="utf-8", errors="replace")
            for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
        ),
    }
    return {
        name: _write_corpus(folder / f"{name}.txt", texts, 4 * size if name == "stories" else size)
        for name, texts in sources.items()
    }


def head(corpus: Path, share: float) -> Path:
    """The first documents of a corpus, about ``share`` of its bytes, as a file beside it."""
    if share == 1:
        return corpus
    whole = Corpus(corpus)
    target = corpus.with_suffix(f".{share}.txt")
    if not target.exists():
        _write_corpus(target, iter(whole.documents), round(whole.megabytes * 1e6 * share))
    return target


def _write_corpus(path: Path, documents: Iterator[str], size: int) -> Path:
    """Documents, without empty ones, up to ``size`` bytes; the last is cut off at a whole character."""
    chosen = []
    for document in documents:
        contents = document.replace(SEPARATOR, "").encode()[:size]
        if contents:
            chosen.append(contents.decode(errors="ignore"))
        size -= len(contents)
        if size <= 0:
            break
    path.write_bytes(SEPARATOR.join(chosen).encode())
    return path


def write_short_strings(corpus: Path, target: Path, number: int) -> Path:
    """Cut up to ``number`` distinct strings out of a corpus that GPT-2's vocabulary encodes with 24 tokens each."""
    from course_lib.tokenizer import Tokenizer

    tokenizer = Tokenizer.from_pretrained("gpt2")
    ids = tokenizer.encode_ordinary(Corpus(corpus).text)
    strings: dict[str, None] = {}
    for start in range(0, len(ids), TOKENS_IN_A_SHORT_STRING):
        part = tokenizer.decode(ids[start : start + TOKENS_IN_A_SHORT_STRING])
        if len(tokenizer.encode_ordinary(part)) == TOKENS_IN_A_SHORT_STRING:
            strings[part] = None
        if len(strings) == number:
            break
    target.write_text(json.dumps([*strings]), encoding="utf-8")
    return target
