"""Published weights: the same logits and the same text as transformers, on random weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_model
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from course_lib.errors import FormatError
from course_lib.model import config_from_hf, from_hf

SIZES: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.15,  # so that logits are large and attention is sharp
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
ROPE = {"rope_theta": 500.0, "original_max_position_embeddings": 16}
MODELS = {
    "llama": (LlamaForCausalLM, LlamaConfig(**SIZES)),
    "llama tied": (LlamaForCausalLM, LlamaConfig(**SIZES, tie_word_embeddings=True)),
    "llama mha": (LlamaForCausalLM, LlamaConfig(**{**SIZES, "num_key_value_heads": 4})),
    "llama linear": (
        LlamaForCausalLM,
        LlamaConfig(**SIZES, rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0}),
    ),
    "llama 3": (
        LlamaForCausalLM,
        LlamaConfig(
            **SIZES,
            rope_parameters={
                **ROPE,
                "rope_type": "llama3",
                "factor": 4.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
            },
        ),
    ),
    "llama yarn": (
        LlamaForCausalLM,
        LlamaConfig(**SIZES, rope_parameters={**ROPE, "rope_type": "yarn", "factor": 4.0}),
    ),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(**SIZES, head_dim=24)),
    "qwen3 tied": (Qwen3ForCausalLM, Qwen3Config(**SIZES, head_dim=16, tie_word_embeddings=True)),
    "mistral window": (MistralForCausalLM, MistralConfig(**SIZES, sliding_window=7)),
}


@pytest.fixture(params=MODELS)
def theirs(request: pytest.FixtureRequest) -> PreTrainedModel:
    kind, config = MODELS[request.param]
    torch.manual_seed(0)
    model: PreTrainedModel = kind(config).eval()
    for name, parameter in model.named_parameters():
        if "norm" in name:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    return model


def test_logits_with_and_without_cache(theirs: PreTrainedModel) -> None:
    ours = from_hf(theirs.state_dict(), theirs.config)
    ids = torch.randint(0, 97, (2, 48), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = theirs(ids).logits
        assert expected.abs().max() > 1
        torch.testing.assert_close(ours(ids), expected, atol=1e-4, rtol=0)
        cache = ours.new_cache(2)
        parts = [
            ours(ids[:, start:end], cache=cache) for start, end in ((0, 20), (20, 21), (21, 30), (30, 48))
        ]
        torch.testing.assert_close(torch.cat(parts, 1), expected, atol=1e-4, rtol=0)


def test_gradients(theirs: PreTrainedModel) -> None:
    ours = from_hf(theirs.state_dict(), theirs.config.to_dict())
    ids = torch.randint(0, 97, (2, 24), generator=torch.Generator().manual_seed(2))
    for model in (ours, theirs):
        out = model(ids)
        logits = out if isinstance(out, torch.Tensor) else out.logits
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids.roll(-1, 1).flatten()).backward()
    expected = theirs.get_parameter("model.layers.0.self_attn.k_proj.weight").grad
    torch.testing.assert_close(
        ours.get_parameter("layers.0.attn.k_proj.weight").grad, expected, atol=1e-4, rtol=1e-3
    )


def test_greedy_text(theirs: PreTrainedModel) -> None:
    ours = from_hf(theirs.state_dict(), theirs.config)
    prompt = torch.randint(0, 97, (2, 10), generator=torch.Generator().manual_seed(3))
    expected = theirs.generate(prompt, max_new_tokens=20, do_sample=False)
    assert torch.equal(ours.generate(prompt, 20, temperature=0), expected)


def test_names_without_prefix_and_dtype() -> None:
    kind, config = MODELS["llama tied"]
    base = kind(config).model.bfloat16()
    model = from_hf(base.state_dict(), config)
    assert model.lm_head.weight.dtype == torch.bfloat16
    assert model(torch.tensor([[1, 2]])).dtype == torch.bfloat16


@pytest.mark.parametrize("kept", ["lm_head.weight", "model.embed_tokens.weight"])
def test_one_name_of_tied_embeddings_is_enough(kept: str) -> None:
    """safetensors' save_model keeps one name of a tensor that has two, the first in the alphabet."""
    kind, config = MODELS["qwen3 tied"]
    theirs = kind(config).eval()
    state = theirs.state_dict()
    other = {"lm_head.weight", "model.embed_tokens.weight"} - {kept}
    ours = from_hf({name: tensor for name, tensor in state.items() if name not in other}, config)
    ids = torch.arange(20)[None]
    with torch.no_grad():
        torch.testing.assert_close(ours(ids), theirs(ids).logits, atol=1e-4, rtol=0)
    assert ours.lm_head.weight is ours.token_embeddings.weight
    neither = {name: tensor for name, tensor in state.items() if name not in {kept, *other}}
    with pytest.raises(ValueError, match=r"missing \['lm_head\.weight', 'token_embeddings\.weight'\]"):
        from_hf(neither, config)
    untied = {**config.to_dict(), "tie_word_embeddings": False}
    with pytest.raises(ValueError, match="missing"):
        from_hf({kept: state[kept], **neither}, untied)


