"""``Tokenizer.decode_file``: the bytes that were encoded, or an error and no file."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.errors import FormatError
from course_lib.token_file import write_token_file
from course_lib.tokenizer import Tokenizer, train_bpe
from course_lib.tokenizer import tokenizer as module


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_bpe(["the cat sat on the mat, 学而时习之 " * 9], 270, ["<|endoftext|>"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(contents=st.binary(max_size=400) | st.text(max_size=200).map(str.encode), ids=st.integers(1, 50))
def test_any_bytes_come_back(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contents: bytes, ids: int
) -> None:
    monkeypatch.setattr(module, "_DECODED_IDS", ids)
    (tmp_path / "text").write_bytes(contents)
    tokenizer.encode_file(tmp_path / "text", tmp_path / "tokens")
    assert tokenizer.decode_file(tmp_path / "tokens", tmp_path / "again") == len(contents)
    assert (tmp_path / "again").read_bytes() == contents


def test_what_cannot_be_decoded_leaves_no_file(tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"the cat sat on the mat" * 100)
    tokens = tokenizer.encode_file(tmp_path / "text", tmp_path / "tokens")
    foreign = {"vocab_size": 270, "tokenizer_sha256": "0" * 64}
    write_token_file(tmp_path / "foreign", [np.arange(9)], **foreign)  # type: ignore[arg-type]
    damaged = np.fromfile(tmp_path / "tokens", tokens.dtype)
    damaged[-1] = 270
    damaged.tofile(tmp_path / "tokens")
    before = sorted(os.listdir(tmp_path))
    for source, message in (
        ("foreign", "foreign: was encoded with another tokenizer than the one given"),
        ("tokens", f"token {len(tokens) - 1}: id 270 is not below 270: the file is damaged"),
        ("text", "not a token file"),
    ):
        with pytest.raises(FormatError, match=message):
            tokenizer.decode_file(tmp_path / source, tmp_path / "again")
    with pytest.raises(FileNotFoundError, match="missing does not exist"):
        tokenizer.decode_file(tmp_path / "missing", tmp_path / "again")
    tokenizer.save(tmp_path / "own.json")
    for target in ("tokens", "tokens.json", "own.json"):
        with pytest.raises(ValueError, match="it is read here"):
            tokenizer.decode_file(tmp_path / "tokens", tmp_path / target)
    assert sorted(os.listdir(tmp_path)) == sorted([*before, "own.json"])
    with pytest.raises(FormatError, match=r"another tokenizer than .*own\.json"):
        tokenizer.decode_file(tmp_path / "foreign", tmp_path / "again")


def test_open_takes_a_file_first_and_then_a_published_name(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Tokenizer.open("gpt2").vocab_size == 50257
    tokenizer.save("gpt2")
    assert Tokenizer.open("gpt2").sha256() == Tokenizer.open(tmp_path / "gpt2").sha256() == tokenizer.sha256()
    with pytest.raises(FileNotFoundError, match="gpt9 does not exist"):
        Tokenizer.open("gpt9")
