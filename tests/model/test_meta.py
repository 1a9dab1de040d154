"""Models made on the meta device: nothing that no checkpoint holds may stay undefined, silently."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from course_lib.model import ModelConfig, RotaryEmbedding, SinusoidalEmbedding, TransformerLM
from course_lib.train import load_checkpoint, save_checkpoint

CONFIG = ModelConfig(64, 32, 32, 2, 4, 2, qk_norm=True)
IDS = torch.arange(20).view(2, 10)
CHANGES: list[dict[str, Any]] = [
    {},
    {"rope_scaling": {"type": "linear", "factor": 2.0}},
    {"position": "sinusoidal"},
    {"position": "learned", "norm": "layernorm"},
    {"tie_embeddings": True},
]


def on_meta(config: ModelConfig) -> TransformerLM:
    with torch.device("meta"):
        return TransformerLM(config)


@pytest.mark.parametrize("change", CHANGES)
def test_to_empty_and_load(change: dict[str, Any], tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, **change)
    model = TransformerLM(config)
    save_checkpoint(tmp_path / "checkpoint", model)
    loaded, read = (on_meta(config).to_empty(device="cpu") for _ in range(2))
    loaded.load_state_dict(model.state_dict())
    load_checkpoint(tmp_path / "checkpoint", read)
    for one in (loaded, read):
        assert (one.token_embeddings.weight is one.lm_head.weight) == config.tie_embeddings
        torch.testing.assert_close(one(IDS), model(IDS))


@pytest.mark.parametrize("make", [lambda: RotaryEmbedding(1e4, 8, 16), lambda: SinusoidalEmbedding(16, 8)])
def test_tables_survive_every_move(make: Any) -> None:
    expected = dict(make().named_buffers())
    module = make()
    for table in module.buffers():
        table.fill_(float("nan"))
    for move in (
        lambda m: m.to_empty(device="cpu"),
        lambda m: m.to("meta").to_empty(device="cpu"),
        lambda m: m.half().bfloat16().float(),
    ):
        moved = dict(move(module).named_buffers())
        torch.testing.assert_close(moved, expected, rtol=0, atol=0)
    with torch.no_grad():
        for table in module.buffers():
            table.zero_()
    module.reset_parameters()
    torch.testing.assert_close(dict(module.named_buffers()), expected, rtol=0, atol=0)
    assert all(table.dtype == torch.float64 for table in module.double().buffers())
    assert not module.state_dict()


@pytest.mark.parametrize("position", ["rope", "sinusoidal"])
def test_tables_left_on_meta_are_named(position: str) -> None:
    config = dataclasses.replace(CONFIG, position=position)
    model, source = on_meta(config), TransformerLM(config)
    model.load_state_dict(source.state_dict(), assign=True)
    with pytest.raises(RuntimeError, match=r"have no values yet.*call its reset_parameters"):
        model(IDS)
    for module in model.modules():
        if isinstance(module, RotaryEmbedding | SinusoidalEmbedding):
            module.reset_parameters("cpu")
    torch.testing.assert_close(model(IDS), source(IDS))


def test_every_module_with_parameters_of_its_own_can_reset_them() -> None:
    for change in CHANGES:
        model = on_meta(dataclasses.replace(CONFIG, **change)).to_empty(device="cpu")
        for module in model.modules():
            if any(True for _ in module.parameters(recurse=False)):
                module.reset_parameters()
        assert all(parameter.isfinite().all() for parameter in model.parameters())
        assert model(IDS).isfinite().all()


def test_a_checkpoint_does_not_load_into_nothing(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "checkpoint", TransformerLM(CONFIG))
    with pytest.raises(ValueError, match=r"model is on the meta device.*to_empty"):
        load_checkpoint(tmp_path / "checkpoint", on_meta(CONFIG))
