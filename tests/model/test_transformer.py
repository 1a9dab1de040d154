"""The whole model: names, sizes, placements, initialization, cache, what it refuses."""

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from course_lib.model import (
    KVCache,
    ModelConfig,
    RopeScaling,
    TransformerBlock,
    TransformerLM,
    deepnorm_constants,
    gated_width,
)
from course_lib.model.config import GATED_ACTIVATIONS, NORM_PLACEMENTS, PLAIN_ACTIVATIONS

SMALL = ModelConfig(50, 16, 32, 2, 4, 2)

CONFIGS = st.builds(
    ModelConfig,
    vocab_size=st.integers(1, 30),
    context_length=st.just(16),
    d_model=st.just(24),
    num_layers=st.integers(1, 3),
    num_heads=st.just(4),
    num_kv_heads=st.sampled_from([None, 1, 2]),
    d_ff=st.sampled_from([None, 17]),
    norm=st.sampled_from(["rmsnorm", "layernorm"]),
    norm_placement=st.sampled_from(NORM_PLACEMENTS),
    activation=st.sampled_from([*PLAIN_ACTIVATIONS, *GATED_ACTIVATIONS]),
    qk_norm=st.booleans(),
    tie_embeddings=st.booleans(),
    head_dim=st.sampled_from([None, 8]),
    window=st.sampled_from([None, 5]),
    position=st.sampled_from(["rope", "learned", "sinusoidal", "none"]),
    rope_layout=st.sampled_from(["interleaved", "half"]),
)


def ids_for(config: ModelConfig, batch_size: int, length: int) -> torch.Tensor:
    return torch.randint(0, config.vocab_size, (batch_size, length))


@given(CONFIGS, st.integers(1, 15))
def test_any_configuration_runs_learns_and_reads_in_pieces(config: ModelConfig, cut: int) -> None:
    torch.manual_seed(0)  # the same for every try of an example
    model, ids = TransformerLM(config), ids_for(config, 2, 16)
    logits = model(ids)
    assert logits.shape == (2, 16, config.vocab_size)
    scale = max(1.0, logits.detach().abs().max().item())  # large without norms
    torch.testing.assert_close(model(ids[0]), logits[0], atol=1e-4 * scale, rtol=1e-4)
    logits.logsumexp(-1).sum().backward()
    unused = {name for name, p in model.named_parameters() if p.grad is None}
    assert not unused
    cache = KVCache(config, batch_size=2)
    with torch.no_grad():
        parts = [model(ids[:, :cut], cache=cache), model(ids[:, cut:], cache=cache)]
    torch.testing.assert_close(torch.cat(parts, 1), logits.detach(), atol=1e-4 * scale, rtol=1e-4)


@given(CONFIGS)
def test_number_of_parameters_by_formula(config: ModelConfig) -> None:
    model = TransformerLM(config)
    d, v, head = config.d_model, config.vocab_size, config.head_width
    attention = 2 * d * head * (config.num_heads + config.kv_heads) + 2 * head * config.qk_norm
    ffn = (3 if config.is_gated else 2) * d * config.ffn_width
    norms = {"none": 0, "double": 4}.get(config.norm_placement, 2) * d
    total = config.num_layers * (attention + ffn + norms) + d * config.has_final_norm
    tables = v * d + config.context_length * d * (config.position == "learned")
    head_size = 0 if config.tie_embeddings else v * d
    assert model.num_parameters() == total + tables + head_size
    assert model.num_parameters(non_embedding=True) == total + head_size


def test_state_dict_names() -> None:
    layer = [
        *(f"attn.{name}_proj.weight" for name in ("q", "k", "v", "output")),
        "ln1.weight",
        "ln2.weight",
        *(f"ffn.w{i}.weight" for i in (1, 2, 3)),
    ]
    expected = {f"layers.{i}.{name}" for i in range(2) for name in layer}
    state = TransformerLM(SMALL).state_dict()
    assert state.keys() == expected | {"token_embeddings.weight", "ln_final.weight", "lm_head.weight"}
    assert state["layers.0.ffn.w1.weight"].shape == state["layers.0.ffn.w3.weight"].shape == (128, 32)
    assert state["layers.0.ffn.w2.weight"].shape == (32, 128)
    assert state["layers.1.attn.k_proj.weight"].shape == (16, 32)


