"""Floors of a text: entropies that are known, and their order on a real text."""

import math
from pathlib import Path

import numpy as np
import pytest

from course_lib.lab.floors import ngram_floors

STORIES = Path(__file__).parents[2] / "data" / "stories_en.txt"


def test_independent_tokens_have_their_entropy_at_every_order() -> None:
    generator = np.random.default_rng(0)
    tokens = generator.choice(4, size=60_000, p=[0.5, 0.25, 0.125, 0.125])
    floors = ngram_floors(tokens[:50_000], tokens[50_000:], 4, num_bytes=10_000).set_index("floor")
    assert floors.bits_per_byte.tolist() == pytest.approx([1.75] * 3, abs=0.03)
    assert floors.nats_per_token["unigram"] == pytest.approx(1.75 * math.log(2), abs=0.02)


def test_a_cycle_is_known_after_one_token() -> None:
    tokens = np.tile([0, 1, 2, 3], 500)
    floors = ngram_floors(tokens[:1600], tokens[1600:], 4, num_bytes=400, orders=(1, 2, 4)).set_index("floor")
    assert floors.bits_per_byte["unigram"] == pytest.approx(2, abs=0.02)
    assert floors.bits_per_byte["bigram"] < 0.1 and floors.bits_per_byte["4-gram"] < 0.1


def test_more_context_helps_on_text() -> None:
    ids = np.frombuffer(STORIES.read_bytes(), dtype=np.uint8)
    floors = ngram_floors(ids[:-20_000], ids[-20_000:], 256, num_bytes=20_000)
    assert floors["floor"].tolist() == ["unigram", "bigram", "trigram"]
    assert floors["bits_per_byte"].is_monotonic_decreasing
