r"""Which version of Unicode says what a letter is, and how the ``regex`` package is held to it.

Patterns cut by classes such as ``\p{L}``, and each version of Unicode adds characters to these. So the ids of a text
depend on the version. The tokenizers of the course follow one, that of tiktoken and of Hugging Face's tokenizers. The
ids of a published encoding are those of its own package, and a tokenizer of your own, saved as ``tokenizer.json``,
gives the same ids there. The ``regex`` package cuts by patterns that have no compiled scanner, and its releases follow
newer versions; it is given a text in which that makes no difference.
"""

from bisect import bisect_left, bisect_right
from functools import cache
from typing import Final

import regex

from course_lib import _bpe

UNICODE_VERSION: Final[str] = _bpe.build_info()["unicode_version"]
"""The version of Unicode whose classes the patterns use, the same for all tokenizers of the course."""

_CLASSES: Final = {
    r"\p{L}": 1,
    r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]": 2,
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]": 4,
    r"\p{N}": 8,
    r"\s": 16,
    r"\p{M}": 32,
    r"[\p{P}\p{S}]": 64,
}
"""The classes that ``regex`` has too, with their bits in ``csrc/bpe/unicode.hpp``."""


def as_known(text: str) -> str:
    """``text`` with a stand-in for every character whose class ``regex`` and ``UNICODE_VERSION`` give differently.

    The stand-in is one character of the class that ``UNICODE_VERSION`` gives, so that matches have the same places in
    both texts. For a character that this version does not know, it is one that no version will ever assign.
    """
    if text.isascii():
        return text
    characters, stand_ins = _stand_ins()
    return text if characters.isdisjoint(text) else text.translate(stand_ins)


def has_stand_in(first: str, last: str) -> bool:
    """Whether :func:`as_known` replaces a character from ``first`` to ``last``, or puts one of these for another."""
    if last.isascii():
        return False
    affected = _affected()
    return bisect_left(affected, first) < bisect_right(affected, last)


@cache
def _affected() -> list[str]:
    characters, stand_ins = _stand_ins()
    return sorted(characters | {*stand_ins.values()})


@cache
def _stand_ins() -> tuple[frozenset[str], dict[int, str]]:
    """The characters that have a stand-in, and the stand-ins by code point. Takes a third of a second, once."""
    ours = _bpe.character_classes()
    theirs = bytearray(len(ours))
    characters = "".join(map(chr, range(len(ours))))
    for expression, bit in _CLASSES.items():
        for run in regex.finditer(f"{expression}+", characters):
            for code in range(*run.span()):
                theirs[code] |= bit
    shared = bytes(classes & sum(_CLASSES.values()) for classes in range(256))
    differing = {code for code, classes in enumerate(ours.translate(shared)) if classes != theirs[code]}
    last: dict[int, int] = {}  # of each set of classes, the last character on which both agree
    for classes in {ours[code] for code in differing}:
        at = ours.rfind(classes)
        while at in differing:
            at = ours.rfind(classes, 0, at)
        last[classes] = at
    stand_ins = {code: chr(last[ours[code]]) for code in differing if last[ours[code]] >= 0}
    return frozenset(map(chr, stand_ins)), stand_ins
