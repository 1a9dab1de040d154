"""The tokenizer.json files that are refused, with the place, and those that are recognised."""

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from course_lib.errors import FormatError
from course_lib.tokenizer import Tokenizer, reference
from course_lib.tokenizer.formats import TokenizerData
from course_lib.tokenizer.huggingface import read_tokenizer_json, write_tokenizer_json
from course_lib.tokenizer.patterns import PATTERNS
from tests.tokenizer.huggingface_files import BYTE_LEVEL, BYTES, SPLIT, changed, encode, sequence, write


@pytest.mark.parametrize(
    ("pre_tokenizer", "pattern"),
    [
        (sequence(BYTE_LEVEL | {"use_regex": True}), "gpt2"),
        (BYTE_LEVEL, r"[\s\S]+"),
        (sequence(SPLIT, BYTE_LEVEL), r"\p{L}+|."),
        (sequence(SPLIT | {"pattern": {"Regex": "gpt2"}}, BYTE_LEVEL), "(?:gpt2)"),
        (sequence(SPLIT | {"pattern": {"String": "a.b"}}, BYTE_LEVEL), r"a\.b"),
        (sequence(SPLIT | {"pattern": {"Regex": PATTERNS["o200k"]}}, BYTE_LEVEL), "o200k"),
        (
            sequence(
                SPLIT
                | {
                    "pattern": {
                        "Regex": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
                    }
                },
                BYTE_LEVEL,
            ),
            "gpt2",
        ),
        (
            sequence(
                SPLIT | {"pattern": {"Regex": PATTERNS["llama3"]}, "behavior": "Removed", "invert": True},
                BYTE_LEVEL,
            ),
            "llama3",
        ),
    ],
)
def test_pre_tokenizers_are_recognised(
    tmp_path: Path, trained: dict[str, Any], pre_tokenizer: Any, pattern: str
) -> None:
    path = write(tmp_path / "t.json", changed(trained, "pre_tokenizer", pre_tokenizer))
    assert read_tokenizer_json(path).pattern == pattern


