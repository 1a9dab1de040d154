"""The Tokenizer gives the ids that tiktoken and Hugging Face give, and gives every byte back."""

import gc
import itertools
import os
import pickle
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import example, given, settings
from hypothesis import strategies as st

from course_lib import _bpe
from course_lib.data import stories
from course_lib.errors import FormatError
from course_lib.token_file import TokenFile
from course_lib.tokenizer import PATTERNS, Tokenizer, compression_ratio, train_bpe
from course_lib.tokenizer.pretrained import find_pretrained
from tests.tokenizer.references import hard_bytes, hard_text, hugging_face, pretrained, tiktoken_encoding

BYTES = {byte: bytes([byte]) for byte in range(256)}
PRETRAINED = ["gpt2", "cl100k_base", "o200k_base", "deepseek"]
TIKTOKEN = ["r50k_base", "cl100k_base", "o200k_base"]
CUSTOM_PATTERN = r"\p{L}+|\p{N}"  # leaves out spaces and symbols: they must not be lost


def deepseek_reference() -> tokenizers.Tokenizer:
    """Hugging Face's reading of the same file."""
    path = find_pretrained("deepseek")
    assert path is not None
    return hugging_face(path)


def texts() -> Iterator[tuple[str, str]]:
    """(name, text) of whole texts: generated stories, and the files of ``$COURSE_TEST_DATA`` where it is set."""
    for language in ("en", "zh"):
        yield language, "<|endoftext|>".join(stories(200_000, seed=3, language=language))
    if folder := os.environ.get("COURSE_TEST_DATA"):
        for path in sorted(Path(folder).glob("*.txt")):
            yield path.name, path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def own() -> Tokenizer:
    documents = [*stories(300_000, seed=1, language="en"), *stories(100_000, seed=1, language="zh")]
    return train_bpe(documents, 2_000, ["<|endoftext|>", "<|end|>"])


class TestExactness:
    @pytest.mark.parametrize("name", TIKTOKEN)
    @given(text=hard_text)
    def test_equals_tiktoken(self, name: str, text: str) -> None:
        ours = pretrained("gpt2" if name == "r50k_base" else name)
        theirs = tiktoken_encoding(name)
        assert ours.encode(text) == theirs.encode(text, allowed_special="all")
        assert ours.encode_ordinary(text) == theirs.encode_ordinary(text)

    @pytest.mark.parametrize("name", TIKTOKEN)
    def test_equals_tiktoken_on_whole_texts(self, name: str) -> None:
        ours = pretrained("gpt2" if name == "r50k_base" else name)
        for source, text in texts():
            expected = tiktoken_encoding(name).encode_to_numpy(text, allowed_special="all")
            assert np.array_equal(ours.encode_to_numpy(text), expected), source

    @given(text=hard_text)
    def test_deepseek_equals_hugging_face(self, text: str) -> None:
        assert (
            pretrained("deepseek").encode(text)
            == deepseek_reference().encode(text, add_special_tokens=False).ids
        )

    def test_deepseek_equals_hugging_face_on_whole_texts(self) -> None:
        for source, text in texts():
            expected = deepseek_reference().encode(text, add_special_tokens=False).ids
            assert pretrained("deepseek").encode(text) == expected, source

    @pytest.mark.parametrize("pattern", [*PATTERNS, CUSTOM_PATTERN])
    def test_saved_file_equals_hugging_face(self, own: Tokenizer, pattern: str, tmp_path: Path) -> None:
        ours = Tokenizer(own.vocab, own.merges, own.special_tokens, pattern=pattern)
        ours.save(tmp_path / "tokenizer.json")
        theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))

        @given(text=hard_text)
        def check(text: str) -> None:
            assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids

        check()
        for source, text in texts():
            assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids, source

    @pytest.mark.parametrize("name", PRETRAINED)
    @given(contents=hard_bytes)
    @example(contents=bytes(range(256)) * 3)
    def test_every_byte_comes_back(self, name: str, contents: bytes) -> None:
        tokenizer = pretrained(name)
        assert tokenizer.decode_bytes(tokenizer.encode(contents)) == contents
        assert tokenizer.decode_bytes(tokenizer.encode_ordinary(contents)) == contents

    @given(contents=hard_bytes)
    def test_every_byte_comes_back_with_a_custom_pattern(self, own: Tokenizer, contents: bytes) -> None:
        tokenizer = Tokenizer(own.vocab, own.merges, own.special_tokens, pattern=CUSTOM_PATTERN)
        assert tokenizer.decode_bytes(tokenizer.encode(contents)) == contents

    @pytest.mark.parametrize("pattern", ["gpt2", "cl100k", "o200k", "llama3", "qwen2"])
    @given(text=hard_text)
    def test_scanner_and_regex_give_the_same_ids(self, own: Tokenizer, pattern: str, text: str) -> None:
        fast = Tokenizer(own.vocab, own.merges, own.special_tokens, pattern=pattern)
        # A group around it is another text for the same pattern: no scanner is found for that.
        slow = Tokenizer(own.vocab, own.merges, own.special_tokens, pattern=f"(?:{PATTERNS[pattern]})")
        assert fast.encode(text) == slow.encode(text)

    @pytest.mark.parametrize("unit", ["a", "ab", "语言模型", " ", "\n", " \n", "!", "é", "'s", "1"])
    @pytest.mark.parametrize("name", TIKTOKEN)
    def test_long_pretokens(self, name: str, unit: str) -> None:
        # tiktoken needs seconds for a megabyte of these; a few kilobytes show whether the ids agree.
        ours = pretrained("gpt2" if name == "r50k_base" else name)
        text = (unit * 3_000)[:3_000]
        assert ours.encode(text) == tiktoken_encoding(name).encode_ordinary(text)
        long = (unit * 1_000_000)[:1_000_000]
        assert ours.decode(ours.encode_to_numpy(long)) == long


