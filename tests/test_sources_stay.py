"""A target that is a source: refused by every command and function, by whatever name, before anything is written."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from course_lib.chapters.ch12_capstone.experiments.capstone import run_anew
from course_lib.errors import FormatError
from course_lib.files import check_not_sources
from course_lib.model import ModelConfig
from course_lib.tokenizer import Tokenizer, train_bpe
from course_lib.tokenizer.byte_alphabet import to_chars
from course_lib.train import TrainConfig, train
from tests.cli.runner import failure, run

ALIASES: dict[str, Callable[[Path, Path], Path]] = {
    "itself": lambda source, _: source,
    "relative": lambda source, _: Path(os.path.relpath(source)),
    "through a folder and back": lambda source, _: source.parent / "sub" / ".." / source.name,
    "symbolic link": lambda source, alias: _linked(alias, lambda: alias.symlink_to(source)),
    "link to a link": lambda source, alias: _linked(
        alias,
        lambda: (
            alias.with_suffix(".link").symlink_to(source),
            alias.symlink_to(alias.with_suffix(".link").name),
        ),
    ),
    "hard link": lambda source, alias: _linked(alias, lambda: alias.hardlink_to(source)),
}


def _linked(alias: Path, make: Callable[[], object]) -> Path:
    make()
    return alias


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A text, a tokenizer, tokens and a configuration, whose names invite mistakes."""
    (tmp_path / "sub").mkdir()
    text = tmp_path / "corpus.txt"
    text.write_text("the cat sat on the mat; the dog sat on the log\n" * 40)
    train_bpe(text, 262).save(tmp_path / "corpus.json")
    Tokenizer.load(tmp_path / "corpus.json").encode_file(text, tmp_path / "corpus.bin")
    config = TrainConfig(
        model=ModelConfig(262, 16, 8, 1, 2), train_tokens=str(tmp_path / "corpus.bin"), steps=2, batch_size=2,
        tokenizer=str(tmp_path / "corpus.json"), directory=str(tmp_path / "run"), threads=1, device="cpu",
        warmup_steps=0, tensorboard=False,
    )  # fmt: skip
    config.to_toml(tmp_path / "corpus.toml")
    monkeypatch.chdir(tmp_path / "sub")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(folder: Path, *arguments: object) -> None:
    before = contents(folder)
    message = failure(*arguments)
    assert "is read here" in message and "would be lost" in message
    assert contents(folder) == before


@pytest.mark.parametrize("alias", ALIASES)
@pytest.mark.parametrize(
    ("command", "source"),
    [
        ("tokenizer train {0}/corpus.txt --vocab-size 262 --out {target}", "corpus.txt"),
        ("tokenizer train {0}/corpus.bin {0}/corpus.txt --vocab-size 262 --out {target}", "corpus.txt"),
        ("tokenizer encode gpt2 {0}/corpus.txt {target}", "corpus.txt"),
        ("tokenizer encode {0}/corpus.json {0}/corpus.txt {target}", "corpus.json"),
        ("tokenizer decode {0}/corpus.json {0}/corpus.bin {target}", "corpus.json"),
        ("tokenizer decode {0}/corpus.json {0}/corpus.bin {target}", "corpus.bin"),
        ("tokenizer decode {0}/corpus.json {0}/corpus.bin {target}", "corpus.bin.json"),
    ],
)
def test_no_command_writes_over_what_it_reads(folder: Path, command: str, source: str, alias: str) -> None:
    target = ALIASES[alias](folder / source, folder / "alias")
    refused(folder, *command.format(folder, target=target).split())


@pytest.mark.parametrize("alias", ALIASES)
def test_nor_do_the_files_that_a_target_brings(folder: Path, alias: str) -> None:
    """The description of ``corpus`` is ``corpus.json``."""
    target = ALIASES[alias](folder / "corpus.json", folder / "t.json").with_suffix("")
    refused(folder, "tokenizer", "encode", folder / "corpus.json", folder / "corpus.txt", target)
    text = ALIASES[alias](folder / "corpus.txt", folder / "u.json")
    if text.suffix == ".json":
        refused(folder, "tokenizer", "encode", "gpt2", folder / "corpus.txt", text.with_suffix(""))


def test_the_name_that_training_chooses_is_no_exception(folder: Path) -> None:
    os.chdir(folder)
    (folder / "corpus.txt").rename("a.262.tokenizer.json")
    Path("a.txt").symlink_to("a.262.tokenizer.json")
    refused(folder, "tokenizer", "train", "a.txt", "--vocab-size", 262)


