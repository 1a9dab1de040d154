"""Token files: what is written is read back, and nothing else is accepted."""

import copy
import gc
import hashlib
import json
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib import token_file
from course_lib.errors import FormatError
from course_lib.token_file import TokenFile, description_path, token_dtype, write_token_file

HASH = "ab" * 32


def write(path: Path, *chunks: list[int], vocab_size: int = 300) -> TokenFile:
    arrays = (np.array(chunk, dtype=np.uint32) for chunk in chunks)
    return write_token_file(path, arrays, vocab_size=vocab_size, tokenizer_sha256=HASH)


@given(
    st.integers(1, 2**32).flatmap(
        lambda size: st.tuples(st.just(size), st.lists(st.lists(st.integers(0, size - 1), max_size=8)))
    )
)
def test_ids_come_back(tmp_path_factory: pytest.TempPathFactory, drawn: tuple[int, list[list[int]]]) -> None:
    vocab_size, chunks = drawn
    path = tmp_path_factory.mktemp("tokens") / "t.bin"
    written = write(path, *chunks, vocab_size=vocab_size)
    opened = TokenFile.open(path, verify=True)
    expected = [token for chunk in chunks for token in chunk]
    for tokens in (written, opened):
        assert list(tokens) == expected
        assert tokens.shape == (len(tokens),) == (len(expected),)
        assert tokens.dtype == ("<u2" if vocab_size <= 65536 else "<u4")
        assert (tokens.vocab_size, tokens.tokenizer_sha256) == (vocab_size, HASH)
        assert tokens.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_it_behaves_like_an_array(tmp_path: Path) -> None:
    tokens = write(tmp_path / "t.bin", [5, 6], [7, 299])
    assert tokens[1] == 6 and tokens[-1] == 299
    assert tokens[1:3].tolist() == [6, 7]
    assert tokens[[0, 3]].tolist() == [5, 299]
    assert np.asarray(tokens).sum() == 317
    assert np.asarray(tokens, dtype=np.int64).dtype == np.int64
    assert "4 ids" in repr(tokens)
    with pytest.raises(ValueError, match="read-only"):
        np.asarray(tokens)[0] = 1


@pytest.mark.parametrize("mapped_bytes", [0, 1 << 26])
@pytest.mark.parametrize("vocab_size", [60_000, 100_000])
def test_windows_are_slices_read_or_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mapped_bytes: int, vocab_size: int
) -> None:
    monkeypatch.setattr("course_lib.token_file._MAPPED_BYTES", mapped_bytes)
    ids = np.random.default_rng(0).integers(0, vocab_size, 1000)
    tokens = write_token_file(tmp_path / "t.bin", [ids], vocab_size=vocab_size, tokenizer_sha256=HASH)
    starts = np.array([0, 990, 3, 3, 500])
    windows = tokens.windows(starts, 10)
    assert windows.dtype == tokens.dtype
    assert windows.tolist() == [ids[start : start + 10].tolist() for start in starts]
    assert tokens.windows(starts[:0], 10).shape == (0, 10)
    for outside in ([-1], [991], [0, 1000]):
        with pytest.raises(IndexError, match="must start in 0 … 990"):
            tokens.windows(np.array(outside), 10)


@pytest.mark.parametrize("mapped_bytes", [0, 1 << 26])
def test_an_id_that_cannot_be_is_named_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mapped_bytes: int
) -> None:
    monkeypatch.setattr("course_lib.token_file._MAPPED_BYTES", mapped_bytes)
    write(tmp_path / "t.bin", list(range(100)))
    with open(tmp_path / "t.bin", "r+b") as file:
        file.seek(2 * 57)
        file.write(b"\x2c\x01")  # 300
    tokens = TokenFile.open(tmp_path / "t.bin")
    assert tokens.windows(np.array([0, 58]), 40).max() == 97
    with pytest.raises(FormatError, match=r"t\.bin: token 57: id 300 is not below 300: the file is damaged"):
        tokens.windows(np.array([0, 50]), 10)


