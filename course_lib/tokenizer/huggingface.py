"""Hugging Face's ``tokenizer.json``, both ways, for byte-level BPE.

Everything that determines the ids is read and written: vocabulary, merges, ``ignore_merges``, added tokens, the
pre-tokenizer, and normalizers that are normal forms of Unicode. Features that would change ids and are not implemented
here (other normalizers, prefix spaces, dropout, tokens that swallow the spaces around them, …) are refused by name
instead of ignored. The post-processor (which may add a BOS token), decoder, truncation and padding are ignored, because
they work on ids or offsets. So the ids equal those of ``tokenizers.Tokenizer.encode(text, add_special_tokens=False)``,
with one exception: under a normalizer, combining characters that are newer than the Unicode of that package (none after
2017 in version 0.23) are put in order here and not there. Added tokens cut the text whether their ``special`` flag is
set or not; both kinds become special tokens.
"""

import itertools
import json
from collections.abc import Sequence
from json.encoder import encode_basestring
from typing import Any

from course_lib.errors import FormatError
from course_lib.files import PathLike, atomic_write
from course_lib.tokenizer.byte_alphabet import to_chars
from course_lib.tokenizer.formats import (
    TokenizerData,
    assign_special_ids,
    read_json,
    read_vocab,
    resolve_merges,
    special_bytes,
)
from course_lib.tokenizer.huggingface_pretokenizer import byte_level, read_pre_tokenizer, write_pre_tokenizer
from course_lib.tokenizer.normalization import FORMS, Form, normalize

# --- reading --------------------------------------------------------------------------------------


def read_tokenizer_json(path: PathLike) -> TokenizerData:
    """Read a ``tokenizer.json``. Anything not understood is a FormatError with file, JSON path and reason."""
    document = read_json(path)
    model = document.get("model") if isinstance(document, dict) else None
    if not isinstance(model, dict):
        raise FormatError(path, "model", "missing: this is not a tokenizer.json")
    _check_model(path, model)
    normalizer = _read_normalizer(path, "normalizer", document.get("normalizer"))
    added, normalized = _read_added_tokens(path, document.get("added_tokens", []), normalizer)
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
        ids = assign_special_ids(contents, added, may_repeat=True)
    except (TypeError, ValueError) as error:
        raise FormatError(path, "added_tokens", str(error)) from error
    contents |= {token_id: text.encode() for text, token_id in ids.items()}
    return TokenizerData(
        contents,
        merges,
        ids,
        read_pre_tokenizer(path, document.get("pre_tokenizer")),
        model.get("ignore_merges", False),
        normalizer,
        normalized,
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
            path, "model.ignore_merges", f"must be true or false, not {model['ignore_merges']!r}"
        )


def _read_normalizer(path: PathLike, place: str, normalizer: Any) -> tuple[Form, ...]:
    """The normal forms that are applied to the text, in turn."""
    if normalizer is None:
        return ()
    kind = normalizer.get("type") if isinstance(normalizer, dict) else normalizer
    if kind in FORMS:
        return (kind,)
    if kind != "Sequence":
        raise FormatError(path, place, f"{kind!r} changes the text before it is encoded and is not supported")
    steps = normalizer.get("normalizers")
    if not isinstance(steps, list):
        raise FormatError(path, f"{place}.normalizers", "must be a list")
    read = (_read_normalizer(path, f"{place}.normalizers[{i}]", step) for i, step in enumerate(steps))
    return tuple(itertools.chain.from_iterable(read))


def _read_added_tokens(
    path: PathLike, entries: Any, normalizer: Sequence[Form]
) -> tuple[dict[str, Any], frozenset[str]]:
    """Text → id, and which of the texts are searched for in the normalized text."""
    if not isinstance(entries, list):
        raise FormatError(path, "added_tokens", f"must be a list, not {type(entries).__name__}")
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
            raise FormatError(path, f"{place}.content", f"{text!r} is already an added token")
        for flag in ("lstrip", "rstrip", "single_word"):
            if entry.get(flag):
                raise FormatError(
                    path, f"{place}.{flag}", f"is not supported ({text!r} would match differently)"
                )
        added[text] = entry.get("id")
        late = bool(entry.get("normalized", not entry.get("special")))
        if late and normalize(text, normalizer) != text:
            raise FormatError(
                path,
                f"{place}.normalized",
                f"{text!r}, which {', '.join(normalizer)} changes, is not supported as a normalized token",
            )
        by_stage[late].append(text)
    if normalizer:
        return added, frozenset(by_stage[True])
    clash = _clash(by_stage[False], by_stage[True])
    if clash:
        # Without a normalizer, one search finds all of them.
        raise FormatError(
            path,
            "added_tokens",
            f"{clash[0]!r} and {clash[1]!r} overlap and differ in 'normalized': not supported",
        )
    return added, frozenset()


def _clash(first: list[str], second: list[str]) -> tuple[str, str] | None:
    """Texts of the ``first`` and the ``second`` pass that two passes find differently from a single search.

    Hugging Face searches for the added tokens that are not normalized, and then for the others in the remaining text. A
    single search for the longest match from left to right gives the same, unless a text of the second pass contains one
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
                f"must be two tokens, as 'a b' or ['a', 'b'], not {str(entry)[:60]!r}",
            )
        pairs.append((parts[0], parts[1]))
    return pairs


# --- writing --------------------------------------------------------------------------------------


def write_tokenizer_json(path: PathLike, data: TokenizerData) -> None:
    """Write ``data`` as a ``tokenizer.json`` that ``tokenizers.Tokenizer.from_file`` loads and encodes alike.

    Raises FormatError for what the format cannot express: a special token whose text is also the spelling of another
    token, or a custom pattern that means something else in Hugging Face's regular expressions.
    """
    specials = {token_id: text for text, token_id in data.special_tokens.items()}
    ordinary = _ordinary_ids(data)
    texts: dict[str, int] = {}
    for token_id, contents in sorted(data.vocab.items()):
        text = to_chars(contents)
        if token_id in specials:
            if token_id in ordinary and text != specials[token_id]:
                raise FormatError(
                    path, "added_tokens", f"{specials[token_id]!r} is both special and ordinary"
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
            | dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
            | {"normalized": text in data.normalized_tokens, "special": True}
            for token_id, text in sorted(specials.items())
        ],
        "normalizer": _write_normalizer(data.normalizer),
        "pre_tokenizer": write_pre_tokenizer(path, data.pattern),
        "post_processor": byte_level(trim_offsets=False),
        "decoder": byte_level(),
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
    # One token per line, without the pure-Python encoder that json uses for indented output.
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
    """The ids of special tokens that also result from merges or single bytes."""
    reachable = {first + second for first, second in data.merges} | {bytes([byte]) for byte in range(256)}
    by_bytes: dict[bytes, list[int]] = {}
    for token_id, contents in data.vocab.items():
        if contents in reachable:
            by_bytes.setdefault(contents, []).append(token_id)
    return {ids[0] for ids in by_bytes.values() if len(ids) == 1} & set(data.special_tokens.values())


def _write_normalizer(forms: Sequence[Form]) -> dict[str, Any] | None:
    steps = [{"type": form} for form in forms]
    if len(steps) > 1:
        return {"type": "Sequence", "normalizers": steps}
    return steps[0] if steps else None
