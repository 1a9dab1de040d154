"""Workers of a Dask cluster give what one process gives, also when some are killed, and say what is wrong."""

import json
import os
import signal
import sys
import threading
import time
import types
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask.sizeof
import pytest
from distributed import Client, LocalCluster
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from course_lib import _bpe
from course_lib.cli import app
from course_lib.data import stories
from course_lib.errors import FormatError
from course_lib.token_file import TokenFile
from course_lib.tokenizer import PATTERNS, Tokenizer, cluster, pretokenize, train_bpe
from course_lib.tokenizer.cluster import connect
from tests.tokenizer.packed_counts import occurrences
from tests.tokenizer.references import hard_bytes

END = "<|endoftext|>"


SPECIALS = [END, "<|endof"]


pytestmark = pytest.mark.filterwarnings("ignore:no pair is left:UserWarning")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a scheduler with two workers."""
    with connect("local", num_workers=2) as client:
        yield client.scheduler.address


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    with connect(address) as connected:
        yield connected


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cluster") / "stories.txt"
    path.write_text(f"\n{END}\n".join(stories(1_200_000, seed=5, language="both")), encoding="utf-8")
    return path


class TestRangesOfFiles:
    @pytest.mark.parametrize("pattern", PATTERNS)
    @given(data=st.lists(hard_bytes, max_size=8).map(b" and".join), block=st.integers(1, 60))
    @settings(max_examples=25)
    def test_give_the_counts_and_ids_of_the_whole(
        self, pattern: str, data: bytes, block: int, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        path = tmp_path_factory.getbasetemp() / "ranges"
        path.write_bytes(data)
        tokenizer = Tokenizer({i: bytes([i]) for i in range(256)}, [], SPECIALS, pattern=pattern)
        whole, parts, ids = _bpe.WordCounts(pattern, SPECIALS), _bpe.WordCounts(pattern, SPECIALS), []
        whole.add_documents([data], num_threads=1, progress=None)
        for start in range(0, max(1, len(data)), block):
            limits: dict[str, Any] = {
                "num_threads": 1,
                "progress": None,
                "start": start,
                "stop": start + block,
            }
            parts.add_file(str(path), **limits)
            encoder = _bpe.FileEncoder(tokenizer._engine, str(path), **limits)
            ids += [token for window in encoder for token in window.tolist()]
        assert parts.pack() == whole.pack()
        assert ids == tokenizer.encode(data)

    def test_a_range_is_a_part_and_not_the_whole(self, corpus: Path) -> None:
        counts = _bpe.WordCounts("gpt2", [END])
        counts.add_file(str(corpus), num_threads=1, progress=None, start=1000, stop=3000)
        assert 200 < counts.total() < 800


class TestOnWorkers:
    @pytest.mark.parametrize("block_bytes", [None, 40_000, 333_333])
    def test_training_equals_one_process(self, client: Client, corpus: Path, block_bytes: int | None) -> None:
        # A file named twice counts twice, in one process and here.
        sources = [corpus, str(corpus)]
        trained = cluster.train_bpe(sources, 900, [END], client=client, block_bytes=block_bytes)
        expected = train_bpe(sources, 900, [END])
        assert trained.merges == expected.merges and trained.sha256() == expected.sha256()

    @settings(max_examples=12)
    @given(
        files=st.lists(hard_bytes.filter(bool), min_size=1, max_size=4),
        block_bytes=st.integers(1, 50),
        pattern=st.sampled_from(["gpt2", "o200k", r"\S+|\s+"]),
    )
    def test_hard_files_in_small_blocks(
        self,
        address: str,
        tmp_path_factory: pytest.TempPathFactory,
        files: list[bytes],
        block_bytes: int,
        pattern: str,
    ) -> None:
        folder = tmp_path_factory.getbasetemp()
        paths = [folder / f"hard{k}" for k in range(len(files))]
        for path, data in zip(paths, files, strict=True):
            path.write_bytes(data)
        try:
            expected = train_bpe(paths, 290, SPECIALS, pattern=pattern)
        except ValueError:  # nothing but special tokens
            return
        options: dict[str, Any] = {"block_bytes": block_bytes}
        with connect(address) as options["client"]:
            assert (
                cluster.train_bpe(paths, 290, SPECIALS, pattern=pattern, **options).merges == expected.merges
            )
            tokens = cluster.encode_file(expected, paths[0], folder / "tokens", **options)
        assert list(tokens) == expected.encode(files[0])

    @pytest.mark.parametrize("block_bytes", [None, 70_000])
    def test_token_files_equal_byte_for_byte(
        self, client: Client, corpus: Path, tmp_path: Path, block_bytes: int | None
    ) -> None:
        tokenizer = train_bpe(corpus, 1000, [END])
        expected = tokenizer.encode_file(corpus, tmp_path / "one")
        tokens = cluster.encode_file(
            tokenizer, corpus, tmp_path / "many", client=client, block_bytes=block_bytes
        )
        assert tokens.sha256 == expected.sha256
        assert (tmp_path / "many").read_bytes() == (tmp_path / "one").read_bytes()
        assert (tmp_path / "many.json").read_bytes() == (tmp_path / "one.json").read_bytes()

    def test_a_normalizer(self, client: Client, tmp_path: Path) -> None:
        tokenizer = Tokenizer({i: bytes([i]) for i in range(256)}, [], [END], normalizer="NFC")
        (tmp_path / "text").write_text(f"cafe\u0301 {END}\u0301 " * 100, encoding="utf-8")
        tokens = cluster.encode_file(
            tokenizer, tmp_path / "text", tmp_path / "tokens", client=client, block_bytes=100
        )
        assert list(tokens) == tokenizer.encode((tmp_path / "text").read_bytes())
        assert tokenizer.decode(tokens) == f"caf\u00e9 {END}\u0301 " * 100

    def test_a_large_vocabulary_and_an_empty_file(self, client: Client, tmp_path: Path) -> None:
        vocab = {i: bytes([i]) for i in range(256)} | {70_000: b"ab"}
        tokenizer = Tokenizer(vocab, [(b"a", b"b")])
        (tmp_path / "text").write_bytes(b"ab abc\n")
        (tmp_path / "empty").touch()
        tokens = cluster.encode_file(
            tokenizer, tmp_path / "text", tmp_path / "t", client=client, block_bytes=2
        )
        assert tokens.dtype == "<u4" and list(tokens) == tokenizer.encode("ab abc\n")
        nothing = cluster.encode_file(tokenizer, tmp_path / "empty", tmp_path / "e", client=client)
        assert len(nothing) == 0 and nothing.dtype == "<u4"

    def test_pruned_counts_are_within_their_bounds(self, client: Client, corpus: Path) -> None:
        texts = corpus.read_text(encoding="utf-8").split(END)
        expected = Counter(word.encode() for text in texts for word in pretokenize(text))
        options: dict[str, Any] = {"client": client, "block_bytes": 40_000}
        exact = cluster.count_pretokens(corpus, [END], **options)
        assert occurrences(exact) == expected and exact.missed == exact.dropped == 0
        assert dask.sizeof.sizeof(exact) > len(exact.packed)
        pruned = cluster.count_pretokens(corpus, [END], max_words=500, **options)
        kept = occurrences(pruned)
        assert 0 < len(kept) <= 500
        assert kept.total() + pruned.dropped == expected.total() and pruned.missed > 0
        assert all(count - pruned.missed <= kept[word] <= count for word, count in expected.items())
        with pytest.warns(UserWarning, match=r"max_words=500 left out \d+\.\d+%"):
            cluster.train_bpe(corpus, 300, [END], max_words=500, **options)


class TestLostWorkers:
    @pytest.mark.parametrize("job", ["train", "encode"])
    def test_killed_ones_change_nothing(self, tmp_path: Path, corpus: Path, job: str) -> None:
        tokenizer = train_bpe(corpus, 600, [END])
        result: list[Any] = []

        def work() -> None:
            options: dict[str, Any] = {"client": client, "block_bytes": 4_000}
            if job == "train":
                result.append(cluster.train_bpe(corpus, 600, [END], **options).merges)
            else:
                result.append(cluster.encode_file(tokenizer, corpus, tmp_path / "tokens", **options).sha256)

        with connect("local", num_workers=3) as client:
            before = set(client.run(os.getpid).values())
            working = threading.Thread(target=work)
            working.start()
            for pid in sorted(before)[:2]:
                # Each dies while it holds results that others need, and while parts are left to do.
                done = results_made(client.cluster)
                while results_made(client.cluster) < done + 20 and working.is_alive():
                    time.sleep(0.001)
                os.kill(pid, signal.SIGKILL)
                assert working.is_alive(), "the job was over before a worker died"
            working.join()
            after = set(client.run(os.getpid).values())
        assert len(before - after) == 2
        if job == "train":
            assert result == [tokenizer.merges]
        else:
            assert result == [tokenizer.encode_file(corpus, tmp_path / "one").sha256]
            assert (tmp_path / "tokens").read_bytes() == (tmp_path / "one").read_bytes()
            assert sorted(os.listdir(tmp_path)) == ["one", "one.json", "tokens", "tokens.json"]

    def test_a_part_that_kills_its_workers_ends_the_job(self) -> None:
        with connect("local", num_workers=1) as client:
            client.cluster.scheduler.allowed_failures = 0
            with pytest.raises(ConnectionError, match="lack of memory"):
                cluster._result(client.submit(os._exit, 1))

    def test_a_lost_scheduler_ends_the_job(self, client: Client) -> None:
        future = client.submit(time.sleep, 2)
        threading.Timer(0.2, future.cancel).start()
        with pytest.raises(ConnectionError, match="the Dask scheduler is gone"):
            cluster._result(future)


def results_made(running: LocalCluster) -> int:
    """How many results there have been since the cluster started."""
    return sum(prefix.state_counts["memory"] for prefix in list(running.scheduler.task_prefixes.values()))


class TestBadInput:
    def test_addresses(self) -> None:
        with (
            pytest.raises(
                ConnectionError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9 within 0.5 s"
            ),
            connect("tcp://127.0.0.1:9", timeout=0.5),
        ):
            pass
        for bad in ("machine", "quux://machine:1", "tcp://machine", ""):
            with (
                pytest.raises(ValueError, match="scheduler must be 'local' or an address such as") as caught,
                connect(bad),
            ):
                pass
            assert repr(bad) in str(caught.value)

    def test_a_scheduler_without_workers(self) -> None:
        with (
            LocalCluster(n_workers=0, dashboard_address=":0") as running,
            pytest.raises(ConnectionError, match=r"has no worker within 2 s"),
            connect(running.scheduler_address, timeout=2),
        ):
            pass

    def test_dask_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "distributed", None)
        with pytest.raises(ImportError, match="-m pip install distributed"), connect("local"):
            pass

    def test_sources(self, client: Client, tmp_path: Path) -> None:
        (tmp_path / "empty").touch()
        with pytest.raises(ValueError, match="source names no file"):
            cluster.train_bpe([], 300, client=client)
        with pytest.raises(ValueError, match="empty is empty"):
            cluster.train_bpe(tmp_path / "empty", 300, client=client)
        with pytest.raises(TypeError, match="workers read files"):
            cluster.train_bpe(["a document"], 300, client=client)
        with pytest.raises(FileNotFoundError, match="missing does not exist"):
            cluster.count_pretokens([tmp_path / "empty", tmp_path / "missing"], client=client)

    @pytest.mark.parametrize("name", ["max_words", "block_bytes"])
    @pytest.mark.parametrize("number", [0, -1, 1.5, True])
    def test_numbers(self, client: Client, corpus: Path, name: str, number: Any) -> None:
        with pytest.raises(
            (TypeError, ValueError), match=f"{name} must be (at least 1|an integer), not {number}"
        ):
            cluster.count_pretokens(corpus, client=client, **{name: number})

    @pytest.mark.parametrize("moment", ["before", "after"])
    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            (Path.unlink, FileNotFoundError, "does not exist on the host .*every worker must see the files"),
            (
                lambda path: path.write_text("another"),
                FormatError,
                "has 7 bytes on the host .*, but 5,000 where",
            ),
        ],
    )
    def test_workers_see_other_files(
        self,
        client: Client,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        moment: str,
        change: Callable[[Path], Any],
        error: type[Exception],
        message: str,
    ) -> None:
        path = tmp_path / "text"
        path.write_text("abcd " * 1000)
        tokenizer = train_bpe(path, 258)
        check = client.run

        def run(*arguments: Any) -> Any:
            """Other files appear right before the workers check them, or right after."""
            if moment == "before":
                change(path)
            checked = check(*arguments)
            if moment == "after":
                change(path)
            return checked

        monkeypatch.setattr(client, "run", run)
        with pytest.raises(error, match=message):
            cluster.encode_file(tokenizer, path, tmp_path / "tokens", client=client)
        assert not (tmp_path / "tokens").exists()
        path.write_text("abcd " * 1000)
        with pytest.raises(error, match=message):
            cluster.train_bpe(path, 258, client=client)

    def test_workers_run_another_release(
        self, client: Client, corpus: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("importlib.metadata.version", lambda name: "99.0")
        with pytest.raises(
            ValueError, match=r"worker tcp://\S+ has course_lib \S+, but 99\.0 started the job"
        ):
            cluster.count_pretokens(corpus, client=client)

    def test_a_worker_without_the_package(
        self, client: Client, corpus: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        elsewhere = types.ModuleType("elsewhere")
        exec("def check(files): return '1.0'", elsewhere.__dict__)
        monkeypatch.setitem(sys.modules, "elsewhere", elsewhere)
        monkeypatch.setattr(cluster, "check_files", elsewhere.check)
        with pytest.raises(
            ImportError, match=r"a worker cannot import course_lib.*No module named 'elsewhere'"
        ):
            cluster.count_pretokens(corpus, client=client)


class TestCommand:
    def run(self, *arguments: object, status: int = 0) -> Any:
        result = CliRunner().invoke(app, ["tokenizer", *map(str, arguments)])
        assert result.exit_code == status, result.output
        return result

    def test_local_and_by_address(self, address: str, corpus: Path, tmp_path: Path) -> None:
        expected = train_bpe(corpus, 500, [END])
        options = ("--scheduler", "local", "--threads", 2, "--json")
        trained = self.run("train", corpus, "--vocab-size", 500, "--out", tmp_path / "t.json", *options)
        assert json.loads(trained.stdout)["merges"] == len(expected.merges)
        assert Tokenizer.load(tmp_path / "t.json").sha256() == expected.sha256()
        self.run("encode", tmp_path / "t.json", corpus, tmp_path / "tokens", "--scheduler", address)
        one_process = expected.encode_file(corpus, tmp_path / "one")
        assert TokenFile.open(tmp_path / "tokens", verify=True).sha256 == one_process.sha256

    @pytest.mark.filterwarnings("always:max_words:UserWarning")
    def test_pruning_is_a_warning_line(self, address: str, corpus: Path, tmp_path: Path) -> None:
        options = (
            "--scheduler",
            address,
            "--max-words",
            100,
            "--vocab-size",
            280,
            "--out",
            tmp_path / "t.json",
        )
        [line] = self.run("train", corpus, *options).stderr.splitlines()
        assert line.startswith("course: max_words=100 left out ")

    def test_errors(self, corpus: Path, tmp_path: Path) -> None:
        train = ("train", corpus, "--vocab-size", 300, "--out", tmp_path / "t.json")
        assert "--max-words needs --scheduler" in self.run(*train, "--max-words", 5, status=2).stderr
        remote = ("--scheduler", "tcp://127.0.0.1:9")
        assert "for work on this machine" in self.run(*train, *remote, "--threads", 2, status=2).stderr
        [line] = self.run(*train, "--scheduler", "machine", status=1).stderr.splitlines()
        assert line.startswith("course: scheduler must be 'local' or an address")
        assert os.listdir(tmp_path) == []