@pytest.mark.parametrize(
    ("place", "value", "named", "reason"),
    [
        ("model", None, "model", "not a tokenizer.json"),
        ("model.type", "WordPiece", "model.type", "'WordPiece' is not supported"),
        ("model.dropout", 0.1, "model.dropout", "0.1 makes ids random"),
        ("model.continuing_subword_prefix", "##", "model.continuing_subword_prefix", "'##' is not supported"),
        ("model.end_of_word_suffix", "</w>", "model.end_of_word_suffix", "'</w>' is not supported"),
        ("model.ignore_merges", 1, "model.ignore_merges", "true or false"),
        ("model.vocab", [], "model.vocab", "must be an object"),
        ("model.vocab.▁the", 400, "model.vocab", "'▁the' .* byte alphabet"),
        ("model.vocab.a", "x", "model.vocab", "token 'a' must be an integer"),
        ("model.vocab.a", 3, "model.vocab", "id 3 belongs to both"),
        ("model.merges", None, "model.merges", "must be a list"),
        ("model.merges.2", "a", "model.merges[2]", "must be two tokens"),
        ("model.merges.2", ["a", "b", "c"], "model.merges[2]", "must be two tokens"),
        ("model.merges.2", ["a", 1], "model.merges[2]", "must be two tokens"),
        ("model.merges.2", ["q", "qq"], "model.merges[2]", "merge of 'q' and 'qq': 'qq' is not in the vocab"),
        ("normalizer", {"type": "Strip"}, "normalizer", "'Strip' changes the text"),
        ("added_tokens", {}, "added_tokens", "must be a list"),
        ("added_tokens.1", "x", "added_tokens[1]", "must be an object"),
        ("added_tokens.1.content", "", "added_tokens[1].content", "non-empty"),
        ("added_tokens.1.content", "\ud800", "added_tokens[1].content", "lone surrogate"),
        ("added_tokens.1.content", "<|endoftext|>", "added_tokens[1].content", "already"),
        ("added_tokens.1.id", 2, "added_tokens[1]", "has id 2, but 1 in model.vocab"),
        ("added_tokens.1.lstrip", True, "added_tokens[1].lstrip", "not supported"),
        ("added_tokens.1.rstrip", True, "added_tokens[1].rstrip", "not supported"),
        ("added_tokens.1.single_word", True, "added_tokens[1].single_word", "not supported"),
        ("pre_tokenizer", None, "pre_tokenizer", "None is not supported"),
        ("pre_tokenizer", {"type": "Metaspace"}, "pre_tokenizer", "'Metaspace' is not supported"),
        ("pre_tokenizer", {"type": "Sequence"}, "pre_tokenizer.pretokenizers", "must be a list"),
        ("pre_tokenizer", {"type": "Sequence", "pretokenizers": []}, "pre_tokenizer", "last step"),
        ("pre_tokenizer.add_prefix_space", True, "pre_tokenizer.add_prefix_space", "not supported"),
        ("pre_tokenizer", sequence(SPLIT), "pre_tokenizer.pretokenizers[0]", "'Split' is not supported"),
        (
            "pre_tokenizer",
            sequence(SPLIT, BYTE_LEVEL | {"use_regex": True}),
            "pre_tokenizer.pretokenizers[1].use_regex",
            "second split",
        ),
        ("pre_tokenizer", sequence(SPLIT, SPLIT, BYTE_LEVEL), "pre_tokenizer", "2 splits in a row"),
        (
            "pre_tokenizer",
            sequence({"type": "Digits", "individual_digits": True}, SPLIT, BYTE_LEVEL),
            "pre_tokenizer.pretokenizers[1]",
            "a split between 'Digits' and 'ByteLevel'",
        ),
        (
            "pre_tokenizer",
            sequence(SPLIT, {"type": "Digits", "individual_digits": True}, BYTE_LEVEL),
            "pre_tokenizer.pretokenizers[1]",
            "'Digits' is not supported",
        ),
        (
            "pre_tokenizer",
            sequence(SPLIT | {"behavior": "MergedWithNext"}, BYTE_LEVEL),
            "pre_tokenizer.pretokenizers[0]",
            "'MergedWithNext' with invert False",
        ),
        (
            "pre_tokenizer",
            sequence(SPLIT | {"behavior": "Removed", "invert": True}, BYTE_LEVEL),
            "pre_tokenizer.pretokenizers[0]",
            "only the behavior 'Isolated'",
        ),
        (
            "pre_tokenizer",
            sequence(SPLIT | {"pattern": "a"}, BYTE_LEVEL),
            "pre_tokenizer.pretokenizers[0].pattern",
            "must hold",
        ),
        *(
            (
                "pre_tokenizer",
                sequence(SPLIT | {"pattern": {"Regex": pattern}}, BYTE_LEVEL),
                "pre_tokenizer.pretokenizers[0].pattern",
                reason,
            )
            for pattern, reason in [
                ("(", "the end at position 1 is not known"),
                ("[z-a]", "not a regular expression: bad character range"),
                (PATTERNS["cl100k"], "at position 54 is not known to mean the same"),
                ("(?:(?:a{1000}){1000}){1000}|.", "is too large with its repeats"),
                ("\ud800", r"'\\ud800' holds a lone surrogate at position 0"),
                ("(" * 3000 + ")" * 3000, "at position 50 is not known to mean the same"),
                (r"\d{1,3}+|\D", r"'\{1,3\}\+.*' at position 2 is not known to mean the same"),
                ("a$|.", "is not known to mean the same"),
                ("^a|.", "is not known to mean the same"),
                (r"\s*", "can match the empty string"),
            ]
        ),
    ],
)
def test_what_would_change_ids_is_refused_with_its_place(
    tmp_path: Path, trained: dict[str, Any], place: str, value: Any, named: str, reason: str
) -> None:
    path = write(tmp_path / "t.json", changed(trained, place, value))
    with pytest.raises(FormatError, match=reason) as caught:
        read_tokenizer_json(path)
    assert (caught.value.file, caught.value.place) == (str(path), named)


@pytest.mark.parametrize("name", ["gpt2", "cl100k"])
def test_the_text_of_a_pattern_is_written_as_its_name(tmp_path: Path, name: str) -> None:
    write_tokenizer_json(tmp_path / "t.json", TokenizerData(dict(enumerate(BYTES)), [], {}, PATTERNS[name]))
    assert read_tokenizer_json(tmp_path / "t.json").pattern == name


@pytest.mark.parametrize(
    "pattern", [r"\p{L}+|\P{L}+", r"[^a$]+|\$|a", r"[]^a]+|\^|.", r"\{1\}\+|[{}+]+|[^{}+]"]
)
def test_literal_signs_are_no_anchors(tmp_path: Path, trained: dict[str, Any], pattern: str) -> None:
    step = SPLIT | {"pattern": {"Regex": pattern}}
    path = write(tmp_path / "t.json", changed(trained, "pre_tokenizer", sequence(step, BYTE_LEVEL)))
    assert read_tokenizer_json(path).pattern == pattern


