"""``course tokenizer``: what it writes and prints, and how it fails."""

import json
import os
from pathlib import Path

import pytest

from course_lib.token_file import TokenFile, write_token_file
from tests.cli.runner import failure, run, run_json


def test_a_file_comes_back_from_train_encode_decode(tmp_path: Path, corpus: Path) -> None:
    tokenizer, tokens, text = tmp_path / "t.json", tmp_path / "t.bin", tmp_path / "t.txt"
    made = run_json(
        "tokenizer", "train", corpus, "--vocab-size", 500, "--out", tokenizer, "--pattern", "o200k",
        "--special-token", "<|endoftext|>", "--special-token", "<|end|>", "--threads", 2,
    )  # fmt: skip
    assert made["vocab_size"] == 500 and made["merges"] == 242
    assert made["special_tokens"] == ["<|endoftext|>", "<|end|>"] and made["pattern"] == "o200k"
    encoded = run_json("tokenizer", "encode", tokenizer, corpus, tokens)
    assert encoded["tokens"] == len(TokenFile.open(tokens, verify=True))
    assert encoded["bytes_per_token"] == pytest.approx(corpus.stat().st_size / encoded["tokens"])
    assert run_json("tokenizer", "decode", tokenizer, tokens, text)["bytes"] == corpus.stat().st_size
    assert text.read_bytes() == corpus.read_bytes()


