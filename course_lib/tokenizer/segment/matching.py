"""Maximum matching (最大匹配): a dictionary without probabilities. The oldest method, and still hard to beat."""

from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet

from course_lib.tokenizer.segment.dictionary import Dictionary
from course_lib.tokenizer.segment.latin import join_latin


def max_match(text: str, words: Collection[str]) -> list[str]:
    """Forward maximum matching (正向最大匹配): from the left, always take the longest dictionary word.

    Where no word of ``words`` begins, a single character is a word; single Latin letters and digits are joined.
    Joined together, the result is ``text``.
    """
    known, longest = _prepare(words)
    result = []
    start = 0
    while start < len(text):
        end = min(start + longest, len(text))
        while end > start + 1 and text[start:end] not in known:
            end -= 1
        result.append(text[start:end])
        start = end
    return join_latin(result)


def max_match_backward(text: str, words: Collection[str]) -> list[str]:
    """Backward maximum matching (逆向最大匹配): from the right, always take the longest dictionary word.

    In Chinese the head of a phrase is at its end, so this errs less often than :func:`max_match`. Unknown characters
    are treated as there.
    """
    known, longest = _prepare(words)
    result = []
    end = len(text)
    while end > 0:
        start = max(end - longest, 0)
        while start < end - 1 and text[start:end] not in known:
            start += 1
        result.append(text[start:end])
        end = start
    return join_latin(reversed(result))


def bidirectional(text: str, words: Collection[str]) -> list[str]:
    """Bidirectional matching (双向最大匹配): the better of the two directions.

    That is the one with fewer words, then the one with fewer single characters, then the backward one.
    """
    known, _ = _prepare(words)
    backward, forward = max_match_backward(text, known), max_match(text, known)

    def cost(result: list[str]) -> tuple[int, int]:
        return len(result), sum(len(word) == 1 for word in result)

    return min(backward, forward, key=cost)  # min takes the first of equals


def _prepare(words: Collection[str]) -> tuple[Collection[str], int]:
    """``words`` with fast look-up, and the length of the longest, at least 1."""
    if isinstance(words, str):
        raise TypeError(f"words={words!r} is a text; it must be a collection of words")
    if isinstance(words, Dictionary):
        return words, max(words.max_length, 1)
    known = words if isinstance(words, AbstractSet | Mapping) else frozenset(words)
    return known, max(map(len, known), default=1)
