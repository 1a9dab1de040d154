"""Texts that come with the course: all that is in them, and a split that shares no sentence, checked by brute force."""

import hashlib
import itertools
import lzma
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.data import SEPARATOR, TEXTS, Split, split, text, write_text
from course_lib.data.texts import SENTENCE_BYTES, _sharing_sentences, chapters, sentences
from course_lib.errors import FormatError

DATA = Path(__file__).parents[2] / "data"
NAMES = [known.name for known in TEXTS]


def characters(pieces: list[str]) -> int:
    return sum(map(len, pieces))


def without_line_ends(pieces: list[str]) -> str:
    return "".join(pieces).replace("\n", "")


def test_the_documents_are_all_there() -> None:
    novels, classics = text("novels_en"), text("classics_zh")
    assert [novel.split("\n")[0].title() for novel in novels] == [
        "Northanger Abbey", "Sense And Sensibility", "Pride And Prejudice", "Mansfield Park", "Emma", "Persuasion"
    ]  # fmt: skip
    assert len(classics) == 11_769
    for known, documents in zip(TEXTS, (novels, classics), strict=True):
        packed = lzma.decompress((DATA / f"{known.name}.txt.xz").read_bytes()).decode()
        assert packed.count(SEPARATOR) == len(documents) - 1
        assert without_line_ends(documents) == packed.replace(SEPARATOR, "").replace("\n", "")
        assert len("".join(documents).encode()) == known.num_bytes
        assert all(document and document.strip("\n") == document for document in documents)


def test_novels_are_cut_into_their_chapters() -> None:
    found = [chapters(novel) for novel in text("novels_en")]
    assert [len(pieces) for pieces in found] == [31, 50, 61, 48, 55, 24]
    for novel, pieces in zip(text("novels_en"), found, strict=True):
        assert without_line_ends(pieces) == novel.replace("\n", "")
        # Of the words "Chapter 7" on a line of their own there is one in each chapter, and little stands before it.
        for number, piece in enumerate(pieces):
            [heading] = [line for line in piece.split("\n") if re.fullmatch(r"(?i)chapter \w+", line)]
            assert piece.index(heading) < (2_000 if number == 0 else 20)
    assert all(chapters(piece) == [piece] for piece in text("classics_zh"))


@pytest.mark.parametrize(
    ("document", "pieces"),
    [
        ("", [""]),
        ("no chapter", ["no chapter"]),
        ("Chapter 1\na\n\nChapter 2\nb", ["Chapter 1\na", "Chapter 2\nb"]),
        ("TITLE\n\nCHAPTER I\n\na\n\nCHAPTER II\n", ["TITLE\n\nCHAPTER I\n\na", "CHAPTER II"]),
        ("VOLUME I\n\nCHAPTER I\na\nVOLUME II\nCHAPTER I", ["VOLUME I\n\nCHAPTER I\na", "VOLUME II\nCHAPTER I"]),
        ("the next\nChapter of it\nis Chapter 2\n", ["the next\nChapter of it\nis Chapter 2"]),
    ],
)  # fmt: skip
def test_where_a_chapter_begins(document: str, pieces: list[str]) -> None:
    assert chapters(document) == pieces


def test_a_sentence_has_thirty_bytes_and_no_quotes_around_it() -> None:
    first, second, third = (
        "All of this is one sentence",
        "So is, Mr Knightley said, this one",
        "三十个字节就是十个汉字的长度",
    )
    shown = f'{first}." "{second}!" Yes. {third}。短句。{first}\n'
    assert list(sentences(shown)) == [f"{second}!", third]
    assert list(sentences(f"{first}, or so\n{second}")) == [f"{first}, or so", second]
    assert list(sentences("x" * (SENTENCE_BYTES - 1))) == []
    assert list(sentences("x" * SENTENCE_BYTES)) == ["x" * SENTENCE_BYTES]


# Stored experiments were trained and judged on these very parts: with any other they would have to be made again.
PARTS = {"novels_en": (256, 13, "14040389703f2098"), "classics_zh": (11_134, 635, "aca4650ee6d9b0b4")}


