"""Chinese and other characters of three bytes: the engine cuts between them, and keeps ids, without changing any id."""

import warnings
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.data import texts
from course_lib.lab.measure import cpu_seconds
from course_lib.tokenizer import PATTERNS, Tokenizer, pretokenize, train_bpe
from tests.tokenizer.references import pretrained, tiktoken_encoding

# Few characters, so that many neighbours have merges; their bytes are shared, so that merges cross characters.
FEW = "一丁七万丈三上下学習习语言，。あいア가각"
few_text = st.text(FEW + "ab \n", max_size=60)
chinese = st.text(st.characters(min_codepoint=0x3000, max_codepoint=0xA000), max_size=80)
BYTES = {byte: bytes([byte]) for byte in range(256)}


def classics() -> str:
    """Chinese classics, one long text."""
    return "\n".join(texts.text("classics_zh"))


def brute_force(tokenizer: Tokenizer, text: bytes) -> list[bytes]:
    """The tokens of a text by the definition: the merge of lowest rank, leftmost, until there is none."""
    ranks = {pair: rank for rank, pair in enumerate(tokenizer.merges)}
    tokens: list[bytes] = []
    for pretoken in regex.findall(PATTERNS[tokenizer.pattern], text.decode()):
        word = pretoken.encode()
        if tokenizer.ignore_merges and word in set(tokenizer.vocab.values()):
            tokens.append(word)
            continue
        parts = [bytes([byte]) for byte in word]
        while True:
            found = [(ranks[pair], place) for place, pair in enumerate(pairwise(parts)) if pair in ranks]
            if not found:
                break
            place = min(found)[1]
            parts[place : place + 2] = [parts[place] + parts[place + 1]]
        tokens += parts
    return tokens


def made_of(
    merges: Sequence[tuple[bytes, bytes]], whole: Sequence[bytes] = (), pattern: str = "gpt2"
) -> Tokenizer:
    """A tokenizer with these merges, and with further tokens that only a whole pre-token becomes."""
    tokens = dict.fromkeys([*BYTES.values(), *(left + right for left, right in merges), *whole])
    return Tokenizer(dict(enumerate(tokens)), merges, pattern=pattern, ignore_merges=bool(whole))


@st.composite
def any_merges(draw: st.DrawFn) -> list[tuple[bytes, bytes]]:
    """Merges of neighbouring pieces of Chinese text, cut anywhere: also inside and across characters."""
    merges: dict[bytes, tuple[bytes, bytes]] = {}
    known = set(BYTES.values())
    for _ in range(draw(st.integers(0, 25))):
        text = draw(st.text(FEW, min_size=1, max_size=3)).encode()
        start = draw(st.integers(0, len(text) - 2))
        stop = draw(st.integers(start + 2, len(text)))
        cuts = [cut for cut in range(start + 1, stop) if {text[start:cut], text[cut:stop]} <= known]
        if cuts and text[start:stop] not in known:
            cut = draw(st.sampled_from(cuts))
            merges[text[start:stop]] = (text[start:cut], text[cut:stop])
            known.add(text[start:stop])
    return list(merges.values())


def check(tokenizer: Tokenizer, text: str) -> None:
    expected = brute_force(tokenizer, text.encode())
    for _ in range(2):  # with the caches empty, then filled
        assert [tokenizer.vocab[token_id] for token_id in tokenizer.encode(text)] == expected


