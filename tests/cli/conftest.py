"""A corpus and a tokenizer for all commands."""

from pathlib import Path

import pytest

from tests.cli.runner import run


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "stories.txt"
    run("corpus", "make", path, "--bytes", "60kB", "--language", "both")
    return path


@pytest.fixture(scope="session")
def trained(corpus: Path) -> Path:
    path = corpus.with_name("t.json")
    run("tokenizer", "train", corpus, "--vocab-size", 400, "--out", path)
    return path
