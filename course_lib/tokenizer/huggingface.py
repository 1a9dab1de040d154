"""Hugging Face's ``tokenizer.json``, both ways, for byte-level BPE.

Read and written is what decides the ids: vocabulary, merges, ``ignore_merges``, added tokens and the
pre-tokenizer. What would change ids and is not implemented by this course (normalizers, prefix spaces,
dropout, tokens that swallow spaces around them, …) is refused by name instead of ignored. Not looked at,
because they work on ids or on offsets: post-processor (a BOS token, say), decoder, truncation and padding. So
the ids equal those of ``tokenizers.Tokenizer.encode(text, add_special_tokens=False)``. Added tokens cut the
text whether their ``special`` flag is set or not; both kinds become special tokens.
"""

import itertools
import json
import re
from json.encoder import encode_basestring
from typing import Any

from course_lib.errors import FormatError
from course_lib.files import PathLike, atomic_write
from course_lib.tokenizer.formats import (
    TokenizerData,
    assign_special_ids,
    read_json,
    read_vocab,
    resolve_merges,
    special_bytes,
    to_chars,
)
from course_lib.tokenizer.patterns import PATTERNS, resolve_pattern

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
# DeepSeek's pre-tokenizer is three splits in a row, each of which cuts what the one before it left.
_DEEPSEEK = (
    r"\p{N}{1,3}",
    "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
    (
        r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
        r"""| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
    ).replace(r"\r\n", "\r\n"),  # the published file holds the characters themselves
)
_WHOLE_TEXT = r"[\s\S]+"

# What "Digits" before "ByteLevel" cuts, by (individual_digits, use_regex).
_AFTER_DIGITS = {
    (True, True): "starcoder",
    (False, True): PATTERNS["starcoder"].replace(r"|\p{N}|", r"|\p{N}+|"),
    (True, False): r"\p{N}|\P{N}+",
    (False, False): r"\p{N}+|\P{N}+",
}


# --- reading --------------------------------------------------------------------------------------


def read_tokenizer_json(path: PathLike) -> TokenizerData:
    """Read a ``tokenizer.json``. FormatError names file, JSON path and reason for anything that is not
    understood.
    """
    document = read_json(path)
    model = document.get("model") if isinstance(document, dict) else None
    if not isinstance(model, dict):
        raise FormatError(path, "model", "there is none: this is not a tokenizer.json")
    _check_model(path, model)
    _check_normalizer(path, document.get("normalizer"))
    added = _read_added_tokens(path, document.get("added_tokens", []))
    vocab = read_vocab(path, "model.vocab", model.get("vocab"), added)
    pairs = _read_merges(path, model.get("merges"))
    merges = resolve_merges(path, [f"model.merges[{i}]" for i in range(len(pairs))], pairs, vocab)
    contents = dict(vocab.values())
    for index, (text, token_id) in enumerate(added.items()):
        if vocab.get(text, (token_id,))[0] != token_id:
            raise FormatError(
                path,
                f"added_tokens[{index}]",
                f"{text!r} has id {token_id}, but {vocab[text][0]} in model.vocab",
            )
    try:
        ids = assign_special_ids(contents, added)
    except ValueError as error:
        raise FormatError(path, "added_tokens", str(error)) from error
    contents |= {token_id: text.encode() for text, token_id in ids.items()}
    return TokenizerData(
        contents,
        merges,
        ids,
        _read_pre_tokenizer(path, document.get("pre_tokenizer")),
        model.get("ignore_merges", False),
    )


def _check_model(path: PathLike, model: dict[str, Any]) -> None:
    if model.get("type", "BPE" if "merges" in model else None) != "BPE":
        raise FormatError(path, "model.type", f"{model.get('type')!r} is not supported, only 'BPE'")
    if model.get("dropout"):
        raise FormatError(
            path, "model.dropout", f"{model['dropout']!r} makes ids random and is not supported"
        )
    for name in ("continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(name):
            raise FormatError(
                path, f"model.{name}", f"{model[name]!r} is not supported: not a byte-level vocabulary"
            )
    if not isinstance(model.get("ignore_merges", False), bool):
        raise FormatError(
            path, "model.ignore_merges", f"must be true or false, got {model['ignore_merges']!r}"
        )


def _check_normalizer(path: PathLike, normalizer: Any) -> None:
    if normalizer is None or normalizer == {"type": "Sequence", "normalizers": []}:
        return
    kind = normalizer.get("type") if isinstance(normalizer, dict) else normalizer
    raise FormatError(
        path, "normalizer", f"{kind!r} changes the text before it is encoded and is not supported"
    )


def _read_added_tokens(path: PathLike, entries: Any) -> dict[str, Any]:
    if not isinstance(entries, list):
        raise FormatError(path, "added_tokens", f"must be a list, got {type(entries).__name__}")
    added: dict[str, Any] = {}
    by_stage: dict[bool, list[str]] = {False: [], True: []}
    for index, entry in enumerate(entries):
        place = f"added_tokens[{index}]"
        if not isinstance(entry, dict):
            raise FormatError(path, place, "must be an object")
        try:
            text = special_bytes(entry.get("content")).decode()
        except ValueError as error:
            raise FormatError(path, f"{place}.content", str(error)) from error
        if text in added:
            raise FormatError(path, f"{place}.content", f"{text!r} is an added token already")
        for flag in ("lstrip", "rstrip", "single_word"):
            if entry.get(flag):
                raise FormatError(
                    path, f"{place}.{flag}", f"is not supported ({text!r} would match differently)"
                )
        added[text] = entry.get("id")
        by_stage[bool(entry.get("normalized", not entry.get("special")))].append(text)
    clash = _clash(by_stage[False], by_stage[True])
    if clash:
        raise FormatError(
            path,
            "added_tokens",
            f"{clash[0]!r} and {clash[1]!r} overlap and differ in 'normalized': not supported",
        )
    return added


def _clash(first: list[str], second: list[str]) -> tuple[str, str] | None:
    """Texts of the ``first`` and the ``second`` pass that two passes find differently than one search would.

    Hugging Face looks for the added tokens that are not normalized, then for the others in what is left. One
    search for the longest match from left to right gives the same, unless a text of the second pass holds one
    of the first or ends with the beginning of one: then it would come first and be found instead.
    """
    whole = set(first)
    heads = {text[:end]: text for text in first for end in range(1, len(text) + 1)}
    for text in second:
        for begin in range(len(text)):
            for end in range(begin + 1, len(text) + 1):
                part = text[begin:end]
                if part not in heads:
                    break
                if part in whole or (begin > 0 and end == len(text)):
                    return part if part in whole else heads[part], text
    return None


def _read_merges(path: PathLike, entries: Any) -> list[tuple[str, str]]:
    if not isinstance(entries, list):
        raise FormatError(path, "model.merges", "must be a list of pairs")
    pairs: list[tuple[str, str]] = []
    for index, entry in enumerate(entries):
        parts = entry.split(" ") if isinstance(entry, str) else entry
        if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(p, str) and p for p in parts):
            raise FormatError(
                path,
                f"model.merges[{index}]",
                f"must be two tokens, as 'a b' or ['a', 'b'], got {str(entry)[:60]!r}",
            )
        pairs.append((parts[0], parts[1]))
    return pairs


def _read_pre_tokenizer(path: PathLike, pre_tokenizer: Any) -> str:
    """The pattern, as a name where it is a known one, that does what the pre-tokenizer does."""
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
    known = {spelling: name for names in (_SPLITS, PATTERNS) for name, spelling in names.items()}
    if pattern in known:
        return known[pattern]
    if not isolated:
        raise FormatError(path, steps[0][0], "only the behavior 'Isolated' is supported")
    _check_custom(path, f"{steps[0][0]}.pattern", pattern)
    return pattern


def _steps(path: PathLike, place: str, pre_tokenizer: Any) -> list[tuple[str, dict[str, Any]]]:
    """The steps of a pre-tokenizer with their places, nested sequences laid out flat."""
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

    With ``Removed`` and ``invert`` the matches are kept and the rest is dropped: the same for patterns that
    match every text whole, as the known ones do.
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


def _check_custom(path: PathLike, place: str, pattern: str) -> None:
    """Refuse regular expressions that are wrong or have another meaning in Oniguruma than in ``regex``."""
    import regex

    try:
        regex.compile(pattern)
    except regex.error as error:
        raise FormatError(path, place, f"not a regular expression: {error}") from error
    # Escapes and character classes hold these characters literally.
    bare = re.sub(
        r"\\[pP]\{[^}]*\}|\\.|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]", "_", pattern, flags=re.DOTALL
    )
    found = re.search(r"[$^]|\{[0-9]*,?[0-9]*\}\+", bare)
    if found:
        raise FormatError(
            path,
            place,
            f"{found[0]!r} means one thing in Hugging Face's regular expressions and another in Python's",
        )


# --- writing --------------------------------------------------------------------------------------


def write_tokenizer_json(path: PathLike, data: TokenizerData) -> None:
    """Write ``data`` as a ``tokenizer.json`` that ``tokenizers.Tokenizer.from_file`` loads and encodes alike.

    Raises FormatError for what the format cannot say: a special token whose text is also the spelling of
    another token, or a custom pattern that Hugging Face's regular expressions read differently.
    """
    specials = {token_id: text for text, token_id in data.special_tokens.items()}
    ordinary = _ordinary_ids(data)
    texts: dict[str, int] = {}
    for token_id, contents in sorted(data.vocab.items()):
        text = to_chars(contents)
        if token_id in specials:
            if token_id in ordinary and text != specials[token_id]:
                raise FormatError(
                    path, "added_tokens", f"{specials[token_id]!r} is special and ordinary at once"
                )
            text = specials[token_id]
        if text in texts:
            raise FormatError(
                path, "model.vocab", f"ids {texts[text]} and {token_id} would both be written as {text!r}"
            )
        texts[text] = token_id
    document: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": token_id, "content": text}
            | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
            | {"special": True}
            for token_id, text in sorted(specials.items())
        ],
        "normalizer": None,
        "pre_tokenizer": _write_pre_tokenizer(path, data.pattern),
        "post_processor": _byte_level(trim_offsets=False),
        "decoder": _byte_level(),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": data.ignore_merges,
            "vocab": {},
            "merges": [],
        },
    }
    # One token a line, without the pure-Python encoder that json falls back to for indented output.
    vocab = ",\n".join([f"      {encode_basestring(text)}: {token_id}" for text, token_id in texts.items()])
    merges = ",\n".join(
        [
            f"      [{encode_basestring(to_chars(a))}, {encode_basestring(to_chars(b))}]"
            for a, b in data.merges
        ]
    )
    before, after = json.dumps(document, ensure_ascii=False, indent=2).split('"vocab": {}', 1)
    after = after.replace('"merges": []', f'"merges": [\n{merges}\n    ]') if merges else after
    with atomic_write(path) as file:
        file.write(f'{before}"vocab": {{\n{vocab}\n    }}{after}\n'.encode())


def _ordinary_ids(data: TokenizerData) -> set[int]:
    """The ids among the special tokens' that merges or single bytes lead to as well."""
    reachable = {first + second for first, second in data.merges} | {bytes([byte]) for byte in range(256)}
    by_bytes: dict[bytes, list[int]] = {}
    for token_id, contents in data.vocab.items():
        if contents in reachable:
            by_bytes.setdefault(contents, []).append(token_id)
    return {ids[0] for ids in by_bytes.values() if len(ids) == 1} & set(data.special_tokens.values())


def _byte_level(*, trim_offsets: bool = True, use_regex: bool = True) -> dict[str, Any]:
    return {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": trim_offsets,
        "use_regex": use_regex,
    }


def _write_pre_tokenizer(path: PathLike, pattern: str) -> dict[str, Any]:
    # The text of a built-in expression is written as its name would be.
    pattern = resolve_pattern(pattern)[0] or pattern
    if pattern == "gpt2":
        return _byte_level()
    for (individual, use_regex), known in _AFTER_DIGITS.items():
        if pattern == known:
            digits = {"type": "Digits", "individual_digits": individual}
            return {"type": "Sequence", "pretokenizers": [digits, _byte_level(use_regex=use_regex)]}
    if pattern == "deepseek":
        splits: tuple[str, ...] = _DEEPSEEK
    elif pattern in _SPLITS:
        splits = (_SPLITS[pattern],)
    else:
        splits = (PATTERNS.get(pattern, pattern),)
        _check_custom(path, "pre_tokenizer", splits[0])
    steps = [
        {"type": "Split", "pattern": {"Regex": split}, "behavior": "Isolated", "invert": False}
        for split in splits
    ]
    return {"type": "Sequence", "pretokenizers": [*steps, _byte_level(use_regex=False)]}