@pytest.mark.parametrize("alias", ["itself", "symbolic link", "hard link"])
@pytest.mark.parametrize("written", ["metrics.jsonl", "config.toml", "tokenizer.json"])
@pytest.mark.parametrize("read", ["train_tokens", "valid_tokens", "description", "tokenizer", "CONFIG"])
def test_a_run_destroys_nothing_that_it_reads(folder: Path, read: str, written: str, alias: str) -> None:
    own = (read, written) in {("tokenizer", "tokenizer.json"), ("CONFIG", "config.toml")}
    config = TrainConfig.from_toml(folder / "corpus.toml")
    config = replace(config, valid_tokens=str(folder / "valid.bin"))
    Tokenizer.load(folder / "corpus.json").encode_file(folder / "corpus.txt", folder / "valid.bin")
    run_folder = folder / "run"
    run_folder.mkdir()
    names = {"train_tokens": "corpus.bin", "valid_tokens": "valid.bin", "description": "valid.bin.json",
             "tokenizer": "corpus.json", "CONFIG": "corpus.toml"}  # fmt: skip
    source = folder / names[read]
    if alias == "itself" and read != "description":
        described = source.with_name(source.name + ".json")
        if described.exists() and read.endswith("tokens"):
            described.rename(run_folder / f"{written}.json")
        source = source.rename(run_folder / written)
        if read in ("train_tokens", "valid_tokens", "tokenizer"):
            config = replace(config, **{read: str(source)})  # type: ignore[arg-type]
    elif alias == "hard link":
        (run_folder / written).hardlink_to(source)
    else:
        (run_folder / written).symlink_to(source)
    config_file = source if read == "CONFIG" else folder / "corpus.toml"
    text = "# mine\n" + config.to_toml()
    config_file.write_text(text)
    if own:
        before = contents(folder)
        run("train", config_file)
        assert contents(folder).items() >= before.items()
        run("train", config_file, "--resume")
        assert config_file.read_text() == text
    else:
        refused(folder, "train", config_file)
        if read != "CONFIG":
            with pytest.raises(ValueError, match="is read here"):
                train(config, progress=False)


def test_a_run_removes_nothing_that_it_reads(folder: Path) -> None:
    """Of ``checkpoints``, everything but the newest ones is removed."""
    inside = folder / "run" / "checkpoints" / "step_00000000"
    inside.mkdir(parents=True)
    for name in ("corpus.bin", "corpus.bin.json"):
        (folder / name).rename(inside / name)
    config = replace(TrainConfig.from_toml(folder / "corpus.toml"), train_tokens=str(inside / "corpus.bin"))
    config.to_toml(folder / "corpus.toml")
    refused(folder, "train", folder / "corpus.toml")
    (folder / "link").symlink_to(folder / "run")
    replace(config, directory=str(folder / "link")).to_toml(folder / "corpus.toml")
    refused(folder, "train", folder / "corpus.toml")
    before = contents(folder)
    with pytest.raises(ValueError, match="lies in it and would be lost"):
        run_anew(config, progress=False)
    with pytest.raises(ValueError, match="lies in it and would be lost"):
        run_anew(replace(config, directory=str(folder)), progress=False)
    assert contents(folder) == before


def many_names(source: Path) -> Iterator[Path]:
    for number, alias in enumerate(ALIASES.values()):
        yield alias(source, source.with_name(f"alias{number}"))


def test_no_function_writes_over_what_it_reads(folder: Path) -> None:
    text, own = folder / "corpus.txt", folder / "corpus.json"
    trained, loaded = train_bpe(text, 262), Tokenizer.load(own)
    several = train_bpe([own, text], 262)
    for name in many_names(text):
        for write in (
            lambda: trained.save(name),  # noqa: B023
            lambda: several.save(name),  # noqa: B023
            lambda: trained.encode_file(own, name),  # noqa: B023
            lambda: loaded.encode_file(text, name),  # noqa: B023
        ):
            with pytest.raises(ValueError, match=r"cannot write .*: it is read here"):
                write()
    with pytest.raises(ValueError, match=r"cannot write .*corpus\.json: it is read here"):
        loaded.encode_file(text, folder / "corpus")
    trained.save(folder / "mine.json")
    with pytest.raises(ValueError, match=r"cannot write .*mine\.json: it is read here"):
        trained.encode_file(text, folder / "mine")
    before = contents(folder)
    trained.save(folder / "mine.json")
    loaded.save(own)  # a tokenizer.json may be written again
    assert contents(folder) == before


def test_published_formats_are_not_written_over(folder: Path) -> None:
    vocab, merges = folder / "vocab.json", folder / "merges.txt"
    vocab.write_text(json.dumps({to_chars(bytes([byte])): byte for byte in range(256)}))
    merges.write_text("#version: 0.2\n")
    tokenizer = Tokenizer.from_vocab_merges(vocab, merges)
    for path in (vocab, merges):
        with pytest.raises(ValueError, match="it is read here"):
            tokenizer.save(path)
    tokenizer.save(folder / "new.json")


def test_what_does_not_exist_yet_is_nobodys_source(folder: Path) -> None:
    check_not_sources([folder / "new", folder / "corpus.bin"], [folder / "corpus.txt", folder / "none"])
    check_not_sources([], [folder / "corpus.txt"], folders=[folder / "sub", folder / "none"])
    with pytest.raises(FormatError):
        TrainConfig.from_toml(folder / "corpus.txt")
