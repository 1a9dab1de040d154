"""The experiments that judge tokenizers by a model: equal compute, equal text, and tokens that lose nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib import accounting
from course_lib.chapters.ch01_tokenizer import pictures
from course_lib.chapters.ch01_tokenizer.experiments import judged
from course_lib.data import split
from course_lib.lab.run_texts import run_text
from course_lib.lab.small_runs import small_config


def test_steps_cost_the_same_for_every_vocabulary() -> None:
    for vocab_size in judged.VOCAB_SIZES:
        config = small_config(vocab_size=vocab_size)
        steps = judged.equal_compute_steps(config, 16, 1_200)
        budget = 1_200 * accounting.flops(small_config()).total
        assert 2 * steps * accounting.flops(config).total == pytest.approx(budget, rel=0.02)
    assert judged.equal_compute_steps(small_config(), judged.BATCH_SIZE, 1_200) == 1_200


def test_a_run_returns_the_numbers_of_its_point() -> None:
    point = {"seed": 0, "text": "novels_en", "vocab_size": 512, "lr": 0.008, "byte_steps": 8}
    found = judged.size_run(equal="compute", **point)
    config = small_config(vocab_size=512)
    assert found["steps"] == judged.equal_compute_steps(config, judged.BATCH_SIZE, 8)
    assert 2 < found["bytes_per_token"] < 2.5 and 3 < found["bits"] < 9
    read = found["steps"] * judged.BATCH_SIZE * 64 * found["bytes_per_token"] / 1e6
    assert found["bytes_read"] == pytest.approx(read)
    as_much_text = judged.size_run(equal="text", **point)
    assert as_much_text["steps"] == round(8 / found["bytes_per_token"])


def test_shorter_windows_hold_as_many_bytes_and_cost_as_much() -> None:
    point = {"seed": 0, "text": "novels_en", "vocab_size": 512, "lr": 0.008, "byte_steps": 60}
    whole, cut = (judged.size_run(equal=equal, **point) for equal in ("compute", "window"))
    tokens = 1e6 * cut["bytes_read"] / cut["bytes_per_token"] / cut["steps"]
    batch_size = round(judged.BATCH_SIZE * cut["bytes_per_token"])
    assert tokens / batch_size * cut["bytes_per_token"] == pytest.approx(64, rel=0.05)
    assert cut["bytes_read"] == pytest.approx(whole["bytes_read"], rel=0.1)


def test_every_arm_is_tuned_on_the_same_rates_with_enough_seeds() -> None:
    for experiment in (judged.SIZES, judged.SIZES_SHORT, judged.ALGORITHM):
        assert len(experiment.seeds) >= 4
        rates = {}
        for point in experiment.grid:
            arm = tuple(point[name] for name in experiment.scientific)
            rates.setdefault(arm, set()).add(point["lr"])
        assert len({frozenset(tried) for tried in rates.values()}) == 1
        assert all(len(tried) >= 4 for tried in rates.values())


TEXT = split("classics_zh").joined("training")[:20_000] + split("novels_en").joined("training")[:20_000]


@pytest.mark.parametrize("algorithm", judged.ALGORITHMS)
def test_every_algorithm_learns_as_many_pieces_and_loses_nothing(algorithm: str) -> None:
    cutter = judged.train_cutter(TEXT, algorithm, 100)
    characters = len(set(TEXT))
    given_pieces = {"BPE": 256, "WordPiece": 1 + 2 * (characters + 256)}.get(algorithm, 256 + characters)
    assert cutter.vocab_size == given_pieces + 100
    for name in judged.TEXTS:
        held_out = split(name).joined("held_out")[:20_000]
        assert cutter.decode(cutter.encode(held_out)) == held_out


WORD_PIECE = judged.LosslessWordPiece(TEXT, 50)


@given(st.text())
@settings(max_examples=200, deadline=None)
def test_word_piece_restores_any_text(text: str) -> None:
    assert WORD_PIECE.decode(WORD_PIECE.encode(text)) == text


def test_arms_are_the_best_of_their_rates_beside_counts_alone() -> None:
    points, arms = judged.SIZES.load(), judged.size_arms()
    means = points.groupby(["text", "vocab_size", "equal", "lr"])["bits"].mean()
    for arm in arms[arms["model"].isin(judged.MODELS.values())].itertuples():
        equal = next(key for key, name in judged.MODELS.items() if name == arm.model)
        of_arm = means[arm.text, arm.vocab_size, equal]
        assert arm.mean == pytest.approx(of_arm.min()) and arm.lr == of_arm.idxmin() and arm.n == 4
        runs = judged.best_runs(judged.SIZES, text=arm.text, vocab_size=arm.vocab_size, equal=equal)
        assert runs.mean() == pytest.approx(arm.mean) and sorted(runs.index) == [0, 1, 2, 3]
    assert (arms[arms["vocab_size"] == 256]["bytes_per_token"] == 1).all()
    assert set(arms["model"]) == {
        *judged.MODELS.values(),
        "a quarter of the compute",
        "token counts, no network",
    }


def test_counts_alone_are_a_unigram_model() -> None:
    ids = run_text("novels_en", 1_024)
    counts = np.bincount(ids.training, minlength=1_024) + 0.5
    bits = -np.log2((counts / counts.sum())[ids.held_out])
    assert judged.unigram_bits("novels_en", 1_024) == pytest.approx(bits.sum() / ids.held_out_bytes, rel=0.01)


def test_other_windows_would_move_a_mean_by_the_window_error() -> None:
    ids = run_text("novels_en", 1_024)
    counts = np.bincount(ids.training, minlength=1_024) + 0.5
    bits = -np.log2((counts / counts.sum())[ids.held_out]) * len(ids.held_out) / ids.held_out_bytes
    random, length = np.random.default_rng(0), small_config().context_length
    places = random.integers(0, len(bits) - length, size=(150, judged.WINDOWS, 1)) + np.arange(length)
    spread = bits[places].mean(axis=(1, 2)).std()
    assert judged.window_error("novels_en", 1_024) == pytest.approx(spread, rel=0.2)


def test_leads_are_those_of_the_best_rates() -> None:
    arms = judged.size_arms().set_index(["text", "model", "vocab_size"])["mean"]
    for (text, model), lead in judged.leads(4_096).items():
        expected = arms[text, "equal compute", 256] - arms[text, model, 4_096]
        assert lead.mean == pytest.approx(expected)


def test_algorithms_are_ordered_by_bits_with_their_entries() -> None:
    arms = judged.algorithm_arms()
    for _, rows in arms.groupby("text"):
        assert rows["mean"].is_monotonic_increasing and set(rows["algorithm"]) == {*judged.ALGORITHMS}
    bpe = arms[arms["algorithm"] == "BPE"]
    assert (bpe["entries"] == judged.LEARNED + 256).all()


def test_the_picture_draws_a_line_for_each_model_with_several_vocabularies() -> None:
    arms = judged.size_arms()
    panels = pictures.bits_against_ratio(arms).figure.axes
    drawn = {line.get_label() for line in panels[0].lines if not line.get_label().startswith("_")}
    assert drawn == {"equal compute", "a quarter of the compute", "token counts, no network"}
    with pytest.raises(ValueError, match="lacks the columns \\['sem'\\]"):
        pictures.bits_against_ratio(arms.drop(columns="sem"))
