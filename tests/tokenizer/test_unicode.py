"""Every code point has the class that Unicode's own data, tiktoken and Hugging Face give it, and is cut as they cut it.

A difference is allowed only where a package follows a later Unicode than ``UNICODE_VERSION``, which assigned the
character or moved it to another class. The number of such characters is printed.
"""

import importlib.util
from collections.abc import Callable
from functools import cache, partial
from itertools import chain, groupby
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import numpy as np
import pytest
import regex
import tiktoken
import tokenizers
import unicodedata2

from course_lib import _bpe
from course_lib.tokenizer import PATTERNS, UNICODE_VERSION, Tokenizer, pretokenize
from course_lib.tokenizer.patterns import split_by_regex
from course_lib.tokenizer.unicode import _CLASSES
from tests.tokenizer.references import hugging_face, tiktoken_encoding

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
CHARACTERS = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]

# Characters that a version after UNICODE_VERSION moved to another class: Unicode 17 made U+0295, a letter that was
# lowercase, one without case.
RECLASSIFIED = {"\u0295"}

WITHOUT_SCANNER = r" ?\p{L}[\p{L}\p{M}]*|\p{N}|[^\p{L}\p{N}]"

# Between letters; after a space, before 'm; after a digit, before a space; alone on a line.
CONTEXTS = "a{0}b {0}'m1{0} \n{0}\n"


