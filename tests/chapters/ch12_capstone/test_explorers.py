"""Chapter 12's live picture follows the run, and the menu of changes its choices."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from course_lib.chapters.ch12_capstone import explorers
from course_lib.model import ModelConfig, TransformerLM
from course_lib.train import TrainConfig, TrainState

CONFIG = TrainConfig(
    model=ModelConfig(vocab_size=64, context_length=8, d_model=16, num_layers=2, num_heads=2),
    train_tokens="tokens.bin",
    steps=10,
    batch_size=4,
    warmup_steps=1,
)


BASELINES = pd.DataFrame({"name": ["gzip"], "bits_per_byte": [2.0]})


def states(count: int) -> list[TrainState]:
    model = TransformerLM(CONFIG.model)
    result = []
    for step in range(1, count + 1):
        model.zero_grad()
        model(torch.zeros(1, 4, dtype=torch.long)).square().sum().backward()
        record: dict[str, Any] = {"step": step}
        if step % 2 == 0:
            record |= {"valid_bits_per_byte": 1.0 + step, "sample": f"sample {step}"}
        result.append(TrainState(step, float(step), 0.1, 5.0, model, record))
    return result


def test_the_live_picture_follows_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    updated: list[Any] = []

    def display(value: Any, display_id: bool) -> Any:
        assert display_id
        shown.append(value._repr_mimebundle_()[0]["image/png"])
        return SimpleNamespace(update=lambda value: updated.append(value._repr_mimebundle_()[0]))

    monkeypatch.setattr(explorers, "display", display)
    monkeypatch.setattr(explorers, "_SECONDS_BETWEEN_FRAMES", 0.0)
    live = explorers.LiveTraining(CONFIG, bytes_per_token=2.0, baselines=BASELINES)
    with live:
        for state in states(4):
            frames = live.frames
            live(state)
            assert live.frames == frames + 1
    assert [tokens for tokens, _ in live.training] == [32, 64, 96, 128]
    # The mean of the losses so far, 1 … 4 nats per token, in bits per byte.
    assert live.training[-1][1] == pytest.approx(2.5 / np.log(2) / 2)
    assert live.held_out == [(64, 3.0), (128, 5.0)]
    assert list(live.norms) == ["embeddings", "head", "layer 0", "layer 1"]
    # The norms of the parts make up the norm before clipping, which the run reported.
    assert np.sqrt(sum(curve[-1][1] ** 2 for curve in live.norms.values())) == pytest.approx(5.0)
    (last,) = updated
    assert last["image/png"] != shown[0] and "sample 4" in last["text/plain"]
    assert last["application/vnd.jupyter.widget-view+json"]["model_id"] == live._image.model_id


def test_between_two_frames_nothing_is_drawn_and_the_last_state_always_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        explorers, "display", lambda value, display_id: SimpleNamespace(update=lambda value: None)
    )
    monkeypatch.setattr(explorers, "_SECONDS_BETWEEN_FRAMES", 1e9)
    live = explorers.LiveTraining(CONFIG, bytes_per_token=2.0, baselines=BASELINES)
    with live:
        for state in states(4):
            live(state)
        assert live.frames == 1 and len(live.training) == 4
        assert live._image.tooltip.startswith("A training run that has not begun")
    assert live.frames == 2 and live._image.tooltip.startswith("After 128 tokens")


def test_a_choice_from_the_menu_is_run_and_placed_beside_the_stored_runs() -> None:
    stored = pd.DataFrame(
        [
            (change, seed, base + seed / 100)
            for change, base in (("none", 1.0), ("x", 1.5))
            for seed in (0, 1)
        ],
        columns=["change", "seed", "bits_per_byte"],
    )
    asked = []

    def measure(change: str, seeds: tuple[int, ...]) -> pd.DataFrame:
        asked.append((change, seeds))
        return pd.DataFrame({"bits_per_byte": [1.4]})

    menu = explorers.ablation_explorer(stored, measure, baseline="none", start="x")
    assert asked == [("x", (0,))] and menu.result == 1.4
    assert "x, seed 0: 1.400 bits per byte, +0.395" in menu.alt and "1.505" in menu.alt
    menu.controls["seed"].value = 1
    menu.controls["change"].value = "none"
    assert asked[1:] == [("x", (1,)), ("none", (1,))]
    dot = menu.figure.axes[0].get_lines()[-1]
    assert (np.asarray(dot.get_xdata()).tolist(), np.asarray(dot.get_ydata()).tolist()) == ([1.4], [0])
