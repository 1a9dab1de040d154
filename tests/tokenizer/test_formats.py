"""GPT-2 and tiktoken files: what they hold is read, what is wrong with them is said."""

import base64
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.pre_tokenizers import ByteLevel

from course_lib.errors import FormatError
from course_lib.tokenizer.byte_alphabet import byte_to_char, to_bytes, to_chars
from course_lib.tokenizer.formats import TokenizerData, assign_special_ids
from course_lib.tokenizer.gpt2_files import read_vocab_merges
from course_lib.tokenizer.tiktoken_files import read_tiktoken, recover_merges

BYTES = [bytes([byte]) for byte in range(256)]
ALPHABET = {char: byte for byte, char in enumerate(byte_to_char())}


def merged(parts: list[bytes], pair: tuple[bytes, bytes]) -> list[bytes]:
    """``parts`` with every occurrence of ``pair``, found from the left, joined."""
    result: list[bytes] = []
    i = 0
    while i < len(parts):
        step = 2 if tuple(parts[i : i + 2]) == pair else 1
        result.append(b"".join(parts[i : i + step]))
        i += step
    return result


def train(text: bytes, count: int) -> list[tuple[bytes, bytes]]:
    """Up to ``count`` merges of ``text`` as one pre-token, by definition."""
    parts, merges = [bytes([byte]) for byte in text], []
    for _ in range(count):
        counts = Counter(pairwise(parts))
        # A product that exists already would need no new token: tiktoken's files cannot hold it twice.
        known = {first + second for first, second in merges}
        best = max(
            (pair for pair in counts if pair[0] + pair[1] not in known),
            key=lambda pair: (counts[pair], pair),
            default=None,
        )
        if best is None:
            break
        merges.append(best)
        parts = merged(parts, best)
    return merges


def write_gpt2(folder: Path, vocab: Any, merges: str) -> tuple[Path, Path]:
    (folder / "vocab.json").write_text(vocab if isinstance(vocab, str) else json.dumps(vocab))
    (folder / "merges.txt").write_bytes(merges.encode())
    return folder / "vocab.json", folder / "merges.txt"


def test_the_alphabet_is_that_of_hugging_face() -> None:
    assert set(byte_to_char()) == set(ByteLevel.alphabet())
    [(text, _)] = ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str("\0 \n~¡\xadé學")
    assert text == to_chars("\0 \n~¡\xadé學".encode())


@given(st.binary())
def test_the_alphabet_spells_every_byte_string(contents: bytes) -> None:
    assert to_bytes(to_chars(contents)) == contents


@pytest.mark.parametrize("text", [" ", "\n", "\x7f", "\xa0", "\xad", "學", "\ud800"])
def test_other_characters_are_not_in_the_alphabet(text: str) -> None:
    assert to_bytes(text) is None


@pytest.mark.parametrize("first_line", ["", "#version: 0.2\n"])
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_vocab_and_merges_are_read(tmp_path: Path, first_line: str, end: str) -> None:
    vocab = {**ALPHABET, "##": 256, "Ġa": 258, "Ġab": 257, "<|end|>": 300}
    paths = write_gpt2(tmp_path, vocab, f"{first_line}# #\nĠ a\nĠa b{end}")
    data = read_vocab_merges(*paths, ["<|end|>", "<|new|>"])
    assert data.vocab == dict(enumerate(BYTES)) | {
        256: b"##", 258: b" a", 257: b" ab", 300: b"<|end|>", 301: b"<|new|>",
    }  # fmt: skip
    assert data.merges == [(b"#", b"#"), (b" ", b"a"), (b" a", b"b")]
    assert data.special_tokens == {"<|end|>": 300, "<|new|>": 301}
    assert (data.pattern, data.ignore_merges) == ("gpt2", False)


def test_no_merges_make_a_tokenizer_of_bytes(tmp_path: Path) -> None:
    assert read_vocab_merges(*write_gpt2(tmp_path, ALPHABET, "")).merges == []


