"""The packages of tokenizer_speed.py: how each makes a tokenizer, trains and encodes, with its own fastest calls.

``PEERS`` is the table, ``LEFT_OUT`` says which packages are not in it and why. All calls return what the package
returns; ``ids_of`` and ``tokens_of`` make arrays and bytes of that, after the clock has stopped.
"""

import base64
import importlib.util
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizer_texts import SEPARATOR, Corpus, Vocabulary

Call = Callable[[], Any]
"""Prepared work that is timed."""

OPENAI = ("gpt2", "cl100k_base", "o200k_base")
ALL = (*OPENAI, "deepseek")
FROM_COMPILED_IN = ("cl100k_base", "o200k_base")
NO_POSSESSIVE = tuple(name for name in ALL if name != "cl100k_base")
"""For packages that do not know tiktoken's spelling of cl100k's pattern, with possessive quantifiers."""


@dataclass(frozen=True)
class Peer:
    """A package, and what it can do; a job that is None is one it cannot.

    ``name``: on PyPI. ``module``: what is imported. ``vocabularies``: those it encodes with; ``open`` makes a tokenizer
    of one. ``whole`` encodes all of a text as one string or as a list of documents, as ``form`` says; ``batch`` a list
    of documents; ``file`` a file. They take the tokenizer, the corpus and the number of threads, and return the work
    that is timed. ``short`` gives the function that encodes one string, as "list" and as "NumPy". ``train`` prepares
    training from the corpus, the size of the vocabulary and the number of threads. ``share``: the part of a text that a
    slow package encodes.
    """

    name: str
    module: str
    vocabularies: Sequence[str] = ()
    open: Callable[[Vocabulary], Any] | None = None
    form: str = "text"
    whole: Callable[[Any, Corpus, int], Call] | None = None
    batch: Callable[[Any, Corpus, int], Call] | None = None
    file: Callable[[Any, Corpus, int], Call] | None = None
    short: dict[str, Callable[[Any], Callable[[str], Any]]] | None = None
    train: Callable[[Corpus, int, int], Call] | None = None
    share: float = 1

    def can(self, job: str) -> bool:
        """Whether it does ``job``: one of the fields above."""
        return getattr(self, job) is not None

    @property
    def installed(self) -> bool:
        """Whether the package is there; it is not imported."""
        return importlib.util.find_spec(self.module) is not None


# --- course_lib ----------------------------------------------------------------------------------------------------


def ours(vocabulary: Vocabulary) -> Any:
    return import_module("course_lib.tokenizer").Tokenizer.load(vocabulary.json)


def train_ours(corpus: Corpus, vocab_size: int, threads: int) -> Call:
    train_bpe = import_module("course_lib.tokenizer").train_bpe
    return lambda: train_bpe(corpus.path, vocab_size, [SEPARATOR], num_threads=threads)


def file_ours(tokenizer: Any, corpus: Corpus, threads: int) -> Call:
    """As ``encode_file``, without writing the token file: other packages leave the ids in memory too."""
    encoder = import_module("course_lib._bpe").FileEncoder

    def encode() -> NDArray[Any]:
        windows = encoder(tokenizer._engine, os.fsencode(corpus.path), num_threads=threads, progress=None)
        return np.concatenate([*windows])

    return encode


# --- packages that the notebook compares too -----------------------------------------------------------------------


def as_in_the_notebook(name: str) -> Callable[[Corpus, int, int], Call]:
    """Training as chapter 1b prepares it."""

    def prepare(corpus: Corpus, vocab_size: int, _threads: int) -> Call:
        peers = import_module("course_lib.chapters.ch01_tokenizer.experiments.peers")
        return getattr(peers, f"train_{name}")(corpus.path, vocab_size)

    return prepare


def source(corpus: Corpus) -> Any:
    return import_module("gigatoken").TextFileSource([str(corpus.path)], separator=SEPARATOR)


