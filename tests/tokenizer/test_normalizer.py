"""Normal forms of Unicode before encoding, against the ``tokenizers`` package."""

import functools
import json
import pickle
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers

from course_lib.errors import FormatError
from course_lib.tokenizer import Tokenizer, reference
from course_lib.tokenizer.normalization import FORMS, normalize
from tests.tokenizer.references import hard_bytes, hard_text

END = "<|endoftext|>"
# Looked for in the text as it comes: two of them do not outlive NFC or NFD.
EARLY = [END, "<|im start|>", "e\u0301!", "\u00c5?"]
# Looked for in the normalized text. White space, as in GPT-NeoX, and what only normalization brings about.
LATE = ["  ", "    ", "a<", "(1)"]

PRE_TOKENIZERS = {
    "gpt2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "starcoder": pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    ),
    "custom": pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
}
NORMALIZERS: dict[str, Any] = {
    **{form: getattr(normalizers, form)() for form in FORMS},
    "sequence": normalizers.Sequence([normalizers.NFD(), normalizers.Sequence([normalizers.NFC()])]),
}
CASES = [(name, "gpt2") for name in NORMALIZERS] + [
    ("NFC", "starcoder"),
    ("NFC", "custom"),
    ("NFKD", "custom"),
]

# What normalization moves, joins or takes apart, and what surrounds it.
_PIECES = [
    *[
        "e\u0301",
        "\u00e9",
        "\u0301",
        "\u0316",
        "\u0327\u0301",
        "\u0344",
        "\u0345",
        "\u00c5",
        "\u212b",
        "A\u030a",
    ],
    *[
        "\u1100\u1161\u11a8",
        "\uac01",
        "\uac00\u11a8",
        "\u1161",
        "\u0958",
        "\u0915\u093c",
        "\u0f73",
        "\u1e9b\u0323",
    ],
    *[
        "\ufb01",
        "\u00b4",
        "\u2474",
        "\u00b2",
        "\uff0f",
        "\uff21",
        "\u3000",
        "\u2000",
        "\u00a0",
        "\ufdfa",
        "\u2260",
        "=\u0338",
    ],
    *[
        "<\u0338",
        "<",
        ">",
        "a<\u0338",
        "!",
        "?",
        " ",
        "  ",
        "    ",
        "\n",
        "a",
        "1",
        "12",
        "'s",
        "/",
        *EARLY,
        *LATE,
    ],
]


@functools.cache
def disagreed() -> frozenset[str]:
    """The characters that this Python's Unicode and the package's do not normalize alike."""
    found = set()
    for character in map(chr, range(sys.maxunicode + 1)):
        if unicodedata.combining(character) or unicodedata.decomposition(character):
            texts = (character, f"a{character}\u0316", f"a\u0345{character}")
            for form in FORMS:
                theirs = getattr(normalizers, form)()
                if any(theirs.normalize_str(text) != unicodedata.normalize(form, text) for text in texts):
                    found.add(character)
    return frozenset(found)


texts = (
    st.lists(st.sampled_from(_PIECES) | hard_text, max_size=15)
    .map("".join)
    .filter(lambda text: disagreed().isdisjoint(text))
)


