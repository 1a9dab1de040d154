"""Training gives the merges that the definition gives, whatever the threads, and says what is wrong with its input."""

import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st

from course_lib import _bpe
from course_lib.data import stories
from course_lib.tokenizer import PATTERNS, Tokenizer, reference, shrink, train_bpe
from course_lib.tokenizer.unigram import UnigramTokenizer
from course_lib.tokenizer.wordpiece import WordPieceTokenizer
from tests.tokenizer.references import hard_text

END = "<|endoftext|>"


def train_by_definition(
    documents: Sequence[str], num_merges: int, specials: Sequence[str] = (), pattern: str = "gpt2"
) -> list[tuple[bytes, bytes]]:
    """All pairs of all words counted anew for every merge."""
    words: Counter[tuple[bytes, ...]] = Counter()
    cut = "|".join(regex.escape(special) for special in sorted(specials, key=len, reverse=True)) or "(?!)"
    for document in documents:
        for part in regex.split(cut, document):
            for piece in regex.findall(PATTERNS[pattern], part):
                words[tuple(bytes([byte]) for byte in piece.encode())] += 1
    merges: list[tuple[bytes, bytes]] = []
    for _ in range(num_merges):
        counts: Counter[tuple[bytes, bytes]] = Counter()
        for word, count in words.items():
            for pair in pairwise(word):
                counts[pair] += count
        if not counts:
            break
        best = max(counts, key=lambda pair: (counts[pair], pair))
        merges.append(best)
        merged: Counter[tuple[bytes, ...]] = Counter()
        for word, count in words.items():
            parts, place = [], 0
            while place < len(word):
                step = 2 if word[place : place + 2] == best else 1
                parts.append(b"".join(word[place : place + step]))
                place += step
            merged[tuple(parts)] += count
        words = merged
    return merges