def open_tiktoken(vocabulary: Vocabulary) -> Any:
    tiktoken = import_module("tiktoken")
    # Not by tiktoken's own loader, which leaves a copy of every file that it reads in the machine's cache.
    lines = Path(vocabulary.ranks).read_bytes().splitlines()
    ranks = {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, lines)}
    return tiktoken.Encoding(
        vocabulary.name,
        pat_str=vocabulary.description["pattern"],
        mergeable_ranks=ranks,
        special_tokens=vocabulary.description["special_tokens"],
    )


# --- others --------------------------------------------------------------------------------------------------------


def open_fastokens(vocabulary: Vocabulary) -> Any:
    """From ``tokenizer.json`` where its pattern is one that fastokens knows in that form, else from the ranks."""
    tokenizer = import_module("fastokens").Tokenizer
    if vocabulary.name in FROM_COMPILED_IN:
        return tokenizer.from_tiktoken(vocabulary.ranks, encoding=vocabulary.name)
    return tokenizer.from_file(vocabulary.json)


def open_ffbpe(vocabulary: Vocabulary) -> Any:
    tokenizer = ours(vocabulary)
    return import_module("ffbpe").BpeEncoder(
        merges=tokenizer.merges,
        vocab={token: token_id for token_id, token in tokenizer.vocab.items()},
        pat_str=vocabulary.description["pattern"],
    )


def train_bpeasy(corpus: Corpus, vocab_size: int, _threads: int) -> Call:
    bpeasy = import_module("bpeasy")
    pattern = import_module("course_lib.tokenizer").PATTERNS["gpt2"]
    documents = corpus.documents
    return lambda: bpeasy.train_bpe(iter(documents), pattern, 1 << 16, vocab_size - 1)


def train_minibperust(corpus: Corpus, vocab_size: int, _threads: int) -> Call:
    """It has no special tokens: the documents are one text."""
    trainer = import_module("MiniBpeRust.rustminibpe")
    pattern = import_module("course_lib.tokenizer").PATTERNS["gpt2"]
    text = corpus.text
    return lambda: trainer.train_on_text(text, pattern, vocab_size - 1)


def train_gigabpe(corpus: Corpus, vocab_size: int, threads: int) -> Call:
    """Its vocabulary begins with the bytes that occur, not with all 256: the number of merges is made the same."""
    gigabpe = import_module("gigabpe")
    size = vocab_size - 256 + len(set(corpus.path.read_bytes()))
    return lambda: gigabpe.train_bpe(
        [str(corpus.path)], size, special_tokens=[SEPARATOR], pretokenizer="bytelevel", threads=threads
    )


