"""The configuration: TOML both ways, and errors that say what was meant."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from course_lib.errors import FormatError
from course_lib.model import ModelConfig
from course_lib.train import TrainConfig

MODEL = ModelConfig(vocab_size=100, context_length=32, d_model=16, num_layers=2, num_heads=2)
CONFIG = TrainConfig(model=MODEL, train_tokens="t.bin")


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        replace(CONFIG, valid_tokens="v.bin", muon_learning_rate=0.02, optimizer="muon", betas=(0.8, 0.99)),
        replace(CONFIG, model=replace(MODEL, num_kv_heads=1, norm="layernorm", window=8)),
        replace(
            CONFIG,
            model=replace(MODEL, rope_scaling={"type": "yarn", "factor": 4.0, "original_max_seq_len": 8}),
        ),
        replace(CONFIG, train_tokens='文本 "quoted" \\ back', directory="a b/c"),
    ],
)
def test_toml_there_and_back(tmp_path: Path, config: TrainConfig) -> None:
    text = config.to_toml(tmp_path / "c.toml")
    assert (tmp_path / "c.toml").read_text(encoding="utf-8") == text
    again = TrainConfig.from_toml(tmp_path / "c.toml")
    assert again == config
    assert again.to_toml() == text


def test_a_short_file_is_enough(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(
        'train_tokens = "t.bin"\nlearning_rate = 1\n'
        "[model]\nvocab_size = 100\ncontext_length = 32\nd_model = 16\nnum_layers = 2\nnum_heads = 2\n"
    )
    assert TrainConfig.from_toml(tmp_path / "c.toml") == replace(CONFIG, learning_rate=1)


def test_a_file_that_windows_wrote_is_read(tmp_path: Path) -> None:
    text = CONFIG.to_toml().replace("\n", "\r\n")
    (tmp_path / "c.toml").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert TrainConfig.from_toml(tmp_path / "c.toml") == CONFIG


def test_no_file_name_holds_a_nul_character() -> None:
    for field in ("train_tokens", "valid_tokens", "tokenizer", "directory"):
        with pytest.raises(ValueError, match=f"{field} holds a NUL character"):
            replace(CONFIG, **{field: "a\0b"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rat": 0.1}, r"unknown key learning_rat; did you mean learning_rate\?"),
        ({"model.n_layers": 3}, r"unknown key model\.n_layers; did you mean model\.num_layers\?"),
        ({"lr": 0.1}, r"unknown key lr; did you mean learning_rate\?"),
        ({"modal": {}}, r"unknown key modal; did you mean model\?"),
        ({"zzzzqqq": 3}, "unknown key zzzzqqq; known are model, train_tokens"),
        ({"steps": "ten"}, "steps must be an integer, not 'ten'"),
        ({"steps": 10.5}, r"steps must be an integer, not 10\.5"),
        ({"tensorboard": 1}, "tensorboard must be true or false, not 1"),
        ({"optimizer": "adam"}, "optimizer must be one of 'adamw', 'muon', not 'adam'"),
        ({"betas": [0.9]}, "betas must be 2 numbers"),
        ({"model.d_model": "wide"}, r"model\.d_model must be an integer"),
        ({"model.num_heads": 3}, "num_heads must divide d_model"),
        ({"context_length": 64}, r"context_length must be at most model\.context_length = 32, not 64"),
        ({"accumulate": 5}, "accumulate must divide batch_size = 32, not 5"),
        ({"warmup_steps": 2000}, "warmup_steps must be at most steps = 1000, not 2000"),
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"clip_norm": -1.0}, "clip_norm must be at least 0"),
        ({"learning_rate": 0.0}, "learning_rate must be greater than 0, not 0.0"),
        (
            {"min_learning_rate_ratio": 2.0},
            "min_learning_rate_ratio must be at least 0 and at most 1, not 2.0",
        ),
        ({"sample_every": 10}, "sample_every needs a tokenizer"),
    ],
)
def test_mistakes_are_named_with_the_file(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    import tomli_w

    plain = CONFIG.to_dict()
    for name, value in change.items():
        if name.startswith("model."):
            plain["model"][name.removeprefix("model.")] = value
        else:
            plain[name] = value
    (tmp_path / "c.toml").write_text(tomli_w.dumps(plain), encoding="utf-8")
    with pytest.raises(FormatError, match=rf"c\.toml: .*{message}"):
        TrainConfig.from_toml(tmp_path / "c.toml")


def test_other_broken_files(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("steps = ")
    with pytest.raises(FormatError, match="not TOML"):
        TrainConfig.from_toml(tmp_path / "c.toml")
    (tmp_path / "c.toml").write_text("steps = 3")
    with pytest.raises(FormatError, match=r"a table \[model\] is needed"):
        TrainConfig.from_toml(tmp_path / "c.toml")
    (tmp_path / "c.toml").write_text('train_tokens = "t"\n[model]\nvocab_size = 3')
    with pytest.raises(FormatError, match=r"the key model\.context_length is missing"):
        TrainConfig.from_toml(tmp_path / "c.toml")
    with pytest.raises(FileNotFoundError):
        TrainConfig.from_toml(tmp_path / "none.toml")


def test_wrong_types_in_python_are_named_too() -> None:
    with pytest.raises(TypeError, match="model must be ModelConfig"):
        TrainConfig(model={}, train_tokens="t")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="train_tokens must be a str"):
        TrainConfig(model=MODEL, train_tokens=Path("t"))  # type: ignore[arg-type]
