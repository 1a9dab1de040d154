"""The compiled scanners cut a text exactly where the ``regex`` package does, and lose no part of it."""

import os
import subprocess
import sys
import unicodedata

import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st

from course_lib import _bpe
from course_lib.data import stories
from course_lib.tokenizer import PATTERNS, pretokenize
from course_lib.tokenizer.patterns import resolve_pattern, split_by_regex
from course_lib.tokenizer.pretrained import find_pretrained
from tests.tokenizer.references import hard_bytes, hard_text, hugging_face


def representatives() -> list[str]:
    """Samples of every class that the patterns distinguish, white space, digits and the letters of contractions."""
    by_classes: dict[int, list[str]] = {}
    for code, classes in enumerate(_bpe.character_classes()):
        if not 0xD800 <= code < 0xE000:
            by_classes.setdefault(classes, []).append(chr(code))
    kinds = {character for members in by_classes.values() for character in (members[0], members[-1])}
    return sorted({*kinds, *"\t\r\n /'sStTdDmMlLvVrReE09aA!$", "ſ", "K", "\x00", "\xa0", "\u3000"})


@pytest.mark.parametrize("pattern", PATTERNS)
class TestScanners:
    @given(text=hard_text)
    def test_equal_regex(self, pattern: str, text: str) -> None:
        assert pretokenize(text, pattern) == regex.findall(PATTERNS[pattern], text)

    @pytest.mark.parametrize("context", ["{}", " {} ", "a{}b", "1{}\n"])
    def test_equal_regex_on_neighbours_of_every_kind(self, pattern: str, context: str) -> None:
        kinds = representatives()
        text = "".join(context.replace("{}", first + second) + "." for first in kinds for second in kinds)
        assert pretokenize(text, pattern) == regex.findall(PATTERNS[pattern], text)

    def test_equal_regex_on_stories(self, pattern: str) -> None:
        for language in ("en", "zh"):
            text = "\n\n".join(stories(300_000, seed=4, language=language))
            assert pretokenize(text, pattern) == regex.findall(PATTERNS[pattern], text)

    @given(
        text=st.lists(st.sampled_from([*"ab  \n\t'slrvetdm1,.", "é", "中"]), min_size=50, max_size=400).map(
            "".join
        )
    )
    def test_equal_regex_across_blocks(self, pattern: str, text: str) -> None:
        # Long enough for the 64-byte masks, with ASCII and other text taking turns.
        assert pretokenize(text, pattern) == regex.findall(PATTERNS[pattern], text)

    @given(contents=hard_bytes)
    @example(contents=b"\xe4\xb8 \xf0\x9f\x98x\xed\xa0\x80 \xc0\x80\xff")
    def test_invalid_bytes_are_symbols(self, pattern: str, contents: bytes) -> None:
        # In the text given to regex, a lone surrogate stands for each invalid byte. Its class is up to regex, so each
        # is replaced by "€", which every pattern treats as a symbol.
        text = contents.decode("utf-8", "surrogateescape")
        stand_in = regex.sub(r"[\udc80-\udcff]", "€", text)
        lengths = [len(piece) for piece in regex.findall(PATTERNS[pattern], stand_in)]
        pieces, start = [], 0
        for length in lengths:
            pieces.append(text[start : start + length].encode("utf-8", "surrogateescape"))
            start += length
        assert _bpe.pretokenize(contents, pattern) == pieces

    @pytest.mark.parametrize(
        "unit", [" ", "\n", " \n", "\n ", "a", "1", "!", "中", "'", "\u0301", "\x00", "A", "Aa", "\t"]
    )
    @pytest.mark.parametrize("end", ["", "x", "1", "中", "\n"])
    def test_a_long_run_is_linear(self, pattern: str, unit: str, end: str) -> None:
        # A scanner that looks at a run again for every piece would take hours for these.
        text = unit * 2_000_000 + end
        assert "".join(pretokenize(text, pattern)) == text


@given(text=hard_text)
def test_deepseek_equals_its_three_splits(text: str) -> None:
    assert pretokenize(text, "deepseek") == hugging_face_pieces(text)


@pytest.mark.parametrize("context", ["{}", " {}{}", "\u0301{}a", "  {}", "\x00{}\x00\x00a"])
def test_deepseek_equals_its_three_splits_around_every_kind_of_character(context: str) -> None:
    kinds = [c for c in representatives() if unicodedata.category(c) != "Cn"]
    text = "".join(context.replace("{}", c) + "\n" for c in kinds)
    assert pretokenize(text, "deepseek") == hugging_face_pieces(text)


