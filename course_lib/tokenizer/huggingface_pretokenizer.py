"""The pre-tokenizers of ``tokenizer.json`` as patterns that cut in the same places, both ways."""

import itertools
import re
from typing import Any

from course_lib.errors import FormatError
from course_lib.files import PathLike
from course_lib.tokenizer.oniguruma import from_oniguruma, to_oniguruma
from course_lib.tokenizer.patterns import PATTERNS, check_expression, resolve_pattern

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORD = r"[^\r\n\p{L}\p{N}]?"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_TAIL = r"|\s*[\r\n]+|\s+(?!\S)|\s+"

# The built-in patterns as this format spells them. Its regular expressions are Oniguruma's, where "$" also
# matches before any line end and a "+" after "{1,3}" repeats instead of making it possessive.
_SPLITS = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "cl100k": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++\z|\s*[\r\n]|\s+(?!\S)|\s",
    "llama3": rf"{_CONTRACTIONS}|{_WORD}\p{{L}}+|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*{_TAIL}",
    "qwen2": rf"{_CONTRACTIONS}|{_WORD}\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*{_TAIL}",
    "o200k": rf"{_WORD}{_UPPER}*{_LOWER}+{_CONTRACTIONS}?|{_WORD}{_UPPER}+{_LOWER}*{_CONTRACTIONS}?"
    rf"|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*{_TAIL}",
}
# DeepSeek's pre-tokenizer consists of three splits, each of which cuts what the one before it left.
_DEEPSEEK = (
    r"\p{N}{1,3}",
    "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
    (
        r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
        r"""| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
    ).replace(r"\r\n", "\r\n"),  # the published file holds the characters themselves
)
_WHOLE_TEXT = r"[\s\S]+"

# The patterns for "Digits" before "ByteLevel", by (individual_digits, use_regex).
_AFTER_DIGITS = {
    (True, True): "starcoder",
    (False, True): PATTERNS["starcoder"].replace(r"|\p{N}|", r"|\p{N}+|"),
    (True, False): r"\p{N}|\P{N}+",
    (False, False): r"\p{N}+|\P{N}+",
}


def read_pre_tokenizer(path: PathLike, pre_tokenizer: Any) -> str:
    """The pattern that cuts as the pre-tokenizer does, by name if it is a known one."""
    steps = _steps(path, "pre_tokenizer", pre_tokenizer)
    place, last = steps.pop() if steps else ("pre_tokenizer", {})
    if last.get("type") != "ByteLevel":
        raise FormatError(
            path, place, f"{last.get('type')!r} is not supported: the last step must be 'ByteLevel'"
        )
    if last.get("add_prefix_space", True):
        raise FormatError(path, f"{place}.add_prefix_space", "a space before the text is not supported")
    if steps and steps[0][1].get("type") == "Digits":
        if len(steps) > 1:
            raise FormatError(path, steps[1][0], "a split between 'Digits' and 'ByteLevel' is not supported")
        return _AFTER_DIGITS[bool(steps[0][1].get("individual_digits")), bool(last.get("use_regex", True))]
    if last.get("use_regex", True):
        if steps:
            raise FormatError(path, f"{place}.use_regex", "a second split after another one is not supported")
        return "gpt2"
    splits = [_read_split(path, place, step) for place, step in steps]
    if not splits:
        return _WHOLE_TEXT
    if tuple(pattern for pattern, _ in splits) == _DEEPSEEK and all(isolated for _, isolated in splits):
        return "deepseek"
    if len(splits) > 1:
        raise FormatError(
            path, "pre_tokenizer", f"{len(splits)} splits in a row are not supported, except DeepSeek's"
        )
    pattern, isolated = splits[0]
    # As tiktoken writes it, cl100k means something else here.
    spellings = {name: spelling for name, spelling in PATTERNS.items() if name != "cl100k"}
    known = {spelling: name for names in (_SPLITS, spellings) for name, spelling in names.items()}
    if pattern in known:
        return known[pattern]
    if not isolated:
        raise FormatError(path, steps[0][0], "only the behavior 'Isolated' is supported")
    try:
        pattern = from_oniguruma(pattern)
        check_expression(pattern)
    except ValueError as error:
        raise FormatError(path, f"{steps[0][0]}.pattern", str(error)) from error
    # The word "gpt2" is an expression here and not the name of another.
    return f"(?:{pattern})" if pattern in PATTERNS else pattern


def _steps(path: PathLike, place: str, pre_tokenizer: Any) -> list[tuple[str, dict[str, Any]]]:
    """The steps of a pre-tokenizer with their places; nested sequences are flattened."""
    if not isinstance(pre_tokenizer, dict):
        raise FormatError(
            path, place, f"{pre_tokenizer!r} is not supported: a byte-level pre-tokenizer is needed"
        )
    if pre_tokenizer.get("type") != "Sequence":
        return [(place, pre_tokenizer)]
    steps = pre_tokenizer.get("pretokenizers")
    if not isinstance(steps, list):
        raise FormatError(path, f"{place}.pretokenizers", "must be a list")
    nested = (_steps(path, f"{place}.pretokenizers[{i}]", step) for i, step in enumerate(steps))
    return list(itertools.chain.from_iterable(nested))


def _read_split(path: PathLike, place: str, step: dict[str, Any]) -> tuple[str, bool]:
    """The regular expression of a Split, and whether text between its matches is kept ("Isolated").

    With ``Removed`` and ``invert`` the matches are kept and the rest is dropped, which is the same for patterns that
    leave no rest, as the known ones do.
    """
    if step.get("type") != "Split":
        raise FormatError(
            path, place, f"{step.get('type')!r} is not supported, only 'Split' before 'ByteLevel'"
        )
    behavior = (step.get("behavior"), step.get("invert", False))
    if behavior not in (("Isolated", False), ("Removed", True)):
        raise FormatError(
            path, place, f"behavior {behavior[0]!r} with invert {behavior[1]!r} is not supported"
        )
    pattern = step.get("pattern")
    if isinstance(pattern, dict) and isinstance(pattern.get("Regex"), str):
        return pattern["Regex"], behavior[0] == "Isolated"
    if isinstance(pattern, dict) and isinstance(pattern.get("String"), str):
        return re.escape(pattern["String"]), behavior[0] == "Isolated"
    raise FormatError(path, f"{place}.pattern", "must hold a 'Regex' or a 'String'")


def write_pre_tokenizer(path: PathLike, pattern: str) -> dict[str, Any]:
    """The pre-tokenizer that cuts as ``pattern`` does. FormatError for an expression that has another meaning there."""
    # A built-in expression is written like its name.
    pattern = resolve_pattern(pattern)[0] or pattern
    if pattern == "gpt2":
        return byte_level()
    for (individual, use_regex), known in _AFTER_DIGITS.items():
        if pattern == known:
            digits = {"type": "Digits", "individual_digits": individual}
            return {"type": "Sequence", "pretokenizers": [digits, byte_level(use_regex=use_regex)]}
    if pattern == "deepseek":
        splits: tuple[str, ...] = _DEEPSEEK
    elif pattern in _SPLITS:
        splits = (_SPLITS[pattern],)
    else:
        try:
            splits = (to_oniguruma(pattern),)
        except ValueError as error:
            raise FormatError(path, "pre_tokenizer", str(error)) from error
    steps = [
        {"type": "Split", "pattern": {"Regex": split}, "behavior": "Isolated", "invert": False}
        for split in splits
    ]
    return {"type": "Sequence", "pretokenizers": [*steps, byte_level(use_regex=False)]}


def byte_level(*, trim_offsets: bool = True, use_regex: bool = True) -> dict[str, Any]:
    """The step that spells bytes in GPT-2's alphabet; with ``use_regex`` it also cuts by GPT-2's pattern."""
    return {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": trim_offsets,
        "use_regex": use_regex,
    }
