"""Chapter 1: a tokenizer judged by a model: bits per byte, for vocabularies of different size and algorithms."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import pandas as pd
import torch

from course_lib import accounting
from course_lib.data import split
from course_lib.lab import evidence
from course_lib.lab.floors import ngram_floors
from course_lib.lab.reference_runs import Experiment, Value, product
from course_lib.lab.run_texts import BYTES, RunText, run_text
from course_lib.lab.small_runs import held_out_batch, linear_to_zero, novels_run, small_config, train_small
from course_lib.model import ModelConfig
from course_lib.tokenizer import pretokenize, train_bpe
from course_lib.tokenizer.unigram import UnigramTokenizer
from course_lib.tokenizer.wordpiece import CONTINUES, WordPieceTokenizer

_FOLDER = Path(__file__).parents[1] / "reference"

VOCAB_SIZES = (BYTES, 1_024, 4_096, 16_384)
TEXTS = ("novels_en", "classics_zh")

BATCH_SIZE = 8
"""Windows in a step of the model that reads bytes."""

WINDOWS = 800
"""Held-out windows, of the default length, that a model is judged by."""

ALGORITHMS = ("BPE", "BPE, same entries", "Unigram", "WordPiece")
"""All learn :data:`LEARNED` pieces, except that "BPE, same entries" has as many entries as Unigram has."""

LEARNED = 3_840

PATTERN: Final = "gpt2"
"""All algorithms get the same words."""


class Cutter(Protocol):
    """The part of a tokenizer that a model needs."""

    @property
    def vocab_size(self) -> int: ...  # noqa: D102
    def encode(self, text: str) -> list[int]: ...  # noqa: D102
    def decode(self, ids: list[int]) -> str: ...  # noqa: D102


# --- sizes of a BPE's vocabulary --------------------------------------------------------------------------------------


def size_run(
    *, seed: int, text: str, vocab_size: int, equal: str, lr: float, byte_steps: int
) -> dict[str, float]:
    """Train the smallest model on a text in tokens of a BPE with ``vocab_size`` entries.

    ``equal``: with the model of bytes, "compute" (as many FLOPs), "text" (as many bytes of text are read) or "window"
    (as many FLOPs, in windows of as many bytes: shorter ones, of which more are in a batch).

    Returns bits (per byte, held out), steps, bytes_per_token (held out), bytes_read (millions of bytes of training text
    in the batches) and parameters (millions).
    """
    ids = run_text(text, vocab_size)
    bytes_per_token = _bytes_per_token(ids)
    config, batch_size = small_config(vocab_size=vocab_size), BATCH_SIZE
    if equal == "window":
        batch_size = round(BATCH_SIZE * bytes_per_token)
        config = replace(config, context_length=round(config.context_length / bytes_per_token))
    steps = max(1, round(byte_steps / bytes_per_token))
    if equal != "text":
        steps = equal_compute_steps(config, batch_size, byte_steps)
    return _trained(ids, config, steps, batch_size=batch_size, lr=lr, seed=seed)


def equal_compute_steps(config: ModelConfig, batch_size: int, byte_steps: int) -> int:
    """Steps of a model that cost as many FLOPs as ``byte_steps`` of the one that reads bytes.

    The head makes a step with a large vocabulary dearer, so that there are fewer.
    """
    budget = byte_steps * BATCH_SIZE * accounting.flops(small_config()).total
    return max(1, round(budget / (batch_size * accounting.flops(config).total)))


def _trained(
    ids: RunText, config: ModelConfig, steps: int, *, batch_size: int = BATCH_SIZE, lr: float, seed: int
) -> dict[str, float]:
    default = small_config().context_length
    settings = novels_run(
        steps,
        lr=lr,
        config=config,
        text=ids,
        batch_size=batch_size,
        schedule=linear_to_zero(steps),
        validation_windows=WINDOWS * default // config.context_length,
    )
    ratio = _bytes_per_token(ids)
    return {
        "bits": train_small(settings, seed=seed).bits_per_byte,
        "steps": float(steps),
        "bytes_per_token": ratio,
        "bytes_read": steps * batch_size * config.context_length * ratio / 1e6,
        "parameters": accounting.parameters(config).total / 1e6,
    }


def _bytes_per_token(ids: RunText) -> float:
    return ids.held_out_bytes / len(ids.held_out)


MODELS = {
    "compute": "equal compute",
    "text": "equal text",
    "window": "equal compute, windows of 64 bytes",
}
"""What a model of tokens has in common with the one that reads bytes."""


def size_arms() -> pd.DataFrame:
    """The stored comparison of vocabulary sizes, each arm at its best rate, beside what token counts alone reach.

    Returns:
        Columns text, model (one of :data:`MODELS`; "a quarter of the compute"; "token counts, no network": a unigram
        model), vocab_size, lr (the best one), mean and sem (of the bits per byte; sem is NaN for counts), n and
        bytes_per_token.
    """
    names = ["text", "vocab_size", "equal"]
    shorter = SIZES_SHORT.load().assign(equal="a quarter of the compute")
    points = pd.concat([SIZES.load().replace({"equal": MODELS}), shorter], ignore_index=True)
    arms = evidence.tuned(points, arms=names, loss="bits").rename(columns={"equal": "model"})
    counted = pd.DataFrame(
        [
            {
                "text": text,
                "model": "token counts, no network",
                "vocab_size": size,
                "mean": unigram_bits(text, size),
            }
            for text in TEXTS
            for size in VOCAB_SIZES
        ]
    )
    ratios = points.groupby(["text", "vocab_size"], as_index=False)["bytes_per_token"].mean()
    return pd.concat([arms, counted], ignore_index=True).merge(ratios, on=["text", "vocab_size"])


def best_runs(experiment: Experiment, **arm: Value) -> "pd.Series[float]":
    """Bits per byte of the runs of one arm of an experiment, at its best rate, by seed."""
    points = experiment.load()
    for name, value in arm.items():
        points = points[points[name] == value]
    best = evidence.tuned(points, arms=list(arm), loss="bits")
    return evidence.at_best(points, best, arms=list(arm)).set_index("seed")["bits"]


def leads(vocab_size: int) -> dict[tuple[str, str], evidence.Difference]:
    """Bits per byte that a model of bytes needs more than one of tokens, by text and one of :data:`MODELS`."""
    found = {}
    for text in TEXTS:
        of_bytes = best_runs(SIZES, text=text, vocab_size=BYTES, equal="compute")
        for equal, model in MODELS.items():
            of_tokens = best_runs(SIZES, text=text, vocab_size=vocab_size, equal=equal)
            found[text, model] = evidence.unpaired(of_bytes.tolist(), of_tokens.tolist())
    return found


def unigram_bits(text: str, vocab_size: int) -> float:
    """Bits per byte of a held-out text when each token is predicted by its count in the training text alone."""
    ids = run_text(text, vocab_size)
    floor = ngram_floors(ids.training, ids.held_out, vocab_size, num_bytes=ids.held_out_bytes, orders=(1,))
    return float(floor["bits_per_byte"].iloc[0])


def window_error(text: str, vocab_size: int) -> float:
    """Standard error of bits per byte from the choice of the held-out windows, as token counts have it.

    Seeds do not show it: all runs of a vocabulary are judged on the same windows, those of another one on others.
    """
    ids = run_text(text, vocab_size)
    counts = np.bincount(ids.training, minlength=vocab_size) + 0.5
    nats = -np.log(counts / counts.sum())
    _, targets = held_out_batch(WINDOWS, small_config().context_length, text=ids)
    means = nats[targets.numpy()].mean(axis=1)
    return ids.bits_per_byte(float(means.std(ddof=1)) / WINDOWS**0.5)


# --- algorithms -------------------------------------------------------------------------------------------------------


def algorithm_run(*, seed: int, text: str, algorithm: str, lr: float, byte_steps: int) -> dict[str, float]:
    """Train the smallest model on a text in tokens of one of :data:`ALGORITHMS`, with equal compute.

    Returns what :func:`size_run` does, and entries (of the vocabulary).
    """
    ids, entries = _algorithm_ids(text, algorithm)
    config = small_config(vocab_size=entries)
    steps = equal_compute_steps(config, BATCH_SIZE, byte_steps)
    return {**_trained(ids, config, steps, lr=lr, seed=seed), "entries": float(entries)}


def algorithm_arms() -> pd.DataFrame:
    """The stored comparison of algorithms, each at its best rate.

    Returns:
        Columns text, algorithm, entries, bytes_per_token, lr (the best one), mean and sem (of the bits per byte) and n.
    """
    points, names = ALGORITHM.load(), ["text", "algorithm"]
    sizes = points.groupby(names, as_index=False)[["entries", "bytes_per_token"]].mean()
    arms = evidence.tuned(points, arms=names, loss="bits")
    return sizes.merge(arms, on=names).sort_values(["text", "mean"], ascending=[False, True])


@cache
def _algorithm_ids(text: str, algorithm: str) -> tuple[RunText, int]:
    whole = split(text)
    training, held_out = whole.joined("training"), whole.joined("held_out")
    cutter = train_cutter(training, algorithm, LEARNED)
    ids = [torch.from_numpy(np.array(cutter.encode(part), dtype=np.int64)) for part in (training, held_out)]
    return RunText(ids[0], ids[1], len(held_out.encode())), cutter.vocab_size


def train_cutter(text: str, algorithm: str, learned: int) -> Cutter:
    """A tokenizer that learned ``learned`` pieces from a text by one of :data:`ALGORITHMS`; no id loses anything.

    Unigram is given 256 bytes and the text's characters beside, WordPiece both as they begin a word and as they
    continue one, BPE the bytes.
    """
    characters = len(set(text))
    match algorithm:
        case "BPE":
            return train_bpe([text], BYTES + learned, pattern=PATTERN, num_threads=1)
        case "BPE, same entries":
            return train_bpe([text], BYTES + characters + learned, pattern=PATTERN, num_threads=1)
        case "Unigram":
            return UnigramTokenizer.train([text], BYTES + characters + learned, pattern=PATTERN)
    return LosslessWordPiece(text, learned)


class LosslessWordPiece:
    """WordPiece, by the gain in likelihood, that keeps white space and unknown characters.

    BERT's drops white space and has one id for all that it does not know. A model that is judged by its bits per byte
    would be spared both. Here a word begins with the space before it, as for BPE and Unigram, and a character that the
    training text lacks is spelled in bytes. Inside, white space and bytes are characters of Unicode's private planes.
    """

    def __init__(self, text: str, learned: int) -> None:
        self._known = set(text)
        alphabet = [*map(self._spelled, sorted(self._known)), *map(_byte, range(256))]
        # Every character begins a word and continues one at least once, so that both are in the vocabulary.
        words = [*self._words(text), *(2 * character for character in alphabet)]
        self._tokenizer = WordPieceTokenizer.train(
            [" ".join(words)],
            1 + 2 * len(alphabet) + learned,
            pattern=r"\S+",
            score="gain",
            max_word_length=1 << 20,  # none is too long
        )

    @property
    def vocab_size(self) -> int:
        """The number of ids."""
        return self._tokenizer.vocab_size

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        return self._tokenizer.encode(" ".join(self._words(text)))

    def decode(self, ids: list[int]) -> str:
        """The text of ids."""
        pieces = (self._tokenizer.vocab[token_id].removeprefix(CONTINUES) for token_id in ids)
        return b"".join(map(_unspelled, "".join(pieces))).decode()

    def _words(self, text: str) -> list[str]:
        return ["".join(map(self._spelled, word)) for word in pretokenize(text, PATTERN)]

    def _spelled(self, character: str) -> str:
        if character not in self._known:
            return "".join(map(_byte, character.encode()))
        return chr(_WHITE_SPACE + ord(character)) if character.isspace() else character


_WHITE_SPACE, _SPELLED_BYTE = 0xF0000, 0x100000  # private planes


def _byte(value: int) -> str:
    return chr(_SPELLED_BYTE + value)


def _unspelled(character: str) -> bytes:
    place = ord(character)
    if place >= _SPELLED_BYTE:
        return bytes([place - _SPELLED_BYTE])
    return chr(place - _WHITE_SPACE if place >= _WHITE_SPACE else place).encode()


# --- what is stored ---------------------------------------------------------------------------------------------------

_RATES = [0.004, 0.008, 0.016, 0.032, 0.064]

SIZES = Experiment(
    chapter=1,
    name="sizes",
    question="Which vocabulary size leaves the fewest bits per byte, after equal compute and after equal text?",
    run=size_run,
    grid=[
        *product(text=[*TEXTS], vocab_size=[*VOCAB_SIZES], equal=["compute"], lr=_RATES),
        *product(text=[*TEXTS], vocab_size=[4_096], equal=["text", "window"], lr=_RATES),
    ],
    seeds=(0, 1, 2, 3),
    scientific=["text", "vocab_size", "equal"],
    nuisance=["lr"],
    fixed={"byte_steps": 1200},
    folder=_FOLDER,
    seconds=20,
    large={"byte_steps": 4800},
    large_seconds=80,
)

SIZES_SHORT = Experiment(
    chapter=1,
    name="sizes_short",
    question="Which vocabulary size leaves the fewest bits per byte after a quarter of the compute?",
    run=size_run,
    grid=product(text=[*TEXTS], vocab_size=[*VOCAB_SIZES], equal=["compute"], lr=_RATES),
    seeds=(0, 1, 2, 3),
    scientific=["text", "vocab_size", "equal"],
    nuisance=["lr"],
    fixed={"byte_steps": 300},
    folder=_FOLDER,
    seconds=6,
)

ALGORITHM = Experiment(
    chapter=1,
    name="algorithm",
    question="Which algorithm leaves the fewest bits per byte after equal compute, with equally many learned pieces?",
    run=algorithm_run,
    grid=product(text=[*TEXTS], algorithm=[*ALGORITHMS], lr=_RATES),
    seeds=(0, 1, 2, 3),
    scientific=["text", "algorithm"],
    nuisance=["lr"],
    fixed={"byte_steps": 1200},
    folder=_FOLDER,
    seconds=25,
    large={"byte_steps": 4800},
    large_seconds=100,
)