def hugging_face_pieces(text: str) -> list[str]:
    """The pieces that the pre-tokenizer of DeepSeek's own tokenizer.json cuts ``text`` into."""
    path = find_pretrained("deepseek")
    assert path is not None
    pieces = hugging_face(path).pre_tokenizer.pre_tokenize_str(text)
    return [text[start:end] for _, (start, end) in pieces]


class TestPatterns:
    @pytest.mark.parametrize("pattern", [r"\p{L}+", r"\s*", r"(?=a)", r"x|", r"[^\n]+"])
    @given(text=hard_text)
    def test_nothing_is_lost(self, pattern: str, text: str) -> None:
        pieces = pretokenize(text, pattern)
        assert "".join(pieces) == text
        assert all(pieces)

    def test_text_of_a_built_in_pattern_finds_its_scanner(self) -> None:
        for name, expression in PATTERNS.items():
            assert resolve_pattern(name) == (name, expression)
            assert resolve_pattern(expression) == (name, expression)
        assert resolve_pattern(r"\p{L}+") == (None, r"\p{L}+")

    @pytest.mark.parametrize("pattern", PATTERNS)
    @given(text=hard_text)
    def test_built_in_patterns_leave_no_gap(self, pattern: str, text: str) -> None:
        assert split_by_regex(text, PATTERNS[pattern]) == regex.findall(PATTERNS[pattern], text)

    @pytest.mark.parametrize(
        ("pattern", "message"),
        [
            ("", "empty"),
            ("(", "missing \\)"),
            (r"\p{Foo}", "unknown property"),
            ("a\ud800", "'a\\\\ud800' holds a lone surrogate at position 1"),
            ("(" * 101 + ")" * 101, "has groups within groups, more than 100 deep"),
            # Both would lose text.
            (r"(?r)\S+", "searches from right to left"),
            (r"(?=a\Kb)", "moves the beginning of a match"),
            (r"\\\K", "moves the beginning of a match"),
        ],
    )
    def test_bad_pattern(self, pattern: str, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            pretokenize("text", pattern)

    def test_signs_in_classes_and_escaped_signs_are_no_groups(self) -> None:
        pattern = r"\(" * 150 + "[^](]" * 150 + r"|[\](]+|."
        assert pretokenize("a((b", pattern) == ["a", "((", "b"]

    def test_a_backslash_before_a_letter_is_no_sign(self) -> None:
        assert pretokenize("a\\Kb", r"\\K|b") == ["a", "\\K", "b"]

    @pytest.mark.parametrize("pattern", [r"[^A-Z\s]|(?i:t)%", r"[^A-Z\s]+|(?i:T)", r"\P{Lu}|(?i:t)%"])
    def test_case_is_ignored_only_where_the_pattern_says_so(self, pattern: str) -> None:
        # regex by itself misses the "a" in some of these.
        assert pretokenize("aSé", pattern) == ["a", "S", "é"]

    def test_wrong_types(self) -> None:
        with pytest.raises(TypeError, match="pattern must be a str"):
            pretokenize("text", 3)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="text must be a str"):
            pretokenize(b"text")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pattern", "pieces"),
    [
        ("gpt2", ["I", "'ll", " pay", " $", "12345", ",", " ok", "?", "  \n"]),
        ("cl100k", ["I", "'ll", " pay", " $", "123", "45", ",", " ok", "?", "  \n"]),
        ("qwen2", ["I", "'ll", " pay", " $", *"12345", ",", " ok", "?", "  \n"]),
        ("o200k", ["I'll", " pay", " $", "123", "45", ",", " ok", "?", "  \n"]),
    ],
)
def test_by_hand(pattern: str, pieces: list[str]) -> None:
    assert pretokenize("I'll pay $12345, ok?  \n", pattern) == pieces


@pytest.mark.parametrize("capability", ["avx512", "avx2", "portable"])
def test_pieces_do_not_depend_on_the_instructions_that_are_allowed(capability: str) -> None:
    text = "".join(stories(20_000, seed=3)) + "it's 12345 'll''s\n\n  x" * 100
    script = f"from course_lib.tokenizer import pretokenize\nprint(pretokenize({text!r}, 'gpt2'))"
    done = in_process(script, capability)
    assert done.stderr == "" and done.stdout == f"{split_by_regex(text, PATTERNS['gpt2'])}\n"


def test_a_wrong_cap_names_those_that_are_allowed() -> None:
    done = in_process("from course_lib.tokenizer import pretokenize\npretokenize('a b', 'gpt2')", "sse9")
    assert done.stderr.splitlines()[-1] == (
        "ValueError: COURSE_CPU_CAPABILITY is 'sse9'; allowed are 'avx512', 'avx2' and 'portable'"
    )


def in_process(script: str, capability: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "COURSE_CPU_CAPABILITY": capability}
    return subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
