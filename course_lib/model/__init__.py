"""A Transformer language model from scratch, one concept per file.

Read in this order: functional, linear, norm, activation, ffn, rope, attention, online, cache, block, transformer,
generation, hf. Where a formula is slow as written, its function says so and names the fast form. Kernels
that the layers call are in ``kernels``, one per file.

Whatever a module creates at construction (parameters, tables, a cache without ``device`` or ``dtype``) goes where
torch's own modules would put it: on ``torch.set_default_device``, parameters and caches in
``torch.set_default_dtype``. Results computed later depend only on their inputs.
"""

from course_lib.model.activation import ACTIVATIONS
from course_lib.model.attention import CausalSelfAttention
from course_lib.model.block import TransformerBlock, deepnorm_constants
from course_lib.model.cache import KVCache, LayerCache
from course_lib.model.config import ModelConfig, RopeScaling, gated_width
from course_lib.model.ffn import FFN, GatedFFN, SwiGLU
from course_lib.model.functional import (
    causal_mask,
    layer_norm_reference,
    rms_norm_reference,
    rotate_pairs,
    scaled_dot_product_attention,
    silu,
    softmax,
)
from course_lib.model.generation import sample
from course_lib.model.hf import config_from_hf, from_hf
from course_lib.model.linear import Embedding, Linear
from course_lib.model.norm import LayerNorm, RMSNorm
from course_lib.model.online import online_attention, online_softmax, recomputed_attention
from course_lib.model.position import SinusoidalEmbedding
from course_lib.model.rope import (
    RotaryEmbedding,
    half_to_interleaved,
    interleaved_to_half,
    rotary_frequencies,
)
from course_lib.model.transformer import TransformerLM

__all__ = [
    "ACTIVATIONS",
    "FFN",
    "CausalSelfAttention",
    "Embedding",
    "GatedFFN",
    "KVCache",
    "LayerCache",
    "LayerNorm",
    "Linear",
    "ModelConfig",
    "RMSNorm",
    "RopeScaling",
    "RotaryEmbedding",
    "SinusoidalEmbedding",
    "SwiGLU",
    "TransformerBlock",
    "TransformerLM",
    "causal_mask",
    "config_from_hf",
    "deepnorm_constants",
    "from_hf",
    "gated_width",
    "half_to_interleaved",
    "interleaved_to_half",
    "layer_norm_reference",
    "online_attention",
    "online_softmax",
    "recomputed_attention",
    "rms_norm_reference",
    "rotary_frequencies",
    "rotate_pairs",
    "sample",
    "scaled_dot_product_attention",
    "silu",
    "softmax",
]