def test_a_file_cut_short_while_in_use_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("course_lib.token_file._MAPPED_BYTES", 0)
    tokens = write(tmp_path / "t.bin", list(range(100)))
    os.truncate(tmp_path / "t.bin", 60)
    with pytest.raises(FormatError, match="truncated while it was in use"):
        tokens.windows(np.array([25]), 10)


COPIES: dict[str, Callable[[TokenFile], TokenFile]] = {
    "pickle": lambda tokens: pickle.loads(pickle.dumps(tokens)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.fixture(params=[0, 1 << 26], ids=["read", "mapped"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("course_lib.token_file._MAPPED_BYTES", request.param)


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("count", [0, 1, 5000])
def test_a_copy_is_a_path_and_outlives_the_original(tmp_path: Path, how: str, count: int) -> None:
    tokens = write(tmp_path / "t.bin", [i % 300 for i in range(count)])
    tokens.windows(np.arange(0), 1)
    assert len(pickle.dumps(tokens)) < 1000
    copied = COPIES[how](tokens)
    assert type(copied) is TokenFile and copied.vocab_size == 300 and list(copied) == list(tokens)
    assert (copied.sha256, copied.tokenizer_sha256) == (tokens.sha256, tokens.tokenizer_sha256)
    expected = [i % 300 for i in range(count)][-9:]
    del tokens
    gc.collect()
    others = [os.open(os.devnull, os.O_RDONLY) for _ in range(8)]  # they take the numbers that were closed
    try:
        assert copied.windows(np.array([count - len(expected)]), len(expected)).tolist() == [expected]
    finally:
        for descriptor in others:
            os.close(descriptor)


@pytest.mark.usefixtures("either_way")
def test_a_copy_finds_its_file_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "t.bin", [1, 2, 3])
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub" / "t.bin", [4, 5, 6])
    monkeypatch.chdir(tmp_path)
    tokens = TokenFile.open("t.bin")
    monkeypatch.chdir("sub")
    tokens.verify()
    for copied in (tokens, copy.copy(tokens), pickle.loads(pickle.dumps(tokens))):
        assert copied.windows(np.array([0]), 3).tolist() == [[1, 2, 3]]


@pytest.mark.usefixtures("either_way")
def test_a_copy_of_a_file_that_changed_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "t.bin"
    tokens = write(path, [1, 2, 3])
    pickled = pickle.dumps(tokens)
    write(path, [4, 5, 6])
    with pytest.raises(FormatError, match=r"t\.bin: holds different tokens than when it was copied"):
        pickle.loads(pickled)
    with pytest.raises(FormatError, match="holds different tokens"):
        copy.deepcopy(tokens)
    assert tokens.windows(np.array([0]), 3).tolist() == [[1, 2, 3]]  # the file that was opened
    write(path, [1, 2, 3])  # the same tokens again, in another file
    assert list(pickle.loads(pickled)) == [1, 2, 3]
    path.write_bytes(b"\x01\x00\x02\x00\x04\x00")
    os.utime(path, ns=(0, 0))
    with pytest.raises(FormatError, match="ids were changed"):
        pickle.loads(pickled)
    path.write_bytes(b"\x01\x00")
    with pytest.raises(FormatError, match="the file ends here"):
        pickle.loads(pickled)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"t\.bin does not exist"):
        pickle.loads(pickled)


def test_a_file_that_is_replaced_while_it_is_opened_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.bin"
    write(path, [1, 2, 3])
    read = token_file._read_description
    replacements = iter([[4, 5, 6]])

    def replaced_after(place: Path) -> dict[str, Any]:
        described = read(place)
        for ids in replacements:
            write(path, ids)
        return described

    monkeypatch.setattr(token_file, "_read_description", replaced_after)
    with pytest.raises(FormatError, match="replaced while it was opened"):
        TokenFile.open(path)


def test_the_file_holds_little_endian_ids_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path / "t.bin", [1, 258])
    assert (tmp_path / "t.bin").read_bytes() == b"\x01\x00\x02\x01"
    assert sorted(os.listdir(tmp_path)) == ["t.bin", "t.bin.json"]


@pytest.mark.parametrize("size", [0, -1, 2**32 + 1])
def test_impossible_vocabulary_sizes_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"vocab_size must be .* not {size}"):
        token_dtype(size)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_half_way_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    def failing() -> Iterator[np.ndarray[Any, Any]]:
        yield np.arange(10, dtype=np.uint16)
        raise error

    path = tmp_path / "t.bin"
    for existing in ([], ["t.bin", "t.bin.json"]):
        with pytest.raises(error):
            write_token_file(path, failing(), vocab_size=300, tokenizer_sha256=HASH)
        assert sorted(os.listdir(tmp_path)) == existing
        write(path, [1, 2, 3])
    assert list(TokenFile.open(path, verify=True)) == [1, 2, 3]


