"""The shape of a model: everything that decides its parameters and its arithmetic, and nothing else."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

NORMS = ("rmsnorm", "layernorm")
NORM_PLACEMENTS = ("pre", "post", "double", "branch", "deepnorm", "none")
PLAIN_ACTIVATIONS = ("relu", "gelu", "gelu_tanh", "silu", "relu2")
# The gated linear units of Shazeer 2020 ("GLU Variants Improve Transformer"), by the activation of their gate.
GATED_ACTIVATIONS = {"glu": "sigmoid", "reglu": "relu", "geglu": "gelu", "swiglu": "silu"}
POSITIONS = ("rope", "learned", "sinusoidal", "none")
ROPE_LAYOUTS = ("interleaved", "half")


def check_choice(name: str, value: object, allowed: Collection[str]) -> None:
    """Raise ValueError, with what is allowed, unless ``value`` is one of ``allowed``."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, not {value!r}")


def check_positive(name: str, value: object) -> None:
    """Raise TypeError unless ``value`` is an integer, ValueError unless it is at least 1."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")


@dataclass(frozen=True)
class ModelConfig:
    """What a decoder-only Transformer language model looks like.

    The defaults are those of Llama (Touvron et al. 2023): RMSNorm before each sublayer, rotary positions, SwiGLU,
    no biases. A field that is ``None`` follows from the others; the properties :attr:`kv_heads`,
    :attr:`ffn_width` and :attr:`head_width` say what to, so that :func:`dataclasses.replace` keeps working.

    Args:
        vocab_size: number of tokens, V.
        context_length: longest sequence, T.
        d_model: width of the residual stream, D.
        num_layers: number of blocks, L.
        num_heads: query heads, H; divides ``d_model`` unless ``head_dim`` is given.
        num_kv_heads: key and value heads; divides ``num_heads``. As many as query heads is multi-head attention
            (the default), 1 is multi-query attention, between them grouped-query attention.
        d_ff: hidden width of the feed-forward layer. Default: ``4 * d_model`` for a plain activation and 8/3 of
            ``d_model``, rounded up to a multiple of 64, for a gated one, which has three matrices instead of two.
        rope_theta: base of the rotary frequencies.
        norm: ``"rmsnorm"`` or ``"layernorm"`` (without bias).
        norm_placement: with f the sublayer and x the residual stream,
            ``"pre"`` x + f(norm(x)); ``"post"`` norm(x + f(x)); ``"double"`` x + norm(f(norm(x))) (Gemma 2, Grok);
            ``"branch"`` x + norm(f(x)) (OLMo 2); ``"deepnorm"`` norm(alpha x + f(x)) with DeepNet's
            initialization; ``"none"`` x + f(x).
        activation: ``"relu"``, ``"gelu"``, ``"gelu_tanh"``, ``"silu"``, ``"relu2"`` (squared), or gated:
            ``"glu"``, ``"reglu"``, ``"geglu"``, ``"swiglu"``.
        qk_norm: RMSNorm of each query and key head before the rotation (Dehghani et al. 2023; Qwen3).
        tie_embeddings: one matrix for the token embedding and the output head.
        norm_eps: added to the mean square (the variance) in every norm.
        head_dim: width of a head when it is not ``d_model / num_heads``.
        window: sliding-window attention: a token sees itself and the ``window - 1`` tokens before it.
        position: ``"rope"``, ``"learned"`` or ``"sinusoidal"`` (added to the embedding), or ``"none"``.
        rope_layout: which two features make a pair: ``"interleaved"`` 2i and 2i + 1, as in the RoFormer paper, or
            ``"half"`` i and i + head_dim / 2, as in the weights that Hugging Face distributes.
        rope_scaling: how to stretch the context, for example ``{"type": "yarn", "factor": 4.0,
            "original_max_seq_len": 256}``; see :class:`course_lib.model.RotaryEmbedding`.

    Raises:
        TypeError: a size is not an integer.
        ValueError: a size is not positive, heads do not divide, or an option is unknown.
    """

    vocab_size: int
    context_length: int
    d_model: int
    num_layers: int
    num_heads: int
    num_kv_heads: int | None = None
    d_ff: int | None = None
    rope_theta: float = 10000.0
    norm: str = "rmsnorm"
    norm_placement: str = "pre"
    activation: str = "swiglu"
    qk_norm: bool = False
    tie_embeddings: bool = False
    norm_eps: float = 1e-5
    head_dim: int | None = None
    window: int | None = None
    position: str = "rope"
    rope_layout: str = "interleaved"
    rope_scaling: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name in ("vocab_size", "context_length", "d_model", "num_layers", "num_heads"):
            check_positive(name, getattr(self, name))
        for name in ("num_kv_heads", "d_ff", "head_dim", "window"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))
        check_choice("norm", self.norm, NORMS)
        check_choice("norm_placement", self.norm_placement, NORM_PLACEMENTS)
        check_choice("activation", self.activation, (*PLAIN_ACTIVATIONS, *GATED_ACTIVATIONS))
        check_choice("position", self.position, POSITIONS)
        check_choice("rope_layout", self.rope_layout, ROPE_LAYOUTS)
        if self.head_dim is None and self.d_model % self.num_heads:
            raise ValueError(
                f"num_heads must divide d_model = {self.d_model} (or head_dim be given), not {self.num_heads}"
            )
        if self.num_heads % self.kv_heads:
            raise ValueError(
                f"num_kv_heads must divide num_heads = {self.num_heads}, not {self.num_kv_heads}"
            )
        if self.position == "rope" and self.head_width % 2:
            raise ValueError(f"the width of a head must be even for rotary positions, not {self.head_width}")
        if not self.rope_theta > 0:
            raise ValueError(f"rope_theta must be positive, not {self.rope_theta}")
        if not self.norm_eps >= 0:
            raise ValueError(f"norm_eps must not be negative, not {self.norm_eps}")

    @property
    def kv_heads(self) -> int:
        """Number of key and value heads: ``num_kv_heads``, else ``num_heads``."""
        return self.num_heads if self.num_kv_heads is None else self.num_kv_heads

    @property
    def head_width(self) -> int:
        """Features of a head: ``head_dim``, else ``d_model / num_heads``."""
        return self.d_model // self.num_heads if self.head_dim is None else self.head_dim

    @property
    def is_gated(self) -> bool:
        """Whether the feed-forward layer is a gated linear unit, with three matrices."""
        return self.activation in GATED_ACTIVATIONS

    @property
    def ffn_width(self) -> int:
        """Hidden width of the feed-forward layer: ``d_ff``, else the default for the activation."""
        if self.d_ff is not None:
            return self.d_ff
        return gated_width(self.d_model) if self.is_gated else 4 * self.d_model

    @property
    def has_final_norm(self) -> bool:
        """Whether ``ln_final`` exists: where the last block does not end in a norm, and norms are used at all."""
        return self.norm_placement in ("pre", "double", "branch")


def gated_width(d_model: int, multiple_of: int = 64) -> int:
    """The width that gives a gated layer the parameters of a plain one of width 4 d: 8/3 d, rounded up.

    Three matrices of 8/3 d^2 weigh what two of 4 d^2 do (Shazeer 2020, section 3). Rounding up to a multiple of 64
    keeps matrix products on whole tiles.
    """
    exact = (8 * d_model + 2) // 3
    return -(-exact // multiple_of) * multiple_of
