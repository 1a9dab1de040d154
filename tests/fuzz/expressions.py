"""Random patterns: those that are said to mean the same in Hugging Face's package and in ``regex`` cut alike there."""

import random
import time
import warnings
from typing import Final

import regex
import tokenizers
from tokenizers import pre_tokenizers

from course_lib.tokenizer.oniguruma import from_oniguruma, to_oniguruma
from course_lib.tokenizer.patterns import split_by_regex

# Letters with odd cases, white space, digits and marks of many kinds, and the signs of regular expressions.
_CHARACTERS: Final = (
    "abckKsStTfFiIlL019 '\n\r\t.,-&|~#@!<>=:_^$[]{}()\\/ßſ\u212aİıéÉàǅ我々かカ한\u0301\xa0\u3000\u200c\u200d٣²½Ⅷ\xad"
    "\ufb05\ufb00\ufb02ẞʕ\u20c1\u2028\x85\x0b\x0c\x1c\0\U0001f600\U0010ffff\ue000"
)
_ENDS: Final = ("", "aab", "ss", "sS", "ſt", "ab12 3", "  \n\n a")
_SETS: Final = (
    *(
        r"\s",
        r"\S",
        r"\d",
        r"\D",
        r"\w",
        r"\W",
        r"\p{L}",
        r"\P{L}",
        r"\p{^L}",
        r"\p{Lu}",
        r"\P{Lu}",
        r"\p{^Ll}",
    ),
    *(r"\p{Lt}", r"\p{N}", r"\p{Han}", r"\p{M}", r"\p{P}", r"\P{S}", r"\p{Alphabetic}"),
)
_ITEMS: Final = (
    *_SETS,
    *(
        ".",
        r"\r",
        r"\n",
        r"\t",
        r"\f",
        r"\v",
        r"\x41",
        r"\x7f",
        r"\u00e9",
        r"\u6211",
        r"\A",
        r"\z",
        "\\\n",
        "\\\v",
    ),
    *(rf"\{sign}" for sign in " !\"#%&'*+,-./:;<=>?@[\\]^_`{|}~"),
    *"]}#&abstfß我é 'kK-:=!<>,_~@/%",
)
_MEMBERS: Final = (
    *_SETS,
    *(
        r"\r\n",
        r"\]",
        r"\[",
        r"\-",
        r"\\",
        r"\^",
        r"\x41",
        r"\u00e9",
        r"\x00-\x1f",
        r"\u4e00-\u9fff",
        r"\n-\r",
    ),
    *(
        "a-z",
        "0-9",
        "A-Z",
        "!-/",
        "一-龥",
        "B-ÿ",
        r"\u0250-\u02af",
        "₠-\u20cf",
        "--",
        "&&",
        "~~",
        "||",
        "[:alpha:]",
        "[:^space:]",
        "[:word:]",
    ),
    *"ab^-&|~(){}*?$.é#s ':,]",
)
_REPEATS: Final = (
    *(
        "*",
        "+",
        "?",
        "++",
        "*+",
        "?+",
        "+?",
        "*?",
        "??",
        "{2}",
        "{1,3}",
        "{2,}",
        "{0,2}",
        "{1,2}?",
        "{0}",
        "{2,}?",
    ),
    *("{,2}", "{1,3}+", "{2}?", "{3,1}"),
)
_CASELESS: Final = (
    *(
        "s",
        "t",
        "f",
        "i",
        "l",
        "k",
        "K",
        "ll",
        "fl",
        "ve",
        "re",
        "'",
        "S",
        "T",
        "a",
        " ",
        "9",
        "é",
        "[sdmt]",
        "[a-z]",
    ),
    *("[a-k]", "[A-Z]", "['s]", "[^s]"),
)
_GROUPS: Final = (
    "(",
    "(?:",
    "(?:",
    "(?=",
    "(?!",
    "(?<=",
    "(?<!",
    "(?>",
    "(?i:",
    "(?i:",
    "(?x:",
    "(?<n>",
    "(?i)(",
)
_MISREAD: Final = (
    r"\b",
    "^",
    "$",
    r"\h",
    r"\X",
    r"\R",
    r"\G",
    r"\Z",
    r"\1",
    r"\xe9",
    r"\e",
    "(?#a)",
    "(?i)",
    r"\pL",
)