def quietly(*arguments: object, **options: object) -> Tokenizer:
    """train_bpe without the warning that no pair is left."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return train_bpe(*arguments, **options)  # type: ignore[arg-type]


class TestMerges:
    @given(
        documents=st.lists(st.text("ab c", min_size=1, max_size=30), min_size=1, max_size=8),
        num_merges=st.integers(0, 40),
    )
    @example(documents=["aaaaaaa"], num_merges=5)
    @example(documents=["ababab baba", "aa"], num_merges=9)
    def test_equal_the_definition_with_many_ties(self, documents: list[str], num_merges: int) -> None:
        expected = train_by_definition(documents, num_merges)
        for num_threads in (1, 2, 7):
            assert quietly(documents, 256 + num_merges, num_threads=num_threads).merges == expected

    @pytest.mark.parametrize("pattern", PATTERNS)
    @given(documents=st.lists(hard_text.filter(bool), min_size=1, max_size=4))
    def test_equal_the_definition_on_hard_text(self, pattern: str, documents: list[str]) -> None:
        specials = [END, "<|endof"]
        if not any(regex.sub(r"<\|endof(text\|>)?", "", document) for document in documents):
            return
        expected = train_by_definition(documents, 30, specials, pattern)
        assert quietly(documents, 256 + 2 + 30, specials, pattern=pattern).merges == expected

    @pytest.mark.parametrize("num_threads", [1, 2, 7])
    @pytest.mark.parametrize("language", ["en", "zh"])
    def test_equal_the_definition_on_stories(self, language: str, num_threads: int) -> None:
        documents = list(stories(30_000, seed=11, language=language))
        trained = train_bpe(documents, 256 + 250, num_threads=num_threads)
        assert trained.merges == train_by_definition(documents, 250)

    def test_threads_agree_on_more_text(self, tmp_path: Path) -> None:
        text = END.join(stories(3_000_000, seed=12, language="both"))
        (tmp_path / "text").write_text(text, encoding="utf-8", newline="")
        results = [train_bpe(tmp_path / "text", 8_000, [END], num_threads=n).merges for n in (1, 2, 7)]
        assert results[0] == results[1] == results[2]

    def test_a_custom_pattern_gives_the_same_as_its_scanner(self) -> None:
        documents = [*stories(100_000, seed=13, language="both")]
        slow = train_bpe(documents, 600, [END], pattern=f"(?:{PATTERNS['gpt2']})")
        assert slow.merges == train_bpe(documents, 600, [END]).merges

    @given(
        documents=st.lists(st.text("abcé ", min_size=1, max_size=40), min_size=1, max_size=6),
        specials=st.sampled_from([[], [END], ["é", "a"], ["bb"]]),
        num_threads=st.sampled_from([1, 2]),
    )
    def test_are_what_the_tokenizer_applies(
        self, documents: list[str], specials: list[str], num_threads: int
    ) -> None:
        documents = [*documents, "bc"]  # something is left when special tokens have cut the others
        tokenizer = quietly(documents, 256 + len(specials) + 40, specials, num_threads=num_threads)
        rebuilt = Tokenizer(tokenizer.vocab, tokenizer.merges, specials)
        for text in documents:
            ids = tokenizer.encode(text)
            assert ids == reference.encode(tokenizer, text) == rebuilt.encode(text)
            assert tokenizer.decode(ids) == text

    def test_ids(self) -> None:
        tokenizer = train_bpe(["abab abab"], 256 + 2 + 2, ["<a>", END])
        assert [tokenizer.vocab[i] for i in range(256)] == [bytes([i]) for i in range(256)]
        assert tokenizer.merges == [(b"a", b"b"), (b"ab", b"ab")]
        assert {i: tokenizer.vocab[i] for i in range(256, 260)} == {
            256: b"ab",
            257: b"abab",
            258: b"<a>",
            259: END.encode(),
        }
        assert tokenizer.vocab_size == 260

    def test_two_merges_may_make_the_same_bytes(self) -> None:
        # "abc" comes about as a+bc in one word and ab+c in another.
        documents = ["ab " * 9 + "bc " * 8 + "abc " * 3 + "xbc abx"]
        for size in range(256, 290):
            trained = quietly(documents, size)
            assert trained.merges == train_by_definition(documents, size - 256)[: len(trained.merges)]


class TestSources:
    def test_one_path_several_paths_and_documents(self, tmp_path: Path) -> None:
        first, second = "the cat sat on the mat\n", "语言模型 the hat\n"
        (tmp_path / "1.txt").write_text(first, encoding="utf-8")
        (tmp_path / "2.txt").write_text(second, encoding="utf-8")
        expected = train_bpe([first, second], 270).merges
        assert train_bpe([tmp_path / "1.txt", tmp_path / "2.txt"], 270).merges == expected
        assert train_bpe((text for text in (first, second)), 270).merges == expected
        assert train_bpe(str(tmp_path / "1.txt"), 264).merges == train_bpe([first], 264).merges

    def test_documents_are_cut_apart(self) -> None:
        assert quietly(["ab", "ab", "bb"], 300).merges == [(b"b", b"b"), (b"a", b"b")][::-1]

    def test_a_stream_is_not_kept(self) -> None:
        script = (
            "import resource, sys; from course_lib.data import stories; from course_lib.tokenizer import train_bpe;"
            "train_bpe(stories(1_000_000), 1_000);"
            "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
            "train_bpe(stories(80_000_000), 1_000);"
            "after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
            "print((after - before) * (1 if sys.platform == 'darwin' else 1024))"
        )
        grown = int(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout)
        assert grown < 60e6

    def test_bytes_that_are_not_utf8_are_kept(self, tmp_path: Path) -> None:
        (tmp_path / "bytes").write_bytes(b"\xff\xfe\xff\xfe \xff\xfe")
        tokenizer = train_bpe(tmp_path / "bytes", 257)
        assert tokenizer.merges == [(b"\xff", b"\xfe")]
        slow = train_bpe(tmp_path / "bytes", 257, pattern=r"\S+")
        assert slow.merges == [(b"\xff", b"\xfe")]

    def test_special_tokens_are_never_counted(self) -> None:
        tokenizer = train_bpe([f"ab{END}ab{END}xy"], 258, [END])
        assert tokenizer.merges == [(b"a", b"b")]


class TestBadInput:
    @pytest.mark.parametrize("size", [0, -1, 255, 256])
    def test_vocab_size(self, size: int) -> None:
        with pytest.raises(
            ValueError, match=r"vocab_size must be at least 257 \(256 bytes \+ 1 special tokens\)"
        ):
            train_bpe(["text"], size, [END])

    @pytest.mark.parametrize("size", [300.0, "300", None, True])
    def test_vocab_size_of_another_type(self, size: object) -> None:
        with pytest.raises(TypeError, match="vocab_size must be an integer, not"):
            train_bpe(["text"], size)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("specials", "message"), [([""], "non-empty"), ([END, END], "twice"), (["\ud800"], "lone")]
    )
    def test_special_tokens(self, specials: list[str], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            train_bpe(["text"], 300, specials)

    def test_files(self, tmp_path: Path) -> None:
        (tmp_path / "empty").write_bytes(b"")
        with pytest.raises(FileNotFoundError, match="missing does not exist"):
            train_bpe(tmp_path / "missing", 300)
        with pytest.raises(IsADirectoryError, match="is a directory"):
            train_bpe(tmp_path, 300)
        with pytest.raises(ValueError, match="empty is empty"):
            train_bpe(tmp_path / "empty", 300)

    @pytest.mark.parametrize("documents", [[], [""], [END]])
    def test_no_text(self, documents: list[str]) -> None:
        with pytest.raises(ValueError, match="no text to train on"):
            train_bpe(documents, 300, [END])

    @pytest.mark.parametrize("source", [None, 3, b"bytes", [b"bytes"], ["text", 3], ["text", Path("x")]])
    def test_not_a_source(self, source: object) -> None:
        with pytest.raises(TypeError, match="source"):
            train_bpe(source, 300)  # type: ignore[arg-type]

    @pytest.mark.parametrize("text", ["some text", "a word " * 2000, "a\0b"])
    def test_a_text_where_a_path_is_meant(self, text: str) -> None:
        with pytest.raises(FileNotFoundError, match="a text to train on goes into a list") as caught:
            train_bpe(text, 300)
        assert len(str(caught.value)) < 250

    @pytest.mark.parametrize("pattern", ["gpt2", r"\S+"])
    def test_lone_surrogate(self, pattern: str) -> None:
        with pytest.raises(ValueError, match="lone surrogate"):
            train_bpe(["fine", "ab\ud800"], 300, pattern=pattern)

    def test_stops_early_with_a_warning(self) -> None:
        with pytest.warns(UserWarning, match="no pair is left to merge after 2 of 244 merges"):
            assert len(train_bpe(["abc"], 500).merges) == 2

    @pytest.mark.parametrize(("num_threads", "error"), [(0, ValueError), (-2, ValueError), (1.5, TypeError)])
    def test_num_threads(self, num_threads: object, error: type[Exception]) -> None:
        with pytest.raises(error, match="num_threads"):
            train_bpe(["text"], 300, num_threads=num_threads)  # type: ignore[arg-type]


TRAINERS: dict[str, Callable[[Any], object]] = {
    "BPE": lambda source: train_bpe(source, 259).merges,
    "BPE by regex": lambda source: train_bpe(source, 259, pattern=r"\S+").merges,
    "BPE as defined": lambda source: reference.train_naive(source, 259).merges,
    "Unigram": lambda source: UnigramTokenizer.train(source, 273).scores,
    "WordPiece": lambda source: WordPieceTokenizer.train(source, 20, min_frequency=1).vocab,
}


@pytest.mark.parametrize("trainer", TRAINERS)
class TestLists:
    """Files if all items name some, else documents, and a warning where that may be a mistake."""

    @pytest.fixture(autouse=True)
    def files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        Path("shard1.txt").write_text("low lower lowest " * 9)
        Path("shard2.txt").write_text("new newer newest " * 7)
        Path("folder").mkdir()

    def test_names_of_files_are_files(self, trainer: str) -> None:
        train = TRAINERS[trainer]
        paths = [Path("shard1.txt"), Path("shard2.txt")]
        expected = train(paths)
        assert expected == train([path.read_text() for path in paths])
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*documents")
            for names in (["shard1.txt", "shard2.txt"], ["shard1.txt", paths[1]], [paths[0], "shard2.txt"]):
                assert train(names) == expected
                assert train(iter(names)) == expected

    @pytest.mark.parametrize("place", [0, 1, 20])
    def test_a_file_name_among_documents_is_warned_of(self, trainer: str, place: int) -> None:
        documents = ["low lower lowest"] * 20
        documents.insert(place, "shard1.txt")
        with pytest.warns(
            UserWarning, match=r"taken as documents.*'shard1\.txt' is the name of a file"
        ) as caught:
            mixed = TRAINERS[trainer](documents)
        assert caught[0].filename == __file__
        Path("shard1.txt").unlink()
        assert TRAINERS[trainer](documents) == mixed

    @pytest.mark.parametrize(
        "documents",
        [
            ["{}"],
            ["{}", "folder"],
            ["shard1.txt {}"],
            ["{}\n" * 2000, "shard1.txt\n"],
            ["{}", "a" * 300, "\0"],
        ],
    )
    def test_documents_stay_documents(self, trainer: str, documents: list[str]) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*documents")
            TRAINERS[trainer](
                [document.replace("{}", "low lower lowest new newer newest") for document in documents]
            )

    def test_paths_and_documents_do_not_mix(self, trainer: str) -> None:
        with pytest.raises(TypeError, match="'not a file', which is neither a path nor the name of a file"):
            TRAINERS[trainer]([Path("shard1.txt"), "not a file"])


@pytest.mark.parametrize("phase", ["counting", "merging"])
def test_ctrl_c_stops_within_a_second(tmp_path: Path, phase: str) -> None:
    # Words of random letters: every one is new, so that both phases have much to do.
    script = """
