"""The shape of a model: everything that determines its parameters and its arithmetic."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from course_lib.checks import check_choice, check_positive

NORMS = ("rmsnorm", "layernorm")
NORM_PLACEMENTS = ("pre", "post", "double", "branch", "deepnorm", "none")
PLAIN_ACTIVATIONS = ("relu", "gelu", "gelu_tanh", "silu", "relu2")
# The gated linear units of Shazeer 2020 ("GLU Variants Improve Transformer"), by the activation of their gate.
GATED_ACTIVATIONS = {
    "bilinear": "identity",
    "glu": "sigmoid",
    "reglu": "relu",
    "geglu": "gelu",
    "swiglu": "silu",
}
POSITIONS = ("rope", "learned", "sinusoidal", "none")
ROPE_LAYOUTS = ("interleaved", "half")
ROPE_SCALINGS = ("linear", "ntk", "yarn", "llama3")


@dataclass(frozen=True)
class RopeScaling:
    """How rotary frequencies are changed so that a model reads beyond the length it was trained on.

    Args:
        type: ``"linear"`` position interpolation (Chen et al. 2023): all frequencies divided by ``factor``;
            ``"ntk"`` NTK-aware (bloc97 2023): a larger base, so that the fastest pair keeps its frequency and the
            slowest is divided by ``factor``; ``"yarn"`` (Peng et al. 2023): pairs that turn often within the
            original length keep their frequency, those that turn less than ``beta_slow`` times are interpolated,
            and attention is made sharper; ``"llama3"``: the rule of Llama 3.1, by wavelength.
        factor: new length / original length, at least 1.
        original_max_seq_len: length the model was trained on; needed by ``"yarn"`` and ``"llama3"``.
        beta_fast: YaRN: from this many rotations within the original length a pair keeps its frequency.
        beta_slow: YaRN: up to this many rotations a pair is interpolated.
        attention_factor: YaRN: queries and keys are multiplied by it; default ``0.1 ln(factor) + 1``.
        low_freq_factor: Llama 3: wavelengths above original / ``low_freq_factor`` are interpolated.
        high_freq_factor: Llama 3: wavelengths below original / ``high_freq_factor`` are kept.

    Raises:
        ValueError: an unknown type, a factor below 1, a missing original length, thresholds in the wrong order.
    """

    type: str
    factor: float
    original_max_seq_len: int | None = None
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float | None = None
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0

    def __post_init__(self) -> None:
        check_choice("type of scaling", self.type, ROPE_SCALINGS)
        if not self.factor >= 1:
            raise ValueError(f"factor of scaling must be at least 1, not {self.factor}")
        if self.original_max_seq_len is not None:
            check_positive("original_max_seq_len", self.original_max_seq_len)
        elif self.type in ("yarn", "llama3"):
            raise ValueError(f"scaling of type {self.type!r} needs original_max_seq_len")
        if not self.beta_fast > self.beta_slow > 0:
            raise ValueError(
                f"beta_fast must be greater than beta_slow > 0, not {self.beta_fast} and {self.beta_slow}"
            )
        if not self.high_freq_factor > self.low_freq_factor > 0:
            raise ValueError(
                f"high_freq_factor must be greater than low_freq_factor > 0, "
                f"not {self.high_freq_factor} and {self.low_freq_factor}"
            )


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a decoder-only Transformer language model.

    The defaults are those of Llama (Touvron et al. 2023): RMSNorm before each sublayer, rotary positions, SwiGLU,
    no biases. A field that is ``None`` follows from the others; the properties :attr:`kv_heads`,
    :attr:`ffn_width` and :attr:`head_width` give the resulting value, so that :func:`dataclasses.replace` keeps
    working.

    Args:
        vocab_size: number of tokens, V.
        context_length: longest sequence, T.
        d_model: width of the residual stream, D.
        num_layers: number of blocks, L.
        num_heads: query heads, H; divides ``d_model`` unless ``head_dim`` is given.
        num_kv_heads: key and value heads; divides ``num_heads``. As many as query heads is multi-head attention
            (the default), 1 is multi-query attention, anything between is grouped-query attention.
        d_ff: hidden width of the feed-forward layer. Default: ``4 * d_model`` for a plain activation and 8/3 of
            ``d_model``, rounded up to a multiple of 64, for a gated one, which has three matrices instead of two.
        rope_theta: base of the rotary frequencies.
        norm: ``"rmsnorm"`` or ``"layernorm"`` (without bias).
        norm_placement: with f the sublayer and x the residual stream,
            ``"pre"`` x + f(norm(x)); ``"post"`` norm(x + f(x)); ``"double"`` x + norm(f(norm(x))) (Gemma 2, Grok);
            ``"branch"`` x + norm(f(x)) (OLMo 2); ``"deepnorm"`` norm(alpha x + f(x)) with DeepNet's
            initialization; ``"none"`` x + f(x).
        activation: ``"relu"``, ``"gelu"``, ``"gelu_tanh"``, ``"silu"``, ``"relu2"`` (squared), or gated:
            ``"bilinear"``, ``"glu"``, ``"reglu"``, ``"geglu"``, ``"swiglu"``.
        qk_norm: RMSNorm of each query and key head before the rotation (Dehghani et al. 2023; Qwen3).
        tie_embeddings: one matrix for the token embedding and the output head.
        norm_eps: added to the mean square (the variance) in every norm.
        head_dim: width of a head when it is not ``d_model / num_heads``.
        window: sliding-window attention: a token sees itself and the ``window - 1`` tokens before it.
        position: ``"rope"``, ``"learned"`` or ``"sinusoidal"`` (added to the embedding), or ``"none"``.
        rope_layout: which two features make a pair: ``"interleaved"`` 2i and 2i + 1, as in the RoFormer paper, or
            ``"half"`` i and i + head_dim / 2, as in the weights that Hugging Face distributes.
        rope_scaling: how the frequencies are stretched to a longer context, a :class:`RopeScaling` or a mapping
            of its fields such as ``{"type": "yarn", "factor": 4, "original_max_seq_len": 256}``.

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
    rope_scaling: RopeScaling | None = None

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
        object.__setattr__(self, "rope_scaling", as_rope_scaling(self.rope_scaling))

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


def as_rope_scaling(scaling: RopeScaling | Mapping[str, Any] | None) -> RopeScaling | None:
    """Return ``scaling`` unchanged, or make it from a mapping of its fields, as read from a TOML file."""
    return RopeScaling(**scaling) if isinstance(scaling, Mapping) else scaling
