"""tokenizer.json both ways, against the ``tokenizers`` package."""

import copy
import json
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import regex
import tokenizers
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers, trainers

from course_lib.errors import FormatError
from course_lib.tokenizer import Tokenizer, reference
from course_lib.tokenizer.byte_alphabet import to_bytes
from course_lib.tokenizer.formats import TokenizerData
from course_lib.tokenizer.huggingface import read_tokenizer_json, write_tokenizer_json
from course_lib.tokenizer.patterns import PATTERNS, pretokenize

BYTES = [bytes([byte]) for byte in range(256)]
TEXT = "low lower lowest, newer wider: 我来学习语文，跟我学习。 It's 2024!\n\n  don't   stop\t" * 3

# Characters that this Python knows: newer ones have other classes in other programs.
TEXTS = st.text(st.characters(exclude_categories=["Cn", "Co", "Cs"]), max_size=30) | st.text(
    " \n\r\t\u3000'sSlLſtaA1२/.,!?-_我ßé\u0301\u200d\U0001f469", max_size=30
)


# What "Digits" before "ByteLevel" becomes, by (individual_digits, use_regex).
AFTER_DIGITS = {
    (True, True): "starcoder",
    (False, True): r"'(?:[sdmt]|ll|ve|re)|\p{N}+| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+",
    (True, False): r"\p{N}|\P{N}+",
    (False, False): r"\p{N}+|\P{N}+",
}


def encode(data: TokenizerData, text: str) -> list[int]:
    """The ids of ``text`` by definition: special tokens, pattern, then always the earliest merge that applies."""
    ids_of = {contents: token_id for token_id, contents in reversed(data.vocab.items())}
    ids_of |= {
        contents: token_id
        for token_id, contents in data.vocab.items()
        if token_id not in data.special_tokens.values()
    }
    ranks = {pair: rank for rank, pair in enumerate(data.merges)}
    ids: list[int] = []
    longest_first = sorted(data.special_tokens, key=len, reverse=True)
    parts = regex.split(f"({'|'.join(map(regex.escape, longest_first))})", text) if longest_first else [text]
    for part in parts:
        if part in data.special_tokens:
            ids.append(data.special_tokens[part])
            continue
        for piece in regex.findall(PATTERNS.get(data.pattern, data.pattern), part):
            tokens = [bytes([byte]) for byte in piece.encode()]
            while len(tokens) > 1:
                rank, at = min(
                    (ranks.get(tuple(tokens[i : i + 2]), len(ranks)), i) for i in range(len(tokens) - 1)
                )
                if rank == len(ranks):
                    break
                tokens[at : at + 2] = [tokens[at] + tokens[at + 1]]
            ids += [ids_of[token] for token in tokens]
    return ids


