"""Word statistics: the fit recovers the law behind the data, and the counts match slow ones."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from course_lib.chapters.ch01_tokenizer.experiments import words
from course_lib.chapters.ch01_tokenizer.experiments.zipf import _zeta, fit_zipf

DOCUMENTS = [["a", "b", "a"], ["c", "a"], ["b", "d", "e", "a"], ["f"]] * 30


@pytest.mark.parametrize(("alpha", "xmin"), [(1.7, 1), (2.2, 1), (2.0, 5), (3.0, 20)])
def test_the_fit_finds_the_exponent_that_made_the_data(alpha: float, xmin: int) -> None:
    """Draws by inverting the distribution function; NumPy's own sampler begins at 1 only."""
    share = np.random.default_rng(3).random(30_000)
    grid = np.arange(xmin, 2_000_000, dtype=float)
    below = 1 - _zeta(alpha, grid + 1) / _zeta(alpha, np.array(float(xmin)))
    counts = (grid[np.searchsorted(below, share[share < below[-1]])]).astype(int).tolist()
    fit = fit_zipf(counts, xmin=xmin)
    assert abs(fit.alpha - alpha) < 4 * fit.alpha_error
    assert fit.exponent == pytest.approx(1 / (fit.alpha - 1))
    assert fit.distance < 0.02


def test_the_fit_against_numpys_own_power_law() -> None:
    counts = np.random.default_rng(1).zipf(2.5, size=20_000)
    fit = fit_zipf(counts.tolist(), xmin=1)
    assert abs(fit.alpha - 2.5) < 4 * fit.alpha_error


def test_the_standard_error_is_the_spread_of_repeated_fits() -> None:
    rng = np.random.default_rng(5)
    fits = [fit_zipf(rng.zipf(2.2, size=2_000).tolist(), xmin=1) for _ in range(60)]
    spread = float(np.std([fit.alpha for fit in fits]))
    assert spread == pytest.approx(float(np.mean([fit.alpha_error for fit in fits])), rel=0.35)


def test_xmin_is_found_where_the_law_begins() -> None:
    rng = np.random.default_rng(2)
    tail = 40 * rng.zipf(2.3, size=40_000)  # a law on multiples would fit badly, so fill in between
    tail = tail + rng.integers(0, 40, size=len(tail))
    body = rng.integers(1, 40, size=40_000)
    assert 30 <= fit_zipf([*tail.tolist(), *body.tolist()]).xmin <= 400


def test_the_bootstrap_interval_holds_the_fit_and_is_reproducible() -> None:
    counts = np.random.default_rng(4).zipf(2.0, size=3_000).tolist()
    first, again = (fit_zipf(counts, bootstrap=20, seed=7) for _ in range(2))
    assert first == again
    low, high = first.interval
    assert low < first.exponent < high


def test_the_line_goes_on_with_the_exponent() -> None:
    fit = fit_zipf(np.random.default_rng(6).zipf(2.0, size=50_000).tolist(), xmin=4)
    start = float(fit.rank(4))
    assert fit.count(start) == pytest.approx(4)
    assert fit.count(10 * start) == pytest.approx(4 * 10**-fit.exponent)


def test_the_ranks_of_a_fit_are_counts_of_words() -> None:
    counts = np.random.default_rng(6).zipf(2.0, size=50_000)
    fit = fit_zipf(counts.tolist(), xmin=1)
    assert float(fit.rank(1)) == pytest.approx(fit.tail)
    for count in (2, 5, 20):
        assert float(fit.rank(count)) == pytest.approx((counts >= count).sum(), rel=0.1)
    assert float(fit.rank(20, shift=2)) < float(fit.rank(20)) < float(fit.rank(20, shift=-2))


