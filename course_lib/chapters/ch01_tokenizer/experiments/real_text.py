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


def disjoint(language: Language, part: str = "training", *, number: int, num_bytes: int) -> list[str]:
    """The ``number``-th of the parts of ``num_bytes`` into which a language's chapters or poems fall, from 0.

    They are in one random order, always the same; parts share no byte. The first and the last piece are cut off at
    whole characters. Raises ValueError if the text has no such part.
    """
    pieces = getattr(parts(NAMES[language]), part)
    start, end = number * num_bytes, (number + 1) * num_bytes
    place = 0
    chosen: list[str] = []
    for index in np.random.default_rng(0).permutation(len(pieces)):
        contents = pieces[index].encode()
        inside = contents[max(0, start - place) : max(0, end - place)].decode(errors="ignore")
        chosen += [inside] if inside else []
        place += len(contents)
    if number < 0 or end > place:
        raise ValueError(
            f"number={number}: the {part} text has {place // num_bytes} parts of {num_bytes:,} bytes"
        )
    return chosen


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
