"""The comparison of tokenizer packages runs all that are installed."""

import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest

from course_lib.chapters.ch01_tokenizer.experiments import peers
from course_lib.tokenizer import PATTERNS


def test_a_word_that_would_take_hours_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(peers.JOBS, "encode", {})
    limited = [package for package in peers.installed("train") if package in peers.LONGEST_WORDS]
    assert "tokenizers" in limited
    path = tmp_path / "text.txt"
    for package in limited:
        path.write_text("a b " + "龍" * (peers.LONGEST_WORDS[package] // 3 - 1))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            assert any(peers.compare(path, vocab_size=270)["package"].str.startswith(package))
    path.write_text("a b " + "龍" * 1_000_000)
    with pytest.warns(UserWarning, match=".* does not train here: .* pre-token of 3,000,001 bytes") as caught:
        measured = peers.compare(path, vocab_size=270)
    assert sorted(str(warning.message).split()[0] for warning in caught) == sorted(limited)
    assert measured["package"][0].split()[0] == "course_lib"
    assert not any(measured["package"].str.split().str[0].isin(limited))


def test_a_text_of_one_byte_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"x")
    with pytest.warns(UserWarning, match="no pair is left to merge"):
        measured = peers.compare(path, vocab_size=300)
    assert (measured["MB_per_cpu_second"] > 0).all() and set(measured["job"]) == {"train", "encode"}


def test_rustbpe_gets_the_pattern_of_gpt2_in_place_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    class Recorder:
        def train_from_iterator(self, documents: object, vocab_size: int, pattern: str | None = None) -> None:
            calls.append((vocab_size, pattern))

    monkeypatch.setitem(sys.modules, "rustbpe", SimpleNamespace(Tokenizer=Recorder))
    path = tmp_path / "text.txt"
    path.write_text("some text")
    assert isinstance(peers.train_rustbpe(path, 300)(), Recorder)
    assert calls == [(299, PATTERNS["gpt2"])]
