r"""Patterns of the ``regex`` package in the language of Oniguruma, which Hugging Face's tokenizers use, and vice versa.

The two agree on what pre-tokenizers are made of and differ in much else: ``$`` matches before every line end in one and
only at the end of the text in the other, ``&&`` in a class is an intersection or two characters, ``{1,3}+`` repeats or
gives nothing back, and Hugging Face cuts at every match of the empty string. So a pattern is parsed, and only what a
test compares in both is let through. ``\w``, which is frequent, differs in eight characters and is spelled out.

One thing is not compared: on a text that makes a pattern such as ``(?:a|aa)+b`` try one way after the other, Oniguruma
gives up at some point, and ``regex`` goes on.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from course_lib.tokenizer.unicode import has_stand_in

_MAX_DEPTH: Final = 50
_MAX_SIZE: Final = 5_000

PROPERTIES: Final = (
    "L|Lu|Ll|Lt|Lm|Lo|M|Mn|Mc|Me|N|Nd|Nl|No|P|Pc|Pd|Ps|Pe|Pi|Pf|Po|S|Sm|Sc|Sk|So|Z|Zs|Zl|Zp|Alphabetic|White_Space"
    "|Arabic|Cyrillic|Devanagari|Greek|Han|Hangul|Hebrew|Hiragana|Katakana|Thai"
)
"""The properties, separated by "|", that the same characters have in both."""

# The word characters of ``regex``, written in two ways, so that what stands for "\w" in a class differs from what
# stands for it elsewhere; and those of Oniguruma, where the two places differ in themselves.
_WORD: Final = (r"\p{Pc}", r"\p{Nd}", r"\p{M}", r"\p{Alphabetic}", r"\u200c", r"\u200d")
_WORD_IN_CLASS: Final = (*_WORD[:4], r"\u200d", r"\u200c")
_THEIR_WORD: Final = (*_WORD[:4], r"\u00b2", r"\u00b3", r"\u00b9", r"\u00bc-\u00be")
_THEIR_WORD_IN_CLASS: Final = _WORD[:4]

_SET: Final = rf"(?:\\[sdw]|\\p\{{(?:{PROPERTIES})\}})"
_COMPLEMENT: Final = rf"(?:\\[SD]|\\P\{{(?:{PROPERTIES})\}}|\\p\{{\^(?:{PROPERTIES})\}})"
# From \x80 on, Oniguruma takes \x for one byte of a character.
_CODE: Final = r"\\(?:x[0-7][0-9A-Fa-f]|u(?![dD][89A-Fa-f])[0-9A-Fa-f]{4})"
_QUOTED: Final = r"\\[rntfv\s!-/:-@\[-`{-~]"
_MEMBER: Final = rf"(?:{_CODE}|{_QUOTED}|(?!&&)[^\\\[\]-])"
_RANGE: Final = rf"(?:{_MEMBER}(?:-{_MEMBER})?+)"

_ITEM: Final = re.compile(
    "|".join(
        [
            rf"{_CODE}|{_QUOTED}|[^\\^$.|?*+()\[{{]|\.|\\W|{_SET}|{_COMPLEMENT}",
            rf"\[(?!\^)[\]-]?+(?:{_RANGE}|{_SET}|{_COMPLEMENT})*+-?\]",
            rf"\[\^[\]-]?+(?:{_RANGE}|{_SET})*+-?\]",
            # Not with another set: ``regex`` goes wrong where nothing is left, as in [^\s\S].
            rf"\[\^[\]-]?+{_RANGE}*+{_COMPLEMENT}{_RANGE}*+-?\]",
        ]
    )
)
_MEMBERS: Final = re.compile(rf"{_RANGE}|{_SET}|{_COMPLEMENT}|-")
_SPAN: Final = re.compile(rf"(?P<first>{_MEMBER})(?:-(?P<last>{_MEMBER}))?")
_CONTROLS: Final = {r"\r": "\r", r"\n": "\n", r"\t": "\t", r"\f": "\f", r"\v": "\v"}
_ANCHOR: Final = re.compile(r"\\[Az]")
_GROUP: Final = re.compile(r"\((?:(?!\?)|\?(?:[:=!>]|<[=!]|i:))")
_GROUP_END: Final = re.compile(r"\)")
_OR: Final = re.compile(r"\|")
# Greedy, lazy and possessive; but {2}? and {1,2}+ mean different things.
_REPEAT: Final = re.compile(
    r"([*+?])[?+]?|\{(?P<times>[0-9]+)\}(?![?+])|\{(?P<least>[0-9]+),(?P<most>[0-9]*)\}(?!\+)\??"
)
# Without regard to case, one or the other also finds "İ" for "i", and what folds to several characters, as "ß" to "ss".
_CASELESS: Final = re.compile(r"(?![iI])[A-Za-z0-9' ]|\[(?:(?![iI])[A-Za-z0-9' ])+\]")
_FOLDED: Final = frozenset({"ss", "st", "ff", "fl"})


def to_oniguruma(pattern: str) -> str:
    """The pattern that cuts in Oniguruma as ``pattern`` does in ``regex``. ValueError, with the place, if unknown."""
    words = {r"\w": f"[{''.join(_WORD)}]", r"\W": f"[^{''.join(_WORD)}]"}
    return "".join(words.get(part) or _replaced(part, (r"\w",), _WORD_IN_CLASS) for part in _parts(pattern))


def from_oniguruma(pattern: str) -> str:
    """The pattern that cuts in ``regex`` as ``pattern`` does in Oniguruma. ValueError, with the place, if unknown."""
    words = {f"[{''.join(_WORD)}]": r"\w", f"[^{''.join(_WORD)}]": r"\W"}
    words |= {r"\w": f"[{''.join(_THEIR_WORD)}]", r"\W": f"[^{''.join(_THEIR_WORD)}]"}
    return "".join(
        words.get(part)
        or _replaced(_replaced(part, (r"\w",), _THEIR_WORD_IN_CLASS), _WORD_IN_CLASS, (r"\w",))
        for part in _parts(pattern)
    )


def _replaced(part: str, old: Sequence[str], new: Sequence[str]) -> str:
    """A class with the members ``new`` for ``old`` where these follow each other; other parts as they are."""
    opening, members, closing = _members(part)
    for at in reversed(range(len(members))):
        if tuple(members[at : at + len(old)]) == tuple(old):
            members[at : at + len(old)] = new
    return "".join([opening, *members, closing])


def _members(part: str) -> tuple[str, list[str], str]:
    """The beginning of a class, its characters, ranges and sets, and its end; other parts are one member."""
    if not part.startswith("["):
        return "", [part], ""
    inner = 2 if part.startswith("[^") else 1
    first = inner + 1 if part[inner] in "]-" else inner
    return part[:inner], [part[inner:first], *_MEMBERS.findall(part[first:-1])], "]"


def _parts(pattern: str) -> list[str]:
    parser = _Parser(pattern)
    if parser.read_alternatives().can_be_empty:
        raise ValueError("it can match the empty string, and Hugging Face would cut at each such match")
    parser.read_end()
    return parser.parts


def _unknown(pattern: str, at: int) -> ValueError:
    shown = repr(pattern[at : at + 10]) if at < len(pattern) else "the end"
    return ValueError(
        f"{shown} at position {at} is not known to mean the same in Hugging Face's regular expressions as in Python's"
    )


def _character(spelling: str) -> str:
    if spelling[:2] in (r"\x", r"\u"):
        return chr(int(spelling[2:], 16))
    return _CONTROLS.get(spelling, spelling[-1])


class _Read(NamedTuple):
    """Whether a part of a pattern can match nothing, and how large it is with its repeats written out."""

    can_be_empty: bool
    size: int


class _Parser:
    """Reads a pattern from left to right into its parts."""

    def __init__(self, pattern: str) -> None:
        self.parts: list[str] = []
        self._pattern = pattern
        self._at = 0
        self._open: list[str] = []  # how each group begins that is not closed yet

    def read_alternatives(self) -> _Read:
        can_be_empty, size = self._read_sequence()
        while self._take(_OR):
            alternative = self._read_sequence()
            can_be_empty |= alternative.can_be_empty
            size += alternative.size
        return _Read(can_be_empty, size)

    def read_end(self) -> None:
        if self._at < len(self._pattern):
            raise _unknown(self._pattern, self._at)

    def _take(self, expression: re.Pattern[str]) -> re.Match[str] | None:
        match = expression.match(self._pattern, self._at)
        if match:
            self._at = match.end()
            self.parts.append(match[0])
        return match

    def _expect(self, expression: re.Pattern[str]) -> str:
        match = self._take(expression)
        if match is None:
            raise _unknown(self._pattern, self._at)
        return match[0]

    def _read_sequence(self) -> _Read:
        can_be_empty, size = True, 1
        while self._at < len(self._pattern) and self._pattern[self._at] not in "|)":
            item = self._read_repeated()
            can_be_empty &= item.can_be_empty
            size += item.size
        return _Read(can_be_empty, size)

    def _read_repeated(self) -> _Read:
        start = self._at
        if "(?i:" in self._open:
            self._read_caseless()
            return _Read(can_be_empty=False, size=1)
        looks_behind = not {"(?<=", "(?<!"}.isdisjoint(self._open)
        item = self._read_item(looks_behind=looks_behind)
        after = self._at
        repeat = self._take(_REPEAT)
        if repeat:
            if item.can_be_empty or looks_behind:
                raise _unknown(self._pattern, after)
            least = int(repeat["times"] or repeat["least"] or repeat[1] == "+")
            # regex and Oniguruma write repeats out, "+" as two.
            item = _Read(least == 0, item.size * max(least, int(repeat["most"] or 0), 2))
        if item.size > _MAX_SIZE:
            raise ValueError(
                f"{self._pattern[start : start + 10]!r} at position {start} is too large with its repeats"
            )
        return item

    def _read_caseless(self) -> None:
        before = self.parts[-1]
        character = self._expect(_CASELESS)
        if (before + character).lower() in _FOLDED:
            raise _unknown(self._pattern, self._at - 2)

    def _read_item(self, *, looks_behind: bool) -> _Read:
        start = self._at
        if self._take(_ITEM):
            members = _members(self.parts[-1])[1]
            for member in members:
                if (span := _SPAN.fullmatch(member)) and has_stand_in(
                    _character(span["first"]), _character(span["last"] or span["first"])
                ):
                    raise _unknown(self._pattern, start)
            return _Read(can_be_empty=False, size=len(members))
        if looks_behind or len(self._open) == _MAX_DEPTH:
            raise _unknown(self._pattern, self._at)
        if self._take(_ANCHOR):
            return _Read(can_be_empty=True, size=1)
        opening = self._expect(_GROUP)
        self._open.append(opening)
        inner = self.read_alternatives()
        self._expect(_GROUP_END)
        self._open.pop()
        return inner._replace(can_be_empty=inner.can_be_empty or opening in ("(?=", "(?!", "(?<=", "(?<!"))
