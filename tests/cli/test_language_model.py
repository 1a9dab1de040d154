"""The command ``course`` on models: train, generate, account."""

import json
import os
import re
import shlex
from dataclasses import fields, replace
from pathlib import Path

import pytest

from course_lib.accounting import KNOWN_MODELS, flops, kv_cache_bytes, memory, parameters, training_time
from course_lib.model import ModelConfig
from course_lib.train import TrainConfig, read_metrics
from tests.cli.runner import failure, run, run_json


@pytest.fixture(scope="module")
def config_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    text, tokenizer, tokens = folder / "s.txt", folder / "t.json", folder / "s.bin"
    run("corpus", "make", text, "--bytes", "50kB")
    run("tokenizer", "train", text, "--vocab-size", 300, "--out", tokenizer)
    run("tokenizer", "encode", tokenizer, text, tokens)
    config = TrainConfig(
        model=ModelConfig(vocab_size=300, context_length=32, d_model=32, num_layers=1, num_heads=2),
        train_tokens=str(tokens), tokenizer=str(tokenizer), directory=str(folder / "run"), steps=6, batch_size=8,
        warmup_steps=2, threads=1, log_every=2, checkpoint_every=3, device="cpu", tensorboard=False,
    )  # fmt: skip
    config.to_toml(folder / "c.toml")
    return folder / "c.toml"


@pytest.fixture(scope="module")
def trained(config_file: Path) -> Path:
    result = run_json("train", config_file)
    folder = config_file.parent / "run"
    assert result["step"] == 6 and result["checkpoint"] == str(folder / "checkpoints" / "step_00000006")
    assert result["loss"] == read_metrics(folder / "metrics.jsonl")[-1]["loss"]
    return folder


def test_training_again_needs_to_be_told_to_resume(config_file: Path, trained: Path) -> None:
    assert "resume it or choose another directory" in failure("train", config_file)
    assert run_json("train", config_file, "--resume")["step"] == 6
    assert "nats per token" in run("train", config_file, "--resume").stdout