class TestSpecialTokens:
    def test_longest_wins(self) -> None:
        tokenizer = Tokenizer(BYTES, [], ["<a>", "<a><b>", "<a><b><c>", "ab"])
        assert tokenizer.encode("<a><b>x<a><b><c>") == [257, ord("x"), 258]
        assert tokenizer.encode("<a><b") == [256, *b"<b"]
        assert tokenizer.encode_ordinary("<a>") == list(b"<a>")
        assert tokenizer.decode([257, 258, 259]) == "<a><b><a><b><c>ab"

    def test_keeps_the_id_that_the_vocabulary_gives(self) -> None:
        tokenizer = Tokenizer({**BYTES, 256: b"<|x|>"}, [], ["<|x|>", "<|y|>"])
        assert tokenizer.special_token_ids == {"<|x|>": 256, "<|y|>": 257}
        assert tokenizer.special_tokens == ["<|x|>", "<|y|>"]
        assert tokenizer.vocab_size == 258

    @given(
        specials=st.lists(st.text("ab<", min_size=1, max_size=4), max_size=6, unique=True),
        text=st.text("ab<", max_size=40),
    )
    def test_leftmost_longest_by_brute_force(self, specials: list[str], text: str) -> None:
        tokenizer = Tokenizer(BYTES, [], specials)
        expected: list[int] = []
        place = 0
        while place < len(text):
            here = max((s for s in specials if text.startswith(s, place)), key=len, default="")
            expected += [256 + specials.index(here)] if here else text[place].encode()
            place += max(1, len(here))
        # Single bytes keep their ids: a special token "a" is the vocabulary's own byte "a".
        expected = [
            ord(specials[i - 256]) if i > 255 and len(specials[i - 256]) == 1 else i for i in expected
        ]
        names = {token_id: token for token, token_id in tokenizer.special_token_ids.items()}
        assert [names.get(i, chr(i)) for i in tokenizer.encode(text)] == [
            specials[i - 256] if i > 255 else chr(i) for i in expected
        ]