@functools.cache
def theirs(normalizer: str, pre_tokenizer: str, *, late: bool = True) -> tokenizers.Tokenizer:
    """A tokenizer that the package trained on a little text, with both kinds of added tokens."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = PRE_TOKENIZERS[pre_tokenizer]
    tokenizer.normalizer = NORMALIZERS[normalizer]
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[END],
        show_progress=False,
    )
    tokenizer.train_from_iterator(["".join(_PIECES) * 3, "the cafe\u0301 of the \u00c5 " * 20], trainer)
    tokenizer.add_special_tokens([AddedToken(text, normalized=False) for text in EARLY])
    if late:
        tokenizer.add_tokens([AddedToken(text, normalized=True) for text in LATE])
    return tokenizer


@functools.cache
def ours(folder: Path, normalizer: str, pre_tokenizer: str) -> Tokenizer:
    path = folder / f"{normalizer}-{pre_tokenizer}.json"
    theirs(normalizer, pre_tokenizer).save(str(path))
    return Tokenizer.load(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("normalizers")


def test_characters_that_are_normalized_otherwise_are_newer_than_the_package_and_few() -> None:
    assert len(disagreed()) < 400
    assert all(unicodedata.ucd_3_2_0.category(character) == "Cn" for character in disagreed())


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_canonical_forms_turn_nothing_visible_into_white_space(form: str) -> None:
    # What PiecewiseEncoder relies on to cut a stream: such a text stays what the engine takes it for.
    for character in map(chr, range(sys.maxunicode + 1)):
        changed = unicodedata.normalize(form, character)
        if changed != character and not character.isspace():
            assert not changed[0].isspace() and not changed[-1].isspace() and changed[0] != "/"


@pytest.mark.parametrize(("normalizer", "pre_tokenizer"), CASES)
class TestEqualsHuggingFace:
    def test_ids(self, folder: Path, normalizer: str, pre_tokenizer: str) -> None:
        expected = theirs(normalizer, pre_tokenizer)
        loaded = ours(folder, normalizer, pre_tokenizer)
        assert loaded.normalizer == (("NFD", "NFC") if normalizer == "sequence" else (normalizer,))
        assert loaded.normalized_tokens == frozenset(LATE)
        loaded.save(folder / "again.json")
        again = Tokenizer.load(folder / "again.json")
        assert (again.sha256(), again.normalizer) == (loaded.sha256(), loaded.normalizer)
        written = tokenizers.Tokenizer.from_file(str(folder / "again.json"))

        @given(text=texts)
        @example(
            text="cafe\u0301 caf\u00e9<|im start|>\u0301e\u0301!e\u0301\u00c5?A\u030a?a<\u0338a<    \u2474"
        )
        @settings(deadline=None)
        def check(text: str) -> None:
            ids = expected.encode(text, add_special_tokens=False).ids
            assert loaded.encode(text) == ids
            assert loaded.encode(text.encode()) == ids
            assert loaded.encode_to_numpy(text).tolist() == ids
            assert loaded.encode_batch([text, ""]) == [ids, []]
            assert loaded.encode_batch_to_numpy([text, ""])[0].tolist() == ids
            assert reference.encode(loaded, text) == ids
            assert written.encode(text, add_special_tokens=False).ids == ids
            assert normalize(loaded.decode(ids), loaded.normalizer) == normalize(text, loaded.normalizer)

        check()

    @given(data=st.data())
    @settings(deadline=None, max_examples=8)
    def test_streams_and_files(
        self, folder: Path, normalizer: str, pre_tokenizer: str, data: st.DataObject
    ) -> None:
        # Enough text to be cut, in pieces that end anywhere, also between a letter and its accent.
        loaded = ours(folder, normalizer, pre_tokenizer)
        part = data.draw(texts)
        text = part * (1 + 50_000 // (1 + len(part)))
        step = data.draw(st.integers(1, 5_000))
        expected = loaded.encode(text)
        assert list(loaded.encode_iterable(text[i : i + step] for i in range(0, len(text), step))) == expected
        (folder / "text").write_bytes(text.encode())
        assert loaded.encode_file(folder / "text", folder / "tokens.bin")[:].tolist() == expected


@pytest.mark.parametrize("form", FORMS)
def test_ids_without_normalized_tokens(folder: Path, form: str) -> None:
    # As in Qwen's files. What is in normal form already goes straight to the engine.
    expected = theirs(form, "gpt2", late=False)
    expected.save(str(folder / "early.json"))
    loaded = Tokenizer.load(folder / "early.json")
    assert loaded.normalized_tokens == frozenset()

    @given(text=texts)
    @example(text=f"{END}\u0301x{END}e\u0301")
    @settings(deadline=None)
    def check(text: str) -> None:
        for given_text in (text, unicodedata.normalize(form, text)):
            ids = expected.encode(given_text, add_special_tokens=False).ids
            assert loaded.encode(given_text) == loaded.encode(given_text.encode()) == ids
            assert loaded.encode_to_numpy(given_text).tolist() == ids
            assert loaded.encode_batch([given_text, END]) == [ids, [0]]

    check()


@pytest.mark.parametrize("form", FORMS)
@given(contents=hard_bytes)
@example(contents=b"e\xcc\x81\xcc\xff\x81e\xcc\x81")
@settings(deadline=None)
def test_bytes_that_are_not_utf8_stay(form: str, contents: bytes) -> None:
    tokenizer = Tokenizer({byte: bytes([byte]) for byte in range(256)}, [], normalizer=form)
    text = contents.decode("utf-8", "surrogateescape")
    expected = unicodedata.normalize(form, text).encode("utf-8", "surrogateescape")
    assert tokenizer.decode_bytes(tokenizer.encode(contents)) == expected
    assert tokenizer.decode_bytes(tokenizer.encode_ordinary(contents)) == expected


def test_plain_text_is_normalized_as_a_whole(folder: Path) -> None:
    tokenizer = ours(folder, "NFC", "gpt2")
    ids = tokenizer.encode_ordinary(f"e\u0301!{END}")
    assert tokenizer.decode(ids) == f"\u00e9!{END}"
    assert not set(ids) & set(tokenizer.special_token_ids.values())


def test_a_token_that_appears_with_normalization_is_not_cut(folder: Path, tmp_path: Path) -> None:
    document = json.loads(theirs("NFC", "gpt2").to_str())
    entry = document["added_tokens"][-1] | {"id": 400, "content": "caf\u00e9 x", "normalized": True}
    document["added_tokens"].append(entry)
    (tmp_path / "t.json").write_text(json.dumps(document))
    tokenizer = Tokenizer.load(tmp_path / "t.json")
    text = "cafe\u0301 x" * 10_000
    assert (
        list(tokenizer.encode_iterable(text[i : i + 100] for i in range(0, len(text), 100))) == [400] * 10_000
    )


def test_a_stream_is_not_cut_where_normalization_makes_a_word_continue() -> None:
    # GPT-4o's pattern takes a slash along behind a line end; NFKC makes one of a full-width slash.
    vocab = {byte: bytes([byte]) for byte in range(256)} | {256: b"\n/", 257: b"!\n/"}
    merges = [(b"\n", b"/"), (b"!", b"\n/")]
    tokenizer = Tokenizer(vocab, merges, pattern="o200k", normalizer="NFKC")
    assert tokenizer.encode("a!\n\uff0fb") == [*b"a", 257, *b"b"]
    text = "a!\n\uff0fb" * 20_000
    assert list(tokenizer.encode_iterable([text[:50_000], text[50_000:]])) == tokenizer.encode(text)


def test_memory_does_not_grow_with_a_stream(folder: Path) -> None:
    taken = 0

    def endless() -> Any:
        nonlocal taken
        while True:
            taken += 1
            yield "the cafe\u0301 \u6211\u6765\n\u5b66\u4e60"

    ids = ours(folder, "NFC", "gpt2").encode_iterable(endless())
    for _ in range(100_000):
        next(ids)
    assert taken < 20_000


def test_everything_that_decides_ids_is_in_the_hash_and_the_pickle() -> None:
    vocab = {byte: bytes([byte]) for byte in range(256)}
    tokenizers_ = [
        Tokenizer(vocab, [], [END], normalizer=forms) for forms in ((), "NFC", "NFD", ["NFC", "NFD"])
    ]
    assert len({tokenizer.sha256() for tokenizer in tokenizers_}) == 4
    for tokenizer in tokenizers_:
        copy = pickle.loads(pickle.dumps(tokenizer))
        assert (copy.sha256(), copy.encode("e\u0301")) == (tokenizer.sha256(), tokenizer.encode("e\u0301"))


def test_the_hash_without_a_normalizer_is_that_of_files_that_exist() -> None:
    tokenizer = Tokenizer({byte: bytes([byte]) for byte in range(256)}, [], [END])
    assert tokenizer.sha256() == "2d198c8b120de6c75a9fa813199d1ed60659d11c5aeafea09323a50f361c2ba2"


@pytest.mark.parametrize("normalizer", ["nfc", "", ["NFC", "Lowercase"], [None]])
def test_another_normalizer_is_a_clear_error(normalizer: Any) -> None:
    with pytest.raises(ValueError, match="normalizer must be one of 'NFC', 'NFD', 'NFKC', 'NFKD', not"):
        Tokenizer({byte: bytes([byte]) for byte in range(256)}, [], normalizer=normalizer)


@pytest.mark.parametrize(
    ("normalizer", "place", "reason"),
    [
        ({"type": "Lowercase"}, "normalizer", "'Lowercase' changes the text"),
        ({"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}, "normalizer", "'Replace'"),
        ("NFC2", "normalizer", "'NFC2'"),
        ({"type": "Sequence"}, "normalizer.normalizers", "must be a list"),
        (
            {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Prepend", "prepend": "a"}]},
            "normalizer.normalizers[1]",
            "'Prepend'",
        ),
    ],
)
def test_other_normalizers_are_refused_by_name(
    tmp_path: Path, normalizer: Any, place: str, reason: str
) -> None:
    document = json.loads(theirs("NFC", "gpt2").to_str()) | {"normalizer": normalizer}
    (tmp_path / "t.json").write_text(json.dumps(document))
    with pytest.raises(FormatError, match=reason) as caught:
        Tokenizer.load(tmp_path / "t.json")
    assert caught.value.place == place


def test_a_normalized_token_that_no_normalized_text_holds_is_refused(tmp_path: Path) -> None:
    document = json.loads(theirs("NFC", "gpt2").to_str())
    number = next(
        i
        for i, entry in enumerate(document["added_tokens"])
        if entry["content"] == "\u212b?" or entry["content"] == "e\u0301!"
    )
    document["added_tokens"][number]["normalized"] = True
    (tmp_path / "t.json").write_text(json.dumps(document))
    with pytest.raises(FormatError, match="which NFC changes, is not supported") as caught:
        Tokenizer.load(tmp_path / "t.json")
    assert caught.value.place == f"added_tokens[{number}].normalized"


MARKS = [c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c).startswith("M")]


def test_only_marks_are_put_in_order() -> None:
    assert all(c in MARKS for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.combining(c))


@pytest.mark.parametrize("form", FORMS)
@given(
    marks=st.lists(
        st.sampled_from(MARKS) | st.sampled_from("\u0301\u0316\u0344\u0345\u0f73\u0f81\u0fb2\u3099"),
        min_size=60,
    ),
    before=st.sampled_from(["", "a", "\u00e9", "\u304b", "\u0f71"]),
)
@settings(deadline=None)
def test_many_marks_are_normalized_as_by_python(form: Any, marks: list[str], before: str) -> None:
    text = before + "".join(marks) + "a"
    assert normalize(text, [form]) == unicodedata.normalize(form, text)


@pytest.mark.parametrize("marks", ["\u0301\u0316", "\u0f73", "\u0344\u0345\u0316"])
@pytest.mark.parametrize("form", FORMS)
def test_a_long_run_of_marks_is_not_quadratic(form: Any, marks: str) -> None:
    # Python's own function would take several minutes for it.
    text = "a" + marks * 200_000
    assert normalize(text, [form]) == NORMALIZERS[form].normalize_str(text)


def test_forms_are_applied_in_turn() -> None:
    assert normalize("\u212b\ufb01", ["NFD", "NFKC"]) == "\u00c5fi"
    assert normalize("\u212b\ufb01", []) == "\u212b\ufb01"
