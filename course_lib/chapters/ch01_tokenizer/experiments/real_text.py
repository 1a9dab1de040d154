"""Chapter 1: samples of the real texts that come with the course."""

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np

from course_lib.data import Split, split
from course_lib.data.stories import Language

NAMES: Mapping[Language, str] = {"en": "novels_en", "zh": "classics_zh"}
"""The texts, of :func:`course_lib.data.split`."""

parts: Callable[[str], Split] = cache(split)
"""A text's training and held-out part by name; they share no sentence."""


def sample(language: Language = "en", part: str = "training", *, num_bytes: int, seed: int = 0) -> list[str]:
    """Chapters or poems of a language's text in random order, ``num_bytes`` of them or all there are.

    ``part``: "training" or "held_out". The last piece is cut off where it must be, at a whole character.
    """
    pieces = getattr(parts(NAMES[language]), part)
    chosen: list[str] = []
    room = num_bytes
    for number in np.random.default_rng(seed).permutation(len(pieces)):
        contents = pieces[number].encode()
        chosen.append(contents[:room].decode(errors="ignore"))
        room -= len(contents)
        if room <= 0:
            break
    return chosen
