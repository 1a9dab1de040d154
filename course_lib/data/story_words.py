"""The lexicon of the story corpus: word classes with Zipfian frequencies, some of which never run out of words.

The words are in ``story_text/<language>_words.txt``. The file is a sequence of blocks; a line that starts with
``#`` is a comment.

``list NAME``
    Words or parts of words, separated by commas, that other blocks build on.
``class NAME: COLUMN ...``
    A closed class. Without columns, words separated by commas; with columns, one row per line, fields separated by
    ``|``: ``fox | den | berries``. The i-th word is drawn with a probability proportional to 1/(i + 2).
``open NAME Q [title] [COLUMN=VALUE ...]``
    An open class. Each line ``= LIST + LIST ...`` is a level: every way of joining one entry of each list is a word.
    Ranks run through the levels in order, so that short words are frequent and long ones rare, as in a language.
    ``title`` capitalizes the words, ``COLUMN=VALUE`` gives all of them the same column.
``mix NAME``
    Each draw comes from one of the named classes, all equally likely.

The rank R of a word of an open class follows P(R >= r) = (1 + r/Q)^(-2/3): a Zipf-Mandelbrot law whose density falls
as r^(-5/3), so that n draws meet about n^(3/5) different words (Heaps' law with exponent 0.6), however large n is:
the last levels hold 10^7 to 10^10 words. See Mandelbrot 1953 and Lü, Zhang, Zhou 2010 ("Zipf's law leads to
Heaps' law") for the relation between the two exponents. Only additions, multiplications, divisions and square roots
are used, which IEEE 754 rounds the same way on every machine.
"""

from bisect import bisect
from collections.abc import Callable, Iterator
from itertools import accumulate
from math import gcd, prod, sqrt
from typing import Protocol

Uniform = Callable[[], float]
"""A source of numbers from [0, 1)."""

Forms = dict[str, str]
"""The forms of one word: "" is the word itself, other keys are columns such as "he" or "home"."""

# Irregular plurals, by ending, so that they hold for compounds too: fieldmouse, fieldmice.
_IRREGULAR = {
    "mouse": "mice",
    "goose": "geese",
    "foot": "feet",
    "tooth": "teeth",
    "leaf": "leaves",
    "loaf": "loaves",
    "scarf": "scarves",
    "wolf": "wolves",
    "knife": "knives",
    "fish": "fish",
    "deer": "deer",
    "man": "men",
    "child": "children",
}


def plural(noun: str) -> str:
    """The plural of an English noun.

    >>> [plural(noun) for noun in ("cherry", "fox", "frostmouse", "key")]
    ['cherries', 'foxes', 'frostmice', 'keys']
    """
    for ending, replacement in _IRREGULAR.items():
        if noun.endswith(ending):
            return noun.removesuffix(ending) + replacement
    if noun.endswith(("s", "x", "z", "ch", "sh")) or noun in {"potato", "tomato"}:
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def with_article(word: str) -> str:
    """The word after its indefinite article: "a fox", "an owl", "an honest"."""
    return ("an " if word[0] in "aeiouAEIOU" or word == "honest" else "a ") + word


class WordClass(Protocol):
    """Anything from which words can be drawn."""

    def draw(self, uniform: Uniform) -> Forms:
        """One word, with its forms."""


class ClosedClass:
    """A fixed list of rows; the i-th is drawn with a probability proportional to 1/(i + 2)."""

    def __init__(self, rows: list[Forms]) -> None:
        self.rows = rows
        self._cumulative = list(accumulate(1 / (rank + 2) for rank in range(len(rows))))

    def draw(self, uniform: Uniform) -> Forms:
        """One row."""
        return self.rows[bisect(self._cumulative, uniform() * self._cumulative[-1], 0, len(self.rows) - 1)]


class OpenClass:
    """Words composed of parts, by rank: a few are frequent, and there is always another rare one."""

    def __init__(self, levels: list[list[list[str]]], offset: float, columns: Forms, *, title: bool) -> None:
        self._levels = [(parts, prod(map(len, parts))) for parts in levels]
        # A stride coprime to the size visits the whole level, with neighbouring ranks far from each other.
        self._strides = [_coprime(size) for _, size in self._levels]
        self._first_rank_beyond = sum(size for _, size in self._levels)
        self._offset = offset
        self._columns = columns
        self._title = title

    def draw(self, uniform: Uniform) -> Forms:
        """One word: a rank from the Zipf-Mandelbrot law, spelled by :meth:`word`."""
        u = 1.0 - uniform()  # (0, 1]
        return {"": self.word(int(self._offset * (1.0 / (u * sqrt(u)) - 1.0))), **self._columns}

    def word(self, rank: int) -> str:
        """The word of a rank, counted from 0."""
        rank %= self._first_rank_beyond
        level = 0
        while rank >= self._levels[level][1]:
            rank -= self._levels[level][1]
            level += 1
        (parts, size), stride = self._levels[level], self._strides[level]
        if len(parts) == 1:
            return self._spell(parts[0][rank])
        index = rank * stride % size
        chosen = []
        for part in parts:
            index, position = divmod(index, len(part))
            chosen.append(part[position])
        return self._spell("".join(chosen))

    def _spell(self, word: str) -> str:
        return word[0].upper() + word[1:] if self._title else word


class MixedClass:
    """A class that draws from one of several, all equally likely."""

    def __init__(self, members: list[WordClass]) -> None:
        self._members = members

    def draw(self, uniform: Uniform) -> Forms:
        """One word of one of the members."""
        return self._members[int(uniform() * len(self._members))].draw(uniform)


def _coprime(size: int) -> int:
    stride = max(1, size * 618 // 1000)  # near the golden ratio, which spreads neighbours most evenly
    while gcd(stride, size) != 1:
        stride += 1
    return stride


def parse_words(text: str) -> dict[str, WordClass]:
    """The word classes that a lexicon file defines (its format is described at the top of this module)."""
    blocks = [(header.replace(":", " ").split(), lines) for header, lines in _blocks(text)]
    lists = {header[1]: _comma_separated(lines) for header, lines in blocks if header[0] == "list"}
    classes: dict[str, WordClass] = {}
    for (kind, name, *options), lines in blocks:
        if kind == "class" and options:
            rows = [[field.strip() for field in line.split("|")] for line in lines]
            classes[name] = ClosedClass([dict(zip(["", *options], row, strict=True)) for row in rows])
        elif kind == "class":
            classes[name] = ClosedClass([{"": word} for word in _comma_separated(lines)])
        elif kind == "open":
            levels = [[lists[part.strip()] for part in line.removeprefix("=").split("+")] for line in lines]
            columns = dict(option.split("=") for option in options if "=" in option)
            classes[name] = OpenClass(levels, float(options[0]), columns, title="title" in options)
        elif kind == "mix":
            classes[name] = MixedClass([classes[member] for member in _comma_separated(lines)])
    return classes


def _blocks(text: str) -> Iterator[tuple[str, list[str]]]:
    header, lines = "", list[str]()
    for line in text.splitlines():
        if line.startswith(("list ", "class ", "open ", "mix ")):
            if header:
                yield header, lines
            header, lines = line, []
        elif line and not line.startswith("#"):
            lines.append(line)
    yield header, lines


def _comma_separated(lines: list[str]) -> list[str]:
    words = [word.strip() for line in lines for word in line.rstrip(",").split(",")]
    return [word.replace("COMMA", ",") for word in words]