@pytest.mark.parametrize(
    ("vocab", "merges", "file", "message"),
    [
        ('{"a": 1, ', "", "vocab.json", "line 1 column \\d+: not valid JSON"),
        ('{"a": 1, "a": 2}', "", "vocab.json", "'a': occurs twice"),
        ("[1]", "", "vocab.json", "must be an object of token: id"),
        ("{}", "", "vocab.json", "must be an object of token: id"),
        ('{"model": {"vocab": {}}}', "", "vocab.json", "read it with Tokenizer.load"),
        ({"a": 1}, "", "vocab.json", "no token for byte 0x00 and 254 other bytes"),
        (ALPHABET | {"ab": "x"}, "", "vocab.json", "id of token 'ab' must be an integer .* not 'x'"),
        (ALPHABET | {"ab": -1}, "", "vocab.json", "must be an integer .* not -1"),
        (ALPHABET | {"ab": True}, "", "vocab.json", "must be an integer .* not True"),
        (ALPHABET | {"ab": 97}, "", "vocab.json", "id 97 belongs to both 'a' and 'ab'"),
        (ALPHABET | {"學": 256}, "", "vocab.json", "token '學' .* not written in GPT-2's byte alphabet"),
        (ALPHABET | {"": 256}, "", "vocab.json", "token '' .* is empty"),
        (ALPHABET, "a b", "merges.txt", "line 1: merge of 'a' and 'b': 'ab' is not in the vocabulary"),
        (ALPHABET, "#version: 1\nxx b", "merges.txt", "line 2: .* 'xx' is not in the vocabulary"),
        (ALPHABET | {"ab": 256}, "a b\n\na b", "merges.txt", "line 2: a merge is two tokens"),
        (ALPHABET | {"ab": 256}, "a b\na b", "merges.txt", "line 2: .* repeats line 1"),
        (ALPHABET | {"ab": 256}, "a b c", "merges.txt", "line 1: a merge is two tokens .* 'a b c'"),
        (ALPHABET, '{"a": 0}', "merges.txt", "line 1: .* is not in the vocabulary"),
    ],
)
def test_damaged_gpt2_files_are_refused(
    tmp_path: Path, vocab: Any, merges: str, file: str, message: str
) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        read_vocab_merges(*write_gpt2(tmp_path, vocab, merges))
    assert Path(caught.value.file).name == file


@pytest.mark.parametrize("damaged", [0, 1])
def test_bytes_that_are_not_utf8_are_refused_with_their_place(tmp_path: Path, damaged: int) -> None:
    paths = write_gpt2(tmp_path, ALPHABET, "")
    paths[damaged].write_bytes(b"\xff\xfe")
    with pytest.raises(FormatError, match="byte 0: not UTF-8"):
        read_vocab_merges(*paths)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.json does not exist"):
        read_vocab_merges(tmp_path / "none.json", tmp_path / "none.txt")
    with pytest.raises(IsADirectoryError):
        read_tiktoken(tmp_path, pattern="gpt2")


def test_special_tokens_get_ids_of_their_own() -> None:
    vocab = {0: b"a", 1: b"b", 7: b"<s>"}
    assert assign_special_ids(vocab, ["<t>", "<s>", "<u>"]) == {"<t>": 8, "<s>": 7, "<u>": 9}
    assert assign_special_ids(vocab, {"<s>": 7, "<u>": 20, "<t>": 3}) == {"<s>": 7, "<u>": 20, "<t>": 3}