EQUATIONS: dict[str, Callable[..., torch.Tensor]] = {
    "pre": lambda x, f, ln, _: x + f(ln(x)),
    "post": lambda x, f, ln, _: ln(x + f(x)),
    "double": lambda x, f, ln, ln_post: x + ln_post(f(ln(x))),
    "branch": lambda x, f, ln, _: x + ln(f(x)),
    "deepnorm": lambda x, f, ln, _: ln(4**0.25 * x + f(x)),  # two layers
    "none": lambda x, f, *_: x + f(x),
}


@pytest.mark.parametrize("placement", NORM_PLACEMENTS)
def test_block_by_its_equations(placement: str) -> None:
    block = TransformerBlock(dataclasses.replace(SMALL, norm_placement=placement))
    for name, parameter in block.named_parameters():
        if name.startswith("ln"):
            nn.init.normal_(parameter)
    parts: dict[str, nn.Module] = dict(block.named_children())
    x = torch.randn(2, 5, 32)
    equation = EQUATIONS[placement]
    between = equation(x, parts["attn"], parts.get("ln1"), parts.get("ln1_post"))
    expected = equation(between, parts["ffn"], parts.get("ln2"), parts.get("ln2_post"))
    torch.testing.assert_close(block(x), expected)


def test_deepnorm_starts_smaller() -> None:
    alpha, beta = deepnorm_constants(100)
    assert alpha == pytest.approx(200**0.25) and beta == pytest.approx(800**-0.25)
    config = ModelConfig(50, 16, 128, 100, 4, norm_placement="deepnorm", activation="relu")
    scaled = TransformerBlock(config).state_dict()
    plain = TransformerBlock(dataclasses.replace(config, norm_placement="post")).state_dict()
    for name in scaled:
        expected = beta if name.split(".")[1] in ("v_proj", "output_proj", "w1", "w2") else 1.0
        if not name.startswith("ln"):
            ratio = (scaled[name].std() / plain[name].std()).item()
            assert ratio == pytest.approx(expected, rel=0.05), name


def test_tied_embeddings_are_one_tensor_with_small_logits() -> None:
    model = TransformerLM(dataclasses.replace(SMALL, tie_embeddings=True, vocab_size=1000))
    assert model.token_embeddings.weight is model.lm_head.weight
    assert model(ids_for(SMALL, 2, 16)).std() < 2
    restored = TransformerLM(model.config)
    restored.load_state_dict(model.state_dict())
    assert restored.token_embeddings.weight is restored.lm_head.weight


def test_first_loss_is_that_of_a_uniform_guess() -> None:
    config = ModelConfig(1000, 64, 64, 4, 4)
    ids = ids_for(config, 4, 64)
    loss = nn.functional.cross_entropy(TransformerLM(config)(ids).flatten(0, 1), ids.roll(-1, 1).flatten())
    assert loss.item() == pytest.approx(math.log(1000), rel=0.1)


def test_double_precision_gradients() -> None:
    model, ids = TransformerLM(SMALL).double(), ids_for(SMALL, 1, 8)
    parameter = model.get_parameter("layers.0.ffn.w1.weight")
    model(ids).logsumexp(-1).sum().backward()
    assert parameter.grad is not None
    with torch.no_grad():
        values = []
        for step in (1e-5, -2e-5):
            parameter[3, 4] += step
            values.append(model(ids).logsumexp(-1).sum().item())
    assert parameter.grad[3, 4].item() == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-5)


def test_compiles_to_the_same() -> None:
    model, ids = TransformerLM(SMALL), ids_for(SMALL, 2, 8)
    compiled = torch.compile(model, backend="aot_eager")
    torch.testing.assert_close(compiled(ids), model(ids), atol=1e-5, rtol=1e-4)


