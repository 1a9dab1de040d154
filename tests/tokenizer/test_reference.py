"""The plain Python that the course teaches gives what the compiled engine gives, with less and less work."""

import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from course_lib.data import stories
from course_lib.tokenizer import Tokenizer, reference, train_bpe
from tests.tokenizer.references import hard_text, pretrained

END = "<|endoftext|>"
TRAINERS = [reference.train_naive, reference.train_incremental, reference.train_heap]
trainers = pytest.mark.parametrize("train", TRAINERS, ids=lambda train: train.__name__)


@trainers
class TestTraining:
    @given(
        documents=st.lists(st.text("ab c", min_size=1, max_size=30), min_size=1, max_size=8),
        num_merges=st.integers(0, 40),
    )
    def test_equals_the_engine_with_many_ties(
        self, train: Callable[..., Tokenizer], documents: list[str], num_merges: int
    ) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            expected = train_bpe(documents, 256 + num_merges)
            trained = train(documents, 256 + num_merges)
        assert trained.merges == expected.merges
        assert trained.vocab == expected.vocab

    @given(documents=st.lists(hard_text.filter(lambda text: text.replace(END, "")), min_size=1, max_size=4))
    def test_equals_the_engine_on_hard_text(
        self, train: Callable[..., Tokenizer], documents: list[str]
    ) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            expected = train_bpe(documents, 290, [END], pattern="o200k")
            assert train(documents, 290, [END], pattern="o200k").vocab == expected.vocab

    @pytest.mark.parametrize("language", ["en", "zh"])
    def test_equals_the_engine_on_stories(self, train: Callable[..., Tokenizer], language: str) -> None:
        documents = list(stories(40_000, seed=21, language=language))
        assert train(documents, 500, [END]).merges == train_bpe(documents, 500, [END]).merges

    def test_reads_files_with_any_bytes(self, train: Callable[..., Tokenizer], tmp_path: Path) -> None:
        path = tmp_path / "text"
        path.write_bytes(b"ab\xff\xfe ab\xff\xfe" + END.encode() + b"\xffab")
        expected = train_bpe(path, 260, [END])
        assert train(path, 260, [END]).merges == expected.merges
        assert train([path], 260, [END]).merges == expected.merges

    def test_warns_where_the_engine_warns(self, train: Callable[..., Tokenizer]) -> None:
        with pytest.warns(UserWarning, match="no pair is left to merge after 1 of 44 merges") as caught:
            assert train(["ab"], 300).merges == [(b"a", b"b")]
        assert caught[0].filename == __file__

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((["abc"], 255), "vocab_size must be at least 256"),
            ((["abc"], 256, [END]), "vocab_size must be at least 257"),
            (([], 300), "no text to train on"),
            ((["abc"], 300, ["a", "a"]), "'a'"),
            ((["\ud800"], 300), "lone surrogate"),
        ],
    )
    def test_bad_input(
        self, train: Callable[..., Tokenizer], arguments: tuple[object, ...], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            train(*arguments)


def test_work_falls_from_one_trainer_to_the_next() -> None:
    documents = list(stories(60_000, seed=22))
    naive, incremental, heap = Counter[str](), Counter[str](), Counter[str]()
    for train, work in zip(TRAINERS, (naive, incremental, heap), strict=True):
        train(documents, 600, work=work)
    assert naive["pairs"] > 20 * incremental["pairs"]
    assert incremental["pairs"] == heap["pairs"]
    assert incremental["candidates"] > 20 * heap["candidates"]


def test_naive_work_counts_every_pair_of_every_round() -> None:
    work: Counter[str] = Counter()
    # "abab": 3 pairs, then ab|ab: 1 pair.
    reference.train_naive(["abab"], 258, work=work)
    assert work == {"pairs": 4, "candidates": 3}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), st.integers(0, 5)), max_size=60))