class TestWaysToEncode:
    def test_numpy(self, own: Tokenizer) -> None:
        text = "Hello, 世界<|endoftext|>"
        ids = own.encode_to_numpy(text)
        assert ids.dtype == np.uint16
        assert ids.tolist() == own.encode(text)
        wide = pretrained("cl100k_base").encode_to_numpy(text)
        assert wide.dtype == np.uint32
        assert wide.tolist() == pretrained("cl100k_base").encode(text)
        assert own.encode_to_numpy("").shape == (0,)

    @pytest.mark.parametrize("pattern", [*PATTERNS, CUSTOM_PATTERN])
    @settings(max_examples=40)
    @given(data=st.data())
    def test_iterable_equals_the_whole_text(self, own: Tokenizer, pattern: str, data: st.DataObject) -> None:
        # Enough text to be cut, in pieces that end anywhere, also inside special tokens.
        tokenizer = Tokenizer(own.vocab, own.merges, own.special_tokens, pattern=pattern)
        part = data.draw(st.lists(hard_text, min_size=1, max_size=20).map("".join))
        text = part * (1 + 50_000 // (1 + len(part)))
        step = data.draw(st.integers(1, 5_000))
        pieces = (text[i : i + step] for i in range(0, len(text), step))
        assert list(tokenizer.encode_iterable(pieces)) == tokenizer.encode(text)

    def test_iterable_is_lazy_and_forgets(self, own: Tokenizer) -> None:
        taken = 0

        def endless() -> Iterator[str]:
            nonlocal taken
            for document in itertools.cycle(list(stories(50_000, seed=2, language="en"))):
                taken += len(document)
                yield document + "\n"

        ids = own.encode_iterable(endless())
        next(ids)
        assert taken < 100_000
        for _ in itertools.islice(ids, 300_000):
            pass
        assert taken < 3_000_000

    @pytest.mark.parametrize("num_threads", [1, 2, 7])
    def test_file(self, own: Tokenizer, tmp_path: Path, num_threads: int) -> None:
        text = "<|endoftext|>".join(stories(2_000_000, seed=7, language="both")) + "\n\n  \n"
        (tmp_path / "text.txt").write_text(text, encoding="utf-8", newline="")
        tokens = own.encode_file(tmp_path / "text.txt", tmp_path / "tokens.bin", num_threads=num_threads)
        assert np.array_equal(tokens, own.encode_to_numpy(text))
        again = TokenFile.open(tmp_path / "tokens.bin", verify=True)
        assert again.vocab_size == own.vocab_size
        assert again.tokenizer_sha256 == own.sha256()
        assert own.decode(again) == text

    @pytest.mark.parametrize("pattern", ["cl100k", CUSTOM_PATTERN])
    def test_file_of_any_bytes(self, own: Tokenizer, tmp_path: Path, pattern: str) -> None:
        contents = (
            np.random.default_rng(0).integers(0, 256, 600_000, dtype=np.uint8).tobytes() + b"<|end|>\xff"
        )
        (tmp_path / "bytes").write_bytes(contents)
        tokenizer = Tokenizer(own.vocab, own.merges, own.special_tokens, pattern=pattern)
        tokens = tokenizer.encode_file(tmp_path / "bytes", tmp_path / "tokens.bin")
        assert tokenizer.decode_bytes(tokens) == contents
        assert list(tokens) == tokenizer.encode(contents)

    def test_empty_file(self, own: Tokenizer, tmp_path: Path) -> None:
        (tmp_path / "empty").write_bytes(b"")
        assert len(own.encode_file(tmp_path / "empty", tmp_path / "tokens.bin")) == 0

    def test_many_threads_at_once(self, own: Tokenizer) -> None:
        documents = list(stories(400_000, seed=9, language="both"))
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(own.encode, documents))
        assert results == [own.encode(document) for document in documents]

    def test_lists_share_integers_that_outlive_the_tokenizer(self, own: Tokenizer) -> None:
        # Python itself keeps small integers; this id is none.
        tokenizer = Tokenizer(own.vocab | {99_999: b"<|last|>"}, own.merges, ["<|last|>"])
        [last] = tokenizer.encode("<|last|>")
        held = sys.getrefcount(last)
        lists = [tokenizer.encode("<|last|>" * 3), *tokenizer.encode_batch(["", "a<|last|>"])]
        assert all(token_id is last for token_id in (*lists[0], lists[2][1]))
        assert sys.getrefcount(last) == held + 4
        windows = _bpe.FileEncoder(tokenizer._engine, __file__, num_threads=1, progress=None)
        del tokenizer
        gc.collect()
        assert sys.getrefcount(last) == held + 4 and len(next(iter(windows))) > 100
        del windows, lists
        assert sys.getrefcount(last) == held - 1 and last == 99_999

    def test_pickle(self, own: Tokenizer) -> None:
        copy = pickle.loads(pickle.dumps(own))
        assert copy.sha256() == own.sha256()
        assert copy.encode("Hello<|end|>") == own.encode("Hello<|end|>")