def generator() -> ModuleType:
    """The script that writes the Unicode table."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "csrc" / "generate_unicode_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_is_that_of_the_named_version() -> None:
    # If this fails, run csrc/generate_unicode_table.py.
    script = generator()
    assert script.UNICODE_VERSION == UNICODE_VERSION == unicodedata2.unidata_version
    table = bytes(map(script.class_bits, range(0x110000)))
    assert script.TARGET.read_text(encoding="ascii") == script.render(table)
    assert table == _bpe.character_classes()


# --- classes ----------------------------------------------------------------------------------------------------------


def by_regex(expression: str, text: str) -> str:
    return "".join(regex.findall(expression, text))


def by_tiktoken(expression: str, text: str) -> str:
    # What the pattern does not match is dropped.
    ranks = {bytes([byte]): byte for byte in range(256)}
    encoding = tiktoken.Encoding("", pat_str=expression, mergeable_ranks=ranks, special_tokens={})
    return bytes(encoding.encode_to_numpy(text).astype(np.uint8)).decode()


def by_tokenizers(expression: str, text: str) -> str:
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(f"{expression}+"), "removed", invert=True)
    return "".join(piece for piece, _ in split.pre_tokenize_str(text))


Members = Callable[[str, str], str]  # the characters of a text that have a class


@cache
def newer(members: Members) -> frozenset[str]:
    """The characters of which a package knows more than ``UNICODE_VERSION`` says."""
    unknown = "".join(c for c in CHARACTERS if unicodedata2.category(c) == "Cn")
    assigned = frozenset(members(r"\P{Cn}", unknown))
    return assigned | RECLASSIFIED if assigned else assigned


@pytest.mark.parametrize("members", [by_regex, by_tiktoken, by_tokenizers])
def test_classes(members: Members) -> None:
    classes = _bpe.character_classes()
    texts = ["".join(CHARACTERS[start : start + (1 << 16)]) for start in range(0, len(CHARACTERS), 1 << 16)]
    found: set[str] = set()
    for expression, bit in _CLASSES.items():
        theirs = {c for text in texts for c in members(expression, text)}
        found |= theirs ^ {c for c in CHARACTERS if classes[ord(c)] & bit}
    print(f"{members.__name__}: {len(found)} characters of another class than in Unicode {UNICODE_VERSION}")
    assert found <= newer(members)


# --- cuts -------------------------------------------------------------------------------------------------------------


def marking_cuts(pattern: str) -> Tokenizer:
    """A tokenizer whose ids show every cut in ``CONTEXTS``.

    Two neighbouring bytes are merged unless both are from the character in question, so a pair that is not merged has
    a cut between its bytes, or a merge beside it.
    """
    single = [bytes([byte]) for byte in range(256)]
    around = sorted(set(CONTEXTS.format("").encode()))
    pairs = [(b"'", b"m")]
    for byte in single:
        pairs += [pair for other in around for pair in ((byte, bytes([other])), (bytes([other]), byte))]
    pairs += [(byte, b"'m") for byte in single]
    merges = {left + right: (left, right) for left, right in pairs}
    vocab = dict(enumerate([*single, *merges]))
    return Tokenizer(vocab, list(merges.values()), pattern=pattern, ignore_merges=True)


def differing(
    characters: list[str], ours: Callable[[str], list[T]], theirs: Callable[[str], list[T]]
) -> set[str]:
    """Those of ``characters`` that the two do not cut or encode alike in ``CONTEXTS``."""
    found: set[str] = set()
    for start in range(0, len(characters), 1 << 13):
        block = characters[start : start + (1 << 13)]
        text = "".join(map(CONTEXTS.format, block))
        if ours(text) != theirs(text):
            found |= {c for c in block if ours(CONTEXTS.format(c)) != theirs(CONTEXTS.format(c))}
    return found


@pytest.mark.parametrize(
    ("pattern", "name"), [("gpt2", "r50k_base"), ("cl100k", "cl100k_base"), ("o200k", "o200k_base")]
)
def test_cuts_equal_tiktoken(pattern: str, name: str) -> None:
    ours = marking_cuts(pattern)
    theirs = tiktoken.Encoding(
        "",
        pat_str=tiktoken_encoding(name)._pat_str,
        mergeable_ranks={token: token_id for token_id, token in ours.vocab.items()},
        special_tokens={},
    )
    found = differing(CHARACTERS, ours.encode, theirs.encode_ordinary)
    print(f"{pattern}: tiktoken cuts {len(found)} characters otherwise")
    assert found <= newer(by_tiktoken)


@cache
def sample() -> list[str]:
    """Of each run of characters of one class, both for the engine and for ``regex``, the ends and one in 256."""
    classes, assigned = _bpe.character_classes(), set(regex.findall(r"\P{Cn}", "".join(CHARACTERS)))
    runs = groupby(CHARACTERS, key=lambda c: (classes[ord(c)], c in assigned))
    characters = (list(run) for _, run in runs)
    return list(chain.from_iterable(dict.fromkeys([*run[::256], run[-1]]) for run in characters))


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k", "o200k", "deepseek", WITHOUT_SCANNER])
def test_cuts_equal_tokenizers(pattern: str, tmp_path: Path) -> None:
    # The package takes its time; the test of classes has every character.
    ours = marking_cuts(pattern)
    ours.save(tmp_path / "tokenizer.json")
    theirs = hugging_face(tmp_path / "tokenizer.json")
    found = differing(sample(), ours.encode, lambda text: theirs.encode(text, add_special_tokens=False).ids)
    print(f"{pattern}: tokenizers cuts {len(found)} characters otherwise")
    assert found <= newer(by_tokenizers)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_cuts_equal_regex(pattern: str) -> None:
    # Planes 4 to 13 are empty, 15 and 16 are private: one in 64 of their places shows that the scanners agree.
    some = [c for k, c in enumerate(CHARACTERS) if ord(c) >> 16 in (0, 1, 2, 3, 14) or k % 64 == 0]
    expression = PATTERNS[pattern]
    ours = partial(pretokenize, pattern=pattern)
    found = differing(some, ours, regex.compile(expression).findall)
    print(f"{pattern}: regex cuts {len(found)} characters otherwise")
    assert found <= newer(by_regex)
    # Where the library itself cuts with the package, it is held to UNICODE_VERSION: no character is excepted.
    assert not differing(sorted(found), ours, partial(split_by_regex, expression=expression))
