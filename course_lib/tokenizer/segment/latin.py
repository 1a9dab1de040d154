"""Latin words and numbers in a Chinese text, which stay whole."""

import re
from collections.abc import Iterable

_ALPHANUMERIC = re.compile("[a-zA-Z0-9]")


def join_latin(words: Iterable[str]) -> list[str]:
    """Join neighbouring words that consist of a single Latin letter or digit: ``["G", "P", "T"]`` is ``["GPT"]``."""
    result: list[str] = []
    growing = False
    for word in words:
        latin = len(word) == 1 and _ALPHANUMERIC.match(word) is not None
        if latin and growing:
            result[-1] += word
        else:
            result.append(word)
        growing = latin
    return result