PEERS = (
    Peer(
        "course_lib",
        "course_lib",
        ALL,
        ours,
        whole=lambda t, c, n: lambda text=c.text: t.encode_to_numpy(text),
        batch=lambda t, c, n: lambda texts=c.documents: t.encode_batch_to_numpy(texts, num_threads=n),
        file=file_ours,
        short={"list": lambda t: t.encode, "NumPy": lambda t: t.encode_to_numpy},
        train=train_ours,
    ),
    Peer(
        "gigatoken",
        "gigatoken",
        NO_POSSESSIVE,
        lambda v: import_module("gigatoken").Tokenizer(v.json),
        whole=lambda t, c, n: lambda text=c.text: t.encode(text),
        batch=lambda t, c, n: lambda texts=c.documents: t.encode_batch(texts, parallel=n > 1),
        file=lambda t, c, n: lambda: t.encode_files(source(c), parallel=n > 1),
        short={"list": lambda t: lambda text: t.encode(text).tolist(), "NumPy": lambda t: t.encode},
        train=as_in_the_notebook("gigatoken"),
    ),
    Peer(
        "fastokens",
        "fastokens",
        ALL,
        open_fastokens,
        form="documents",
        whole=lambda t, c, n: lambda texts=c.documents: t.encode_batch_flat(texts),
        batch=lambda t, c, n: lambda texts=c.documents: t.encode_batch_flat(texts),
        short={
            "list": lambda t: lambda text: t.encode(text).ids,
            "NumPy": lambda t: lambda text: np.frombuffer(t.encode_batch_flat([text])[0], np.uint32),
        },
    ),
    Peer(
        "tuetoken",
        "tuetoken",
        ALL,
        lambda v: import_module("tuetoken").Tokenizer(v.json),
        whole=lambda t, c, n: lambda text=c.text: t.encode_to_bytes(text),
        batch=lambda t, c, n: lambda texts=c.documents: t.encode_ordinary_to_buffer(texts, n),
        short={
            "list": lambda t: t.encode_ordinary,
            "NumPy": lambda t: lambda text: np.frombuffer(t.encode_to_bytes(text), np.uint32),
        },
    ),
    Peer(
        "tokie",
        "tokie",
        ALL,
        lambda v: import_module("tokie").Tokenizer.from_json(v.json),
        form="documents",
        whole=lambda t, c, n: lambda path=str(c.path): t.encode_files([path]),
        batch=lambda t, c, n: lambda texts=c.documents: t.encode_batch(texts, False),
        file=lambda t, c, n: lambda path=str(c.path): t.encode_files([path]),
        short={"list": lambda t: lambda text: t.encode(text, False).ids},
    ),
    Peer(
        "quicktok-v1",
        "quicktok",
        FROM_COMPILED_IN,
        lambda v: import_module("quicktok").get_encoding(v.name),
        form="documents",
        whole=lambda t, c, n: lambda texts=c.documents: t.encode_batch(texts, n),
        batch=lambda t, c, n: lambda texts=c.documents: t.encode_batch(texts, n),
        short={
            "list": lambda t: t.encode_ordinary,
            "NumPy": lambda t: lambda text: t.encode_batch([text], 1)[0],
        },
    ),
    Peer(
        "splintr-rs",
        "splintr",
        NO_POSSESSIVE,
        lambda v: import_module("splintr").from_json(v.json),
        whole=lambda t, c, n: lambda text=c.text: t.encode_flat(text),
        batch=lambda t, c, n: lambda texts=c.documents: t.encode_batch_flat(texts),
        short={
            "list": lambda t: t.encode_ordinary,
            "NumPy": lambda t: lambda text: np.frombuffer(t.encode_flat(text), np.uint32),
        },
    ),
    Peer(
        "bpe-openai",
        "bpe_openai",
        FROM_COMPILED_IN,
        lambda v: import_module("bpe_openai").get_encoding(v.name),
        form="documents",  # it refuses a long text
        whole=lambda t, c, n: lambda texts=c.documents: [t.encode_ordinary(text) for text in texts],
        short={"list": lambda t: t.encode_ordinary},
    ),
    Peer(
        "rs-bpe",
        "rs_bpe",
        FROM_COMPILED_IN,
        lambda v: getattr(import_module("rs_bpe.bpe").openai, v.name)(),
        whole=lambda t, c, n: lambda text=c.text: t.encode(text),
        batch=lambda t, c, n: lambda texts=c.documents: t.encode_batch(texts)[0],
        short={"list": lambda t: t.encode},
    ),
    Peer(
        "ffbpe",
        "ffbpe",
        ("gpt2",),
        open_ffbpe,
        whole=lambda t, c, n: lambda text=c.text: t.encode_to_numpy(text),
        short={"list": lambda t: t.encode, "NumPy": lambda t: t.encode_to_numpy},
        train=as_in_the_notebook("ffbpe"),
    ),
    Peer(
        "tiktoken",
        "tiktoken",
        ALL,
        open_tiktoken,
        whole=lambda t, c, n: lambda text=c.text: t.encode_to_numpy(text, disallowed_special=()),
        batch=lambda t, c, n: lambda texts=c.documents: t.encode_ordinary_batch(texts, num_threads=n),
        short={"list": lambda t: t.encode_ordinary, "NumPy": lambda t: t.encode_to_numpy},
    ),
    Peer(
        "tokenizers",
        "tokenizers",
        ALL,
        lambda v: import_module("tokenizers").Tokenizer.from_file(v.json),
        form="documents",
        whole=lambda t, c, n: lambda texts=c.documents: t.encode_batch_fast(texts, add_special_tokens=False),
        batch=lambda t, c, n: lambda texts=c.documents: t.encode_batch_fast(texts, add_special_tokens=False),
        short={"list": lambda t: lambda text: t.encode(text, add_special_tokens=False).ids},
        train=as_in_the_notebook("tokenizers"),
        share=0.125,
    ),
    Peer("rustbpe", "rustbpe", train=as_in_the_notebook("rustbpe")),
    Peer("bpeasy", "bpeasy", train=train_bpeasy),
    Peer("minibperust", "MiniBpeRust", train=train_minibperust),
    Peer("gigabpe", "gigabpe", train=train_gigabpe),
)
"""Ours first."""