def write(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained() -> dict[str, Any]:
    """A file that Hugging Face saved after training on a little text."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>", "<|end|>", "｜学｜"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    return json.loads(tokenizer.to_str())


def test_a_trained_tokenizer_gives_the_same_ids(tmp_path: Path, trained: dict[str, Any]) -> None:
    path = write(tmp_path / "t.json", trained)
    theirs = tokenizers.Tokenizer.from_file(str(path))
    data = read_tokenizer_json(path)
    assert len(data.vocab) == 300 and len(data.merges) == 41
    assert data.special_tokens == {"<|endoftext|>": 0, "<|end|>": 1, "｜学｜": 2}
    assert data.vocab[2] == "｜学｜".encode()
    write_tokenizer_json(tmp_path / "ours.json", data)
    ours = tokenizers.Tokenizer.from_file(str(tmp_path / "ours.json"))
    for text in (TEXT, "a<|end|>lower<|endoftext|>｜学｜我", "\u00e9\x00 \x85", ""):
        expected = theirs.encode(text).ids
        assert encode(data, text) == expected
        assert ours.encode(text).ids == expected
        assert ours.decode(expected, skip_special_tokens=False) == text


def test_merges_may_be_pairs_or_strings(tmp_path: Path, trained: dict[str, Any]) -> None:
    old = copy.deepcopy(trained)
    old["model"]["merges"] = [" ".join(pair) for pair in trained["model"]["merges"]]
    assert read_tokenizer_json(write(tmp_path / "old.json", old)) == read_tokenizer_json(
        write(tmp_path / "new.json", trained)
    )


@st.composite
def tokenizer_data(draw: st.DrawFn) -> TokenizerData:
    """A tokenizer whose ids are in any order and with gaps, with special tokens anywhere among them."""
    tokens, merges = list(BYTES), []
    for _ in range(draw(st.integers(0, 12))):
        pair = (draw(st.sampled_from(tokens)), draw(st.sampled_from([*tokens[256:], b"a", b" ", b"\xe6"])))
        if pair[0] + pair[1] not in tokens:
            merges.append(pair)
            tokens.append(pair[0] + pair[1])
    specials = draw(
        st.lists(st.text(min_size=4, max_size=8).filter(lambda text: is_utf8(text)), max_size=4, unique=True)
    )
    ids = draw(st.permutations(range(len(tokens) + len(specials) + 3)))
    vocab = dict(zip(ids, tokens, strict=False))
    special_ids = dict(zip(specials, ids[len(tokens) :], strict=False))
    vocab |= {token_id: text.encode() for text, token_id in special_ids.items()}
    pattern = draw(st.sampled_from([*PATTERNS, r"\w+|\W", "[^a]+|a"]))
    return TokenizerData(vocab, merges, special_ids, pattern, draw(st.booleans()))


def is_utf8(text: str) -> bool:
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False


@given(tokenizer_data())
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=50)
def test_whatever_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, data: TokenizerData
) -> None:
    path = tmp_path_factory.mktemp("json") / "t.json"
    write_tokenizer_json(path, data)
    assert read_tokenizer_json(path) == data
    theirs = tokenizers.Tokenizer.from_file(str(path))
    assert (
        theirs.get_vocab(with_added_tokens=True).keys()
        == json.loads(path.read_text())["model"]["vocab"].keys()
    )
    for text, token_id in data.special_tokens.items():
        assert theirs.encode(text).ids == [token_id]


@pytest.mark.parametrize(("individual", "use_regex"), AFTER_DIGITS)
@given(text=TEXTS)
@example(text="a 1  2   b12c 's3 \u00b2\u2162 5'll")
@settings(deadline=None)
def test_digits_are_cut_out_first(individual: bool, use_regex: bool, text: str) -> None:
    theirs = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=individual),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex),
        ]
    )
    pieces = [to_bytes(piece) for piece, _ in theirs.pre_tokenize_str(text)]
    pattern = AFTER_DIGITS[individual, use_regex]
    assert pieces == [piece.encode() for piece in pretokenize(text, pattern)]


@pytest.mark.parametrize(("individual", "use_regex"), AFTER_DIGITS)
def test_digits_are_read_and_written(
    tmp_path: Path, trained: dict[str, Any], individual: bool, use_regex: bool
) -> None:
    steps = sequence(
        {"type": "Digits", "individual_digits": individual}, BYTE_LEVEL | {"use_regex": use_regex}
    )
    data = read_tokenizer_json(write(tmp_path / "t.json", changed(trained, "pre_tokenizer", steps)))
    assert data.pattern == AFTER_DIGITS[individual, use_regex]
    write_tokenizer_json(tmp_path / "again.json", data)
    assert json.loads((tmp_path / "again.json").read_text())["pre_tokenizer"] == steps


@given(TEXTS)
@example(" \n  ")
@example("a\n \n")
@example("12345 1234\r\n'ſ 'S'LL我来ゟ3ab!ab\n")
@settings(deadline=None)
@example("a 1  2   b12c 's3 \u00b2\u2162 5'll")
@pytest.mark.parametrize("name", [*PATTERNS, *AFTER_DIGITS.values()])
def test_patterns_cut_alike_in_hugging_face(
    tmp_path_factory: pytest.TempPathFactory, pretokenizers: Callable[[str], Any], name: str, text: str
) -> None:
    pieces = [to_bytes(piece) for piece, _ in pretokenizers(name).pre_tokenize_str(text)]
    assert pieces == [piece.encode() for piece in regex.findall(PATTERNS.get(name, name), text)]


@pytest.fixture(scope="module")
def pretokenizers(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """The pre-tokenizer that Hugging Face loads from what is written for a pattern."""
    loaded: dict[str, Any] = {}

    def load(name: str) -> Any:
        if name not in loaded:
            path = tmp_path_factory.mktemp("patterns") / "t.json"
            write_tokenizer_json(path, TokenizerData(dict(enumerate(BYTES)), [], {}, name))
            loaded[name] = tokenizers.Tokenizer.from_file(str(path)).pre_tokenizer
        return loaded[name]

    return load


# --- what is refused or recognised ---------------------------------------------------------------

SPLIT = {"type": "Split", "pattern": {"Regex": r"\w+|\W"}, "behavior": "Isolated", "invert": False}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}


def sequence(*steps: Any) -> dict[str, Any]:
    return {"type": "Sequence", "pretokenizers": list(steps)}


def changed(document: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """A copy of ``document`` with ``value`` at a dotted place."""
    document = copy.deepcopy(document)
    *way, last = [int(key) if key.isdigit() else key for key in place.split(".")]
    reduce(lambda item, key: item[key], way, document)[last] = value
    return document


@pytest.mark.parametrize(
    ("pre_tokenizer", "pattern"),
    [
        (sequence(BYTE_LEVEL | {"use_regex": True}), "gpt2"),
        (BYTE_LEVEL, r"[\s\S]+"),
        (sequence(SPLIT, BYTE_LEVEL), r"\w+|\W"),
        (sequence(SPLIT | {"pattern": {"String": "a.b"}}, BYTE_LEVEL), r"a\.b"),
        (sequence(SPLIT | {"pattern": {"Regex": PATTERNS["cl100k"]}}, BYTE_LEVEL), "cl100k"),
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
                ("(", "not a regular expression"),
                (r"\d{1,3}+|\D", r"'\{1,3\}\+' means one thing"),
                ("a$|.", "means one thing"),
                ("^a|.", "means one thing"),
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
        (TokenizerData(dict(enumerate(BYTES)), [], {}, r"\d{1,3}+|\D"), "means one thing"),
        (TokenizerData(dict(enumerate(BYTES)), [], {}, "("), "nor a regular expression"),
    ],
)
def test_what_the_format_cannot_say_is_not_written(tmp_path: Path, data: TokenizerData, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_tokenizer_json(tmp_path / "t.json", data)
    assert not list(tmp_path.iterdir())
