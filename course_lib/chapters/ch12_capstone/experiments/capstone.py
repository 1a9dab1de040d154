"""Chapter 12: a text, a tokenizer and a model, and the baselines that the model has to beat on unseen text."""

import gzip
import lzma
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from course_lib.data import SEPARATOR, ReaderText, TokenFile, write_stories
from course_lib.errors import ReaderError
from course_lib.files import PathLike, atomic_write, check_not_sources, progress
from course_lib.lab.ngrams import NGramModel
from course_lib.lab.scale import choose
from course_lib.loss import bits_per_byte
from course_lib.model import ModelConfig
from course_lib.tokenizer import Tokenizer, train_bpe
from course_lib.train import Callback, TrainConfig, TrainResult, train

_HELD_OUT_SEED = 1_000_003  # stories that nothing is trained on
_XZ_WINDOW = 1 << 28
_LEAST_TRAINING, _LEAST_HELD_OUT = 2_000, 200  # tokens, enough for a few windows
_LEAST_STEPS = 100


@dataclass(frozen=True)
class Material:
    """The files of a run in one folder: two texts, the tokenizer trained on the first, and the token files of both.

    ``least_steps``: minimum number of steps; a text that is too short for them is read more than once.
    """

    folder: Path
    least_steps: int = 1

    @property
    def text(self) -> Path:
        """The text to train on."""
        return self.folder / "train.txt"

    @property
    def held_out(self) -> Path:
        """The text to evaluate on."""
        return self.folder / "held_out.txt"

    @property
    def tokenizer_file(self) -> Path:
        """The tokenizer.json."""
        return self.folder / "tokenizer.json"

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer."""
        return Tokenizer.load(self.tokenizer_file)

    def tokens(self, text: Path) -> TokenFile:
        """The token file of one of the two texts."""
        return TokenFile.open(text.with_suffix(".bin"))


def prepare(
    folder: PathLike,
    num_bytes: int = 1_600_000,
    held_out_bytes: int = 100_000,
    vocab_size: int = 4096,
    own_text: ReaderText | None = None,
) -> Material:
    """Write stories to ``folder``, train a tokenizer on those for training, and encode both texts.

    Instead of stories, the two texts can be the beginning of ``own_text`` and its last sixteenth, at most
    ``held_out_bytes`` characters. Raises ReaderError if that is too little to train or to evaluate on.
    """
    material = Material(Path(folder), least_steps=1 if own_text is None else _LEAST_STEPS)
    if own_text is None:
        write_stories(material.text, num_bytes, seed=0)
        write_stories(material.held_out, held_out_bytes, seed=_HELD_OUT_SEED)
    else:
        whole = own_text.read(num_bytes + held_out_bytes)
        end = len(whole) - min(len(whole) // 16, held_out_bytes)
        # Cut at the end of a line, if lines are not too long.
        end = whole.rfind("\n", end * 3 // 4, end) + 1 or end
        for path, part in ((material.text, whole[:end]), (material.held_out, whole[end:])):
            with atomic_write(path) as file:
                file.write(part.encode())
    with warnings.catch_warnings():
        # A short text makes a smaller vocabulary.
        warnings.filterwarnings("ignore", message="no pair is left")
        tokenizer = train_bpe(material.text, vocab_size, [SEPARATOR])
    tokenizer.save(material.tokenizer_file)
    for text, needed in ((material.text, _LEAST_TRAINING), (material.held_out, _LEAST_HELD_OUT)):
        tokens = tokenizer.encode_file(text, text.with_suffix(".bin"))
        if own_text is not None and len(tokens) < needed:
            raise ReaderError(
                f"your text: {own_text.path.name} is too short for this chapter: {len(tokens):,} tokens "
                f"{'to train on' if text == material.text else 'to be judged by'}, at least {needed:,} are needed"
            )
    return material


def configuration(material: Material, **changes: Any) -> TrainConfig:
    """The chapter's run: one pass over the text, or several over a reader's short one. ``changes``: other fields.

    The small one is a model of 1.0 M parameters, 0.8 M of them in its two tables.
    """
    tokens = material.tokens(material.text)
    d_model, num_layers, num_heads, context = choose(small=(96, 2, 4, 64), large=(512, 8, 8, 512))
    batch_size = choose(small=16, large=64)
    shape = ModelConfig(
        vocab_size=tokens.vocab_size,
        context_length=context,
        d_model=d_model,
        num_layers=num_layers,
        num_heads=num_heads,
    )
    fields: dict[str, Any] = {
        "model": shape,
        "train_tokens": str(tokens.path),
        "valid_tokens": str(material.tokens(material.held_out).path),
        "tokenizer": str(material.tokenizer_file),
        "directory": str(material.folder / "run"),
        "steps": max((len(tokens) - 1) // context // batch_size, material.least_steps),
        "batch_size": batch_size,
        "optimizer": "muon",
        "learning_rate": 0.06,
        "muon_learning_rate": 0.015,
        "schedule": "linear",
        "min_learning_rate_ratio": 0.0,
        "warmup_steps": choose(small=10, large=200),
        "weight_decay": 0.0,
        "threads": choose(small=1, large=0),
        "log_every": 1,
        "eval_every": choose(small=100, large=500),
        "eval_batches": 1000,
        "sample_every": choose(small=50, large=500),
        "sample_tokens": 40,
        "tensorboard": False,
    }
    return TrainConfig(**(fields | changes))


def run_anew(
    config: TrainConfig, *, callbacks: Sequence[Callback] = (), progress: bool = True
) -> TrainResult:
    """Train from the first step, after deleting an earlier run in ``config.directory``.

    Raises ValueError, and deletes nothing, if the training text or the tokenizer is in that folder.
    """
    read = (config.train_tokens, config.valid_tokens, config.tokenizer)
    check_not_sources([], [path for path in read if path is not None], folders=[config.directory])
    shutil.rmtree(config.directory, ignore_errors=True)
    return train(config, callbacks=callbacks, progress=progress)


def compressors(material: Material) -> pd.DataFrame:
    """Bits per byte of the held-out text with general compressors.

    Columns: name, alone (the held-out text by itself), bits_per_byte (its addition to the compressed training text,
    on which the compressor has "trained").
    """
    training, held_out = material.text.read_bytes(), material.held_out.read_bytes()
    rows = []
    for name, size in progress({"gzip": _gzip_size, "xz": _xz_size}.items(), description="compressing"):
        added = size(training + held_out) - size(training)
        rows.append((name, 8 * size(held_out) / len(held_out), 8 * added / len(held_out)))
    return pd.DataFrame(rows, columns=["name", "alone", "bits_per_byte"])


def _gzip_size(data: bytes) -> int:
    return len(gzip.compress(data, compresslevel=9, mtime=0))


def _xz_size(data: bytes) -> int:
    # Like xz -9e, with a window that holds all of a chapter's text.
    method = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": _XZ_WINDOW}
    return len(lzma.compress(data, format=lzma.FORMAT_RAW, filters=[method]))


def ngrams(material: Material, config: TrainConfig, orders: Sequence[int] = (1, 2, 3, 4, 5)) -> pd.DataFrame:
    """Bits per byte of n-gram models on exactly the tokens that ``config``'s run is evaluated on.

    They use the model's tokenizer and its whole training text. Columns: name, n, bits_per_byte, entries
    (n-grams counted).
    """
    training = np.asarray(material.tokens(material.text))
    held_out = np.asarray(material.tokens(material.held_out))
    context = config.sequence_length
    held_out = held_out[: (len(held_out) - 1) // context * context + 1]
    num_bytes = sum(len(material.tokenizer.vocab[token]) for token in held_out[1:].tolist())
    rows = []
    for n in progress(orders, description="n-grams", unit="model"):
        model = NGramModel(training, n, config.model.vocab_size)
        loss = -np.log(model.probabilities(held_out)[1:]).mean()
        bits = bits_per_byte(loss, len(held_out) - 1, num_bytes)
        rows.append((f"{n}-gram", n, bits, model.num_entries))
    return pd.DataFrame(rows, columns=["name", "n", "bits_per_byte", "entries"])


def standings(*tables: pd.DataFrame, result: TrainResult | None = None) -> pd.DataFrame:
    """Baselines, and the last bits per byte of a run as "our model", the worst first. Columns: name, bits_per_byte."""
    rows = [table[["name", "bits_per_byte"]] for table in tables]
    if result is not None:
        last = held_out_bits(result).iloc[-1]
        rows.append(pd.DataFrame({"name": ["our model"], "bits_per_byte": [last]}))
    return pd.concat(rows).sort_values("bits_per_byte", ascending=False, ignore_index=True)


def held_out_bits(result: TrainResult) -> "pd.Series[float]":
    """Bits per byte on the held-out text, by step."""
    rows = {r["step"]: r["valid_bits_per_byte"] for r in result.records if "valid_bits_per_byte" in r}
    return pd.Series(rows, name="bits_per_byte").rename_axis("step")


def samples(result: TrainResult, count: int = 4) -> pd.DataFrame:
    """Evenly spaced samples, including the first and the last. Columns: step, sample."""
    rows = [(record["step"], record["sample"]) for record in result.records if "sample" in record]
    chosen = sorted({round(i) for i in np.linspace(0, len(rows) - 1, count)})
    return pd.DataFrame([rows[i] for i in chosen], columns=["step", "sample"])


def waiting(result: TrainResult) -> float:
    """The share of the run's time in which the training loop waited for a batch."""
    waited: float = sum(record["input_seconds"] for record in result.records)
    return waited / float(result.records[-1]["seconds"])