def test_config_defaults_and_replacement() -> None:
    assert [f.name for f in dataclasses.fields(ModelConfig)][:14] == [
        *("vocab_size", "context_length", "d_model", "num_layers", "num_heads", "num_kv_heads", "d_ff"),
        *("rope_theta", "norm", "norm_placement", "activation", "qk_norm", "tie_embeddings", "norm_eps"),
    ]
    assert (SMALL.kv_heads, SMALL.head_width, SMALL.ffn_width) == (2, 8, 128)
    assert dataclasses.replace(SMALL, activation="relu", d_model=64).ffn_width == 256
    assert [gated_width(d) for d in (24, 96, 512, 4096)] == [64, 256, 1408, 10944]
    scaled = dataclasses.replace(SMALL, rope_scaling={"type": "linear", "factor": 2})  # type: ignore[arg-type]
    assert scaled.rope_scaling == RopeScaling("linear", 2)
    assert hash(scaled) == hash(dataclasses.replace(scaled))
    with pytest.raises(dataclasses.FrozenInstanceError):
        SMALL.d_model = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_heads": 5}, "num_heads must divide d_model = 32"),
        ({"num_kv_heads": 3}, "num_kv_heads must divide num_heads = 4, not 3"),
        ({"d_model": 36, "num_heads": 4}, "must be even for rotary positions, not 9"),
        ({"norm": "batchnorm"}, "norm must be one of 'rmsnorm', 'layernorm', not 'batchnorm'"),
        ({"norm_placement": "middle"}, "norm_placement must be one of 'pre'.*, not 'middle'"),
        ({"activation": "swish"}, "activation must be one of .*, not 'swish'"),
        ({"position": "alibi"}, "position must be one of .*, not 'alibi'"),
        ({"num_layers": 0}, "num_layers must be at least 1, not 0"),
        ({"norm_eps": -1.0}, "norm_eps must not be negative"),
        ({"rope_theta": 0.0}, "rope_theta must be positive"),
    ],
)
def test_bad_configurations(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **change)  # type: ignore[arg-type]


def test_bad_calls() -> None:
    model = TransformerLM(SMALL)
    with pytest.raises(ValueError, match=r"0 \+ 17 tokens, the context_length of the model is 16"):
        model(torch.zeros(1, 17, dtype=torch.int64))
    cache = model.new_cache(1, 4)
    model(torch.zeros(1, 3, dtype=torch.int64), cache=cache)
    with pytest.raises(ValueError, match=r"3 \+ 2 tokens, the max_seq_len of the cache is 4"):
        model(torch.zeros(1, 2, dtype=torch.int64), cache=cache)
    with pytest.raises(ValueError, match="cache must have 2 layers, not 1"):
        model(torch.zeros(1, 2, dtype=torch.int64), cache=KVCache(dataclasses.replace(SMALL, num_layers=1)))
    with pytest.raises(ValueError, match=r"keys for this cache must have shape \(1, "):
        model(torch.zeros(2, 1, dtype=torch.int64), cache=model.new_cache(1))
    with pytest.raises(ValueError, match=r"\(B, T\) with a cache"):
        model(torch.zeros(2, dtype=torch.int64), cache=model.new_cache(1))
    with pytest.raises(ValueError, match=r"ids must be in 0 … 49, not 50"):
        model(torch.tensor([[50]]))
    with pytest.raises(
        ValueError, match=r"token_ids must be a tensor of int64 \(or int32\), not torch\.float32"
    ):
        model(torch.zeros(1, 3))
    with pytest.raises(TypeError, match=r"token_ids must be a tensor of int64 .*, not list"):
        model([[1, 2]])
    with pytest.raises(ValueError, match=r"token_ids must have shape \(B, T\) or \(T,\)"):
        model(torch.zeros(1, 2, 3, dtype=torch.int64))
