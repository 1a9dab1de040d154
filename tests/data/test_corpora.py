"""Fetching corpora from a hub that breaks connections, sends rubbish, or is not there."""

import gzip
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from course_lib.data import corpora
from course_lib.data.corpora import Corpus, CorpusFile
from course_lib.errors import FormatError
from tests.data.fake_hub import COMMIT, FakeHub, running

TEXT = random.Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(TEXT).hexdigest()
VALID = b"Once upon a time\n<|endoftext|>\n" * 500
REVISION = "a" * 40
PLAIN_PATH = f"datasets/owner/plain/resolve/{REVISION}/train.txt"
BRANCH_PATH = "datasets/owner/packed/resolve/main/valid.txt.gz"
PACKED_PATH = f"datasets/owner/packed/resolve/{COMMIT}/valid.txt.gz"

CORPORA = (
    Corpus("plain", "", "owner/plain", REVISION, "", (CorpusFile("train.txt", len(TEXT), SHA256),)),
    Corpus("packed", "", "owner/packed", "main", "", (CorpusFile("valid.txt", len(VALID), packed="valid.txt.gz"),)),
)  # fmt: skip


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.setattr(corpora, "_CORPORA", CORPORA)
    monkeypatch.setattr("time.sleep", lambda _seconds: None)  # the hub's client waits between attempts
    packed = gzip.compress(VALID)
    with running(FakeHub({PLAIN_PATH: TEXT, BRANCH_PATH: packed, PACKED_PATH: packed})) as fake:
        monkeypatch.setenv("HF_ENDPOINT", fake.endpoint)
        yield fake


def gets(hub: FakeHub) -> list[int]:
    return [start for method, path, start in hub.requests if method == "GET" and "resolve" in path]


def test_the_published_corpora_are_described() -> None:
    by_name = {corpus.name: corpus for corpus in corpora.list()}
    assert set(by_name) == {"tinystories", "openwebtext-sample"}
    assert by_name["tinystories"].num_bytes == 2_250_255_763
    for corpus in by_name.values():
        assert "/" in corpus.repository and corpus.description and corpus.license


def test_plain_and_packed_texts_arrive_whole(hub: FakeHub, tmp_path: Path) -> None:
    assert corpora.fetch("plain", tmp_path / "new" / "folder", progress=False) == [
        tmp_path / "new" / "folder" / "train.txt"
    ]
    assert (tmp_path / "new" / "folder" / "train.txt").read_bytes() == TEXT
    [valid] = corpora.fetch("packed", tmp_path, progress=False)
    assert valid.read_bytes() == VALID
    assert sorted(os.listdir(tmp_path)) == ["new", "packed.json", "valid.txt"]


def test_a_branch_is_pinned_to_the_commit_of_the_first_fetch(hub: FakeHub, tmp_path: Path) -> None:
    corpora.fetch("packed", tmp_path, progress=False)
    note = tmp_path / "packed.json"
    assert json.loads(note.read_text()) == {"repository": "owner/packed", "revision": COMMIT}
    # The branch moves on. What was there is not asked for; what is missing comes from the old commit.
    hub.files[BRANCH_PATH] = gzip.compress(VALID[::-1])
    hub.requests.clear()
    corpora.fetch("packed", tmp_path, progress=False)
    assert hub.requests == []
    (tmp_path / "valid.txt").unlink()
    assert corpora.fetch("packed", tmp_path, progress=False)[0].read_bytes() == VALID
    assert BRANCH_PATH not in {path for _, path, _ in hub.requests}
    hub.files.pop(PACKED_PATH)
    (tmp_path / "valid.txt").unlink()
    with pytest.raises(OSError, match=r"404|not.found|Not Found"):
        corpora.fetch("packed", tmp_path, progress=False)
    for text, message in (
        ("{", "packed.json: damaged"),
        ('{"repository": "other/packed"}', "packed.json: repository"),
        (
            '{"repository": "owner/packed", "revision": "main"}',
            "packed.json: revision: 'main' is not a commit",
        ),
    ):
        note.write_text(text)
        with pytest.raises(FormatError, match=message):
            corpora.fetch("packed", tmp_path, progress=False)


def test_what_is_there_is_not_fetched_again(hub: FakeHub, tmp_path: Path) -> None:
    corpora.fetch("plain", tmp_path, progress=False)
    hub.requests.clear()
    corpora.fetch("plain", tmp_path, progress=False)
    assert hub.requests == []


def test_a_connection_that_breaks_half_way_is_taken_up_where_it_broke(hub: FakeHub, tmp_path: Path) -> None:
    hub.break_after = len(TEXT) // 2 + 1000
    corpora.fetch("plain", tmp_path, progress=False)
    assert (tmp_path / "train.txt").read_bytes() == TEXT
    assert gets(hub) == [0, hub.break_after]
    assert os.listdir(tmp_path) == ["train.txt"]


def test_a_connection_that_breaks_all_the_time_still_gets_there(hub: FakeHub, tmp_path: Path) -> None:
    hub.break_after = 10_000
    corpora.fetch("plain", tmp_path, progress=False)
    assert (tmp_path / "train.txt").read_bytes() == TEXT
    assert gets(hub) == [*range(0, len(TEXT), 10_000)]