@pytest.mark.parametrize(
    ("counts", "message"),
    [([1, 0], "counts hold 0"), ([1] * 50, "50 words, too few"), ([], "0 words, too few")],
)
def test_counts_that_cannot_be_fitted(counts: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_zipf(counts)


def test_english_is_prose_without_names_of_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = """See np.array() and don't use foo_bar, x=3 or re.sub: it's <b>bold</b>, a well-known e.g.\n>>> print(a)"""
    for folder, text in (
        ("package", first),
        ("package/sub", "Twice told."),
        ("tests", "No test is read."),
        ("std", ""),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "module.py").write_text(f'''def f():\n    """{text}"""\n''', encoding="utf-8")
        (tmp_path / folder / "copy.py").write_text(f'''def g():\n    """{text}"""\n''', encoding="utf-8")
    monkeypatch.setattr(words.sysconfig, "get_paths", lambda: {"stdlib": tmp_path / "std"})
    monkeypatch.setattr(words, "package_folders", lambda package: [tmp_path])
    documents = words.english_documents.__wrapped__()
    assert documents == (("see", "and", "don't", "use", "or", "it's", "bold", "a"), ("twice", "told"))


def test_the_installed_documentation_is_a_large_text() -> None:
    counts = words.count_words(words.english_documents())
    assert counts.most_common(1)[0][0] == "the"
    assert sum(counts.values()) > 300_000


def test_rank_frequency_is_sorted_and_starts_with_the_most_frequent() -> None:
    frame = words.rank_frequency(words.count_words(DOCUMENTS))
    assert frame["word"].tolist() == ["a", "b", "c", "d", "e", "f"]
    assert frame["count"].tolist() == [120, 60, 30, 30, 30, 30]
    assert frame["per million"].sum() == pytest.approx(1e6)


def test_vocabulary_growth_counts_different_words() -> None:
    distinct = [[f"{number}", f"{number}", "the"] for number in range(200)]
    growth = words.vocabulary_growth(distinct, seeds=2)
    for _, row in growth.iterrows():
        documents, extra = divmod(int(row["words"]), 3)
        assert row["different"] == documents + (documents > 0) + (extra > 0)
    assert growth["once"].max() <= 2
    assert set(growth["seed"]) == {0, 1}


def test_heaps_exponent_is_the_slope() -> None:
    growth = words.vocabulary_growth([[f"{number}"] for number in range(5_000)], seeds=1)
    assert words.heaps_exponent(growth).tolist() == [pytest.approx(1, abs=1e-3)]


def test_unknown_words_are_those_outside_the_list() -> None:
    rates = words.unknown_rate(DOCUMENTS * 10, seeds=2, points=3)
    assert (rates["unknown"] == 0).all()  # every word is in the list of six
    unseen = [[f"{number}"] for number in range(1_000)]
    rates = words.unknown_rate(unseen, seeds=1, points=3)
    assert rates["unknown"].tolist() == [1.0] * len(rates)
    with pytest.raises(ValueError, match=r"held_out=1\.5"):
        words.unknown_rate(unseen, held_out=1.5)


def test_a_longer_list_knows_more() -> None:
    rates = words.unknown_rate(words.english_documents(), seeds=1)
    assert rates["unknown"].is_monotonic_decreasing
    assert rates["whole"].tolist() == [False] * (len(rates) - 1) + [True]


def test_tail_share_by_hand() -> None:
    counts = Counter({f"{number}": 1000 - number for number in range(500)})
    frame = words.tail_share(counts, points=2)
    assert frame["list size"].tolist() == [100, 500]
    assert frame["unknown"].tolist() == [
        pytest.approx(1 - sum(range(901, 1001)) / sum(range(501, 1001))),
        pytest.approx(0, abs=1e-12),
    ]


class Bytes:
    """A tokenizer whose tokens are single bytes."""

    def encode_ordinary(self, text: str) -> list[int]:
        return list(text.encode())

    def decode_bytes(self, ids: list[int]) -> bytes:
        return bytes(ids)


def test_words_and_strings() -> None:
    frame = words.words_and_strings(["跟我", "觥筹"], "跟我来，跟我走。", {"bytes": Bytes()}).set_index(
        "string"
    )
    assert frame["dictionary count"].to_dict() == {"跟我": 0, "觥筹": 3}
    assert frame["in text"].to_dict() == {"跟我": 2, "觥筹": 0}
    dictionary = words.jieba_dictionary()
    expected = dictionary["跟"] * dictionary["我"] / dictionary.total
    assert math.isclose(float(frame["if independent"]["跟我"]), expected)
    assert frame["bytes"]["跟我"] == r"\xe8|\xb7|\x9f|\xe6|\x88|\x91"