def test_mistakes_in_the_configuration_are_one_line(config_file: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "w.toml"
    wrong.write_text(
        config_file.read_text(encoding="utf-8").replace("batch_size", "batchsize"), encoding="utf-8"
    )
    assert "unknown key batchsize; did you mean batch_size?" in failure("train", wrong)
    assert "does not exist" in failure("train", tmp_path / "none.toml")
    huge = replace(TrainConfig.from_toml(config_file), model=ModelConfig(300, 32, 2**16, 200, 64))
    huge.to_toml(wrong)
    assert "GB are free: a smaller model is needed" in failure("train", wrong)


def test_a_model_continues_a_text(trained: Path) -> None:
    options = ("--prompt", "Once upon", "--tokens", 5)
    made = run_json("generate", trained, *options)
    assert made["text"].startswith("Once upon") and 1 <= made["new_tokens"] <= 5
    assert run_json("generate", trained / "checkpoints" / "step_00000006", *options) == made
    texts = {run_json("generate", trained, *options, "--seed", seed)["text"] for seed in range(4)}
    assert len(texts) > 1
    greedy = [
        run("generate", trained, *options, "--temperature", 0, "--seed", seed).stdout for seed in (1, 2)
    ]
    assert greedy[0] == greedy[1]


def test_a_model_with_a_padded_vocabulary_continues_a_text(config_file: Path, tmp_path: Path) -> None:
    config = TrainConfig.from_toml(config_file)
    padded = replace(
        config, steps=2, directory=str(tmp_path / "run"), model=replace(config.model, vocab_size=3000)
    )
    padded.to_toml(tmp_path / "c.toml")
    run("train", tmp_path / "c.toml")
    for temperature in (0, 1):
        made = run_json("generate", tmp_path / "run", "--prompt", "Once", "--temperature", temperature)
        assert made["text"].startswith("Once")


def test_generate_says_what_is_missing(trained: Path, tmp_path: Path) -> None:
    assert "holds no checkpoint" in failure("generate", tmp_path, "--prompt", "x")
    assert "seed must be at least -2**63 and below 2**64" in failure(
        "generate", trained, "--prompt", "x", "--seed", 2**64
    )
    assert "the prompt is empty" in failure("generate", trained, "--prompt", "")
    assert "the model sees 32" in failure("generate", trained, "--prompt", "long " * 100)


def test_generate_refuses_another_tokenizer(trained: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    run("tokenizer", "train", trained.parent / "s.txt", "--vocab-size", 299, "--out", other)
    message = failure("generate", trained, "--prompt", "Once upon", "--tokenizer", other)
    assert "was trained on tokens of another tokenizer than" in message and "other.json" in message


def test_account_prints_what_the_library_counts(config_file: Path) -> None:
    config = TrainConfig.from_toml(config_file)
    result = run_json("account", config_file, "--flops", "1e9")
    assert result["parameters"]["total"] == parameters(config.model)
    assert result["flops_step"]["total"] == flops(config.model, 8)
    assert result["memory_bytes"]["parts"] == memory(config.model, 8, loss_chunk=1024).parts
    assert result["kv_cache_bytes"] == kv_cache_bytes(config.model, 8)
    seconds = training_time(config.model, 6 * 8 * 32, flops_per_second=1e9)
    assert result["training_seconds"] == pytest.approx(seconds)
    shown = run("account", config_file).stdout
    assert f"{parameters(config.model):,}" in shown and "activations" in shown


def test_account_knows_published_models(tmp_path: Path) -> None:
    known = KNOWN_MODELS["GPT-2 small"].config
    result = json.loads(run("account", "GPT-2 small", "--batch", 4, "--dtype", "mixed", "--json").stdout)
    assert result["memory_bytes"]["total"] == memory(known, 4, dtype="mixed")
    assert "does not exist" in failure("account", tmp_path / "GPT-5")
    for number in ("nan", "inf", "1e400"):
        assert "--tokens must be finite" in run("account", "GPT-2 small", "--tokens", number, status=2).stderr


def test_the_configuration_that_init_writes_trains_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands in its comments are typed, with less text and fewer steps."""
    monkeypatch.chdir(tmp_path)
    assert run_json("train", "--init", "small run.toml") == {"path": "small run.toml"}
    text = Path("small run.toml").read_text(encoding="utf-8")
    commands = [shlex.split(line) for line in re.findall(r"^#   course (.*)$", text, re.MULTILINE)]
    assert [command[0] for command in commands] == [*["corpus"] * 2, *["tokenizer"] * 3, "train", "generate"]
    Path("small run.toml").write_text(
        text.replace("steps = 500", "steps = 2").replace("warmup_steps = 50", "warmup_steps = 1")
        .replace("sample_every = 100", "sample_every = 0"), encoding="utf-8"
    )  # fmt: skip
    for command in commands:
        done = run(*({"10MB": "200kB", "300kB": "20kB"}.get(word, word) for word in command))
    assert done.stdout.startswith("Once upon a time")
    assert run_json("account", "small run.toml")["parameters"]["total"] > 0


def test_the_configuration_that_init_writes_names_every_key(tmp_path: Path) -> None:
    run("train", "--init", tmp_path / "c.toml")
    text = (tmp_path / "c.toml").read_text(encoding="utf-8")
    named = re.findall(r"^(?:# )?(\w+) = ", text, re.MULTILINE)
    expected = [field.name for field in (*fields(TrainConfig)[1:], *fields(ModelConfig))]
    assert fields(TrainConfig)[0].name == "model" and named == expected
    assert TrainConfig.from_toml(tmp_path / "c.toml").valid_tokens == "valid.bin"


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    path, link = tmp_path / "c.toml", tmp_path / "link.toml"
    path.write_text("mine")
    link.symlink_to("elsewhere")
    for taken in (path, link, tmp_path):
        assert "it exists already" in failure("train", "--init", taken)
    assert "the folder" in failure("train", "--init", tmp_path / "none" / "c.toml")
    assert path.read_text() == "mine" and sorted(os.listdir(tmp_path)) == ["c.toml", "link.toml"]


def test_train_takes_a_configuration_or_init(tmp_path: Path) -> None:
    for arguments in ((), (tmp_path / "c.toml", "--init", tmp_path / "d.toml")):
        assert "--init PATH" in run("train", *arguments, status=2).stderr
    assert not list(tmp_path.iterdir())
