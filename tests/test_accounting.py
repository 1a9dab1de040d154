"""The formulas against the model itself: its parameters, torch's count of operations, torch's record of memory."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from course_lib.accounting import (
    KNOWN_MODELS,
    Breakdown,
    activation_bytes,
    flops,
    kv_cache_bytes,
    memory,
    parameters,
    training_time,
)
from course_lib.diagnostics import memory_timeline, saved_bytes
from course_lib.loss import cross_entropy, linear_cross_entropy
from course_lib.model import KVCache, ModelConfig, TransformerLM
from course_lib.optim import SGD, AdamW, Muon, param_groups

BASE = ModelConfig(vocab_size=500, context_length=128, d_model=64, num_layers=4, num_heads=4)

VARIANTS: dict[str, dict[str, Any]] = {
    "llama": {},
    "gpt2": {"norm": "layernorm", "activation": "gelu_tanh", "position": "learned", "tie_embeddings": True},
    "post": {"norm_placement": "post"},
    "double": {"norm_placement": "double"},
    "branch": {"norm_placement": "branch", "norm": "layernorm"},
    "no norm": {"norm_placement": "none"},
    "deepnorm": {"norm_placement": "deepnorm", "activation": "relu"},
    "gqa": {"num_kv_heads": 2},
    "mqa": {"num_kv_heads": 1, "num_heads": 8},
    "qk-norm": {"qk_norm": True},
    "window": {"window": 32},
    "relu2": {"activation": "relu2"},
    "reglu": {"activation": "reglu", "d_ff": 100},
    "glu": {"activation": "glu"},
    "geglu": {"activation": "geglu"},
    "silu": {"activation": "silu", "d_ff": 96},
    "tied sinusoidal": {"tie_embeddings": True, "position": "sinusoidal"},
    "wide heads": {"head_dim": 32, "position": "none"},
    "large vocabulary": {"vocab_size": 4000},
    "deep": {"num_layers": 12, "d_model": 32},
    "wide": {"d_model": 256, "num_heads": 8, "num_layers": 2},
}


@pytest.fixture(params=VARIANTS, scope="module")
def config(request: pytest.FixtureRequest) -> ModelConfig:
    return replace(BASE, **VARIANTS[request.param])


def batch_for(config: ModelConfig, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    shape = (2, batch, config.context_length)
    x, y = torch.randint(config.vocab_size, shape, generator=torch.Generator().manual_seed(0))
    return x, y


def test_parameters_are_exact(config: ModelConfig) -> None:
    model = TransformerLM(config)
    counted = parameters(config)
    assert counted == sum(parameter.numel() for parameter in model.parameters())
    assert counted.total == sum(counted.parts.values())
    tables = counted["embedding"] + counted["position"]
    assert counted - tables == model.num_parameters(non_embedding=True) or config.tie_embeddings
    by_name = {
        "attention": ".attn.", "ffn": ".ffn.", "position": "position_embedding", "head": "lm_head", "norms": "ln",
    }  # fmt: skip
    for part, text in by_name.items():
        if part == "head" and config.tie_embeddings:
            continue
        named = [
            (name, p.numel()) for name, p in model.named_parameters() if text in name and "_norm" not in name
        ]
        extra = 2 * config.head_width * config.num_layers if part == "norms" and config.qk_norm else 0
        assert counted[part] == sum(count for _, count in named) + extra, part


def test_operations_are_those_torch_counts(config: ModelConfig) -> None:
    # torch's counter knows neither the course's nor the CPU's fused attention: in float64 with the plain one, the same
    # matrices are multiplied by operations that it knows.
    model = TransformerLM(config).double()
    x, y = batch_for(config, 2)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as forward:
        loss = cross_entropy(model(x), y)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as backward:
        loss.backward()  # type: ignore[no-untyped-call]
    counted = flops(config, 2)
    assert counted.forward == pytest.approx(forward.get_total_flops(), rel=0.01)
    assert counted.backward == pytest.approx(backward.get_total_flops(), rel=0.01)
    assert counted == counted.forward + counted.backward


def test_a_shorter_context_costs_less_than_its_share(config: ModelConfig) -> None:
    whole, half = flops(config, 2), flops(config, 4, config.context_length // 2)
    assert half["ffn"] == whole["ffn"] and half["attention"] * 2 == whole["attention"]


def measured_peak(
    config: ModelConfig,
    batch: int,
    optimizer_for: Callable[[TransformerLM], list[torch.optim.Optimizer]],
    *,
    dtype: str = "float32",
    loss_chunk: int | None = None,
) -> int:
    """Weights, optimizer state, and the most that torch held besides during a step that was not the first."""
    model = TransformerLM(config)
    if dtype == "bfloat16":
        model = model.bfloat16()
    optimizers = optimizer_for(model)
    x, y = batch_for(config, batch)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "mixed"):
            if loss_chunk is None:
                loss = cross_entropy(model(x), y)
            else:
                hidden = model.hidden(x)
                loss = linear_cross_entropy(
                    hidden, model.lm_head.weight.to(hidden.dtype), y, chunk_size=loss_chunk
                )
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()

    step()
    held = [*model.parameters()]
    held += [tensor for optimizer in optimizers for s in optimizer.state.values() for tensor in s.values()]
    peak = int(memory_timeline(step)["bytes"].max())
    return peak + sum(tensor.numel() * tensor.element_size() for tensor in held)


def adamw(model: TransformerLM) -> list[torch.optim.Optimizer]:
    return [AdamW(model.parameters(), lr=1e-3)]


def test_memory_is_within_a_tenth_of_the_measured_peak(config: ModelConfig) -> None:
    assert memory(config, 8) == pytest.approx(measured_peak(config, 8, adamw), rel=0.1)


@pytest.mark.parametrize(
    ("change", "batch", "options"),
    [
        ({"d_model": 256, "num_heads": 8}, 1, {}),  # weights outweigh activations
        ({"d_model": 256, "num_heads": 8, "vocab_size": 4000}, 1, {}),
        ({"vocab_size": 4000}, 8, {"loss_chunk": 64}),
        ({"d_model": 128, "num_layers": 8, "context_length": 256}, 4, {"loss_chunk": 256}),
        ({"vocab_size": 4000, "d_model": 128}, 1, {"loss_chunk": 16, "dtype": "bfloat16"}),
        ({"vocab_size": 4000, "d_model": 128}, 1, {"loss_chunk": 16, "dtype": "mixed"}),
        ({}, 8, {"dtype": "mixed"}),
        ({"activation": "gelu", "norm": "layernorm"}, 8, {"dtype": "mixed"}),
        ({}, 8, {"dtype": "bfloat16"}),
        ({"activation": "gelu", "norm": "layernorm"}, 8, {"dtype": "bfloat16"}),
    ],
)
def test_memory_of_other_steps(change: dict[str, Any], batch: int, options: dict[str, Any]) -> None:
    config = replace(BASE, **change)
    expected = measured_peak(config, batch, adamw, **options)
    assert memory(config, batch, "adamw", **options) == pytest.approx(expected, rel=0.1)


def muon(model: TransformerLM) -> list[torch.optim.Optimizer]:
    return [
        Muon(param_groups(model, part="muon"), lr=0.02),
        AdamW(param_groups(model, part="rest"), lr=1e-3),
    ]


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("muon", muon),
        ("sgd", lambda model: [SGD(model.parameters(), lr=0.1)]),
        ("momentum", lambda model: [SGD(model.parameters(), lr=0.1, momentum=0.9)]),
    ],
)
def test_the_optimizers_state_is_counted(name: Any, make: Any) -> None:
    assert memory(BASE, 8, name) == pytest.approx(measured_peak(BASE, 8, make), rel=0.1)
    states: dict[Any, int] = {"sgd": 0, "momentum": 1, "adam": 2, "adamw": 2}
    if name in states:
        assert memory(BASE, 8, name)["optimizer"] == 4 * states[name] * parameters(BASE)


def test_activations_are_what_autograd_saves(config: ModelConfig) -> None:
    model = TransformerLM(config)
    x, _ = batch_for(config, 4)
    with saved_bytes(model, x) as saved:
        model.hidden(x)
    head_input = 4 * x.numel() * config.d_model
    if config.norm_placement in ("post", "deepnorm", "none"):
        # Nothing but the head keeps the last output.
        assert config.has_final_norm is False
    mask = 4 * config.context_length**2 * config.num_layers if config.window else 0
    assert activation_bytes(config, 4) + mask == pytest.approx(saved.total + head_input, rel=0.03)


def test_gradients_that_wait_for_more_are_counted() -> None:
    once, more = memory(BASE, 8), memory(BASE, 8, accumulate=True)
    assert more - once == more["gradients"] == once["weights"]


@pytest.mark.parametrize("dtype", ["float32", torch.bfloat16])
def test_the_cache_is_as_large_as_the_real_one(config: ModelConfig, dtype: Any) -> None:
    real = KVCache(config, 3, 100, dtype=dtype if isinstance(dtype, torch.dtype) else None)
    assert kv_cache_bytes(config, 3, 100, dtype) == real.num_bytes


@pytest.mark.parametrize("name", KNOWN_MODELS)
def test_published_counts_come_out_exactly(name: str) -> None:
    known = KNOWN_MODELS[name]
    assert parameters(known.config) + known.biases == known.published


def test_the_rule_of_six_flops_a_weight_and_token() -> None:
    config = KNOWN_MODELS["LLaMA 7B"].config
    tokens = config.context_length
    matrices = parameters(config) - parameters(config)["embedding"] - parameters(config)["norms"]
    step = flops(config, 1)
    assert step - step["attention"] == 6 * matrices * tokens


def test_llamas_training_time_is_as_reported() -> None:
    # Touvron et al. 2023, table 15: 7B took 82,432 and 65B 1,022,362 hours of A100 (312 TFLOP/s in bfloat16).
    for name, hours in (("LLaMA 7B", 82_432), ("LLaMA 65B", 1_022_362)):
        model = KNOWN_MODELS[name]
        assert model.training_tokens is not None
        seconds = training_time(model.config, model.training_tokens, flops_per_second=312e12, mfu=0.5)
        assert 0.8 < seconds / 3600 / hours < 1.2


@given(st.dictionaries(st.text(min_size=1), st.integers(0, 2**60), max_size=5))
def test_a_breakdown_is_an_integer_with_parts(parts: dict[str, int]) -> None:
    made = Breakdown(parts)
    assert made == sum(parts.values()) and made + 1 == sum(parts.values()) + 1
    for copied in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert copied == made and copied.parts == parts
    if made:
        assert sum(made.share(name) for name in parts) == pytest.approx(1)
    with pytest.raises(KeyError, match="no part"):
        made[""]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: flops(BASE, 1, 129), "context_length must be in 1 … 128, that of the model, not 129"),
        (lambda: memory(BASE, 1, "lion"), "optimizer must be one of .*'muon'.* not 'lion'"),  # type: ignore[arg-type]
        (lambda: memory(BASE, 1, dtype="int8"), "dtype must be one of .*'mixed', not 'int8'"),
        (lambda: training_time(BASE, 10, flops_per_second=1e9, mfu=1.5), "mfu"),
        (lambda: training_time(BASE, 10, flops_per_second=0), "flops_per_second"),
        (lambda: training_time(BASE, -1, flops_per_second=1), "tokens"),
    ],
)
def test_bad_arguments_are_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