def test_new_ids_never_meet_an_old_description(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.bin"
    write(path, [1, 2, 3])
    replace = os.replace

    def crash_after_the_first_rename(source: Any, target: Any) -> None:
        replace(source, target)
        raise OSError("power cut")

    monkeypatch.setattr("course_lib.files.os.replace", crash_after_the_first_rename)
    with pytest.raises(OSError, match="power cut"):
        write(path, [4, 5, 6])
    with pytest.raises(FormatError, match="unfinished"):
        TokenFile.open(path)


def test_wrong_ids_are_named_with_their_position(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"id 300 at position 3 is not in range\(300\)"):
        write(tmp_path / "t.bin", [1, 2], [3, 300])
    with pytest.raises(ValueError, match="id -1 at position 0"):
        write_token_file(tmp_path / "t.bin", [np.array([-1])], vocab_size=9, tokenizer_sha256=HASH)
    with pytest.raises(TypeError, match="integers"):
        write_token_file(tmp_path / "t.bin", [np.array([0.5])], vocab_size=9, tokenizer_sha256=HASH)
    assert not list(tmp_path.iterdir())


def test_truncated_long_and_changed_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.bin"
    write(path, [1, 2, 3])
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:-2], whole + b"\0\0", b""):
        path.write_bytes(damaged)
        with pytest.raises(FormatError, match=f"byte {len(damaged)}: the file ends here"):
            TokenFile.open(path)
    path.write_bytes(bytes(len(whole)))
    TokenFile.open(path)
    with pytest.raises(FormatError, match="ids were changed"):
        TokenFile.open(path, verify=True)


def test_missing_files_and_directories_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        TokenFile.open(tmp_path / "t.bin")
    with pytest.raises(IsADirectoryError):
        TokenFile.open(tmp_path)
    (tmp_path / "t.bin").write_bytes(b"12")
    with pytest.raises(FormatError, match=r"t\.bin\.json is missing"):
        TokenFile.open(tmp_path / "t.bin")


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"kind": "something else"}, "kind"),
        ({"version": 2}, "version"),
        ({"dtype": "<f8"}, "dtype"),
        ({"dtype": None}, "dtype"),
        ({"dtype": "<u4", "count": 1}, "dtype"),
        ({"vocab_size": 70_000}, "dtype"),
        ({"vocab_size": 2**33}, "vocab_size"),
        ({"count": -1}, "count"),
        ({"count": True}, "count"),
        ({"vocab_size": "300"}, "vocab_size"),
        ({"sha256": "short"}, "sha256"),
        ({"tokenizer_sha256": None}, "tokenizer_sha256"),
    ],
)
def test_a_foreign_description_is_refused_with_the_field(
    tmp_path: Path, change: dict[str, Any], place: str
) -> None:
    path = tmp_path / "t.bin"
    write(path, [1, 2, 3])
    described_in = description_path(path)
    described_in.write_text(json.dumps(json.loads(described_in.read_text()) | change))
    with pytest.raises(FormatError) as caught:
        TokenFile.open(path)
    assert (caught.value.place, caught.value.file) == (place, str(described_in))


@pytest.mark.parametrize(
    ("contents", "place"), [(b'{"kind":', "line 1 column 9"), (b"\xff", "byte 0"), (b"[]", "kind")]
)
def test_a_damaged_description_is_refused_with_the_place(tmp_path: Path, contents: bytes, place: str) -> None:
    path = tmp_path / "t.bin"
    write(path, [1])
    description_path(path).write_bytes(contents)
    with pytest.raises(FormatError) as caught:
        TokenFile.open(path)
    assert caught.value.place == place