LEFT_OUT = {
    "nanotok": "does not install: it has no wheel, and its source does not build",
    "wordchipper": "without a network it loads a vocabulary of single bytes",
    "sentencepiece": "trains on characters, and cannot load byte-level vocabularies",
    "rustbpe, encoding": "encodes only with what it has trained",
    "minibperust, encoding": "numbers tokens in the order of merges, so it cannot load a published vocabulary",
    "bpeasy, encoding": "hands its vocabulary to tiktoken",
    "ffbpe, encoding with ranks": "takes half a minute to load a vocabulary of ranks from memory",
    "DeepSeek, for quicktok-v1, bpe-openai, rs-bpe": "the vocabulary is not one of those compiled in",
}
"""Packages, or jobs of packages, that are not measured, with the reason."""


def ids_of(result: Any) -> NDArray[np.uint32]:
    """The ids that an encoding call returned, flat and in order, whatever container the package uses."""
    if isinstance(result, np.ndarray):
        return result.astype(np.uint32, copy=False).ravel()
    if isinstance(result, bytes):
        return np.frombuffer(result, np.uint32)
    if isinstance(result, tuple):  # ids and offsets
        return ids_of(result[0])
    if isinstance(result, dict):
        return ids_of(result["data"])
    if hasattr(result, "layout"):  # of awkward: documents of a flat array
        return ids_of(import_module("awkward").to_numpy(import_module("awkward").flatten(result, axis=None)))
    if not len(result) or isinstance(result[0], int):
        return np.array(result, np.uint32)
    lists = [item.ids if hasattr(item, "ids") else item for item in result]
    return np.fromiter(chain.from_iterable(lists), np.uint32)


def tokens_of(trained: Any) -> list[bytes]:
    """The tokens that training made, without single bytes and special tokens, in the order they were made."""
    if hasattr(trained, "merges"):  # course_lib
        return [left + right for left, right in trained.merges]
    if hasattr(trained, "to_str"):  # tokenizers
        return _from_alphabet(json.loads(trained.to_str())["model"]["merges"])
    if hasattr(trained, "get_mergeable_ranks"):  # rustbpe
        return [bytes(token) for token, rank in trained.get_mergeable_ranks() if rank >= 256]
    if hasattr(trained, "vocab"):  # ffbpe
        entries = sorted(trained.vocab.items(), key=lambda entry: entry[1])
        return [token for token, _ in entries if len(token) > 1 and token != SEPARATOR.encode()]
    if isinstance(trained, dict):  # bpeasy
        return [token for token, _ in sorted(trained.items(), key=lambda entry: entry[1]) if len(token) > 1]
    if isinstance(trained, tuple):  # gigatoken and gigabpe
        _, merges = trained
        if merges and isinstance(merges[0][0], str):
            return _from_alphabet(merges)
        return [left + right for left, right in merges]
    tokens = [bytes([byte]) for byte in range(256)]  # minibperust: pairs of numbers
    for (left, right), _ in trained:
        tokens.append(tokens[left] + tokens[right])
    return tokens[256:]


def _from_alphabet(merges: Sequence[Sequence[str]]) -> list[bytes]:
    """Tokens of merges that are written in GPT-2's alphabet of printable characters."""
    alphabet = import_module("course_lib.tokenizer.byte_alphabet")
    return [alphabet.to_bytes("".join(pair)) for pair in merges]


def bind(threads: int) -> None:
    """Hold this process to ``threads`` processors, and every pool of threads that a package makes to that number.

    Call it before the package is imported.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    for name in ("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ["TOKENIZERS_PARALLELISM"] = str(threads > 1).lower()
