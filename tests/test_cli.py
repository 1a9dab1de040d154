"""The command ``course``: what it writes and prints, and how it fails."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from course_lib.cli import app, parse_size
from course_lib.token_file import TokenFile, write_token_file

COMMAND = [sys.executable, "-c", "from course_lib.cli import main; main()"]


def run(*arguments: object, status: int = 0) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == status, result.output
    return result


def run_json(*arguments: object) -> Any:
    return json.loads(run(*arguments, "--json").stdout)


def failure(*arguments: object) -> str:
    """The one line on the standard error of a command that fails."""
    result = run(*arguments, status=1)
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    assert line.startswith("course: ")
    return line


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "stories.txt"
    run("corpus", "make", path, "--bytes", "60kB", "--language", "both")
    return path


@pytest.fixture(scope="module")
def trained(corpus: Path) -> Path:
    path = corpus.with_name("t.json")
    run("tokenizer", "train", corpus, "--vocab-size", 400, "--out", path)
    return path


def test_make_writes_a_corpus_of_the_size_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    result = run_json("corpus", "make", path, "--bytes", "50kB", "--language", "zh", "--seed", 3)
    text = path.read_text(encoding="utf-8")
    assert result["bytes"] == path.stat().st_size
    assert result["stories"] == text.count("<|endoftext|>")
    assert len(text.replace("\n<|endoftext|>\n", "").encode()) >= 50_000
    again = tmp_path / "d.txt"
    run("corpus", "make", again, "--bytes", 50_000, "--language", "zh", "--seed", 3)
    assert again.read_bytes() == path.read_bytes()


def test_a_file_comes_back_from_train_encode_decode(tmp_path: Path, corpus: Path) -> None:
    tokenizer, tokens, text = tmp_path / "t.json", tmp_path / "t.bin", tmp_path / "t.txt"
    made = run_json(
        "tokenizer", "train", corpus, "--vocab-size", 500, "--out", tokenizer, "--pattern", "o200k",
        "--special-token", "<|endoftext|>", "--special-token", "<|end|>", "--threads", 2,
    )  # fmt: skip
    assert made["vocab_size"] == 500 and made["merges"] == 242
    assert made["special_tokens"] == ["<|endoftext|>", "<|end|>"] and made["pattern"] == "o200k"
    encoded = run_json("tokenizer", "encode", tokenizer, corpus, tokens)
    assert encoded["tokens"] == len(TokenFile.open(tokens, verify=True))
    assert encoded["bytes_per_token"] == pytest.approx(corpus.stat().st_size / encoded["tokens"])
    assert run_json("tokenizer", "decode", tokenizer, tokens, text)["bytes"] == corpus.stat().st_size
    assert text.read_bytes() == corpus.read_bytes()


def test_training_names_its_file_after_source_and_size(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = run("tokenizer", "train", corpus, "--vocab-size", 300).stdout
    assert line.startswith("stories.300.tokenizer.json: 300 tokens")
    assert os.listdir(tmp_path) == ["stories.300.tokenizer.json"]
    saved = json.loads((tmp_path / "stories.300.tokenizer.json").read_text())
    assert [entry["content"] for entry in saved["added_tokens"]] == ["<|endoftext|>"]


def test_special_tokens_can_be_left_out(tmp_path: Path, corpus: Path) -> None:
    options = ("--vocab-size", 257, "--out", tmp_path / "t.json", "--no-special-tokens")
    assert run_json("tokenizer", "train", corpus, *options)["special_tokens"] == []


@pytest.mark.filterwarnings("always:no pair is left:UserWarning")
def test_an_early_end_of_training_is_a_warning_line(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("ab ab")
    result = run("tokenizer", "train", tmp_path / "x.txt", "--vocab-size", 999, "--out", tmp_path / "t.json")
    [line] = result.stderr.splitlines()
    assert line.startswith("course: ") and "no pair is left" in line


def test_compare_shows_pieces_and_takes_nothing_for_markup(trained: Path) -> None:
    text = "[bold]学[/bold] <script>"
    shown = run("tokenizer", "compare", text, "--tokenizer", trained).stdout
    assert "[bold]" in shown
    [row] = run_json("tokenizer", "compare", text, "--tokenizer", trained)
    assert row["text"] == text and row["bytes"] == len(text.encode())
    assert len(row["pieces"]) == row["tokens"]
    assert row["bytes_per_token"] == pytest.approx(row["bytes"] / row["tokens"])


def test_compare_reads_files_and_knows_published_names(corpus: Path) -> None:
    rows = run_json("tokenizer", "compare", corpus, "跟我学习语文")
    assert {row["tokenizer"] for row in rows} == {"gpt2", "cl100k_base", "o200k_base", "deepseek"}
    by_name = {row["tokenizer"]: row for row in rows if row["text"] == "跟我学习语文"}
    assert by_name["deepseek"]["pieces"] == ["跟我", "学习", "语文"]
    assert by_name["o200k_base"]["pieces"] == ["跟", "我", "学习", "语", "文"]
    [file_row] = [row for row in rows if row["tokenizer"] == "gpt2" and row["text"] != "跟我学习语文"]
    assert file_row["bytes"] == corpus.stat().st_size and "pieces" not in file_row


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", ["missing.txt", "data/missing", "./a.json"])
def test_compare_says_so_where_a_name_is_taken_for_a_text(trained: Path, name: str) -> None:
    compared = run("tokenizer", "compare", name, "--tokenizer", trained)
    assert compared.stderr.splitlines() == [f"course: there is no file {name}: the name itself is compared"]


@pytest.mark.parametrize(
    "text", ["the end.", "a/b or c", "e.g.", "3.14", "https://a.b/c", "No.1", "und/oder und"]
)
def test_compare_takes_texts_as_they_are(trained: Path, text: str) -> None:
    assert run("tokenizer", "compare", text, "--tokenizer", trained).stderr == ""


def test_bad_input_is_one_line_and_status_one(tmp_path: Path, corpus: Path, trained: Path) -> None:
    out, missing = tmp_path / "out", tmp_path / "missing.txt"
    empty, foreign, truncated = tmp_path / "empty.txt", tmp_path / "foreign.json", tmp_path / "truncated.json"
    empty.touch()
    foreign.write_text('{"a": 1}')
    truncated.write_bytes(trained.read_bytes()[:999])
    train = ("tokenizer", "train", "--vocab-size")
    before = sorted(os.listdir(tmp_path))
    assert "missing.txt does not exist" in failure(*train, 300, missing, "--out", out)
    assert "is a directory" in failure(*train, 300, tmp_path, "--out", out)
    assert "empty" in failure(*train, 300, empty, "--out", out)
    assert "at least 257" in failure(*train, 256, corpus, "--out", out)
    for size in (2**24 + 1, 10**20):
        assert "vocab_size must be at most 16777216" in failure(*train, size, corpus, "--out", out)
    assert "non-empty" in failure(*train, 300, corpus, "--out", out, "--special-token", "")
    assert "twice" in failure(*train, 300, corpus, "--out", out, "--special-token=x", "--special-token=x")
    assert "pattern" in failure(*train, 300, corpus, "--out", out, "--pattern", "(")
    assert "folder" in failure(*train, 300, corpus, "--out", tmp_path / "none" / "out")
    assert "it is a directory" in failure(*train, 300, corpus, "--out", tmp_path)
    assert "does not exist" in failure("tokenizer", "encode", trained, missing, out)
    assert "gpt9 does not exist" in failure("tokenizer", "encode", "gpt9", corpus, out)
    assert "foreign.json: model:" in failure("tokenizer", "encode", foreign, corpus, out)
    assert "not valid JSON" in failure("tokenizer", "encode", truncated, corpus, out)
    assert "it is a directory" in failure("tokenizer", "encode", trained, corpus, tmp_path)
    assert "not a token file" in failure("tokenizer", "decode", trained, corpus, out)
    assert "it is a directory" in failure("corpus", "make", tmp_path, "--bytes", "1kB")
    assert "empty" in failure("tokenizer", "compare", "", "--tokenizer", trained)
    assert "empty.txt is empty" in failure("tokenizer", "compare", empty, "--tokenizer", trained)
    assert sorted(os.listdir(tmp_path)) == before


def test_tokens_of_another_tokenizer_are_not_decoded(tmp_path: Path, trained: Path) -> None:
    import numpy as np

    write_token_file(tmp_path / "t.bin", [np.arange(9)], vocab_size=400, tokenizer_sha256="0" * 64)
    message = failure("tokenizer", "decode", trained, tmp_path / "t.bin", tmp_path / "out")
    assert "encoded with another tokenizer" in message


def test_a_damaged_token_file_is_decoded_to_the_last_place_or_not_at_all(
    tmp_path: Path, corpus: Path, trained: Path
) -> None:
    tokens = tmp_path / "t.bin"
    run("tokenizer", "encode", trained, corpus, tokens)
    with open(tokens, "r+b") as file:
        file.seek(2 * 5001)
        file.write(b"\xff\xff")
    message = failure("tokenizer", "decode", trained, tokens, tmp_path / "out")
    assert "t.bin: token 5001: id 65535 is not below 400: the file is damaged" in message
    assert not (tmp_path / "out").exists()


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


def test_the_published_corpora_are_listed() -> None:
    shown = run("corpus", "list").stdout
    rows = run_json("corpus", "list")
    assert [row["name"] for row in rows] == ["tinystories", "openwebtext-sample"]
    assert all(row["name"] in shown and row["bytes"] > 10**9 for row in rows)


def test_fetch_says_what_it_cannot_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "name must be one of 'tinystories'" in failure("corpus", "fetch", "tiny", "--directory", tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "cannot reach" in failure("corpus", "fetch", "tinystories", "--directory", tmp_path)


@pytest.mark.parametrize(
    "contents", [b"", b"{}", b"[1]", b"\xff", b'{"nbformat": 4, "nbformat_minor": 5}', b"null"]
)
def test_what_is_no_notebook_is_named(tmp_path: Path, contents: bytes) -> None:
    (tmp_path / "n").mkdir()
    (tmp_path / "n" / "broken.ipynb").write_bytes(contents)
    message = failure("exercises", "student", tmp_path / "out", "--notebooks", tmp_path / "n")
    assert "broken.ipynb: not a notebook: " in message and not (tmp_path / "out").exists()


def test_student_copies_hold_no_solutions_and_overwrite_nothing(tmp_path: Path) -> None:
    notebooks = Path(__file__).parents[1] / "notebooks"
    written = run_json("exercises", "student", tmp_path / "class", "--notebooks", notebooks)["paths"]
    assert len(written) == len(list(notebooks.glob("*.ipynb")))
    assert all("BEGIN SOLUTION" not in Path(path).read_text(encoding="utf-8") for path in written)
    assert "is already there" in failure("exercises", "student", tmp_path / "class", "--notebooks", notebooks)
