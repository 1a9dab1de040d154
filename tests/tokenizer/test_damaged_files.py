"""Files that are damaged at random are read or refused with a clear error; python -m tests.fuzz tries more of them."""

import random
from pathlib import Path

import pytest

from course_lib.errors import FormatError
from course_lib.tokenizer import Tokenizer
from tests.fuzz.files import Files


def test_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    files = Files(tmp_path)
    damaged = [files.damaged(random.Random(seed)) for seed in range(300)]
    read = [files.read(name, contents) is not None for name, contents in damaged]
    assert {name for name, _ in damaged} == {"tokenizer.json", "vocab.json", "merges.txt", "ranks.tiktoken"}
    assert 0 < sum(read) < 150


def test_a_message_does_not_quote_the_whole_file(tmp_path: Path) -> None:
    # Found by fuzzing: a vocabulary where an id belongs.
    path = tmp_path / "tokenizer.json"
    ids = {str(k): k for k in range(10_000)}
    path.write_text(
        f'{{"model": {{"type": "BPE", "vocab": {{"a": {ids}}}, "merges": []}}}}'.replace("'", '"')
    )
    with pytest.raises(FormatError) as refused:
        Tokenizer.load(path)
    assert "tokenizer.json" in str(refused.value) and "9999" in str(refused.value)
    assert len(str(refused.value)) < 1000 < len(refused.value.reason)
