"""tokenizer.json both ways, against the ``tokenizers`` package."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import regex
import tokenizers
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from course_lib.tokenizer.byte_alphabet import to_bytes
from course_lib.tokenizer.formats import TokenizerData
from course_lib.tokenizer.huggingface import read_tokenizer_json, write_tokenizer_json
from course_lib.tokenizer.patterns import PATTERNS, pretokenize
from tests.tokenizer.huggingface_files import BYTE_LEVEL, BYTES, TEXT, changed, encode, sequence, write

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
