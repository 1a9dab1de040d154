"""Published vocabularies: found in packages and caches, complete, and equal to what tiktoken publishes."""

import base64
import dataclasses
import gzip
import hashlib
from pathlib import Path
from typing import Any

import pytest
from tiktoken_ext import openai_public

from course_lib.errors import FormatError
from course_lib.tokenizer import pretrained
from course_lib.tokenizer.pretrained import PRETRAINED, find_pretrained, load_pretrained


@pytest.fixture
def no_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Nothing is installed, and both caches are empty folders; returns the course's own."""
    for variable, folder in (("COURSE_CACHE", "course"), ("TIKTOKEN_CACHE_DIR", "tiktoken")):
        (tmp_path / folder).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / folder))
    monkeypatch.setattr(pretrained, "package_folders", lambda package: [])
    return tmp_path / "course"


@pytest.mark.parametrize(
    ("name", "entries", "largest_id", "merges", "pattern"),
    [
        ("gpt2", 50257, 50256, 50000, "gpt2"),
        ("cl100k_base", 100261, 100276, 100000, "cl100k"),
        ("o200k_base", 200000, 200018, 199742, "o200k"),
        ("deepseek", 129280, 129279, 127741, "deepseek"),
    ],
)
def test_the_installed_vocabularies_are_complete(
    name: str, entries: int, largest_id: int, merges: int, pattern: str
) -> None:
    data = load_pretrained(name)
    assert (len(data.vocab), max(data.vocab), len(data.merges)) == (entries, largest_id, merges)
    assert data.pattern == pattern
    assert {bytes([byte]) for byte in range(256)} <= set(data.vocab.values())
    for text, token_id in data.special_tokens.items():
        assert data.vocab[token_id] == text.encode()


@pytest.mark.parametrize("name", ["gpt2", "cl100k_base", "o200k_base"])
def test_hashes_and_special_tokens_are_tiktokens(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    hashes: list[str] = []

    def without_network(_: str, expected_hash: str) -> dict[bytes, int]:
        hashes.append(expected_hash)
        return {}

    monkeypatch.setattr(openai_public, "load_tiktoken_bpe", without_network)
    constructor = {"gpt2": "r50k_base"}.get(name, name)
    published = openai_public.ENCODING_CONSTRUCTORS[constructor]()
    assert hashes == [pretrained._PUBLISHED[name].sha256]
    assert load_pretrained(name).special_tokens == published["special_tokens"]


def test_other_names_are_refused_with_the_known_ones() -> None:
    for function in (find_pretrained, load_pretrained):
        with pytest.raises(ValueError, match=r"'gpt2', 'cl100k_base', 'o200k_base', 'deepseek', not 'gpt5'"):
            function("gpt5")


@pytest.mark.parametrize("name", PRETRAINED)
def test_a_missing_vocabulary_says_what_to_install(no_packages: Path, name: str) -> None:
    (no_packages / "unrelated").write_bytes(b"x")
    assert find_pretrained(name) is None
    with pytest.raises(
        FileNotFoundError, match=f"'{name}' is not on this machine; install it with: .* -m pip install [a-z]"
    ):
        load_pretrained(name)


@pytest.mark.parametrize("cache", ["course", "tiktoken"])
def test_files_in_the_caches_are_known_by_their_contents(
    no_packages: Path, monkeypatch: pytest.MonkeyPatch, cache: str
) -> None:
    contents = b"".join(b"%s %d\n" % (base64.b64encode(bytes([byte])), byte) for byte in range(256))
    publish(monkeypatch, size=len(contents), sha256=hashlib.sha256(contents).hexdigest())
    path = no_packages.parent / cache / "0123abcd"
    path.write_bytes(b"#" * len(contents))
    assert find_pretrained("o200k_base") is None
    path.write_bytes(contents)
    assert find_pretrained("o200k_base") == path
    data = load_pretrained("o200k_base")
    assert len(data.vocab) == 258 and data.special_tokens["<|endofprompt|>"] == 200018


def test_a_damaged_package_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pretrained, "package_folders", lambda package: [tmp_path])
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "o200k_base.tiktoken.gz"
    for contents in (b"", b"not gzip", gzip.compress(b"some text" * 100)[:-12]):
        path.write_bytes(contents)
        with pytest.raises(FormatError) as caught:
            load_pretrained("o200k_base")
        assert caught.value.file == str(path)


def publish(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    changed = dataclasses.replace(pretrained._PUBLISHED["o200k_base"], **changes)
    monkeypatch.setitem(pretrained._PUBLISHED, "o200k_base", changed)
