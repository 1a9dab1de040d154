"""``course corpus``."""

from pathlib import Path

import pytest

from tests.cli.runner import failure, run, run_json


def test_make_writes_a_corpus_of_the_size_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    result = run_json("corpus", "make", path, "--bytes", "50kB", "--language", "zh", "--seed", 3)
    text = path.read_text(encoding="utf-8")
    assert result["bytes"] == path.stat().st_size
    assert result["stories"] == text.count("<|endoftext|>")
    assert len(text.replace("\n<|endoftext|>\n", "").encode()) >= 50_000
    again = tmp_path / "d.txt"
    run("corpus", "make", again, "--bytes", 50_000, "--language", "zh", "--seed", 3)
    assert again.read_bytes() == path.read_bytes()


def test_the_published_corpora_are_listed() -> None:
    shown = run("corpus", "list").stdout
    rows = run_json("corpus", "list")
    assert [row["name"] for row in rows] == ["tinystories", "openwebtext-sample"]
    assert all(row["name"] in shown and row["bytes"] > 10**9 for row in rows)


def test_fetch_says_what_it_cannot_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "name must be one of 'tinystories'" in failure("corpus", "fetch", "tiny", "--directory", tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "cannot reach" in failure("corpus", "fetch", "tinystories", "--directory", tmp_path)
