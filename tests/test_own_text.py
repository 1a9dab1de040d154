"""Chapters 1, 1b and 12 with a reader's text in any encoding, size, line end and language, and with a wrong path.

Only the cells that ``your_text`` influences are run. To take seconds, chapters 1 and 1b keep their tokenizers from file
to file and measure less, and chapter 12 makes fewer steps and skips the runs that are killed; the weekly tests make no
such changes.
"""

import os
import random
from pathlib import Path

import pytest

from tests.notebook_rules import Chapter
from tests.notebook_runs import Cell, dependent_cells, errors, run

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
TOKENIZER, ENGINE, CAPSTONE = "01_tokenizer", "01b_bpe_engine", "12_train_a_language_model"

ENGLISH = "The brown fox doesn't jump: it sits – “and waits”, 42 times. "
CHINESE = "我们学习语言模型，从分词器开始。乒乓球拍卖完了，😀研究生命起源。"
FRENCH = "Le garçon a déjà mangé la crêpe où naît l'été; ça coûte 3 £. "
ARABIC = "مرحبا بالعالم، هذه جملة قصيرة. "


def shuffled(sentences: str, size: int, end: str = "\n") -> str:
    """``size`` characters of the words of some sentences, in any order, with an end of line now and then."""
    chance = random.Random(0)
    words = sentences.split() if " " in sentences else list(sentences)
    joint = " " if " " in sentences else ""
    parts: list[str] = []
    while sum(map(len, parts)) < size:
        parts.append(joint.join(chance.choices(words, k=12)) + end)
    return "".join(parts)[:size]


FILES = {
    "utf-8 with a mark, CRLF.txt": shuffled(ENGLISH, 30_000, "\r\n").encode("utf-8-sig"),
    "utf-16, emoji.txt": shuffled(CHINESE, 30_000).encode("utf-16"),
    "latin-1, CR $x$.txt": shuffled(FRENCH, 30_000, "\r").encode("latin-1"),
    "gb18030, one long word.txt": shuffled(
        CHINESE.translate({ord(c): None for c in "，。😀"}), 20_000, ""
    ).encode("gb18030"),
    "arabic, <b>.txt": shuffled(ARABIC, 30_000).encode(),
}
"""Enough for all three chapters."""

SHORT = {
    "one byte.txt": b"x",
    "line end.txt": b"\n",
    "zeros": bytes(300),
    "no-text.png": bytes(range(256)) * 4,
}
"""Enough to measure, not to train on."""

QUICK = {
    TOKENIZER: """
from functools import cache, partial
bpe.train_own = cache(bpe.train_own)
bpe.corpora = partial(bpe.corpora, num_bytes=100_000)
""",
    ENGINE: 'del peers.JOBS["encode"]["tokenizers"]',
    CAPSTONE: "capstone._LEAST_STEPS = 50",
}


def run_with(
    stem: str, files: dict[str, bytes], folder: Path, *, quick: bool
) -> dict[str, list[tuple[Cell, list[Cell]]]]:
    """The cells of a chapter that depend on ``your_text``, with their outputs, for each of the files."""
    cells = dependent_cells(Chapter.read(NOTEBOOKS / f"{stem}.ipynb"), "your_text")
    if quick:
        cells = [cell for cell in cells if not cell.id.startswith("train-survive")]
    sources = []
    for name, contents in files.items():
        (folder / name).write_bytes(contents)
        sources += [with_path(cells[0].source, str(folder / name)), *(cell.source for cell in cells[1:])]
    if quick:
        sources[0] = f"{sources[0]}\n{QUICK[stem]}"
    outputs = run(sources)
    return {
        name: list(zip(cells, outputs[number * len(cells) :], strict=False))
        for number, name in enumerate(files)
    }


def with_path(setup: str, path: str) -> str:
    assert setup.count("your_text = None") == 1
    return setup.replace("your_text = None", f"your_text = {path!r}")


def check_all_pass(runs: dict[str, list[tuple[Cell, list[Cell]]]]) -> None:
    for name, cells in runs.items():
        assert not [(name, cell.id, found) for cell, outputs in cells for found in errors(outputs)]


@pytest.mark.timeout(300)  # a kernel that shares its cores with others
@pytest.mark.parametrize(
    ("stem", "names"),
    [
        (TOKENIZER, ["utf-8 with a mark, CRLF.txt", "utf-16, emoji.txt", "one byte.txt"]),
        (TOKENIZER, ["latin-1, CR $x$.txt", "gb18030, one long word.txt", "zeros"]),
        (ENGINE, ["utf-8 with a mark, CRLF.txt", "utf-16, emoji.txt", "one byte.txt"]),
        (ENGINE, ["latin-1, CR $x$.txt", "gb18030, one long word.txt", "zeros"]),
        (CAPSTONE, ["utf-16, emoji.txt", "latin-1, CR $x$.txt"]),
        (CAPSTONE, ["gb18030, one long word.txt"]),
    ],
)
def test_a_chapter_takes_any_text(stem: str, names: list[str], tmp_path: Path) -> None:
    files = {name: (FILES | SHORT)[name] for name in names}
    check_all_pass(run_with(stem, files, tmp_path, quick=True))


@pytest.mark.weekly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("stem", "files"),
    [(TOKENIZER, FILES | SHORT), (ENGINE, FILES | SHORT), (CAPSTONE, FILES)],
    ids=[TOKENIZER, ENGINE, CAPSTONE],
)
def test_a_chapter_takes_any_text_without_changes(stem: str, files: dict[str, bytes], tmp_path: Path) -> None:
    check_all_pass(run_with(stem, files, tmp_path, quick=False))


@pytest.mark.parametrize("stem", [TOKENIZER, ENGINE, CAPSTONE])
def test_a_path_that_is_no_text_is_told_at_once_in_one_line(stem: str, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "mark.txt").write_bytes(b"\xef\xbb\xbf")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    setup = Chapter.read(NOTEBOOKS / f"{stem}.ipynb").code[0].source
    told = {
        str(tmp_path / "missing.txt"): "does not exist",
        str(tmp_path): "is a directory",
        str(tmp_path / "empty.txt"): "is empty",
        str(tmp_path / "mark.txt"): "is empty",
        str(tmp_path / "pipe"): "is a device or a pipe",
        str(tmp_path / "dangling"): "does not exist",
        "missing.txt": "does not exist (looked for in ",
        "": "is a directory",
        "x" * 5000: "no path has",
    }
    outputs = run([with_path(setup, path) for path in told])
    for (path, reason), found in zip(told.items(), map(errors, outputs), strict=True):
        assert len(found) == 1 and found[0].startswith("✗ your text: ") and reason in found[0], (path, found)
        assert "\n" not in found[0]


@pytest.mark.parametrize("name", SHORT)
def test_too_little_to_train_on_is_told_in_one_line(name: str, tmp_path: Path) -> None:
    from course_lib.chapters.ch12_capstone.experiments import capstone
    from course_lib.data import open_text
    from course_lib.errors import ReaderError

    (tmp_path / name).write_bytes(SHORT[name])
    (tmp_path / "run").mkdir()
    with pytest.raises(
        ReaderError, match=r"too short for this chapter: .* tokens to train on, at least 2,000"
    ) as told:
        capstone.prepare(tmp_path / "run", own_text=open_text(tmp_path / name))
    assert "\n" not in str(told.value)