class TestDecode:
    def test_forms_of_ids(self, own: Tokenizer) -> None:
        ids = own.encode("The little fox 学习")
        for form in (
            ids,
            tuple(ids),
            iter(ids),
            np.array(ids),
            np.array(ids, dtype=np.uint16),
            map(np.int64, ids),
        ):
            assert own.decode(form) == "The little fox 学习"
        assert own.decode([]) == ""

    def test_parts_of_characters(self) -> None:
        tokenizer = Tokenizer(BYTES, [])
        assert tokenizer.decode([0xE8, 0xA7]) == "�"
        assert tokenizer.decode([0xE8, 0xA7], errors="ignore") == ""
        with pytest.raises(UnicodeDecodeError):
            tokenizer.decode([0xE8], errors="strict")

    @pytest.mark.parametrize("ids", [[1, 256], [-1], [2**70], np.array([5, 99_999]), np.array([-1])])
    def test_unknown_id(self, ids: object) -> None:
        with pytest.raises(ValueError, match=r"unknown token id .* at position \d"):
            Tokenizer(BYTES, []).decode_bytes(ids)  # type: ignore[arg-type]

    def test_hole_in_the_vocabulary(self) -> None:
        with pytest.raises(ValueError, match="unknown token id 100256 at position 0"):
            pretrained("cl100k_base").decode([100256])

    @pytest.mark.parametrize("ids", [[1.5], "ab", np.zeros((2, 2), dtype=int), np.zeros(2), 3])
    def test_not_ids(self, ids: object) -> None:
        with pytest.raises(TypeError):
            Tokenizer(BYTES, []).decode(ids)  # type: ignore[arg-type]