def test_truncated_and_foreign_files_are_refused(tmp_path: Path, trained: dict[str, Any]) -> None:
    path = tmp_path / "t.json"
    text = json.dumps(trained, indent=1)
    for end in (0, 10, len(text) // 2, len(text) - 1):
        path.write_text(text[:end])
        with pytest.raises(FormatError, match=r"line \d+ column \d+: not valid JSON"):
            read_tokenizer_json(path)
    for foreign in ([], {"a": 1}, "text", None):
        with pytest.raises(FormatError, match=r"not a tokenizer\.json"):
            read_tokenizer_json(write(path, foreign))
    path.write_bytes(b"PK\x03\x04\xff")
    with pytest.raises(FormatError, match="byte 4: not UTF-8"):
        read_tokenizer_json(path)
    path.write_text('{"model": {"vocab": {"a": 1, "a": 2}}}')
    with pytest.raises(FormatError, match="'a': occurs twice"):
        read_tokenizer_json(path)


def added(*entries: tuple[str, bool]) -> list[dict[str, Any]]:
    flags = {"lstrip": False, "rstrip": False, "single_word": False, "special": False}
    return [
        {"id": 300 + i, "content": text, "normalized": normalized} | flags
        for i, (text, normalized) in enumerate(entries)
    ]


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        ("bc", "xyz", False),
        ("bc", "ab", True),
        ("bc", "abcd", True),
        ("bc", "bcd", True),
        ("bc", "cd", False),
        ("bcd", "bc", False),
    ],
)
def test_two_passes_over_added_tokens_equal_one_search_or_are_refused(
    tmp_path: Path, trained: dict[str, Any], first: str, second: str, clash: bool
) -> None:
    document = changed(
        trained, "added_tokens", trained["added_tokens"] + added((first, False), (second, True))
    )
    path = write(tmp_path / "t.json", document)
    if clash:
        with pytest.raises(FormatError, match=f"'{first}' and '{second}' overlap"):
            read_tokenizer_json(path)
    else:
        theirs = tokenizers.Tokenizer.from_file(str(path))
        for text in ("xabcdx", "abcabcdbcdcd", "bcbcdcdxyz"):
            assert encode(read_tokenizer_json(path), text) == theirs.encode(text).ids


def test_an_added_token_may_have_the_bytes_of_an_ordinary_one(tmp_path: Path) -> None:
    # As in GPT-NeoX's vocabulary: runs of spaces got ids of their own after training.
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=264, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(["a      b   c " * 9], trainer)
    tokenizer.add_tokens(["  ", "    "])
    spaces = tokenizer.get_vocab(with_added_tokens=True)
    assert spaces["  "] != spaces["\u0120\u0120"]
    tokenizer.save(str(tmp_path / "t.json"))
    ours = Tokenizer.load(tmp_path / "t.json")
    ours.save(tmp_path / "again.json")
    assert read_tokenizer_json(tmp_path / "again.json") == read_tokenizer_json(tmp_path / "t.json")
    for text in ("a  b   c    d     e", "  ", " \n  \n", "a b"):
        expected = tokenizer.encode(text).ids
        assert ours.encode(text) == expected == reference.encode(ours, text)
        assert Tokenizer.load(tmp_path / "again.json").encode(text) == expected
        assert ours.decode(expected) == text
    # Without special tokens, the ordinary ids.
    assert set(ours.encode_ordinary("a  b    c")).isdisjoint(ours.special_token_ids.values())
    assert ours.decode(ours.encode_ordinary("a  b    c")) == "a  b    c"


def test_an_added_token_may_be_an_ordinary_one_too(tmp_path: Path, trained: dict[str, Any]) -> None:
    low = trained["model"]["vocab"]["low"]
    document = changed(trained, "added_tokens", trained["added_tokens"] + added(("low", True)))
    document["added_tokens"][-1]["id"] = low
    data = read_tokenizer_json(write(tmp_path / "t.json", document))
    assert data.special_tokens["low"] == low
    write_tokenizer_json(tmp_path / "again.json", data)
    assert read_tokenizer_json(tmp_path / "again.json") == data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            TokenizerData(
                dict(enumerate(BYTES)) | {256: b" a", 257: "Ġa".encode()}, [(b" ", b"a")], {"Ġa": 257}
            ),
            "ids 256 and 257 would both be written as 'Ġa'",
        ),
        (TokenizerData(dict(enumerate(BYTES)), [], {}, r"\d{1,3}+|\D"), "not known to mean the same"),
        (TokenizerData(dict(enumerate(BYTES)), [], {}, "("), "not a regular expression"),
    ],
)
def test_what_the_format_cannot_say_is_not_written(tmp_path: Path, data: TokenizerData, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_tokenizer_json(tmp_path / "t.json", data)
    assert not list(tmp_path.iterdir())
