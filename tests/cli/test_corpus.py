"""``course corpus``."""

from pathlib import Path

import pytest

from course_lib.cli.options import parse_size
from course_lib.data import TEXTS, split, text
from tests.cli.runner import failure, run, run_json


def test_make_writes_a_corpus_of_the_size_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    result = run_json("corpus", "make", path, "--bytes", "50kB", "--language", "zh", "--seed", 3)
    contents = path.read_text(encoding="utf-8")
    assert result["bytes"] == path.stat().st_size
    assert result["stories"] == contents.count("<|endoftext|>")
    assert len(contents.replace("\n<|endoftext|>\n", "").encode()) >= 50_000
    again = tmp_path / "d.txt"
    run("corpus", "make", again, "--bytes", 50_000, "--language", "zh", "--seed", 3)
    assert again.read_bytes() == path.read_bytes()


def documents(path: Path) -> list[str]:
    """Read back line by line."""
    found, lines = [], []
    for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
        if line == "<|endoftext|>":
            found.append("\n".join(lines))
            lines = []
        else:
            lines.append(line)
    assert not lines
    return found


@pytest.mark.parametrize("name", [known.name for known in TEXTS])
def test_make_writes_a_text_or_a_part_of_it(tmp_path: Path, name: str) -> None:
    parts = split(name)
    expected = {"": text(name), "training": parts.training, "held-out": parts.held_out}
    for part, pieces in expected.items():
        path = tmp_path / f"{part or 'whole'}.txt"
        result = run_json("corpus", "make", path, "--text", name, *(["--part", part] if part else []))
        assert documents(path) == pieces
        assert (result["documents"], result["bytes"]) == (len(pieces), path.stat().st_size)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["held-out.txt", "training.txt", "whole.txt"]


@pytest.mark.parametrize("part", [None, "training", "held-out"])
@pytest.mark.parametrize("num_bytes", ["0", "1", "9kB"])
def test_a_size_takes_whole_documents_from_the_beginning(
    tmp_path: Path, part: str | None, num_bytes: str
) -> None:
    whole, first = tmp_path / "whole.txt", tmp_path / "first.txt"
    of_part = ["--text", "classics_zh", *(["--part", part] if part else [])]
    run("corpus", "make", whole, *of_part)
    run("corpus", "make", first, *of_part, "--bytes", num_bytes)
    taken, wanted = documents(first), parse_size(num_bytes)
    assert taken == documents(whole)[: len(taken)]
    assert sum(len(piece.encode()) for piece in taken) >= wanted
    assert not taken or sum(len(piece.encode()) for piece in taken[:-1]) < wanted


def test_more_than_there_is_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("mine")
    whole = run_json("corpus", "list")[0]["bytes"]
    message = failure("corpus", "make", path, "--text", "novels_en", "--bytes", whole + 1)
    assert f"num_bytes must be at most {whole:,}, the size of novels_en, not {whole + 1:,}" in message
    message = failure("corpus", "make", path, "--text", "novels_en", "--part", "held-out", "--bytes", whole)
    assert "the part held_out of novels_en" in message
    assert "must be one of 'novels_en', 'classics_zh', not 'bible'" in failure(
        "corpus", "make", path, "--text", "bible"
    )
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("mine.txt", "mine")]
    run("corpus", "make", path, "--text", "novels_en", "--bytes", whole)
    assert documents(path) == text("novels_en")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--bytes is needed for stories"),
        (["--language", "zh"], "--bytes is needed for stories"),
        (["--bytes", "1kB", "--part", "training"], "--part needs --text"),
        (["--text", "novels_en", "--language", "en"], "are for stories"),
        (["--text", "novels_en", "--seed", 0], "are for stories"),
        (["--text", "novels_en", "--part", "held_out"], "--part"),
    ],
)
def test_options_that_do_not_fit_together_write_nothing(
    tmp_path: Path, options: list[object], message: str
) -> None:
    assert message in run("corpus", "make", tmp_path / "x.txt", *options, status=2).stderr
    assert not list(tmp_path.iterdir())


def test_texts_and_published_corpora_are_listed() -> None:
    shown = run("corpus", "list").stdout
    rows = run_json("corpus", "list")
    assert {row["name"]: row["command"] for row in rows} == {
        "novels_en": "make", "classics_zh": "make", "tinystories": "fetch", "openwebtext-sample": "fetch"
    }  # fmt: skip
    for row in rows:
        assert row["bytes"] > (10**6 if row["command"] == "make" else 10**9)
        origin = row["source"] if row["command"] == "make" else row["repository"]
        entry = shown[shown.index(f"  {row['name']}: ") :]
        assert [place for place in (row["description"], row["license"], origin) if place not in entry] == []


def test_fetch_says_what_it_cannot_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "name must be one of 'tinystories'" in failure("corpus", "fetch", "tiny", "--directory", tmp_path)
    assert "course corpus make PATH --text novels_en" in failure("corpus", "fetch", "novels_en")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "cannot reach" in failure("corpus", "fetch", "tinystories", "--directory", tmp_path)