class TestAgainstTheDefinition:
    @given(
        merges=any_merges(),
        texts=st.lists(few_text, min_size=1, max_size=3),
        pattern=st.sampled_from(["gpt2", "o200k"]),
    )
    def test_any_merges(self, merges: list[tuple[bytes, bytes]], texts: list[str], pattern: str) -> None:
        tokenizer = made_of(merges, pattern=pattern)
        for text in texts:
            check(tokenizer, text)

    @given(
        merges=any_merges(),
        whole=st.lists(st.text(FEW, min_size=1, max_size=7), min_size=1, max_size=5),
        text=few_text,
        data=st.data(),
    )
    def test_whole_tokens_that_merges_do_not_give(
        self, merges: list[tuple[bytes, bytes]], whole: list[str], text: str, data: st.DataObject
    ) -> None:
        # In the text, each is a pre-token of its own, and in a longer one, where only merging counts.
        tokenizer = made_of(merges, [token.encode() for token in whole])
        token = data.draw(st.sampled_from(whole))
        check(tokenizer, f"{token} {token}{text} {text}{token}\n{text}")

    @given(
        documents=st.lists(few_text.filter(str.strip), min_size=1, max_size=4),
        text=few_text,
        size=st.integers(0, 80),
    )
    def test_trained_on_little_text(self, documents: list[str], text: str, size: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # fewer pairs than merges
            tokenizer = train_bpe(documents, 256 + size)
        for sample in (text, *documents):
            check(tokenizer, sample)

    @settings(max_examples=20)
    @given(text=chinese, pattern=st.sampled_from(["gpt2", "cl100k", "o200k", "deepseek"]))
    def test_trained_on_chinese(self, text: str, pattern: str) -> None:
        sample = classics()[:20_000]
        tokenizer = train_bpe([sample], 900, pattern=pattern)
        check(tokenizer, text + sample[:300])


class TestPublishedVocabularies:
    @pytest.mark.parametrize("name", ["r50k_base", "cl100k_base", "o200k_base"])
    @given(text=chinese)
    def test_random_characters(self, name: str, text: str) -> None:
        ours = pretrained("gpt2" if name == "r50k_base" else name)
        assert ours.encode(text) == tiktoken_encoding(name).encode_ordinary(text)

    @pytest.mark.parametrize("name", ["r50k_base", "cl100k_base", "o200k_base"])
    def test_every_character_beside_others(self, name: str) -> None:
        ours = pretrained("gpt2" if name == "r50k_base" else name)
        text = "\n".join(f"{chr(code)}的{chr(code)}{chr(code)}了" for code in range(0x800, 0xA000))
        expected = tiktoken_encoding(name).encode_to_numpy(text)
        assert np.array_equal(ours.encode_to_numpy(text), expected)

    @pytest.mark.parametrize("name", ["r50k_base", "cl100k_base", "o200k_base"])
    def test_whole_text(self, name: str) -> None:
        ours = pretrained("gpt2" if name == "r50k_base" else name)
        text = classics()[:400_000]
        expected = tiktoken_encoding(name).encode_to_numpy(text)
        for _ in range(2):
            assert np.array_equal(ours.encode_to_numpy(text), expected)
        # Without the line ends, the pre-tokens are long.
        text = text[:50_000].replace("\n", "").replace("，", "")
        assert ours.encode(text) == tiktoken_encoding(name).encode_ordinary(text)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_scanners_at_every_length_and_offset(pattern: str) -> None:
    # Five characters are looked at together: runs of all lengths, what may follow them, and the end of the text.
    neighbours = [
        "",
        "a",
        " ",
        "1",
        "。",
        "あ",
        "é",
        "😀",
        "\u0301",
        *"\u3fff\u4000\u4dbf\u4dc0\u4dff\u4e00\u9fa5\u9fff\ua000",
    ]
    for offset in ("", "x", " ", "12"):
        for length in range(12):
            for neighbour in neighbours:
                for end in ("", "一", "一" * 7):
                    text = offset + "学" * length + neighbour + end
                    assert pretokenize(text, pattern) == regex.findall(PATTERNS[pattern], text)


def test_more_words_than_the_caches_hold() -> None:
    # Each kind of word fills its cache more than once; the ids stay those of a tokenizer that has seen no other word.
    tokenizer = train_bpe(["the cat and the dog 学习语言"], 270, pattern="gpt2")
    numbers = np.random.default_rng(0).integers(0, 10**9, 300_000)
    short = " ".join(f"x{number}" for number in numbers)
    long = " ".join(
        "abcdefghijklmnop"[number % 7 :] * 2
        + f"{'xyz'[number % 3]}"
        + "".join(chr(97 + int(digit)) for digit in str(number))
        for number in numbers[:150_000]
    )
    for text in (short, long):
        first = tokenizer.encode_to_numpy(text)
        assert np.array_equal(tokenizer.encode_to_numpy(text), first)
        assert tokenizer.decode(first) == text
        sample = text[:3_000]
        assert tokenizer.encode(sample) == train_bpe(["the cat and the dog 学习语言"], 270).encode(sample)


@pytest.mark.parametrize("name", ["gpt2", "o200k_base"])
@pytest.mark.parametrize("letters", ["a", "学", "abcdefghijklmnopqrstuvwxyz", "的一是不了人我在有他"])
def test_one_long_pretoken_is_not_quadratic(name: str, letters: str) -> None:
    tokenizer = pretrained(name)
    random = np.random.default_rng(0)

    def seconds(length: int) -> float:
        times = []
        for _ in range(3):
            text = "".join(random.choice(list(letters), length))  # not yet in a cache
            times.append(cpu_seconds(lambda text=text: tokenizer.encode_to_numpy(text))[0])
        return min(times)

    # Four times the text: 16 times the time if it were quadratic.
    assert seconds(400_000) < 9 * seconds(100_000) + 0.01
