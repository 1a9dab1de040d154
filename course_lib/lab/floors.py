"""Floors: what a model of a text must pass before its loss says anything about how it was made."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from course_lib.lab.ngrams import NGramModel

NAMES = {1: "unigram", 2: "bigram", 3: "trigram"}


def ngram_floors(
    training: ArrayLike,
    held_out: ArrayLike,
    vocab_size: int,
    *,
    num_bytes: int,
    orders: Sequence[int] = (1, 2, 3),
) -> pd.DataFrame:
    """Held-out loss of n-gram models (modified Kneser-Ney) that count the training text.

    Args:
        training: Ids (N,).
        held_out: Ids (M,) of the text that models are judged on.
        vocab_size: V.
        num_bytes: Bytes of the held-out text.
        orders: Values of n.

    Returns:
        One row per order: floor ("unigram", "bigram", "trigram", "4-gram", …), bits_per_byte and nats_per_token.
    """
    rows = []
    for n in orders:
        nats = -np.log(NGramModel(training, n, vocab_size).probabilities(held_out))
        rows.append((NAMES.get(n, f"{n}-gram"), nats.sum() / np.log(2) / num_bytes, nats.mean()))
    return pd.DataFrame(rows, columns=["floor", "bits_per_byte", "nats_per_token"])