import numpy as np, sys, time
from course_lib.tokenizer import train_bpe
from course_lib import _bpe
letters = np.random.default_rng(0).integers(97, 123, 50_000_000, dtype=np.uint8)
letters[::9] = 32
path = sys.argv[1] + "/text"
letters.tofile(path)
counts = _bpe.WordCounts("gpt2", [])
if sys.argv[2] == "merging":
    counts.add_file(path, num_threads=None, progress=None)
print("ready", flush=True)
try:
    while sys.argv[2] == "counting":
        train_bpe(path, 256)
    _bpe.train(counts, 10_000_000, num_threads=None, progress=None)
except KeyboardInterrupt:
    print(time.process_time(), flush=True)
    raise
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path), phase],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.3)
            assert process.poll() is None, "it was over before it could be stopped"
            spent = psutil.Process(process.pid).cpu_times()
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=120)
        finally:
            process.kill()
            (tmp_path / "text").unlink(missing_ok=True)
    assert "KeyboardInterrupt" in errors
    # One second is the promise. It is counted in processor time, which others on the machine do not take.
    seconds = (float(output) - spent.user - spent.system) / _bpe.default_num_threads()
    assert seconds < 5


@pytest.mark.parametrize("specials", [[], [END, "<x>"]])
def test_a_shrunk_tokenizer_is_the_one_that_training_would_have_made(
    specials: list[str], tmp_path: Path
) -> None:
    source = tmp_path / "text"
    source.write_text("\n".join(stories(3000)))
    whole = train_bpe(source, 285, specials, pattern="cl100k")
    for size in (256 + len(specials), 270, 284, 285):
        smaller = shrink(whole, size)
        assert smaller.sha256() == train_bpe(source, size, specials, pattern="cl100k").sha256()
        assert smaller.vocab_size == size and smaller.special_tokens == specials
    with pytest.raises(ValueError, match="it is read here"):
        shrink(whole, 270).save(source)
    for size in (255 + len(specials), 286):
        message = f"vocab_size must be at least {256 + len(specials)} and at most 285, not {size}"
        with pytest.raises(ValueError, match=message):
            shrink(whole, size)
    with pytest.raises(TypeError, match="vocab_size must be an integer"):
        shrink(whole, 270.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="order of train_bpe"):
        shrink(Tokenizer.from_pretrained("gpt2"), 300)
