"""Chapter 1: how well a Unigram model fits its words, after every step of EM and every pruning."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from course_lib.chapters.ch01_tokenizer.experiments.real_text import sample
from course_lib.checks import check_integer
from course_lib.data.stories import Language
from course_lib.tokenizer.unigram import training_words
from course_lib.tokenizer.unigram_training import (
    Lattices,
    MStep,
    PieceModel,
    m_step,
    maximum_likelihood,
    seed_pieces,
)

M_STEPS: Mapping[str, MStep] = {"plain EM": maximum_likelihood, "sparse EM": m_step}
"""The M-steps, which set the probabilities to the relative counts, or those of about half a count less (digamma), as
SentencePiece does."""


def em_curve(
    rule: str = "plain EM",
    language: Language = "en",
    *,
    num_bytes: int = 200_000,
    held_out_bytes: int = 50_000,
    num_pieces: int = 1_500,
    seed_size: int = 10_000,
    em_steps: int = 3,
    last_steps: int = 4,
    seed: int = 0,
) -> pd.DataFrame:
    """Fit the probabilities of many pieces to real text by EM, drop a quarter of the pieces, fit again, and so on.

    ``rule``: one of ``M_STEPS``. ``em_steps`` between two prunings, ``last_steps`` after the last one, when
    ``num_pieces`` are left.

    Columns: rule; step; what ("seeds", "EM" or "pruning") was done last; pieces (kept); bits_per_byte of the words it
    learns from, summed over all ways to cut them; and held_out, the same for words of held-out text whose characters
    are all known (NaN for plain EM, which gives a probability of 0 to pieces that it stopped using).

    Raises ValueError for ``num_pieces`` below the number of characters in the words, or above that of the seeds.
    """
    words = training_words(sample(language, num_bytes=num_bytes, seed=seed), "gpt2")
    known = set().union(*words)
    model = PieceModel.of(words, seed_pieces(words, 16, seed_size))
    check_integer("num_pieces", num_pieces, least=len(known), most=model.num_pieces)
    unseen = training_words(sample(language, "held_out", num_bytes=held_out_bytes, seed=seed), "gpt2")
    held_out = {word: count for word, count in unseen.items() if known.issuperset(word)}
    ways = Lattices.of(list(held_out), model.pieces)
    rows: list[tuple[str, int, str, int, float, float]] = []

    def record(what: str) -> None:
        fitted = -model.log_likelihood() / math.log(2) / _num_bytes(words)
        new = math.nan
        if rule != "plain EM":
            of_words = ways.restricted(model.kept).log_probabilities(model.log_p)
            new = -float(np.array(list(held_out.values())) @ of_words) / math.log(2) / _num_bytes(held_out)
        rows.append((rule, len(rows), what, model.num_pieces, fitted, new))

    record("seeds")
    while True:
        last = model.num_pieces == num_pieces
        for _ in range(last_steps if last else em_steps):
            model.em_step(M_STEPS[rule])
            record("EM")
        if last:
            return pd.DataFrame(rows, columns=["rule", "step", "what", "pieces", "bits_per_byte", "held_out"])
        model.prune(max(num_pieces, int(0.75 * model.num_pieces)))
        record("pruning")


def _num_bytes(words: Mapping[str, int]) -> int:
    """Bytes of the text that the words are; a ``▁`` stands for a space."""
    return sum(count * len(word.replace("▁", " ").encode()) for word, count in words.items())