@pytest.mark.parametrize("name", NAMES)
def test_the_parts_are_these_and_no_others(name: str) -> None:
    parts = split(name)
    assert parts == split(name, held_out=0.05)
    digest = hashlib.sha256("\0".join([*parts.training, "", *parts.held_out]).encode()).hexdigest()
    assert (len(parts.training), len(parts.held_out), digest[:16]) == PARTS[name]


def long_sentences(pieces: list[str]) -> set[str]:
    """Cut in another way than the package does: at every mark that may end a sentence, without any quotes around it."""
    found = re.split(r"[.!?。！？；\n]", "\n".join(pieces))
    stripped = {sentence.strip(" _()\"'“”‘’《》—-") for sentence in found}
    return {sentence for sentence in stripped if len(sentence.encode()) >= 40}


@pytest.mark.parametrize("name", NAMES)
def test_no_sentence_is_in_both_parts(name: str) -> None:
    parts = split(name)
    training = "\n".join(parts.training)
    looked_for = long_sentences(parts.held_out)
    assert len(looked_for) > 1_000
    # Not even inside a longer sentence.
    assert [sentence for sentence in looked_for if sentence in training] == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("share", [0.2, 0.5])
def test_nor_with_a_larger_share(name: str, share: float) -> None:
    parts = split(name, held_out=share)
    assert long_sentences(parts.held_out) & long_sentences(parts.training) == set()


@pytest.mark.parametrize("name", NAMES)
def test_a_larger_share_contains_a_smaller_one(name: str) -> None:
    pieces = [piece for document in text(name) for piece in chapters(document)]
    smaller: set[str] = set()
    for share in (1e-9, 0.05, 0.5):
        parts = split(name, held_out=share)
        assert characters(parts.held_out) >= share * characters(pieces)
        held_out = set(parts.held_out)
        assert held_out > smaller
        # Nothing is lost or changed, and both parts keep the order.
        assert parts.held_out == [piece for piece in pieces if piece in held_out]
        assert parts.training == [piece for piece in pieces if piece not in held_out]
        smaller = held_out
    assert characters(split(name).held_out) < 0.06 * characters(pieces)


def test_a_part_as_one_string() -> None:
    parts = Split(["a", "b"], ["c"])
    assert (parts.joined("training"), parts.joined("held_out")) == ("a\n\nb", "c")
    with pytest.raises(ValueError, match=re.escape("part must be one of 'training', 'held_out', not 'test'")):
        parts.joined("test")


SHORT = ["Yes.", "No!", "是。"]
LONG = [f"{word} is long enough to count as a sentence." for word in "abcdefgh"]


@given(st.lists(st.lists(st.sampled_from(SHORT + LONG), max_size=4), max_size=9))
def test_pieces_that_share_a_sentence_are_one_group(pieces: list[list[str]]) -> None:
    """Compared with all that can be reached, step by step, in the graph of made-up pieces."""
    numbers = range(len(pieces))
    reached = [{other for other in numbers if other == one or set(pieces[one]) & set(pieces[other]) & set(LONG)}
               for one in numbers]  # fmt: skip
    for _ in numbers:
        reached = [set().union(*(reached[other] for other in reached[one])) for one in numbers]
    groups = _sharing_sentences([" ".join(piece) for piece in pieces])
    assert {frozenset(group) for group in groups} == {frozenset(group) for group in reached}
    assert sorted(itertools.chain(*groups)) == list(numbers)


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, float("nan"), float("inf")])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="held_out must be"):
        split("novels_en", held_out=share)


@pytest.mark.parametrize("share", ["0.05", None, True])
def test_a_share_is_a_number(share: object) -> None:
    with pytest.raises(TypeError, match="held_out must be a number"):
        split("novels_en", held_out=share)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["novels", "", None, "../data/novels_en"])
