"""Packed word counts, read by the description in csrc/bpe/pack.hpp."""

from collections import Counter

from course_lib import _bpe
from course_lib.tokenizer.cluster import PretokenCounts


def occurrences(counts: _bpe.WordCounts | PretokenCounts) -> Counter[bytes]:
    """The words of packed counts, read as csrc/bpe/pack.hpp describes them."""
    block = counts.packed if isinstance(counts, PretokenCounts) else counts.pack()
    assert block[:4] == b"WCP1"
    at = 12

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = block[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    words: Counter[bytes] = Counter()
    word = b""
    while at < len(block):
        shared, added = number(), number()
        assert block[at : at + added] > word[shared:]
        word = word[:shared] + block[at : at + added]
        at += added
        words[word] = number()
    assert len(words) == int.from_bytes(block[4:12], "little")
    return words