def test_training_names_its_file_after_source_and_size(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = run("tokenizer", "train", corpus, "--vocab-size", 300).stdout
    assert line.startswith("stories.300.tokenizer.json: 300 tokens")
    assert os.listdir(tmp_path) == ["stories.300.tokenizer.json"]
    saved = json.loads((tmp_path / "stories.300.tokenizer.json").read_text())
    assert [entry["content"] for entry in saved["added_tokens"]] == ["<|endoftext|>"]


def test_special_tokens_can_be_left_out(tmp_path: Path, corpus: Path) -> None:
    options = ("--vocab-size", 257, "--out", tmp_path / "t.json", "--no-special-tokens")
    assert run_json("tokenizer", "train", corpus, *options)["special_tokens"] == []


@pytest.mark.filterwarnings("always:no pair is left:UserWarning")
def test_an_early_end_of_training_is_a_warning_line(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("ab ab")
    result = run("tokenizer", "train", tmp_path / "x.txt", "--vocab-size", 999, "--out", tmp_path / "t.json")
    [line] = result.stderr.splitlines()
    assert line.startswith("course: ") and "no pair is left" in line


def test_compare_shows_pieces_and_takes_nothing_for_markup(trained: Path) -> None:
    text = "[bold]学[/bold] <script>"
    shown = run("tokenizer", "compare", text, "--tokenizer", trained).stdout
    assert "[bold]" in shown
    [row] = run_json("tokenizer", "compare", text, "--tokenizer", trained)
    assert row["text"] == text and row["bytes"] == len(text.encode())
    assert len(row["pieces"]) == row["tokens"]
    assert row["bytes_per_token"] == pytest.approx(row["bytes"] / row["tokens"])


def test_compare_reads_files_and_knows_published_names(corpus: Path) -> None:
    rows = run_json("tokenizer", "compare", corpus, "跟我学习语文")
    assert {row["tokenizer"] for row in rows} == {"gpt2", "cl100k_base", "o200k_base", "deepseek"}
    by_name = {row["tokenizer"]: row for row in rows if row["text"] == "跟我学习语文"}
    assert by_name["deepseek"]["pieces"] == ["跟我", "学习", "语文"]
    assert by_name["o200k_base"]["pieces"] == ["跟", "我", "学习", "语", "文"]
    [file_row] = [row for row in rows if row["tokenizer"] == "gpt2" and row["text"] != "跟我学习语文"]
    assert file_row["bytes"] == corpus.stat().st_size and "pieces" not in file_row


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", ["missing.txt", "data/missing", "./a.json"])
def test_compare_says_so_where_a_name_is_taken_for_a_text(trained: Path, name: str) -> None:
    compared = run("tokenizer", "compare", name, "--tokenizer", trained)
    assert compared.stderr.splitlines() == [f"course: there is no file {name}: the name itself is compared"]


@pytest.mark.parametrize(
    "text", ["the end.", "a/b or c", "e.g.", "3.14", "https://a.b/c", "No.1", "und/oder und"]
)
def test_compare_takes_texts_as_they_are(trained: Path, text: str) -> None:
    assert run("tokenizer", "compare", text, "--tokenizer", trained).stderr == ""


def test_bad_input_is_one_line_and_status_one(tmp_path: Path, corpus: Path, trained: Path) -> None:
    out, missing = tmp_path / "out", tmp_path / "missing.txt"
    empty, foreign, truncated = tmp_path / "empty.txt", tmp_path / "foreign.json", tmp_path / "truncated.json"
    empty.touch()
    foreign.write_text('{"a": 1}')
    truncated.write_bytes(trained.read_bytes()[:999])
    train = ("tokenizer", "train", "--vocab-size")
    before = sorted(os.listdir(tmp_path))
    assert "missing.txt does not exist" in failure(*train, 300, missing, "--out", out)
    assert "is a directory" in failure(*train, 300, tmp_path, "--out", out)
    assert "empty" in failure(*train, 300, empty, "--out", out)
    assert "at least 257" in failure(*train, 256, corpus, "--out", out)
    for size in (2**24 + 1, 10**20):
        assert "vocab_size must be at most 16777216" in failure(*train, size, corpus, "--out", out)
    assert "non-empty" in failure(*train, 300, corpus, "--out", out, "--special-token", "")
    assert "twice" in failure(*train, 300, corpus, "--out", out, "--special-token=x", "--special-token=x")
    assert "pattern" in failure(*train, 300, corpus, "--out", out, "--pattern", "(")
    assert "folder" in failure(*train, 300, corpus, "--out", tmp_path / "none" / "out")
    assert "it is a directory" in failure(*train, 300, corpus, "--out", tmp_path)
    assert "does not exist" in failure("tokenizer", "encode", trained, missing, out)
    assert "gpt9 does not exist" in failure("tokenizer", "encode", "gpt9", corpus, out)
    assert "foreign.json: model:" in failure("tokenizer", "encode", foreign, corpus, out)
    assert "not valid JSON" in failure("tokenizer", "encode", truncated, corpus, out)
    assert "it is a directory" in failure("tokenizer", "encode", trained, corpus, tmp_path)
    assert "not a token file" in failure("tokenizer", "decode", trained, corpus, out)
    assert "it is a directory" in failure("corpus", "make", tmp_path, "--bytes", "1kB")
    assert "empty" in failure("tokenizer", "compare", "", "--tokenizer", trained)
    assert "empty.txt is empty" in failure("tokenizer", "compare", empty, "--tokenizer", trained)
    assert sorted(os.listdir(tmp_path)) == before


def test_tokens_of_another_tokenizer_are_not_decoded(tmp_path: Path, trained: Path) -> None:
    import numpy as np

    write_token_file(tmp_path / "t.bin", [np.arange(9)], vocab_size=400, tokenizer_sha256="0" * 64)
    message = failure("tokenizer", "decode", trained, tmp_path / "t.bin", tmp_path / "out")
    assert "encoded with another tokenizer" in message


def test_a_damaged_token_file_is_decoded_to_the_last_place_or_not_at_all(
    tmp_path: Path, corpus: Path, trained: Path
) -> None:
    tokens = tmp_path / "t.bin"
    run("tokenizer", "encode", trained, corpus, tokens)
    with open(tokens, "r+b") as file:
        file.seek(2 * 5001)
        file.write(b"\xff\xff")
    message = failure("tokenizer", "decode", trained, tokens, tmp_path / "out")
    assert "t.bin: token 5001: id 65535 is not below 400: the file is damaged" in message
    assert not (tmp_path / "out").exists()
