"""Packed word counts: they come back, merge as counters do, and damage is refused."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib import _bpe
from course_lib.tokenizer.cluster import PretokenCounts, merge_counts
from tests.tokenizer.packed_counts import occurrences


class TestPackedCounts:
    @given(words=st.dictionaries(st.binary(min_size=1, max_size=40), st.integers(1, 2**60), max_size=40))
    def test_come_back(self, words: dict[bytes, int]) -> None:
        counts = _bpe.WordCounts(None, [])
        for word, count in words.items():
            counts.add(word, count)
        assert occurrences(counts) == words
        again = _bpe.WordCounts(None, [])
        again.add_packed(counts.pack())
        assert again.pack() == counts.pack() and len(again) == len(words)

    @given(st.lists(st.dictionaries(st.binary(min_size=1, max_size=3), st.integers(1, 300)), min_size=1))
    def test_merge_as_counters_do(self, parts: list[dict[bytes, int]]) -> None:
        blocks = []
        for part in parts:
            counts = _bpe.WordCounts(None, [])
            for word, count in part.items():
                counts.add(word, count)
            blocks.append(PretokenCounts(counts.pack()))
        assert occurrences(merge_counts(blocks)) == sum(map(Counter, parts), Counter())

    @given(
        st.lists(st.text("abc ", max_size=200), min_size=1, max_size=20),
        st.integers(1, 12),
        st.integers(2, 5),
    )
    def test_pruning_keeps_its_bounds(self, texts: list[str], max_words: int, fan_in: int) -> None:
        exact: Counter[bytes] = Counter()
        parts = []
        for text in texts:
            counts = _bpe.WordCounts("gpt2", [])
            counts.add_documents([text], num_threads=1, progress=None)
            exact += occurrences(counts)
            parts.append(merge_counts([PretokenCounts(counts.pack())], max_words))
        levels = 1
        while len(parts) > 1:
            levels += 1
            parts = [merge_counts(parts[k : k + fan_in], max_words) for k in range(0, len(parts), fan_in)]
        kept = occurrences(parts[0])
        assert len(kept) <= max_words
        assert kept.total() + parts[0].dropped == exact.total()
        assert all(exact[word] - parts[0].missed <= kept[word] <= exact[word] for word in exact)
        assert parts[0].missed <= levels * exact.total() / (max_words + 1)

    @pytest.mark.parametrize(
        "damaged",
        [
            b"",
            b"WCP1",
            b"XXXX" + bytes(8),
            b"WCP1" + bytes(8) + b"\0",  # more than was promised
            b"WCP1\1" + bytes(7),  # less than was promised
            b"WCP1\1" + bytes(7) + b"\0\1a\0",  # a count of nothing
            b"WCP1\1" + bytes(7) + b"\1\1a\1",  # shares a byte with no word
            b"WCP1\2" + bytes(7) + b"\0\1b\1\0\1a\1",  # out of order
            b"WCP1\1" + bytes(7) + b"\0\1a" + b"\xff" * 12,  # a number without an end
        ],
    )
    def test_damaged_ones_are_refused(self, damaged: bytes) -> None:
        for use in (
            _bpe.WordCounts(None, []).add_packed,
            lambda block: _bpe.merge_packed([block]),
            lambda block: _bpe.prune_packed(block, 1),
        ):
            with pytest.raises(ValueError, match="not packed word counts"):
                use(damaged)
