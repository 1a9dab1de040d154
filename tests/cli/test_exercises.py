"""``course exercises``."""

from pathlib import Path

import pytest

from tests.cli.runner import failure, run_json


@pytest.mark.parametrize(
    "contents", [b"", b"{}", b"[1]", b"\xff", b'{"nbformat": 4, "nbformat_minor": 5}', b"null"]
)
def test_what_is_no_notebook_is_named(tmp_path: Path, contents: bytes) -> None:
    (tmp_path / "n").mkdir()
    (tmp_path / "n" / "broken.ipynb").write_bytes(contents)
    message = failure("exercises", "student", tmp_path / "out", "--notebooks", tmp_path / "n")
    assert "broken.ipynb: not a notebook: " in message and not (tmp_path / "out").exists()


def test_student_copies_hold_no_solutions_and_overwrite_nothing(tmp_path: Path) -> None:
    notebooks = Path(__file__).parents[2] / "notebooks"
    written = run_json("exercises", "student", tmp_path / "class", "--notebooks", notebooks)["paths"]
    assert len(written) == len(list(notebooks.glob("*.ipynb")))
    assert all("BEGIN SOLUTION" not in Path(path).read_text(encoding="utf-8") for path in written)
    assert "is already there" in failure("exercises", "student", tmp_path / "class", "--notebooks", notebooks)
