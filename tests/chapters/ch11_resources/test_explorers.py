"""Chapter 11's calculator agrees with course_lib.accounting."""

import pytest

from course_lib import show
from course_lib.accounting import KNOWN_MODELS, flops, kv_cache_bytes, memory, parameters
from course_lib.chapters.ch11_resources import explorers, pictures
from course_lib.model import ModelConfig


def test_durations_have_the_unit_that_suits_them() -> None:
    assert [explorers.seconds_text(s) for s in (30, 90, 7200, 2 * 86_400, 3.156e8)] == [
        "30 seconds",
        "1.5 minutes",
        "2.0 hours",
        "2.0 days",
        "10.0 years",
    ]


def widths(explorer: show.Explorer) -> list[float]:
    return [float(bar.get_width()) for bar in explorer.figure.axes[0].patches]  # type: ignore[attr-defined]


def test_the_calculator_is_accounting() -> None:
    explorer = explorers.resource_calculator()
    for name, value in {"d_model": 4096, "num_layers": 32, "group": 4, "context": 2048, "batch": 2}.items():
        explorer.controls[name].value = value
    config = ModelConfig(50257, 2048, 4096, 32, 32, 8)
    counted, step, held = parameters(config), flops(config, 2), memory(config, 2)
    expected = [
        total.share(part)
        for total, parts in (
            (counted, ("embedding", "attention", "ffn", "norms", "head")),
            (step, ("projections", "attention", "ffn", "head")),
            (held, ("weights", "gradients", "optimizer", "activations", "loss")),
        )
        for part in parts
    ]
    assert widths(explorer) == pytest.approx(expected)
    assert f"{pictures.billions(counted)} parameters; {pictures.count_text(step)[:-1]} TFLOP" in explorer.alt
    assert (
        f"{kv_cache_bytes(config, 1, 2048, 'bfloat16') / 1e6:.0f} MB for a sequence of 2,048" in explorer.alt
    )


def test_the_calculator_counts_published_models() -> None:
    explorer = explorers.resource_calculator()
    for name, value in {"ffn": ("gelu", 4.0), "tied": True}.items():
        explorer.controls[name].value = value
    without_biases = 50257 * 768 + 12 * (12 * 768**2 + 2 * 768) + 768
    assert without_biases == pytest.approx(KNOWN_MODELS["GPT-2 small"].published, rel=0.01)
    assert explorer.alt.startswith(f"{without_biases / 1e6:.0f}M parameters")
    llama = {
        "d_model": 4096,
        "num_layers": 32,
        "group": 4,
        "vocab_size": 128256,
        "ffn": ("swiglu", 3.5),
        "tied": False,
    }
    for name, value in llama.items():
        explorer.controls[name].value = value
    assert explorer.alt.startswith(f"{KNOWN_MODELS['Llama 3 8B'].published / 1e9:.1f}B parameters")
    assert "feed-forward 14,336" in explorer.alt


def test_the_calculators_heads_divide() -> None:
    explorer = explorers.resource_calculator()
    explorer.controls["group"].value = 8  # 12 heads do not make groups of 8, but of 6
    assert "12 query and 2 KV heads of 64" in explorer.alt
    for width in explorer.controls["d_model"].options:
        explorer.controls["d_model"].value = width[1]


def test_more_tokens_and_lower_utilization_take_longer() -> None:
    explorer = explorers.resource_calculator()
    explorer.controls["tokens"].value = 5
    assert "1.5 hours on one device" in explorer.alt
    explorer.controls["mfu"].value = 0.1
    assert "6.2 hours on one device" in explorer.alt