class Expressions:
    """Expressions and texts from one seed."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def expression(self) -> str:
        """A regular expression, seldom invalid, with few groups within groups."""
        expression = self._alternatives(0)
        if self._chance.random() < 0.2 and expression:
            at = self._chance.randrange(len(expression))
            changed = self._chance.choice(["", expression[at] * 2, *"()[]{}\\^$|?*+-&"])
            expression = expression[:at] + changed + expression[at + 1 :]
        return expression

    def text(self) -> str:
        """Up to 20 characters, most of them such as cause trouble."""
        return "".join(self._chance.choices(_CHARACTERS, k=self._chance.randrange(12))) + self._chance.choice(
            _ENDS
        )

    def _alternatives(self, depth: int) -> str:
        return "|".join(self._sequence(depth) for _ in range(self._chance.choice([1, 1, 2, 3])))

    def _sequence(self, depth: int) -> str:
        length = self._chance.randrange(0 if self._chance.random() < 0.1 else 1, 4)
        return "".join(self._item(depth) + self._repeat(0.6) for _ in range(length))

    def _repeat(self, share: float) -> str:
        return self._chance.choice(_REPEATS) if self._chance.random() < share else ""

    def _item(self, depth: int) -> str:
        kind = self._chance.random()
        if kind < 0.02:
            return self._chance.choice(_MISREAD)
        if kind < 0.6 or depth > 3:
            return self._chance.choice(_ITEMS)
        if kind < 0.75:
            members = self._chance.choices(_MEMBERS, k=self._chance.randrange(1, 5))
            return f"[{self._chance.choice(['', '', '^'])}{''.join(members)}]"
        group = self._chance.choice(_GROUPS)
        if group != "(?i:":
            return f"{group}{self._alternatives(depth + 1)})"
        parts = [
            self._chance.choice([*_CASELESS, "|"]) + self._repeat(0.1)
            for _ in range(self._chance.randrange(1, 5))
        ]
        return f"(?i:{''.join(parts)})"


def compare(seed: int, *, texts: int = 10) -> bool:
    """Cut random texts by the expression of ``seed`` in both packages, if it is said to mean the same in both.

    Returns whether it is. Raises AssertionError for a difference.
    """
    expressions = Expressions(seed)
    given = expressions.expression()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about sets within sets
            regex.compile(given)
        # In turn as one of theirs and as one of ours.
        ours = from_oniguruma(given) if seed % 2 else given
        theirs = given if seed % 2 else to_oniguruma(given)
    except (ValueError, regex.error):
        return False
    assert from_oniguruma(to_oniguruma(ours)) == ours, f"{ours!r} is not read back"
    split = pre_tokenizers.Split(tokenizers.Regex(theirs), "isolated")
    for text in (expressions.text() for _ in range(texts)):
        expected = [piece for piece, _ in split.pre_tokenize_str(text)]
        found = split_by_regex(text, ours)
        assert found == expected, f"{ours!r} cuts {text!r} into {found}, and {theirs!r} into {expected}"
    return True


def run(*, seconds: float, first: int) -> tuple[int, int]:
    """Compare for ``seconds``, with seeds from ``first`` on. Returns how many were tried, and how many compared."""
    stop = time.monotonic() + seconds
    tried = accepted = 0
    while time.monotonic() < stop:
        try:
            accepted += compare(first + tried)
        except Exception as error:
            error.add_note(f"with the expression of seed {first + tried}")
            raise
        tried += 1
    return tried, accepted
