"""Batches, as lists and as one array with offsets, have the ids of their texts one by one."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from course_lib.data import stories
from course_lib.tokenizer import Tokenizer, train_bpe
from tests.tokenizer.references import hard_bytes, hard_text

BYTES = {byte: bytes([byte]) for byte in range(256)}
END = "<|end|>"
CUSTOM_PATTERN = r"\p{L}+|\p{N}"  # has no scanner


@pytest.fixture(scope="module")
def narrow() -> Tokenizer:
    documents = [*stories(200_000, seed=1, language="en"), *stories(100_000, seed=1, language="zh")]
    return train_bpe(documents, 1_500, ["<|endoftext|>", END])


@pytest.fixture(scope="module")
def wide(narrow: Tokenizer) -> Tokenizer:
    """The same with 70,000 ids, most of them not used by any merge; its special tokens have the last ones."""
    special_ids = narrow.special_token_ids.values()
    vocab = {token_id: token for token_id, token in narrow.vocab.items() if token_id not in special_ids}
    unused = {token_id: b"%d" % token_id for token_id in range(10_000, 70_000)}
    return Tokenizer(vocab | unused, narrow.merges, narrow.special_tokens)


@pytest.fixture(scope="module")
def tokenizers(narrow: Tokenizer, wide: Tokenizer) -> dict[str, Tokenizer]:
    same = (narrow.vocab, narrow.merges, narrow.special_tokens)
    return {
        "narrow": narrow,
        "wide": wide,
        "o200k": Tokenizer(*same, pattern="o200k"),
        "custom pattern": Tokenizer(*same, pattern=CUSTOM_PATTERN),
        "NFC": Tokenizer(*same, normalizer="NFC"),
    }


KINDS = ["narrow", "wide", "o200k", "custom pattern", "NFC"]


def check(tokenizer: Tokenizer, texts: list[str | bytes], num_threads: int | None) -> None:
    """Compare both forms with the texts one by one."""
    expected = [tokenizer.encode(text) for text in texts]
    assert tokenizer.encode_batch(texts, num_threads=num_threads) == expected
    ids, offsets = tokenizer.encode_batch_to_numpy(texts, num_threads=num_threads)
    assert ids.dtype == (np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.uint32)
    assert offsets.dtype == np.int64
    assert offsets.shape == (len(texts) + 1,) and offsets[0] == 0 and offsets[-1] == len(ids)
    assert [ids[offsets[k] : offsets[k + 1]].tolist() for k in range(len(texts))] == expected


@pytest.mark.parametrize("kind", KINDS)
@given(
    texts=st.lists(st.one_of(hard_text, hard_bytes, st.sampled_from(["", b"", END, "e\u0301"])), max_size=12),
    num_threads=st.sampled_from([None, 1, 2, 5]),
)
@example(texts=[], num_threads=None)
@example(texts=["", b""], num_threads=2)
@settings(deadline=None)
def test_any_texts(
    tokenizers: dict[str, Tokenizer], kind: str, texts: list[str | bytes], num_threads: int | None
) -> None:
    check(tokenizers[kind], texts, num_threads)


@pytest.mark.parametrize("num_threads", [None, 1, 2, 3, 8])
@pytest.mark.parametrize("kind", ["narrow", "wide", "o200k"])
def test_more_texts_than_a_thread_takes_at_once(
    tokenizers: dict[str, Tokenizer], kind: str, num_threads: int | None
) -> None:
    # Short and long ones, of few ids and of many, so that groups of texts are done in any order.
    documents = [*stories(400_000, seed=5, language="both"), "", END]
    documents[100:100] = [""] * 200 + [END * 5_000, "\x00" * 300_000] + ["a", END] * 3_000
    check(
        tokenizers[kind],
        [text.encode() if k % 3 == 0 else text for k, text in enumerate(documents)],
        num_threads,
    )


def test_the_array_outlives_the_tokenizer() -> None:
    tokenizer = Tokenizer(BYTES, [])
    ids, offsets = tokenizer.encode_batch_to_numpy(["ab", "c"])
    del tokenizer
    ids += 1  # it is the caller's own
    assert ids.tolist() == [98, 99, 100] and offsets.tolist() == [0, 2, 3]


def test_any_sequence(narrow: Tokenizer) -> None:
    texts = ("The fox", "学习", END)
    for form in (texts, list(texts), np.array(texts)):
        assert narrow.encode_batch(form) == [narrow.encode(text) for text in texts]
        assert narrow.encode_batch_to_numpy(form)[0].tolist() == narrow.encode("".join(texts))


class TestErrors:
    @pytest.mark.parametrize("pattern", ["gpt2", CUSTOM_PATTERN])
    @pytest.mark.parametrize("method", ["encode_batch", "encode_batch_to_numpy"])
    def test_texts(self, method: str, pattern: str) -> None:
        encode = getattr(Tokenizer(BYTES, [], pattern=pattern), method)
        with pytest.raises(ValueError, match=r"lone surrogate, '\\udc80', at position 2"):
            encode(["fine", "ab\udc80"])
        with pytest.raises(TypeError, match="text must be str or bytes"):
            encode(["fine", 3])
        for text in ("abc", b"abc"):
            with pytest.raises(TypeError, match="texts must be a sequence of str, not a single text"):
                encode(text)

    @pytest.mark.parametrize("num_threads", [0, -1, 1.5, True])
    @pytest.mark.parametrize("method", ["encode_batch", "encode_batch_to_numpy"])
    def test_num_threads(self, method: str, num_threads: object) -> None:
        with pytest.raises((TypeError, ValueError), match="num_threads must be"):
            getattr(Tokenizer(BYTES, []), method)(["a"], num_threads=num_threads)


@pytest.mark.parametrize("largest", [(1 << 20) - 1, 1 << 20, (1 << 24) - 1])
def test_lists_hold_ids_of_any_size(largest: int):
    tokenizer = Tokenizer(BYTES | {largest: b"ab"}, [(b"a", b"b")])
    assert tokenizer.encode("abcab") == [largest, 99, largest]
    assert tokenizer.encode_batch(["ab", "c"]) == [[largest], [99]]
