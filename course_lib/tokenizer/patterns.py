r"""Pre-tokenization: cutting text into pieces that no merge may cross.

Without it, the most frequent pairs would join words to their punctuation and neighbours ("dog." and "dog!" as tokens of
their own). Each published model has its pattern, a regular expression of the ``regex`` package. The built-in ones
have a compiled scanner that makes the same cuts; any other pattern works too, but more slowly. ``UNICODE_VERSION``
says what is a letter, a mark or a digit, whatever version the installed ``regex`` follows (``unicode.py``).
"""

import itertools
from typing import Final

import regex

from course_lib import _bpe
from course_lib.checks import check_text
from course_lib.tokenizer.unicode import as_known

_CJK = "一-龥\u3040-ゟ゠-ヿ"
_WORD = rf"(?:(?![{_CJK}])[\p{{L}}\p{{M}}])"
_OTHER = rf"[^\s\p{{L}}\p{{M}}\p{{P}}\p{{S}}\p{{N}}{_CJK}]"

PATTERNS: Final[dict[str, str]] = {
    # Radford et al. 2019, the pattern in the released encoder.
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    # GPT-3.5 and GPT-4, as tiktoken 0.14 writes it.
    "cl100k": (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
        r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
    ),
    # GPT-4o: words also end where capitals begin, and keep their contractions.
    "o200k": (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    # DeepSeek V3 and later. Its tokenizer.json cuts three times in a row: digits, then ideographs and kana, then words
    # and the rest within what is left. Here it is one pattern: the later classes leave out what the earlier cuts took,
    # the end of a segment counts as the end of the text, and what no cut matched is a piece of its own.
    "deepseek": (
        rf"\p{{N}}{{1,3}}|[{_CJK}]+"
        r"""|[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"""
        rf"|[^\r\n\p{{L}}\p{{P}}\p{{S}}\p{{N}}{_CJK}]?{_WORD}+"
        rf"| ?(?:(?![{_CJK}])[\p{{P}}\p{{S}}])+[\r\n]*"
        rf"|\s*[\r\n]+|\s+(?![^\s\p{{N}}{_CJK}])|\s+"
        rf"|{_OTHER}+(?!{_WORD})"
    ),
    # Qwen2 and Qwen3, from their tokenizer.json: every digit is a piece.
    "qwen2": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    # Llama 3, from its tokenizer.json: cl100k except for white space at the very end of a text.
    "llama3": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    # StarCoder and SmolLM. Their tokenizer.json cuts out every digit, and then the rest by GPT-2's pattern. In one
    # pattern, a digit counts as the end of the text.
    "starcoder": r"'(?:[sdmt]|ll|ve|re)|\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+",
}
"""The published patterns by name, as regular expressions of the ``regex`` package."""

# regex searches for what a pattern can begin with. If case does not matter in one of its beginnings, it does not matter
# in that search, which then overlooks matches of other sets. This beginning, which never matches, prevents the search.
_NOWHERE = r"[^\0](?!)|"
_IGNORES_CASE = regex.compile(r"\(\?\w*i")

_MAX_DEPTH = 100
_GROUPS = regex.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*+\]?|([()])", regex.DOTALL)

_NAMES = {expression: name for name, expression in PATTERNS.items()}


def resolve_pattern(pattern: str) -> tuple[str | None, str]:
    """The name of the compiled scanner for ``pattern``, or None, and the regular expression itself.

    ``pattern`` is a name in ``PATTERNS`` or an expression; a built-in expression finds its scanner, too.
    Raises ValueError for an expression that is empty, holds a lone surrogate, does not compile or searches from right
    to left, TypeError for another type.
    """
    check_text("pattern", pattern)
    if pattern in PATTERNS:
        return pattern, PATTERNS[pattern]
    if not pattern:
        raise ValueError(f"pattern is empty; use one of {', '.join(PATTERNS)} or a regular expression")
    if pattern in _NAMES:
        return _NAMES[pattern], pattern
    try:
        check_expression(pattern)
    except ValueError as error:
        raise ValueError(
            f"pattern is neither one of {', '.join(PATTERNS)} nor one that can be used: {error}"
        ) from None
    return None, pattern


def check_expression(expression: str) -> None:
    """Raise ValueError for an expression that is not one of ``regex``, or that cannot be used or saved."""
    shown = repr(expression if len(expression) <= 100 else f"{expression[:100]}…")
    depths = itertools.accumulate(
        (1 if match[1] == "(" else -1 for match in _GROUPS.finditer(expression) if match[1]), initial=0
    )
    if max(depths) > _MAX_DEPTH:
        raise ValueError(f"{shown} has groups within groups, more than {_MAX_DEPTH} deep")
    try:
        expression.encode()
        compiled = regex.compile(expression)
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{shown} holds a lone surrogate at position {error.start}, which no file can hold"
        ) from None
    except regex.error as error:
        raise ValueError(f"{shown} is not a regular expression: {error}") from None
    except MemoryError:
        raise ValueError(f"{shown} takes more memory than there is, with its repeats written out") from None
    if compiled.flags & regex.REVERSE:
        raise ValueError(f"{shown} searches from right to left, because of '(?r)'")
    if regex.search(r"(?<!\\)(?:\\\\)*+\\K", expression):
        # In a lookahead, regex would find the same match for ever.
        raise ValueError(f"{shown} moves the beginning of a match, by '\\K'")


def pretokenize(text: str, pattern: str = "gpt2") -> list[str]:
    """Cut ``text`` into pre-tokens; joined, they are ``text`` again.

    ``pattern`` is a name in ``PATTERNS`` or a regular expression of the ``regex`` package. Text that the expression
    does not match becomes pieces of its own, so that nothing is lost. Characters that ``UNICODE_VERSION`` does not know
    belong to no class, and a pattern cannot name them, nor the few that are in other classes now. Raises ValueError for
    a lone surrogate in ``text`` with a built-in pattern, and as :func:`resolve_pattern`.
    """
    check_text("text", text)
    scanner, expression = resolve_pattern(pattern)
    if scanner is not None:
        pieces: list[str] = _bpe.pretokenize(text, scanner)
        return pieces
    return split_by_regex(text, expression)


def split_by_regex(text: str, expression: str) -> list[str]:
    """The matches of ``expression`` in ``text`` and the gaps between them, in order; none is empty."""
    pieces = []
    start = 0
    searched = _NOWHERE + expression if _IGNORES_CASE.search(expression) else expression
    for match in regex.finditer(searched, as_known(text)):
        if match.end() == match.start():
            continue
        pieces += [text[start : match.start()], text[match.start() : match.end()]]
        start = match.end()
    pieces.append(text[start:])
    return [piece for piece in pieces if piece]