def test_lazy_heap_equals_looking_at_all(changes: list[tuple[str, str, int]]) -> None:
    counts: dict[reference.Pair, int] = {(b"a", b"x"): 3, (b"b", b"y"): 3}
    heap = reference.LazyMaxHeap(counts)
    for left, right, count in changes:
        pair = (left.encode(), right.encode())
        rose = count > counts.get(pair, 0)
        counts[pair] = count
        if rose:
            heap.raised(pair)
        if count == 2:
            expected = max((p for p in counts if counts[p]), key=lambda p: (counts[p], p))
            assert heap.pop() == expected
            counts[expected] = 0
    rest = sorted((p for p in counts if counts[p]), key=lambda p: (counts[p], p), reverse=True)
    popped = []
    while (pair := heap.pop()) is not None:
        popped.append(pair)
        counts[pair] = 0
    assert popped == rest


def test_merge_goes_from_left_to_right() -> None:
    assert reference.merge((b"a", b"a", b"a"), (b"a", b"a")) == (b"aa", b"a")
    assert reference.merge((b"x", b"a", b"b", b"a", b"b"), (b"a", b"b")) == (b"x", b"ab", b"ab")
    assert reference.merge((), (b"a", b"b")) == ()


class TestEncoding:
    @pytest.mark.parametrize("name", ["gpt2", "cl100k_base", "deepseek"])
    @settings(max_examples=25)  # each turns the whole vocabulary round
    @given(text=hard_text)
    def test_equals_the_engine(self, name: str, text: str) -> None:
        tokenizer = pretrained(name)
        assert reference.encode(tokenizer, text) == tokenizer.encode(text)

    def test_hello(self) -> None:
        merges = [(b"l", b"l"), (b"e", b"l"), (b"ll", b"o"), (b"H", b"e")]
        ranks = reference.merge_ranks(merges)
        assert reference.encode_word(b"Hello", ranks) == (b"He", b"llo")

    @given(
        word=st.text("abc", max_size=60),
        documents=st.lists(st.text("abc ", min_size=1, max_size=40), min_size=1, max_size=5),
    )
    def test_long_words_equal_short_ones(self, word: str, documents: list[str]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            tokenizer = train_bpe(documents, 300)
        ranks = reference.merge_ranks(tokenizer.merges)
        expected = reference.encode_word(word.encode(), ranks)
        assert reference.encode_long_word(word.encode(), ranks) == expected
        assert [*map(tokenizer.decode_bytes, ([i] for i in tokenizer.encode(word)))] == list(expected)

    @given(
        word=st.text("ab", max_size=24),
        pairs=st.lists(
            st.tuples(st.text("ab", min_size=1, max_size=3), st.text("ab", min_size=1, max_size=3)),
            max_size=12,
            unique=True,
        ),
    )
    def test_merge_lists_that_no_training_gives(self, word: str, pairs: list[tuple[str, str]]) -> None:
        merges = [(left.encode(), right.encode()) for left, right in pairs]
        tokens = {bytes([byte]) for byte in range(256)}
        tokens |= {part for pair in merges for part in (*pair, b"".join(pair))}
        tokenizer = Tokenizer(dict(enumerate(sorted(tokens))), merges)
        expected = tuple(tokenizer.decode_bytes([token]) for token in tokenizer.encode(word))
        ranks = reference.merge_ranks(merges)
        assert reference.encode_word(word.encode(), ranks) == expected
        assert reference.encode_long_word(word.encode(), ranks) == expected

    @example(word="abc", tokens=["abc"])  # no merge leads there
    @given(
        word=st.text("abc", min_size=1, max_size=40),
        tokens=st.lists(st.text("abc", min_size=2, max_size=4), max_size=12, unique=True),
    )
    def test_ranks_merge_as_in_tiktoken(self, word: str, tokens: list[str]) -> None:
        tiktoken = pytest.importorskip("tiktoken")
        ranks = {token: rank for rank, token in enumerate([bytes([byte]) for byte in range(256)])}
        ranks |= {token.encode(): 256 + place for place, token in enumerate(tokens)}
        encoding = tiktoken.Encoding("ranks", pat_str=r"[\s\S]+", mergeable_ranks=ranks, special_tokens={})
        symbols = reference.encode_by_rank(word.encode(), ranks)
        assert [ranks[symbol] for symbol in symbols] == encoding.encode(word)

    def test_only_text_is_encoded(self) -> None:
        with pytest.raises(TypeError, match="text must be a str, not bytes"):
            reference.encode(pretrained("gpt2"), b"abc")  # type: ignore[arg-type]
