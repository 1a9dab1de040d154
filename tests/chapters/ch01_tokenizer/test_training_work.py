"""Controls of the work of training, blocks of a text, and the law of training times."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from course_lib.chapters.ch01_tokenizer import engine_pictures
from course_lib.chapters.ch01_tokenizer.experiments import bpe, controls, scale
from course_lib.data import write_stories
from course_lib.lab.measure import cpu_seconds
from course_lib.tokenizer import reference, train_bpe


def test_an_index_saves_nothing_where_nothing_is_cut() -> None:
    saved = controls.saved_by_index(2_000, num_merges=20).set_index("cut")
    assert saved["pieces"].iloc[2:].tolist() == [1, 8] and saved["holding"].iloc[2:].tolist() == [1, 1]
    assert saved["saved"].iloc[:2].min() > 2 and saved["holding"].iloc[:2].max() < 0.3
    assert saved["saved"].iloc[2:].max() < 1
    assert saved["naive"].iloc[3] == pytest.approx(8 * saved["naive"].iloc[2], rel=0.01)
    # A single word: the naive trainer looks at n - 1 pairs, then at those that are left.
    work = controls.counted_pairs(reference.train_naive, ["abab"], 258, pattern=controls.UNCUT)
    assert work == 3 + 1


def test_work_doubles_with_a_text_that_never_repeats() -> None:
    growth = controls.growth_of_work(6_000, num_merges=10).set_index("text")["growth"]
    assert growth["novels"] < 1.9 < 1.95 < growth["no word twice"] < 2.05


def test_no_pair_below_the_bound_wins() -> None:
    documents = ["low low low lower newest newest widest " * 3 + "a b"]
    found = controls.winners(documents, 2)
    words = reference.count_words(documents)
    counts = sorted((count for word, count in words.items() if len(word) > 1), reverse=True)
    assert found["bound"] == counts[2]
    assert found["least"] >= found["bound"]
    assert 0 < found["below"] < 1
    assert controls.winners(["ab"], 5) == {"bound": 0, "least": 1, "below": 0}


@example(text="ab ab ab", size=1, at_spaces=True)
@given(text=st.text("ab .\n", max_size=300), size=st.integers(1, 50), at_spaces=st.booleans())
def test_blocks_are_the_text(text: str, size: int, at_spaces: bool) -> None:
    blocks = bpe.in_blocks(text, size, at_spaces=at_spaces)
    assert "".join(blocks) == text
    if not at_spaces:
        assert all(len(block) == size for block in blocks[:-1])
    else:
        assert all(block == "" or block[0] == " " for block in blocks[1:])


def test_words_that_ranks_merge_otherwise_are_found() -> None:
    merges = [(b"b", b"c"), (b"a", b"b"), (b"ab", b"c")]
    order = [*(bytes([byte]) for byte in range(256)), b"bc", b"ab", b"abc"]
    assert bpe.merged_otherwise([b"abc", b"ab", b"x"], merges, order) == [((b"a", b"bc"), (b"abc",))]
    trained = train_bpe(["she sells sea shells"], 262)
    assert bpe.merged_otherwise([b"shells", b"sea"], trained.merges, list(trained.vocab.values())) == []


@given(fixed=st.floats(0, 10), per_byte=st.floats(1e-10, 1e-6))
def test_an_exact_law_is_found(fixed: float, per_byte: float) -> None:
    sizes = [1e6, 2e6, 4e6]
    law = scale.LinearLaw.fit(sizes, [fixed + per_byte * size for size in sizes])
    assert law.seconds(1e9) == pytest.approx(fixed + per_byte * 1e9, rel=1e-4)


def test_no_part_of_the_law_is_negative() -> None:
    law = scale.LinearLaw.fit([1.0, 2.0, 4.0], [1.0, 3.0, 7.0])
    assert law.fixed == 0 and 1 < law.per_byte < 2
    shares = np.array([1.0, 2.0, 4.0]) * law.per_byte / np.array([1.0, 3.0, 7.0])
    worse = [sum((shares * factor - 1) ** 2) for factor in (0.99, 1.01)]
    assert sum((shares - 1) ** 2) < min(worse)


def test_a_stored_run_counts_training_alone_and_returns_what_every_machine_finds(tmp_path: Path) -> None:
    point = {"seed": 0, "megabytes": 1, "vocab_size": 400}
    spent, found = cpu_seconds(lambda: scale.training_run(**point))
    assert found["entries"] == 400 and 1.0e6 < found["bytes"] < 1.1e6 and found["longest"] > 4
    written, _ = cpu_seconds(lambda: write_stories(tmp_path / "stories", 1_000_000))
    assert spent < written  # which is not counted
    assert (tmp_path / "stories").stat().st_size == found["bytes"]
    other = scale.training_run(**point | {"seed": 1})
    assert other["bytes"] != found["bytes"] and other["entries"] == 400


def test_times_are_measured_on_beginnings_and_code_is_real(tmp_path: Path) -> None:
    path = tmp_path / "code"
    scale.write_code(path, 200_000)
    assert path.stat().st_size == 200_000
    assert b"def " in path.read_bytes()
    measured = scale.training_times(path, 500, halvings=2, turns=1)
    assert list(measured["bytes"]) == [50_000, 100_000, 200_000]
    assert (measured["cpu_seconds"] > 0).all()


def test_the_laws_picture_marks_what_was_left_out() -> None:
    points = pd.DataFrame({"bytes": [1e6, 2e6, 4e6], "cpu_seconds": [0.1, 0.2, 0.4]})
    line = pd.DataFrame({"bytes": [1e6, 4e6, 1e9], "cpu_seconds": [0.1, 0.4, 100.0]})
    once = pd.DataFrame({"bytes": [1e9], "cpu_seconds": [90.0]})
    picture = engine_pictures.training_law(
        {"corpus": points}, {"corpus": line}, {"corpus": 30}, {"corpus": once}
    )
    (axes,) = picture.figure.axes
    law, fitted, left_out, stored, claim = axes.get_lines()
    assert (list(stored.get_xdata()), list(stored.get_ydata())) == ([1e9], [90.0])
    assert list(law.get_xdata())[-1] == 1e9
    assert (len(fitted.get_xdata()), list(left_out.get_ydata())) == (2, [0.4])
    assert left_out.get_markerfacecolor() == "none"
    assert (list(claim.get_xdata()), list(claim.get_ydata())) == ([1e9], [30])
    assert picture.alt == "corpus: 100 s"


def test_clauses_are_cut_at_punctuation_of_any_script() -> None:
    assert bpe.repeated_clauses("Yes, yes. No, yes!\nYes") == 0.4  # Yes and yes twice each, of five
    assert bpe.repeated_clauses("花在枝。花在枝，月在天\n") == pytest.approx(1 / 3)


def test_repeated_pretokens_are_counted_with_and_without_letters() -> None:
    # The pre-tokens: "the", " cat", ",", " the", " cat", ",", " 跟", ",", " 跟"
    last = bpe.repeated_pretokens("the cat, the cat, 跟, 跟").iloc[-1]
    assert (last.pretokens, last.distinct) == (9, 5)
    assert last.seen_before == pytest.approx(4 / 9) and last.letters_seen_before == pytest.approx(2 / 6)
    assert bpe.repeated_pretokens("1, 2").iloc[-1].letters_seen_before == 0