def test_a_mirror_that_sends_whole_files_only_starts_again(hub: FakeHub, tmp_path: Path) -> None:
    hub.break_after = 0
    with pytest.raises(ConnectionError):
        corpora.fetch("plain", tmp_path, progress=False)
    [partial] = tmp_path.iterdir()
    partial.write_bytes(TEXT[:1234])
    hub.break_after, hub.whole_only = None, True
    corpora.fetch("plain", tmp_path, progress=False)
    assert (tmp_path / "train.txt").read_bytes() == TEXT


def test_a_hub_that_goes_away_is_an_error_and_the_next_call_goes_on(hub: FakeHub, tmp_path: Path) -> None:
    hub.break_after = 0
    with pytest.raises(ConnectionError, match="fetch again to continue"):
        corpora.fetch("plain", tmp_path, progress=False)
    assert not (tmp_path / "train.txt").exists()
    # The same with some bytes: what arrived before the hub fell silent is asked for only once.
    [partial] = tmp_path.iterdir()
    partial.write_bytes(TEXT[:1234])
    hub.break_after = None
    hub.requests.clear()
    corpora.fetch("plain", tmp_path, progress=False)
    assert gets(hub) == [1234]
    assert (tmp_path / "train.txt").read_bytes() == TEXT


def test_killed_at_any_moment_it_goes_on(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    hub.seconds_a_block = 0.02
    script = (
        "import sys; from pathlib import Path; from course_lib.data.hub import download;"
        "download('owner/plain', 'train.txt', Path(sys.argv[1]) / 'train.txt', revision='a' * 40, progress=False)"
    )
    environment = {**os.environ, "HF_ENDPOINT": hub.endpoint}
    command = [sys.executable, "-c", script, str(tmp_path)]
    random_time = random.Random(1)
    for _ in range(3):
        sent = len(gets(hub))
        process = subprocess.Popen(command, env=environment)
        while len(gets(hub)) == sent:
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(random_time.uniform(0.02, 0.15))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "train.txt").exists()
    subprocess.run(command, env=environment, check=True)
    assert (tmp_path / "train.txt").read_bytes() == TEXT
    assert os.listdir(tmp_path) == ["train.txt"]
    assert gets(hub) == sorted(gets(hub))


def test_damaged_bytes_are_noticed_and_removed(hub: FakeHub, tmp_path: Path) -> None:
    hub.corrupt = True
    with pytest.raises(FormatError, match=r"train\.txt.*damaged"):
        corpora.fetch("plain", tmp_path, progress=False)
    assert os.listdir(tmp_path) == []


def test_another_file_than_the_known_one_is_refused_before_it_is_loaded(hub: FakeHub, tmp_path: Path) -> None:
    hub.files[PLAIN_PATH] = TEXT + b"more"
    with pytest.raises(FormatError, match="the hub has a different file"):
        corpora.fetch("plain", tmp_path, progress=False)
    assert gets(hub) == [] and os.listdir(tmp_path) == []


def test_a_packed_text_of_another_size_leaves_no_text(hub: FakeHub, tmp_path: Path) -> None:
    hub.files[PACKED_PATH] = gzip.compress(VALID[:-1])
    with pytest.raises(FormatError, match="bytes of text"):
        corpora.fetch("packed", tmp_path, progress=False)
    hub.files[PACKED_PATH] = gzip.compress(VALID)[:-20]
    with pytest.raises(FormatError, match="not a whole gzip file"):
        corpora.fetch("packed", tmp_path, progress=False)
    assert not (tmp_path / "valid.txt").exists()


def test_small_files_carry_gits_checksum(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpinned = replace(CORPORA[0], files=(CorpusFile("train.txt", len(TEXT)),))
    monkeypatch.setattr(corpora, "_CORPORA", (unpinned,))
    blob = subprocess.run(
        ["git", "hash-object", "--stdin"], input=TEXT, capture_output=True, check=True
    ).stdout.decode()
    hub.checksums[PLAIN_PATH] = blob.strip()
    corpora.fetch("plain", tmp_path, progress=False)
    assert (tmp_path / "train.txt").read_bytes() == TEXT
    (tmp_path / "train.txt").unlink()
    hub.checksums[PLAIN_PATH] = "ab" * 20
    with pytest.raises(FormatError, match="damaged"):
        corpora.fetch("plain", tmp_path, progress=False)


def test_refusals_and_unreachable_hubs_are_errors_of_one_sentence(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="name must be one of 'plain', 'packed', not 'plane'"):
        corpora.fetch("plane", tmp_path)
    hub.files.clear()
    with pytest.raises(OSError, match=r"404|not.found|Not Found"):
        corpora.fetch("plain", tmp_path, progress=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ConnectionError, match=r"cannot reach http://127\.0\.0\.1:9"):
        corpora.fetch("plain", tmp_path, progress=False)


def test_the_bar_is_shown_only_when_asked_for(
    hub: FakeHub, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.seconds_a_block = 0.05
    monkeypatch.undo()  # the bar comes after half a second
    monkeypatch.setattr(corpora, "_CORPORA", CORPORA)
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    corpora.fetch("plain", tmp_path, progress=False)
    assert capfd.readouterr().err == ""
    (tmp_path / "train.txt").unlink()
    corpora.fetch("plain", tmp_path)
    assert "train.txt" in capfd.readouterr().err
