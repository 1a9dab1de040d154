"""Other tokenizer packages beside ours, each timed with its own fastest calls.

Each function prepares a job (loads the text or the tokenizer) and returns the part to be timed, which returns what was
trained or encoded. ``JOBS`` lists them.
The packages are imported when a job is prepared; ``installed`` lists those that are available.
"""

import importlib.util
import tempfile
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from course_lib._bpe import default_num_threads
from course_lib.data import SEPARATOR
from course_lib.files import PathLike, progress
from course_lib.lab.measure import cpu_seconds
from course_lib.tokenizer import PATTERNS, Tokenizer, pretokenize, train_bpe

Job = Callable[[], object]
"""A prepared call whose time is measured."""

LONGEST_WORDS = {"tokenizers": 30_000, "gigatoken": 300_000}
"""Longest pre-token in bytes on which a package trains within seconds: the time of these grows quadratically."""


def train_course_lib(path: Path, vocab_size: int) -> Job:
    """Training by ours: byte level, GPT-2's pattern."""
    return lambda: train_bpe(path, vocab_size, [SEPARATOR])


def train_gigatoken(path: Path, vocab_size: int) -> Job:
    """Training by gigatoken: byte level, GPT-2's pattern."""
    import gigatoken

    source = gigatoken.TextFileSource([str(path)], separator=SEPARATOR)
    return lambda: gigatoken.train_bpe(source, vocab_size, [SEPARATOR])


def train_tokenizers(path: Path, vocab_size: int) -> Job:
    """Training by Hugging Face tokenizers: byte level, GPT-2's pattern."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[SEPARATOR],
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )

    def train() -> object:
        tokenizer.train([str(path)], trainer)
        return tokenizer

    return train


def train_rustbpe(path: Path, vocab_size: int) -> Job:
    """Training by rustbpe (nanochat): byte level, GPT-2's pattern."""
    import rustbpe

    documents = path.read_text(encoding="utf-8").split(SEPARATOR)
    tokenizer = rustbpe.Tokenizer()

    def train() -> object:
        tokenizer.train_from_iterator(iter(documents), vocab_size - 1, pattern=PATTERNS["gpt2"])
        return tokenizer

    return train


def train_ffbpe(path: Path, vocab_size: int) -> Job:
    """Training by ffbpe: byte level, GPT-2's pattern."""
    import ffbpe

    documents = path.read_text(encoding="utf-8").split(SEPARATOR)
    return lambda: ffbpe.train_bpe(documents, vocab_size=vocab_size, special_tokens=[SEPARATOR])


def encode_course_lib(path: Path, name: str) -> Job:
    """Encoding a whole text by ours."""
    tokenizer = Tokenizer.from_pretrained(name)
    contents = path.read_bytes()
    return lambda: tokenizer.encode_to_numpy(contents)


def encode_gigatoken(path: Path, name: str) -> Job:
    """Encoding a whole text by gigatoken."""
    import gigatoken

    with tempfile.TemporaryDirectory() as folder:
        Tokenizer.from_pretrained(name).save(Path(folder) / "tokenizer.json")
        tokenizer = gigatoken.Tokenizer(str(Path(folder) / "tokenizer.json"))
    source = gigatoken.TextFileSource([str(path)], separator=SEPARATOR)
    return lambda: tokenizer.encode_files(source, parallel=default_num_threads() > 1)


def encode_tiktoken(path: Path, name: str) -> Job:
    """Encoding a whole text by tiktoken."""
    import tiktoken

    ours = Tokenizer.from_pretrained(name)
    specials = ours.special_token_ids
    only_special = set(specials.values())
    ranks = {token: token_id for token_id, token in ours.vocab.items() if token_id not in only_special}
    encoding = tiktoken.Encoding(
        name, pat_str=PATTERNS[ours.pattern], mergeable_ranks=ranks, special_tokens=specials
    )
    text = path.read_text(encoding="utf-8")
    return lambda: encoding.encode_to_numpy(text, allowed_special="all")


def encode_tokenizers(path: Path, name: str) -> Job:
    """Encoding a whole text by Hugging Face tokenizers."""
    import tokenizers

    with tempfile.TemporaryDirectory() as folder:
        Tokenizer.from_pretrained(name).save(Path(folder) / "tokenizer.json")
        tokenizer = tokenizers.Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    documents = path.read_text(encoding="utf-8").split(SEPARATOR)
    return lambda: tokenizer.encode_batch_fast(documents)


JOBS: dict[str, dict[str, Callable[[Path, str], Job]]] = {
    "train": {
        "course_lib": lambda path, size: train_course_lib(path, int(size)),
        "gigatoken": lambda path, size: train_gigatoken(path, int(size)),
        "ffbpe": lambda path, size: train_ffbpe(path, int(size)),
        "rustbpe": lambda path, size: train_rustbpe(path, int(size)),
        "tokenizers": lambda path, size: train_tokenizers(path, int(size)),
    },
    "encode": {
        "course_lib": encode_course_lib,
        "gigatoken": encode_gigatoken,
        "tiktoken": encode_tiktoken,
        "tokenizers": encode_tokenizers,
    },
}

"""By job and package: prepares a job from a text file and an argument (the vocabulary's size or name)."""


def installed(job: str) -> list[str]:
    """The packages of ``JOBS[job]`` that are installed, ours first."""
    return [package for package in JOBS[job] if importlib.util.find_spec(package) is not None]


def compare(path: PathLike, *, vocab_size: int, vocabulary: str = "gpt2", passes: int = 2) -> pd.DataFrame:
    """Train on a text file and encode it with every package that is installed, one after the other in this process.

    A package of ``LONGEST_WORDS`` does not train, with a UserWarning, on a text with a longer pre-token: it would not
    finish. For a careful comparison, with fresh processes and many turns, see ``benchmarks/``.

    Columns: job, package (with its version), pass (of encoding; later passes have warm caches), cpu_seconds and
    MB_per_cpu_second.
    """
    megabytes = Path(path).stat().st_size / 1e6
    arguments = {"train": str(vocab_size), "encode": vocabulary}
    rows = []
    jobs = [(job, package) for job in JOBS for package in installed(job)]
    longest = max(len(word.encode()) for word in pretokenize(Path(path).read_text(encoding="utf-8"), "gpt2"))
    for package, limit in LONGEST_WORDS.items():
        if longest > limit and ("train", package) in jobs:
            jobs.remove(("train", package))
            warnings.warn(
                f"{package} does not train here: the text holds a pre-token of {longest:,} bytes, and its time grows "
                "with the square of that",
                stacklevel=2,
            )
    for job, package in progress(jobs, description="comparing packages"):
        work = JOBS[job][package](Path(path), arguments[job])
        for number in range(passes if job == "encode" else 1):
            seconds = max(cpu_seconds(work)[0], 1e-9)  # below the clock's resolution
            name = f"{package} {version(package.replace('_', '-'))}"
            rows.append((job, name, number + 1, seconds, megabytes / seconds))
    return pd.DataFrame(rows, columns=["job", "package", "pass", "cpu_seconds", "MB_per_cpu_second"])
