"""The likelihood of a Unigram model while it is learned."""

import numpy as np
import pytest

from course_lib.chapters.ch01_tokenizer.experiments.unigram_em import M_STEPS, em_curve

SMALL = {
    "num_bytes": 8_000,
    "held_out_bytes": 4_000,
    "num_pieces": 150,
    "seed_size": 400,
    "em_steps": 2,
    "last_steps": 3,
}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_em_lowers_the_bits_and_pruning_raises_them(language) -> None:
    curve = em_curve(language=language, **SMALL | ({"num_pieces": 1_060} if language == "zh" else {}))
    change = curve["bits_per_byte"].diff()
    assert (change[curve["what"] == "EM"] <= 1e-12).all()
    assert (change[curve["what"] == "pruning"] > 0).all()
    assert curve["held_out"].isna().all() and list(curve["step"]) == list(range(len(curve)))


def test_the_rows_follow_the_plan() -> None:
    curve = em_curve("sparse EM", **SMALL)
    sizes = list(dict.fromkeys(curve["pieces"]))
    assert sizes[1:] == [max(150, int(0.75 * size)) for size in sizes[:-1]] and sizes[-1] == 150
    blocks = "".join({"seeds": "s", "EM": "e", "pruning": "p"}[what] for what in curve["what"])
    assert set(blocks[1:].split("p")[:-1]) == {"ee"} and blocks.endswith("peee")
    assert np.isfinite(curve["held_out"]).all()
    assert (curve["held_out"] > curve["bits_per_byte"]).all()  # new words fit less well
    assert 1 < curve["bits_per_byte"].iloc[-1] < 5


def test_the_rules_are_those_of_the_library() -> None:
    counts, kept = np.array([8.0, 2.0, 0.0]), np.array([True, True, True])
    np.testing.assert_allclose(np.exp(M_STEPS["plain EM"](counts, kept)), [0.8, 0.2, 0])
    sparse = np.exp(M_STEPS["sparse EM"](counts, kept))
    assert sparse.sum() < 1 and sparse[1] < 0.2  # about half a count less each


@pytest.mark.parametrize("num_pieces", [10, 100_000])
def test_sizes_that_cannot_be_reached_are_refused(num_pieces: int) -> None:
    with pytest.raises(ValueError, match="num_pieces"):
        em_curve(**SMALL | {"num_pieces": num_pieces})