def test_a_file_written_by_save_model_is_read(tmp_path: Path) -> None:
    kind, config = MODELS["llama tied"]
    theirs = kind(config)
    save_model(theirs, str(tmp_path / "model.safetensors"))
    ours = from_hf(load_file(tmp_path / "model.safetensors"), config)
    assert torch.equal(ours.lm_head.weight, theirs.lm_head.weight)


def test_untied_weights_are_refused_by_a_tied_config() -> None:
    kind, config = MODELS["llama tied"]
    state = dict(kind(config).state_dict())
    from_hf({**state, "lm_head.weight": state["lm_head.weight"].clone()}, config)  # equal: no harm
    state["lm_head.weight"] = state["lm_head.weight"] + 0.01
    with pytest.raises(
        FormatError, match=r"lm_head\.weight: differs from embed_tokens\.weight.*hf_config ties"
    ):
        from_hf(state, config)


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "_orig_mod.module.", "module._orig_mod."])
def test_names_that_wrappers_made_are_understood(prefix: str) -> None:
    kind, config = MODELS["qwen3"]
    state = kind(config).state_dict()
    ours = from_hf({prefix + name: tensor for name, tensor in state.items()}, config)
    assert torch.equal(ours.layers[2].ffn.w3.weight, state["model.layers.2.mlp.up_proj.weight"])


def test_what_does_not_fit_is_named() -> None:
    kind, config = MODELS["qwen3"]
    state = kind(config).state_dict()
    missing = {name: tensor for name, tensor in state.items() if name != "model.layers.1.mlp.up_proj.weight"}
    with pytest.raises(ValueError, match=r"missing \['layers\.1\.ffn\.w3\.weight'\], left over \[\]"):
        from_hf(missing, config)
    with pytest.raises(ValueError, match=r"left over \['model\.extra\.weight'\]"):
        from_hf({**state, "model.extra.weight": torch.zeros(1)}, config)
    wrong = {**state, "model.norm.weight": torch.zeros(3)}
    with pytest.raises(ValueError, match=r"ln_final\.weight must have shape \(64,\), not \(3,\)"):
        from_hf(wrong, config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"model_type": "gpt2"},
            "model_type of hf_config must be one of 'llama', 'mistral', 'qwen3', not 'gpt2'",
        ),
        ({"attention_bias": True}, "attention_bias of hf_config must be false"),
        ({"hidden_act": "tanh"}, "hidden_act of hf_config must be one of silu.*, not 'tanh'"),
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, "rope_type .* not 'dynamic'"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "layer_types .* must all be the same"),
        (
            {"rope_parameters": {"rope_type": "yarn", "factor": 2.0, "mscale": 2.0}},
            r"options that are not known here: \['mscale'\]",
        ),
    ],
)
def test_unsupported_options(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config_from_hf({**MODELS["qwen3"][1].to_dict(), **change})


def test_config_of_older_files() -> None:
    """Before version 5 the base stood beside ``rope_scaling``."""
    options = MODELS["llama"][1].to_dict()
    del options["rope_parameters"]
    config = config_from_hf(
        {**options, "rope_theta": 500.0, "rope_scaling": {"type": "linear", "factor": 2.0}}
    )
    assert config.rope_theta == 500.0
    assert config.rope_scaling is not None and config.rope_scaling.factor == 2.0
