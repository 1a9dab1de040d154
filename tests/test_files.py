"""Atomic writes, path checks and the progress helper."""

import os
import pickle
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from course_lib import files
from course_lib.errors import FormatError
from course_lib.files import atomic_write, check_input_file, check_output_file, hold_folder, progress


def test_format_error_names_file_place_and_reason() -> None:
    error = FormatError(Path("a.json"), "model.merges[3]", "not a pair")
    assert (error.file, error.place, error.reason) == ("a.json", "model.merges[3]", "not a pair")
    assert str(error) == "a.json: model.merges[3]: not a pair"
    assert str(FormatError("a.json", "", "empty")) == "a.json: empty"
    assert isinstance(error, ValueError)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_atomic_write_creates_and_replaces(tmp_path: Path) -> None:
    target = tmp_path / "out.bin"
    for contents in (b"first, longer", b"second"):
        with atomic_write(target) as file:
            file.write(contents)
        assert target.read_bytes() == contents
    assert os.listdir(tmp_path) == ["out.bin"]


def test_nothing_is_visible_before_the_end(tmp_path: Path) -> None:
    target = tmp_path / "out.bin"
    with atomic_write(target) as file:
        file.write(b"x" * 100_000)
        file.flush()
        assert not target.exists()
    assert target.stat().st_size == 100_000


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("before", [None, b"old"])
def test_a_failure_half_way_leaves_everything_as_it_was(
    tmp_path: Path, error: type[BaseException], before: bytes | None
) -> None:
    target = tmp_path / "out.bin"
    if before is not None:
        target.write_bytes(before)
    with pytest.raises(error), atomic_write(target) as file:
        file.write(b"half")
        raise error
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == ([] if before is None else [before])


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_or_failing_disk_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(files.os, step, fail)
    with pytest.raises(OSError, match="no space left"), atomic_write(tmp_path / "out.bin") as file:
        file.write(b"data")
    assert not list(tmp_path.iterdir())


def test_targets_that_cannot_be_written_are_refused_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(IsADirectoryError, match="it is a directory"):
        check_output_file(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"folder .*missing does not exist"):
        check_output_file(tmp_path / "missing" / "out.bin")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError, match="is a file, not a folder"):
        check_output_file(tmp_path / "file" / "out.bin")
    with pytest.raises(OSError, match="not a regular file"):
        check_output_file(os.devnull)
    # Permission bits do not bind root, so the system's answer is replaced.
    monkeypatch.setattr(files.os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match="is not writable"), atomic_write(tmp_path / "out.bin"):
        pass
    assert os.listdir(tmp_path) == ["file"]


def test_permissions_are_those_of_the_old_file_or_of_open(tmp_path: Path) -> None:
    old, new, plain = tmp_path / "old", tmp_path / "new", tmp_path / "plain"
    old.write_bytes(b"")
    old.chmod(0o640)
    plain.write_bytes(b"")
    for path in (old, new):
        with atomic_write(path) as file:
            file.write(b"x")
    assert stat.S_IMODE(old.stat().st_mode) == 0o640
    assert stat.S_IMODE(new.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_symbolic_link_stays_and_its_file_changes(tmp_path: Path) -> None:
    folder = tmp_path / "real"
    folder.mkdir()
    link = tmp_path / "link"
    link.symlink_to(folder / "file")
    for contents in (b"created through the link", b"replaced"):
        with atomic_write(link) as file:
            file.write(contents)
        assert link.is_symlink()
        assert (folder / "file").read_bytes() == contents


def test_the_longest_file_name_is_possible(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 255)
    with atomic_write(target) as file:
        file.write(b"x")
    assert target.read_bytes() == b"x"


HOLDER = """
import sys, time
from course_lib.files import atomic_write, hold_folder
with atomic_write(sys.argv[1]) as file, hold_folder(sys.argv[2]):
    file.write(b"half")
    file.flush()
    print("ready", flush=True)
    time.sleep(600)
"""


def test_what_a_killed_process_left_goes_with_the_next_write_and_a_living_ones_file_stays(
    tmp_path: Path,
) -> None:
    folder, target = tmp_path / "folder", tmp_path / "out.bin"
    folder.mkdir()
    (tmp_path / ".out.bin.mine.tmp").write_bytes(b"not a temporary file of ours")
    command = [sys.executable, "-c", HOLDER, str(target), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        with (
            pytest.raises(BlockingIOError, match=r"another process is working in .*folder"),
            hold_folder(folder),
        ):
            pass
        with atomic_write(target) as file:
            file.write(b"another process writes it too")
        assert len(list(tmp_path.glob(".out.bin.*.tmp"))) == 2
        process.kill()
    with hold_folder(folder), atomic_write(target) as file:
        file.write(b"whole")
    assert sorted(os.listdir(tmp_path)) == [".out.bin.mine.tmp", "folder", "out.bin"]
    assert target.read_bytes() == b"whole" and os.listdir(folder) == []


def test_writers_of_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    code = (
        "import sys; from course_lib.files import atomic_write\n"
        "for number in range(300):\n"
        "    with atomic_write(sys.argv[1]) as file: file.write(sys.argv[2].encode() * 1000)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "out.bin")]
    writers = [subprocess.Popen([*command, letter]) for letter in "abcd"]
    assert [writer.wait() for writer in writers] == [0] * 4
    assert os.listdir(tmp_path) == ["out.bin"]
    assert (tmp_path / "out.bin").read_bytes() in {letter * 1000 for letter in (b"a", b"b", b"c", b"d")}


def test_input_paths_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "in.txt"
    with pytest.raises(FileNotFoundError, match=r"in\.txt does not exist"):
        check_input_file(path)
    with pytest.raises(IsADirectoryError, match="is a directory; a file is needed"):
        check_input_file(tmp_path)
    path.write_text("x")
    assert check_input_file(str(path)) == path
    monkeypatch.setattr(files.os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match="cannot be read"):
        check_input_file(path)


def test_progress_passes_items_on_and_counts_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress([3, 1, 2], description="items", delay=0)) == [3, 1, 2]
    shown = capsys.readouterr().err
    assert "items" in shown and "/3" in shown


def test_progress_is_silent_when_disabled_or_quick(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress(range(100), enabled=False, delay=0)) == list(range(100))
    with progress(total=10) as bar:
        bar(10, 10)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_progress_as_a_callback_follows_phases(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(description="train", delay=0) as bar:
        for done in range(0, 101, 50):
            bar(done, 100)
        bar(5, 10)
        bar(10, 10)
    shown = capsys.readouterr().err
    assert "/100 " in shown and "/10 " in shown


def test_progress_without_an_iterable_cannot_be_looped_over() -> None:
    with pytest.raises(TypeError, match="no iterable"):
        list(progress(total=3))


def test_importing_files_imports_nothing_heavy() -> None:
    code = "import course_lib.files, sys; print({'numpy', 'tqdm', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
