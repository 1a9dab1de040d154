r"""Patterns in Hugging Face's regular expressions (Oniguruma) and in ``regex``, cut by both packages."""

import pytest
import regex
import tokenizers
from tokenizers import pre_tokenizers

from course_lib.tokenizer.oniguruma import PROPERTIES, from_oniguruma, to_oniguruma
from course_lib.tokenizer.patterns import PATTERNS, split_by_regex
from course_lib.tokenizer.unicode import as_known
from tests.fuzz import expressions

EVERY_CHARACTER = "".join(chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)


def test_what_is_let_through_cuts_alike() -> None:
    assert sum(map(expressions.compare, range(10_000))) > 1500


@pytest.fixture(scope="module")
def known() -> str:
    return as_known(EVERY_CHARACTER)


@pytest.mark.parametrize(
    "written",
    [
        *(rf"\p{{{name}}}" for name in PROPERTIES.split("|")),
        r"\s",
        r"\d",
        r"\w",
        r"\W",
        r"[\w-]",
        r"[^\w]",
        ".",
    ],
)
def test_a_set_has_the_same_characters(known: str, written: str) -> None:
    for ours, theirs in {(written, to_oniguruma(written)), (from_oniguruma(written), written)}:
        # What matches is dropped here; the rest is what stands between two matches.
        split = pre_tokenizers.Split(tokenizers.Regex(f"(?:{theirs})+"), "removed")
        rest = [span for _, span in split.pre_tokenize_str(EVERY_CHARACTER)]
        matches = [match.span() for match in regex.finditer(f"(?:{ours})+", known)]
        ends = zip(
            [0, *(end for _, end in matches)], [*(start for start, _ in matches), len(known)], strict=True
        )
        assert [(end, start) for end, start in ends if end < start] == rest


@pytest.mark.parametrize("pattern", [r"\w+|\W", r"[\w']+|[^\w']", r"[\w]|\W", r"\p{L}+(?:-\w+)?|[\s\S]"])
def test_words_are_read_back_as_they_were(pattern: str) -> None:
    assert r"\w" not in to_oniguruma(pattern)
    assert from_oniguruma(to_oniguruma(pattern)) == pattern


def test_words_of_oniguruma() -> None:
    # Alone, \w has these there; in a class it has not. Joiners belong to words only in Python.
    text = "a²b\u200dc¼"
    assert split_by_regex(text, from_oniguruma(r"\w+")) == ["a²b", "\u200d", "c¼"]
    assert split_by_regex(text, from_oniguruma(r"[\w]+")) == ["a", "²", "b", "\u200d", "c", "¼"]
    assert split_by_regex(text, r"\w+") == ["a", "²", "b\u200dc", "¼"]


# Of Tekken, Hunyuan, EXAONE and StarCoder2, or like them.
PUBLISHED = [
    PATTERNS["o200k"].replace(r"\p{N}{1,3}", r"\p{N}"),
    PATTERNS["llama3"].replace(r"\p{N}{1,3}", r"\p{N}{1,2}"),
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    r"(?:[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|[\p{Han}]+|[^\S\n]+|\d{1,3}(?=(?:\d{3})*(?!\d))|\n|[\s\S])",
]


@pytest.mark.parametrize(
    "pattern", [*PUBLISHED, *(PATTERNS[name] for name in ("gpt2", "llama3", "o200k", "qwen2", "starcoder"))]
)
def test_patterns_of_published_models_are_let_through(pattern: str) -> None:
    assert to_oniguruma(pattern) == from_oniguruma(pattern) == pattern


@pytest.mark.parametrize(
    ("pattern", "place"),
    [
        *(
            (f"a|{wrong}", 2)
            for wrong in (r"\b", "^", "$", r"\Z", r"\h", r"\X", r"\1", r"\xe9", r"\ud800", r"\pL")
        ),
        *(
            (f"a|{wrong}", 2)
            for wrong in (r"\p{Latin}", "(?i)a", "(?x:a)", "(?#a)", "(?P<n>a)", "(?R)", "[a&&b]")
        ),
        *(
            (f"a|{wrong}", 2)
            for wrong in ("[a[b]]", "[[:digit:]]", r"[\w-z]", r"[^\s\S]", r"[^\P{L}\d]", "{1}")
        ),
        *((f"a{wrong}", 1) for wrong in ("{1,3}+", "{2}?", "{,2}", ")")),
        *(
            (f"(?i:{wrong})", 4)
            for wrong in ("i", "é", r"\w", "[a-k]", "(?:s)", "[^s]", "ss", "St", "fF", ".")
        ),
        ("a++?", 3),
        ("a**", 2),
        ("(?i:s+)", 5),
        ("(?<=a+)b", 5),
        ("(?<=(?:a))b", 4),
        (r"(?<=\A)b", 4),
        (r"(?=a)+b", 5),
        ("(?:a*)*b", 6),
        ("(?:a|)+b", 6),
        ("(a", 2),
        ("(" * 51 + "a" + ")" * 51, 50),
    ],
)
def test_what_differs_is_refused_with_its_place(pattern: str, place: int) -> None:
    for translate in (to_oniguruma, from_oniguruma):
        with pytest.raises(ValueError, match=f"at position {place} is not known to mean the same"):
            translate(pattern)


@pytest.mark.parametrize("pattern", ["a{5001}", "(?:(?:a{20}){20}){20}", "(?:" * 14 + "a" + "b)+" * 14])
def test_what_grows_too_large_is_refused(pattern: str) -> None:
    for translate in (to_oniguruma, from_oniguruma):
        with pytest.raises(ValueError, match="is too large with its repeats"):
            translate(pattern)


# Characters that are in other classes since Unicode 16, among others, and one that is put in their place.
@pytest.mark.parametrize(
    "named", ["ʕ", r"\u0295", r"[\u0250-\u02af]", r"[^\u20a0-\u20cf]", r"[\u0800-一]", "\U0010ffff"]
)
def test_characters_whose_classes_changed_are_not_named(named: str) -> None:
    for translate in (to_oniguruma, from_oniguruma):
        with pytest.raises(ValueError, match="at position 2 is not known to mean the same"):
            translate(f"a|{named}")


@pytest.mark.parametrize(
    "pattern",
    [
        r"[\\p{Pc}\p{Nd}\p{M}\p{Alphabetic}\u200d\u200c]",
        r"[\p{Pc}\p{Nd}\p{M}\p{Alphabetic}\u200d\u200c-\u200f]",
        r"[^-\\w\w\]-]",
    ],
)
def test_only_whole_members_of_a_class_are_spelled(pattern: str) -> None:
    assert from_oniguruma(to_oniguruma(pattern)) == pattern


@pytest.mark.parametrize(
    "pattern", ["", "a*", "a|b?", r"(?=a)", r"\A", "(?:a*)(b{0,3})", "a|", r"(?!\S)|a", "a{0}"]
)
def test_what_can_be_empty_is_refused(pattern: str) -> None:
    for translate in (to_oniguruma, from_oniguruma):
        with pytest.raises(ValueError, match="can match the empty string"):
            translate(pattern)
