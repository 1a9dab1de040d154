"""Behaviour that all commands share: wrong usage, sizes, exit statuses, file names, encodings, Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from course_lib.cli.options import parse_size
from tests.cli.runner import COMMAND, run, run_json


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tokenizer", "train", "x"], "--vocab-size"),
        (["tokenizer", "train", "x", "--vocab-size", "many"], "--vocab-size"),
        (["tokenizer", "train", "x", "--vocab-size", "300", "--threads", "0"], "--threads"),
        (["corpus", "make", "x", "--bytes", "ten"], "not a size such as"),
        (["corpus", "make", "x", "--bytes", "1kB", "--language", "fr"], "--language"),
        (["corpus", "make", "x", "--bytes", "1kB", "--seed", "-1"], "--seed"),
        (
            ["tokenizer", "train", "x", "--vocab-size", "300", "--special-token", "x", "--no-special-tokens"],
            "exclude each other",
        ),
        (["sing"], "sing"),
    ],
)
def test_wrong_usage_is_status_two(arguments: list[str], message: str) -> None:
    assert message in run(*arguments, status=2).stderr


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("5000", 5000), ("10_000", 10_000), ("10MB", 10**7), ("10m", 10**7), ("1.5 GB", 1_500_000_000),
        ("2MiB", 2**21), ("1KIB", 1024), ("7B", 7), (".5k", 500), ("1T", 10**12),
    ],
)  # fmt: skip
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1", "1e6", "1 0", "10 apples", "1.MB", "0x10", "٣"])
def test_other_sizes_are_refused(text: str) -> None:
    import typer

    with pytest.raises(typer.BadParameter, match="is not a size"):
        parse_size(text)


def test_doctor_prints_text_or_json() -> None:
    report = run_json("doctor")
    assert report["ok"] and {"engine", "encoding", "o200k_base"} <= {f["name"] for f in report["findings"]}


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from course_lib.cli import main; sys.argv = ['course', '--help']\n"
        "heavy = {'torch', 'numpy', 'pandas', 'rich'}\n"
        "try: main()\nexcept SystemExit: print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: course") and done.stdout.endswith("[]\n")


def test_the_real_command_fails_without_a_traceback(tmp_path: Path) -> None:
    arguments = ["tokenizer", "encode", "gpt2", str(tmp_path / "none.txt"), str(tmp_path / "out")]
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"course: {tmp_path / 'none.txt'} does not exist\n"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such file names")
def test_names_of_files_need_not_be_utf8(tmp_path: Path, corpus: Path) -> None:
    names = [
        os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xe4" + ending) for ending in (b".txt", b".json", b".bin")
    ]
    text, tokenizer, tokens = map(Path, names)
    text.write_bytes(corpus.read_bytes())
    for arguments in (
        ["tokenizer", "train", text, "--vocab-size", "300", "--out", tokenizer],
        ["tokenizer", "encode", tokenizer, text, tokens],
        ["tokenizer", "decode", tokenizer, tokens, text.with_suffix(".again")],
    ):
        done = subprocess.run([*COMMAND, *map(os.fsencode, arguments), "--json"], capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")
        assert json.loads(done.stdout)["path"] == str(arguments[-1])
    assert text.with_suffix(".again").read_bytes() == corpus.read_bytes()
    missing = os.fsencode(tmp_path / "none") + b"\xff"
    done = subprocess.run(
        [*COMMAND, "tokenizer", "train", missing, "--vocab-size", "300"], capture_output=True
    )
    assert done.returncode == 1 and done.stderr.endswith(b"none\\udcff does not exist\n")


def test_an_output_that_knows_few_letters_gets_escapes(corpus: Path, trained: Path) -> None:
    command = [*COMMAND, "tokenizer", "compare", "学", "--tokenizer", str(trained), "--json"]
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(command, capture_output=True, env=environment)
    assert done.returncode == 0 and json.loads(done.stdout)[0]["text"] == "学"


def test_ctrl_c_ends_with_one_line_and_no_file(tmp_path: Path) -> None:
    arguments = ["corpus", "make", str(tmp_path / "big.txt"), "--bytes", "10GB"]
    with subprocess.Popen([*COMMAND, *arguments], stderr=subprocess.PIPE, text=True) as process:
        try:
            # Python loses an interrupt that comes in the middle of an import: wait until the writing has begun.
            deadline = time.monotonic() + 60
            while not any(path.stat().st_size for path in tmp_path.iterdir()) and time.monotonic() < deadline:
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, errors) == (130, "course: interrupted\n")
    assert not list(tmp_path.iterdir())
