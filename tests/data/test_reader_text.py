"""A reader's text: its encoding is found, nothing is lost, and a file that is not text is reported in one line."""

import os
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from course_lib.data import ReaderText, open_text, reader_text
from course_lib.errors import ReaderError

CHINESE = "我们学习语言模型，从分词器开始。它说：“研究生命起源”，乒乓球拍卖完了！\n"
FRENCH = "Le garçon a déjà créé, mangé la crêpe où naît l'été; ça coûte 3 £.\n"
GERMAN = "Übermäßig große Bären hören müde zu: „Ärger“ – für 5 €.\n"
ARABIC = "مرحبا بالعالم، هذه جملة قصيرة.\n"
ENGLISH = "The fox sat down.\n"
MARKS = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\0\0", b"\0\0\xfe\xff"]


def opened(folder: Path, contents: bytes, encoding: str | None = None) -> ReaderText:
    path = folder / "text.txt"
    path.write_bytes(contents)
    text = open_text(path, encoding)
    assert text is not None
    return text


@pytest.mark.parametrize(
    ("text", "encoding", "told"),
    [
        *[(text, "utf-8", "UTF-8") for text in (CHINESE, FRENCH, ARABIC, ENGLISH, "😀", "\n", "\x00" * 50)],
        *[(text, "utf-8-sig", "UTF-8 with a byte-order mark") for text in (CHINESE, "x", "\x00\x01")],
        *[(text, "utf-16", "UTF-16") for text in (CHINESE, ARABIC, ENGLISH, "😀", "x")],
        *[(text, "utf-32", "UTF-32") for text in (CHINESE, ENGLISH)],
        *[(ENGLISH, encoding, "UTF-16") for encoding in ("utf-16-le", "utf-16-be")],
        *[(text, "gb18030", "GB18030") for text in (CHINESE, CHINESE * 99, "分词", "他说：“😀好的好的”")],
        *[(CHINESE, encoding, "GB18030") for encoding in ("gbk", "gb2312")],
        *[
            (text, "cp1252", "Windows-1252 (Latin-1)")
            for text in (FRENCH, GERMAN, GERMAN * 99, "é", "dé", "Ça", "élève créée fêtée")
        ],
        (FRENCH, "latin-1", "Windows-1252 (Latin-1)"),
    ],
)
def test_the_encoding_is_found(text: str, encoding: str, told: str, tmp_path: Path) -> None:
    found = opened(tmp_path, text.encode(encoding))
    assert found.read(10_000) == text
    assert repr(found) == f"text.txt: {len(text.encode(encoding)):,} bytes, read as {told}"
    assert found.save(tmp_path / "copy.txt").read_bytes() == text.encode()


@given(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=200),
    st.sampled_from(["utf-8-sig", "utf-16", "utf-32"]),
)
@example("\ufeff\x00\r\r\n", "utf-16")
def test_a_marked_text_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, text: str, encoding: str
) -> None:
    # FF FE 00 00 begins UTF-32, too, and is taken for that.
    assume(encoding != "utf-16" or not text.startswith("\0"))
    assert opened(tmp_path_factory.mktemp("text"), text.encode(encoding)).read(1000) == text


@given(st.binary(min_size=1, max_size=300).filter(lambda contents: contents not in MARKS))
def test_any_bytes_give_some_text(tmp_path_factory: pytest.TempPathFactory, contents: bytes) -> None:
    folder = tmp_path_factory.mktemp("text")
    text = opened(folder, contents)
    assert text.save(folder / "copy").read_bytes() == text.read(1000).encode() != b""


def test_a_little_damage_is_shown_and_changes_nothing_else(tmp_path: Path) -> None:
    damaged = (CHINESE * 20).encode() + b"\xff" + CHINESE.encode()
    assert opened(tmp_path, damaged).read(10_000) == CHINESE * 20 + "�" + CHINESE


def test_the_reader_has_the_last_word(tmp_path: Path) -> None:
    contents = "Съешь же ещё этих мягких булок".encode("koi8-r")
    assert opened(tmp_path, contents, "koi8-r").read(100).startswith("Съешь")
    with pytest.raises(ReaderError, match="unknown encoding: no-such"):
        opened(tmp_path, contents, "no-such")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gb18030"])
def test_blocks_and_the_sample_end_inside_a_character(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_text, "_BLOCK", 5)
    monkeypatch.setattr(reader_text, "_SAMPLE", 11)
    text = opened(tmp_path, (CHINESE * 3).encode(encoding))
    assert text.read(10_000) == CHINESE * 3
    assert [text.read(size) for size in (1, 7, 40)] == [(CHINESE * 3)[:size] for size in (1, 7, 40)]
    assert text.save(tmp_path / "copy").read_bytes() == (CHINESE * 3).encode()


@pytest.mark.parametrize(
    ("text", "num_bytes", "kept"),
    [
        ("ab\ncd\nef", 7, "ab\ncd\n"),
        ("abcdef", 4, "abcd"),
        ("分词器", 7, "分词"),
        ("ab\n", 3, "ab\n"),
        ("ab", 99, "ab"),
    ],
)
def test_a_part_ends_behind_a_line_or_a_character(
    text: str, num_bytes: int, kept: str, tmp_path: Path
) -> None:
    assert (
        opened(tmp_path, text.encode()).save(tmp_path / "part", num_bytes).read_text(encoding="utf-8") == kept
    )


def test_no_path_is_no_text() -> None:
    assert open_text(None) is None


def test_a_wrong_path_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").touch()
    for number, mark in enumerate(MARKS):
        (tmp_path / f"mark {number}").write_bytes(mark)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    told = {
        tmp_path / "missing": "does not exist",
        tmp_path: "is a directory",
        **{tmp_path / f"mark {number}": "is empty" for number in range(len(MARKS))},
        tmp_path / "empty": "is empty; a file with at least one character is needed",
        tmp_path / "loop": "does not exist",
        os.devnull: "is a device or a pipe",
        "missing.txt": f"does not exist (looked for in {Path.cwd()})",
        "~nobody-here/text": "home directory",
        "a\0b": "does not exist",
        7: "int",
    }
    for path, reason in told.items():
        with pytest.raises(ReaderError) as error:
            open_text(path)  # type: ignore[arg-type]
        assert str(error.value).startswith("your text: ") and reason in str(error.value)
        assert error.value._render_traceback_() == [f"✗ {error.value}"]
    monkeypatch.setattr("course_lib.files.os.access", lambda *_: False)
    (tmp_path / "secret").write_bytes(b"x")
    with pytest.raises(ReaderError, match="cannot be read"):
        open_text(tmp_path / "secret")
