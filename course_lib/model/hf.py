"""Weights of published Llama-, Mistral- and Qwen3-style models, in Hugging Face's names and order."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from course_lib.errors import FormatError
from course_lib.model.config import ModelConfig, RopeScaling
from course_lib.model.names import plain_names
from course_lib.model.transformer import TransformerLM

MODEL_TYPES = ("llama", "mistral", "qwen3")
_ACTIVATIONS = {"silu": "swiglu", "swish": "swiglu", "gelu": "geglu", "relu": "reglu"}
_LAYER_NAMES = {
    "self_attn.q_proj": "attn.q_proj",
    "self_attn.k_proj": "attn.k_proj",
    "self_attn.v_proj": "attn.v_proj",
    "self_attn.o_proj": "attn.output_proj",
    "self_attn.q_norm": "attn.q_norm",
    "self_attn.k_norm": "attn.k_norm",
    "mlp.gate_proj": "ffn.w1",
    "mlp.down_proj": "ffn.w2",
    "mlp.up_proj": "ffn.w3",
    "input_layernorm": "ln1",
    "post_attention_layernorm": "ln2",
}
_TOP_NAMES = {"embed_tokens": "token_embeddings", "norm": "ln_final", "lm_head": "lm_head"}


def from_hf(state_dict: Mapping[str, Tensor], hf_config: Any) -> TransformerLM:
    """A :class:`TransformerLM` that gives the same logits as the Hugging Face model with these weights.

    Args:
        state_dict: from ``model.state_dict()`` or a safetensors file; the names may begin with ``model.`` and contain
            the parts that torch.compile and parallel wrappers add. One name is enough for tied embeddings. Tensors are
            copied and keep dtype and device.
        hf_config: the model's ``config``, or the contents of its ``config.json`` as a mapping; of type ``llama``,
            ``mistral`` or ``qwen3``.

    Raises:
        ValueError: another type of model, an option that this model does not have (biases, other activations, mixed
            kinds of layers, other rotary scalings), or weights that are missing, left over, or of another shape.
        FormatError: hf_config ties the embeddings, but ``state_dict`` holds two different tensors for them.
    """
    config = config_from_hf(hf_config)
    renamed = {
        _rename(plain): state_dict[name]
        for name, plain in plain_names(state_dict).items()
        if not name.endswith("rotary_emb.inv_freq")
    }
    if config.tie_embeddings:
        _complete_tied(renamed)
    with torch.device("meta"):
        model = TransformerLM(config)
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    missing, left_over = sorted(expected.keys() - renamed.keys()), sorted(renamed.keys() - expected.keys())
    if missing or left_over:
        raise ValueError(f"state_dict does not fit hf_config: missing {missing}, left over {left_over}")
    for name, shape in expected.items():
        if renamed[name].shape != shape:
            raise ValueError(
                f"state_dict does not fit hf_config: {name} must have shape {tuple(shape)}, "
                f"not {tuple(renamed[name].shape)}"
            )
    like = renamed["token_embeddings.weight"]
    model = model.to(like.dtype).to_empty(device=like.device)
    model.load_state_dict(renamed)
    return model


def _complete_tied(weights: dict[str, Tensor]) -> None:
    """Give the one table of tied embeddings both of its names; the file may have either or both."""
    names = ("token_embeddings.weight", "lm_head.weight")
    tables = [weights[name] for name in names if name in weights]
    if len(tables) == 2 and tables[0] is not tables[1] and not torch.equal(*tables):
        raise FormatError(
            "state_dict",
            "lm_head.weight",
            "differs from embed_tokens.weight, but hf_config ties them: it belongs to another model",
        )
    if tables:
        weights.update(dict.fromkeys(names, tables[0]))


def config_from_hf(hf_config: Any) -> ModelConfig:
    """The :class:`ModelConfig` for a Hugging Face config (an object or a mapping). Raises ValueError as `from_hf`."""
    options: dict[str, Any] = dict(hf_config) if isinstance(hf_config, Mapping) else hf_config.to_dict()
    kind = options.get("model_type")
    if kind not in MODEL_TYPES:
        raise ValueError(
            f"model_type of hf_config must be one of {', '.join(map(repr, MODEL_TYPES))}, not {kind!r}"
        )
    for option in ("attention_bias", "mlp_bias"):
        if options.get(option):
            raise ValueError(f"{option} of hf_config must be false: this model has no biases")
    activation = options.get("hidden_act", "silu")
    if activation not in _ACTIVATIONS:
        raise ValueError(
            f"hidden_act of hf_config must be one of {', '.join(_ACTIVATIONS)}, not {activation!r}"
        )
    theta, scaling = _rope(options)
    return ModelConfig(
        vocab_size=options["vocab_size"],
        context_length=options["max_position_embeddings"],
        d_model=options["hidden_size"],
        num_layers=options["num_hidden_layers"],
        num_heads=options["num_attention_heads"],
        num_kv_heads=options.get("num_key_value_heads"),
        d_ff=options["intermediate_size"],
        rope_theta=theta,
        activation=_ACTIVATIONS[activation],
        qk_norm=kind == "qwen3",
        tie_embeddings=bool(options.get("tie_word_embeddings", False)),
        norm_eps=options["rms_norm_eps"],
        head_dim=options.get("head_dim"),
        window=_window(options),
        rope_layout="half",
        rope_scaling=scaling,
    )


def _rope(options: Mapping[str, Any]) -> tuple[float, RopeScaling | None]:
    """Base and scaling: in ``rope_parameters`` since transformers 5, before in ``rope_theta``, ``rope_scaling``."""
    rope = {**(options.get("rope_scaling") or {}), **(options.get("rope_parameters") or {})}
    theta = float(rope.get("rope_theta", options.get("rope_theta", 10000.0)))
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return theta, None
    if kind not in ("linear", "yarn", "llama3"):
        raise ValueError(f"rope_type of hf_config must be default, linear, yarn or llama3, not {kind!r}")
    plain = {"rope_type", "type", "rope_theta", "original_max_position_embeddings"}
    known = ("factor", "beta_fast", "beta_slow", "attention_factor", "low_freq_factor", "high_freq_factor")
    unknown = rope.keys() - plain - set(known)
    if unknown:
        raise ValueError(f"rope scaling of hf_config has options that are not known here: {sorted(unknown)}")
    original = rope.get("original_max_position_embeddings") or options["max_position_embeddings"]
    given = {name: rope[name] for name in known if rope.get(name) is not None}
    return theta, RopeScaling(type=kind, original_max_seq_len=original, **given)


def _window(options: Mapping[str, Any]) -> int | None:
    """The sliding window, where all layers have one."""
    window: int | None = options.get("sliding_window")
    if not options.get("use_sliding_window", True):
        window = None
    kinds = set(options.get("layer_types") or ())
    if len(kinds) > 1:
        raise ValueError(f"layer_types of hf_config must all be the same, not {sorted(kinds)}")
    return None if kinds == {"full_attention"} else window


def _rename(name: str) -> str:
    """model.layers.0.self_attn.q_proj.weight → layers.0.attn.q_proj.weight; unknown names stay as they are."""
    short = name.removeprefix("model.")
    if match := re.fullmatch(r"(layers\.\d+)\.(.+)\.weight", short):
        layer, part = match.groups()
        return f"{layer}.{_LAYER_NAMES.get(part, part)}.weight"
    part = short.removesuffix(".weight")
    return f"{_TOP_NAMES[part]}.weight" if part in _TOP_NAMES and short != part else name
