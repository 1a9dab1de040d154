"""Encoding files that are larger than memory, in processes that are killed and onto disks that are full."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from course_lib.data import write_stories
from course_lib.errors import FormatError
from course_lib.token_file import TokenFile
from course_lib.tokenizer import Tokenizer, train_bpe

COURSE = "from course_lib.cli import main; main()"


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text of 16 MB, a tokenizer, and the text's tokens."""
    folder = tmp_path_factory.mktemp("stories")
    write_stories(folder / "small.txt", 1_000_000, language="both")
    with open(folder / "text.txt", "wb") as file:
        file.writelines([(folder / "small.txt").read_bytes()] * 16)
    tokenizer = train_bpe(folder / "small.txt", 2000, ["<|endoftext|>"])
    tokenizer.save(folder / "t.json")
    tokenizer.encode_file(folder / "text.txt", folder / "tokens.bin")
    return folder


def course_encode(stories: Path, source: Path, target: Path, *options: str) -> "subprocess.Popen[bytes]":
    command = [
        sys.executable,
        "-c",
        COURSE,
        "tokenizer",
        "encode",
        stories / "t.json",
        source,
        target,
        *options,
    ]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("length", [1, 7, 100, 5000])
def test_adjacent_ranges_hold_the_ids_of_the_file(tmp_path: Path, length: int) -> None:
    text = tmp_path / "text"
    text.write_bytes(("the cat, 学而时习之 <|endoftext|>\n" * 60).encode() + b"\xff\x80  a" + b"x" * 300)
    tokenizer = train_bpe(text, 280, ["<|endoftext|>"])
    size = text.stat().st_size
    parts = [
        tokenizer.encode_range(text, start, min(start + length, size)) for start in range(0, size, length)
    ]
    assert tokenizer.can_cut_files and {part.dtype for part in parts} == {np.dtype(np.uint16)}
    assert np.concatenate(parts).tolist() == tokenizer.encode(text.read_bytes())


def test_a_file_that_cannot_be_cut_is_encoded_whole(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("le cafe\u0301 est la", encoding="utf-8")
    tokenizer = Tokenizer({byte: bytes([byte]) for byte in range(256)}, [], normalizer="NFC")
    size = text.stat().st_size
    assert not tokenizer.can_cut_files
    assert tokenizer.encode_range(text, 0, size).tolist() == tokenizer.encode(text.read_text("utf-8"))
    with pytest.raises(ValueError, match=f"only be encoded whole .* not from 0 to {size - 1}"):
        tokenizer.encode_range(text, 0, size - 1)


@pytest.mark.parametrize("there_before", [False, True])
def test_killed_at_ten_random_moments_the_next_run_writes_the_whole_file(
    stories: Path, tmp_path: Path, there_before: bool
) -> None:
    target = tmp_path / "tokens.bin"
    whole = (stories / "tokens.bin").read_bytes()
    old: list[int] | None = None
    if there_before:
        tokenizer = Tokenizer.load(stories / "t.json")
        old = list(tokenizer.encode_file(stories / "small.txt", target))
    chance = random.Random(4)
    caught_writing = 0
    for number in range(10):
        with course_encode(
            stories, stories / "text.txt", target, "--threads", str(1 + number % 2)
        ) as process:
            deadline = time.monotonic() + 60
            # Both files are being written: until then nothing has happened that could go wrong.
            while process.poll() is None and len(list(tmp_path.glob(".*.tmp"))) < 2:
                assert time.monotonic() < deadline
            time.sleep(chance.uniform(0, 0.2))
            process.kill()
        caught_writing += any(tmp_path.glob(".*.tmp"))
        try:
            found = TokenFile.open(target, verify=True)
        except (FileNotFoundError, FormatError) as error:
            # Not there at all, or without its description: it cannot be taken for a whole one.
            assert isinstance(error, FileNotFoundError) or "unfinished" in str(error)  # noqa: PT017
            old = None
        else:
            assert target.read_bytes() == whole or (old is not None and list(found) == old)
    assert caught_writing >= 3
    with course_encode(stories, stories / "text.txt", target) as process:
        assert process.wait() == 0
    assert target.read_bytes() == whole
    assert TokenFile.open(target, verify=True).sha256 == TokenFile.open(stories / "tokens.bin").sha256
    assert sorted(os.listdir(tmp_path)) == ["tokens.bin", "tokens.bin.json"]


@pytest.mark.parametrize("limit", [100, 100_000])
def test_a_full_disk_leaves_the_file_that_was_there(stories: Path, tmp_path: Path, limit: int) -> None:
    tokenizer = Tokenizer.load(stories / "t.json")
    target = tmp_path / "tokens.bin"
    before = list(tokenizer.encode_file(stories / "small.txt", target))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A write beyond the limit fails as on a full disk (and would send a signal that ends the process).
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
        with pytest.raises(OSError, match=r"File too large.*tokens\.bin"):
            tokenizer.encode_file(stories / "text.txt", target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(TokenFile.open(target, verify=True)) == before
    assert sorted(os.listdir(tmp_path)) == ["tokens.bin", "tokens.bin.json"]


def most_private_memory(start: Callable[[], "subprocess.Popen[bytes]"]) -> int:
    """The most memory a process had that is not pages of files, looked at every two milliseconds."""
    peak = 0
    with start() as process:
        seen = psutil.Process(process.pid)
        while process.poll() is None:
            info = seen.memory_info()
            peak = max(peak, info.rss - info.shared)
            time.sleep(0.002)
        assert process.returncode == 0
    return peak


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells private memory from pages of files")
def test_memory_does_not_grow_with_the_file(stories: Path, tmp_path: Path) -> None:
    text = (stories / "text.txt").read_bytes()
    peaks = []
    for copies in (4, 16):  # 66 and 262 MB
        with open(tmp_path / "text.txt", "wb") as file:
            file.writelines([text] * copies)
        peaks.append(
            most_private_memory(
                lambda: course_encode(
                    stories, tmp_path / "text.txt", tmp_path / "tokens.bin", "--threads", "2"
                )
            )
        )
    # The ids of the 197 MB between them take more than 100 MB.
    assert TokenFile.open(tmp_path / "tokens.bin").tokens.nbytes > 130e6
    assert peaks[1] - peaks[0] < 30e6
    assert peaks[1] < 400e6