class TestBadInput:
    @pytest.mark.parametrize(
        ("vocab", "merges", "specials", "message"),
        [
            ({0: b"a"}, [], None, r"no token for byte b'\\x00'"),
            ({**BYTES, 256: b"a"}, [], None, r"b'a' has two ids, 97 and 256"),
            ({**BYTES, -1: b"aa"}, [], None, r"ids must be integers"),
            ({**BYTES, 2**24: b"aa"}, [], None, r"ids must be integers from 0 to 16777215"),
            ({**BYTES, 256: b""}, [], None, r"vocab\[256\] must be non-empty bytes"),
            ({**BYTES, 256: "aa"}, [], None, r"vocab\[256\] must be non-empty bytes"),
            (BYTES, [(b"a", b"b")], None, r"merges\[0\] is .*, but b'ab' is not in vocab"),
            (
                {**BYTES, 256: b"ab"},
                [(b"a", b"b"), (b"ab", b"c")],
                None,
                r"merges\[1\].*b'abc' is not in vocab",
            ),
            ({**BYTES, 256: b"ab"}, [(b"a", b"b"), (b"a", b"b")], None, r"merge 1 repeats merge 0"),
            (BYTES, [(b"a",)], None, r"merges\[0\] must be a pair of bytes"),
            (BYTES, [("a", "b")], None, r"merges\[0\] must be a pair of bytes"),
            (BYTES, [], [""], r"special token must be a non-empty str"),
            (BYTES, [], ["<x>", "<x>"], r"'<x>' twice"),
            (BYTES, [], ["\ud800"], r"lone surrogate"),
        ],
    )
    def test_vocabulary(self, vocab: object, merges: object, specials: object, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Tokenizer(vocab, merges, specials)  # type: ignore[arg-type]

    def test_special_tokens_as_one_string(self) -> None:
        with pytest.raises(TypeError, match="special_tokens"):
            Tokenizer(BYTES, [], "<x>")

    @pytest.mark.parametrize("pattern", ["gpt2", CUSTOM_PATTERN])
    def test_lone_surrogate(self, pattern: str) -> None:
        tokenizer = Tokenizer(BYTES, [], pattern=pattern)
        for encode in (
            tokenizer.encode,
            tokenizer.encode_ordinary,
            tokenizer.encode_to_numpy,
            lambda text: list(tokenizer.encode_iterable([text])),
        ):
            with pytest.raises(ValueError, match=r"lone surrogate, '\\udc80', at position 2"):
                encode("ab\udc80")

    @pytest.mark.parametrize("pattern", ["gpt2", CUSTOM_PATTERN])
    @pytest.mark.parametrize("text", [None, 3, ["a"], np.zeros(3)])
    def test_not_a_text(self, pattern: str, text: object) -> None:
        tokenizer = Tokenizer(BYTES, [], pattern=pattern)
        with pytest.raises(TypeError, match="text must be"):
            tokenizer.encode(text)  # type: ignore[arg-type]

    def test_one_text_where_several_are_meant(self) -> None:
        with pytest.raises(TypeError, match="iterable of str"):
            list(Tokenizer(BYTES, []).encode_iterable("abc"))
        with pytest.raises(TypeError, match="item of type int"):
            list(Tokenizer(BYTES, []).encode_iterable(["abc", 3]))  # type: ignore[list-item]

    def test_files(self, own: Tokenizer, tmp_path: Path) -> None:
        (tmp_path / "text").write_text("text")
        with pytest.raises(FileNotFoundError, match="missing does not exist"):
            own.encode_file(tmp_path / "missing", tmp_path / "out")
        with pytest.raises(IsADirectoryError, match="is a directory"):
            own.encode_file(tmp_path, tmp_path / "out")
        with pytest.raises(FileNotFoundError, match=r"cannot write .*nowhere"):
            own.encode_file(tmp_path / "text", tmp_path / "nowhere" / "out")
        with pytest.raises(FileNotFoundError, match=r"cannot write .*nowhere"):
            own.save(tmp_path / "nowhere" / "tokenizer.json")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["text"]

    def test_truncated_tokenizer_json(self, own: Tokenizer, tmp_path: Path) -> None:
        path = tmp_path / "tokenizer.json"
        own.save(path)
        path.write_bytes(path.read_bytes()[:1000])
        with pytest.raises(
            FormatError, match=r"tokenizer\.json: line 1|tokenizer\.json: line \d+ column \d+"
        ):
            Tokenizer.load(path)

    def test_failed_encode_leaves_the_old_file(self, own: Tokenizer, tmp_path: Path) -> None:
        (tmp_path / "text").write_text("some text")
        before = own.encode_file(tmp_path / "text", tmp_path / "tokens.bin")

        class Broken(Tokenizer):
            def _file_ids(self, *_: object) -> Iterator[np.ndarray]:  # type: ignore[override]
                yield np.array([1, 2], dtype=np.uint16)
                raise KeyboardInterrupt

        broken = Broken(own.vocab, own.merges)
        with pytest.raises(KeyboardInterrupt):
            broken.encode_file(tmp_path / "text", tmp_path / "tokens.bin")
        assert list(TokenFile.open(tmp_path / "tokens.bin", verify=True)) == list(before)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["text", "tokens.bin", "tokens.bin.json"]


def test_compression_ratio(own: Tokenizer) -> None:
    assert compression_ratio(Tokenizer(BYTES, []), "学习") == 1.0
    text = "The little fox learned to read."
    assert compression_ratio(own, text) == pytest.approx(len(text) / len(own.encode(text)))
    with pytest.raises(ValueError, match="empty"):
        compression_ratio(own, "")