@pytest.mark.parametrize(
    ("specials", "message"),
    [
        ([""], "must be a non-empty str, not"),
        ([5], "must be a non-empty str"),
        (["<s>", "<s>"], "holds '<s>' twice"),
        (["\ud800"], "lone surrogate"),
        ({"<s>": 0}, "is 0, the id of another token"),
        ({"<s>": 5, "<t>": 5}, "is 5, the id of another token"),
        ({"a": 1}, "is 1, but the vocabulary holds it as 0"),
        ({"<s>": -1}, "must be at least 0"),
        ({"<s>": "5"}, "must be an integer"),
    ],
)
def test_wrong_special_tokens_are_refused(specials: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        assign_special_ids({0: b"a"}, specials)


def test_a_single_string_is_not_a_list_of_special_tokens() -> None:
    with pytest.raises(TypeError, match="sequence of str"):
        assign_special_ids({0: b"a"}, "<s>")


# --- tiktoken ------------------------------------------------------------------------------------


def write_ranks(path: Path, tokens: dict[bytes, int]) -> Path:
    path.write_bytes(b"".join(b"%s %d\n" % (base64.b64encode(token), rank) for token, rank in tokens.items()))
    return path


@given(st.text("abc ", max_size=60), st.integers(0, 20))
def test_merges_are_recovered_from_ranks(text: str, count: int) -> None:
    merges = train(text.encode(), count)
    assert recover_merges(BYTES + [first + second for first, second in merges]) == merges


def test_a_token_that_no_merge_makes_has_no_entry() -> None:
    assert recover_merges([*BYTES, b"bc", b"abc", b"xyz"]) == [(b"b", b"c"), (b"a", b"bc")]


def test_a_part_may_have_a_higher_rank() -> None:
    # Found by fuzzing: tiktoken makes "abc" of "a" and "bc" here, too.
    tokens = [*BYTES, b"abc", b"bc"]
    assert recover_merges(tokens) == [(b"a", b"bc"), (b"b", b"c")]
    theirs = tiktoken.Encoding(
        "test",
        pat_str=r"[\s\S]+",
        mergeable_ranks={token: rank for rank, token in enumerate(tokens)},
        special_tokens={},
    )
    assert [tokens[k] for k in theirs.encode("xabcbc")] == [b"x", b"abc", b"bc"]


def test_ranks_with_gaps_and_special_tokens_are_read(tmp_path: Path) -> None:
    ranks = {token: rank for rank, token in enumerate(BYTES)} | {b"ab": 260, b" ab": 270}
    path = write_ranks(tmp_path / "x.tiktoken", dict(reversed(ranks.items())))
    data = read_tiktoken(path, {"<|end|>": 265}, pattern="cl100k")
    assert data.vocab == {rank: token for token, rank in ranks.items()} | {265: b"<|end|>"}
    assert data.merges == [(b"a", b"b"), (b" ", b"ab")]
    assert (data.special_tokens, data.pattern, data.ignore_merges) == ({"<|end|>": 265}, "cl100k", True)
    assert read_tiktoken(path, ["<|end|>"], pattern="cl100k").special_tokens == {"<|end|>": 271}


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("YWI=", "line 257: expected a token in base64"),
        ("YWI= x", "line 257: expected a token in base64"),
        ("Y!I= 256", "line 257: expected a token in base64"),
        ("YWI= 256 1", "line 257: expected a token in base64"),
        ("YWI= 256\nYWI= 257", "line 258: this token is already on line 257"),
        ("= 256", "line 257: expected a token in base64"),
        ("YWI= 97", "id 97 belongs to both b'a' and b'ab'"),
        ("YWI= -1", "must be an integer"),
    ],
)
def test_damaged_rank_files_are_refused(tmp_path: Path, extra: str, message: str) -> None:
    path = write_ranks(tmp_path / "x.tiktoken", {token: rank for rank, token in enumerate(BYTES)})
    path.write_bytes(path.read_bytes() + extra.encode())
    with pytest.raises(FormatError, match=message):
        read_tiktoken(path, pattern="gpt2")


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "holds no token"),
        (b"\n\n", "holds no token"),
        (b"YQ== 0\n", "no token for byte 0x00 and 254 other"),
        (b'{"model": {}}', "line 1: expected a token in base64"),
        (b"\x00\xff\n", "line 1: expected a token in base64"),
    ],
)
def test_files_of_another_kind_are_refused(tmp_path: Path, contents: bytes, message: str) -> None:
    path = tmp_path / "x.tiktoken"
    path.write_bytes(contents)
    with pytest.raises(FormatError, match=message):
        read_tiktoken(path, pattern="gpt2")


def test_the_hash_tells_tokenizers_apart_and_ignores_order() -> None:
    vocab = dict(enumerate(BYTES)) | {256: b"ab", 257: b"<s>"}
    data = TokenizerData(vocab, [(b"a", b"b")], {"<s>": 257})
    others = [
        TokenizerData(vocab | {258: b"bc"}, [(b"a", b"b")], {"<s>": 257}),
        TokenizerData(vocab, [], {"<s>": 257}),
        TokenizerData(vocab, [(b"a", b"b")], {}),
        TokenizerData(vocab, [(b"a", b"b")], {"<s>": 257}, "cl100k"),
        TokenizerData(vocab, [(b"a", b"b")], {"<s>": 257}, ignore_merges=True),
    ]
    assert len({item.sha256() for item in [data, *others]}) == 6
    assert TokenizerData(dict(reversed(vocab.items())), data.merges, {"<s>": 257}).sha256() == data.sha256()


def test_a_special_token_must_not_spell_another_tokens_bytes(tmp_path: Path) -> None:
    # As a special token "é" is two bytes of UTF-8, which "Ã©" stands for in GPT-2's alphabet.
    paths = write_gpt2(tmp_path, ALPHABET | {"éé": 256, "Ã©Ã©": 257}, "")
    with pytest.raises(FormatError, match="two tokens stand for the bytes"):
        read_vocab_merges(*paths, ["éé"])