def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path: Path, name: str) -> None:
    for use in (text, split, lambda name: write_text(tmp_path / "x.txt", name)):
        with pytest.raises(ValueError, match=re.escape(f"'novels_en', 'classics_zh', not {name!r}")):
            use(name)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an installed package without a checkout around it."""
    folder = tmp_path / "installed"
    folder.mkdir()
    for name in NAMES:
        shutil.copy(DATA / f"{name}.txt.xz", folder)
    monkeypatch.setattr("course_lib.data.texts._FOLDERS", (tmp_path / "checkout" / "data", folder))
    return folder


def test_the_files_may_lie_in_the_package(installed: Path) -> None:
    assert len(text("novels_en")) == 6
    (installed / "novels_en.txt.xz").unlink()
    with pytest.raises(FileNotFoundError, match=r"novels_en\.txt\.xz is missing") as caught:
        text("novels_en")
    assert str(installed) in str(caught.value) and str(Path("checkout") / "data") in str(caught.value)
    assert len(text("classics_zh")) == 11_769


def test_what_is_returned_may_be_changed() -> None:
    text("novels_en").clear()
    assert len(text("novels_en")) == 6


def other_text(packed: bytes) -> bytes:
    return lzma.compress(lzma.decompress(packed) + b"x", preset=0)


def not_utf8(packed: bytes) -> bytes:
    return lzma.compress(lzma.decompress(packed)[:-2] + b"\xff\n", preset=0)


@pytest.mark.parametrize(
    "damage",
    [
        lambda packed: b"",
        lambda packed: b"version https://git-lfs.github.com/spec/v1\n",
        lambda packed: packed[:-100],
        lambda packed: packed[:5_000] + bytes([packed[5_000] ^ 1]) + packed[5_001:],
        other_text,
        not_utf8,
    ],
    ids=["empty", "a pointer", "cut off", "a bit", "other text", "not UTF-8"],
)
def test_a_damaged_file_is_named_and_nothing_written(
    installed: Path, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    packed, target = installed / "novels_en.txt.xz", tmp_path / "mine.txt"
    packed.write_bytes(damage(packed.read_bytes()))
    target.write_text("mine")
    for use in (text, split, lambda name: write_text(target, name)):
        with pytest.raises(FormatError, match=r"damaged|bytes of text, not the") as caught:
            use("novels_en")
        assert caught.value.file == str(packed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["installed", "mine.txt"]
    assert target.read_text() == "mine"


@pytest.mark.parametrize("part", [None, "training", "held_out"])
def test_write_text(tmp_path: Path, part: str | None) -> None:
    path = tmp_path / "novels.txt"
    documents = text("novels_en") if part is None else getattr(split("novels_en"), part)
    assert write_text(path, "novels_en", part=part) == len(documents)
    assert path.read_bytes().decode().split(f"\n{SEPARATOR}\n") == [*documents, ""]
    assert write_text(path, "novels_en", part=part, num_bytes=1, separator="###") == 1
    assert path.read_bytes().decode() == f"{documents[0]}\n###\n"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"part": "test"}, ValueError, "part must be one of 'training', 'held_out', not 'test'"),
        ({"num_bytes": -1}, ValueError, "num_bytes must be at least 0, not -1"),
        ({"num_bytes": 4_017_387}, ValueError, "at most 4,017,386, the size of novels_en, not 4,017,387"),
        ({"num_bytes": 1.5}, TypeError, "num_bytes must be an integer, not 1.5"),
        ({"separator": "two\nlines"}, ValueError, "separator must be a non-empty text on one line"),
        ({"separator": "the"}, ValueError, "separator must be a text that no document contains"),
    ],
)
def test_wrong_arguments_write_nothing(
    tmp_path: Path, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        write_text(tmp_path / "x.txt", "novels_en", **arguments)
    assert not list(tmp_path.iterdir())


def test_the_packed_file_is_not_written_over(installed: Path, tmp_path: Path) -> None:
    before = (installed / "novels_en.txt.xz").read_bytes()
    (tmp_path / "link").symlink_to(installed / "novels_en.txt.xz")
    for target in (installed / "novels_en.txt.xz", tmp_path / "link"):
        with pytest.raises(ValueError, match=r"cannot write .*: it is read here"):
            write_text(target, "novels_en")
    assert (installed / "novels_en.txt.xz").read_bytes() == before
