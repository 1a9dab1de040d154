"""Parameters, floating-point operations, and the time they take."""

from course_lib.accounting.breakdown import Breakdown
from course_lib.model import ModelConfig


def parameters(config: ModelConfig) -> Breakdown:
    """The numbers that a :class:`~course_lib.model.TransformerLM` of this shape learns, by part.

    Parts: ``embedding`` (V D), ``position`` (learned positions only), ``attention``, ``ffn``, ``norms``, and ``head``
    (V D, or 0 where it is the embedding table). Equals ``sum(p.numel() for p in model.parameters())``.
    """
    d, table = config.d_model, config.vocab_size * config.d_model
    gains = config.num_layers * _norms_a_layer(config) * d + (d if config.has_final_norm else 0)
    if config.qk_norm:
        gains += config.num_layers * 2 * config.head_width
    return Breakdown(
        {
            "embedding": table,
            "position": config.context_length * d if config.position == "learned" else 0,
            "attention": config.num_layers * attention_weights(config),
            "ffn": config.num_layers * ffn_weights(config),
            "norms": gains,
            "head": 0 if config.tie_embeddings else table,
        }
    )


def attention_weights(config: ModelConfig) -> int:
    """Weights of one layer's four projections: queries and output D x H d each, keys and values D x H_kv d each."""
    return 2 * config.d_model * config.head_width * (config.num_heads + config.kv_heads)


def ffn_weights(config: ModelConfig) -> int:
    """Weights of one feed-forward layer: two matrices of D x F, or three when it is gated."""
    return (3 if config.is_gated else 2) * config.d_model * config.ffn_width


def _norms_a_layer(config: ModelConfig) -> int:
    return {"none": 0, "double": 4}.get(config.norm_placement, 2)


class Flops(Breakdown):
    """Operations of one training step, by part: one third in the forward pass, two thirds in the backward pass."""

    @property
    def forward(self) -> Breakdown:
        """The forward pass alone, by part."""
        return Breakdown({name: count // 3 for name, count in self.parts.items()})

    @property
    def backward(self) -> Breakdown:
        """The backward pass alone, by part."""
        return Breakdown({name: count // 3 * 2 for name, count in self.parts.items()})


def flops(config: ModelConfig, batch: int = 1, context_length: int | None = None) -> Flops:
    """Floating-point operations of a training step on ``batch`` sequences: forward and backward pass.

    A product of an (m, k) with a (k, n) matrix is 2 m k n operations, half of them multiplications; everything else
    (norms, activations, softmax, rotations, look-ups) is left out, as is usual: well below a percent for wide models.
    Parts: ``projections``, ``attention`` (scores and mixing), ``ffn``, ``head``.

    The backward pass multiplies twice with each matrix of the forward pass, for the gradients of both factors.
    Operations repeated to save memory (the scores in fused attention, checkpointed layers) do not count: these are the
    model's own operations, by which its utilization (MFU) is measured. Attention is counted over all T x T pairs,
    including those that the causal mask hides, as in PaLM (Chowdhery et al. 2022, appendix B) and
    ``torch.utils.flop_counter``.

    The rule of thumb 6 N D (Kaplan et al. 2020) is what remains without attention and embedding table.

    Args:
        config: the model's shape.
        batch: sequences, B.
        context_length: tokens in each, T; by default the model's ``context_length``.
    """
    length = _length(config, context_length)
    tokens = batch * length
    # Each product is computed once in the forward and twice in the backward pass.
    products = 3 * 2 * tokens * config.num_layers
    return Flops(
        {
            "projections": products * attention_weights(config),
            # Two products of T x T x d for each head: queries with keys, probabilities with values.
            "attention": products * 2 * length * config.num_heads * config.head_width,
            "ffn": products * ffn_weights(config),
            "head": 3 * 2 * tokens * config.vocab_size * config.d_model,
        }
    )


def training_time(
    config: ModelConfig,
    tokens: int,
    *,
    flops_per_second: float,
    mfu: float = 0.4,
    context_length: int | None = None,
) -> float:
    """Time of training on ``tokens`` tokens, in seconds.

    Args:
        config: the model's shape.
        tokens: total number seen, over all epochs.
        flops_per_second: peak of all devices together, for the number format in use.
        mfu: model FLOPs utilization, the part of the peak that the model's own operations reach (Chowdhery et al. 2022,
            section 4.1): 0.3 … 0.6 on GPUs with good code.
        context_length: tokens in a sequence; by default the model's ``context_length``.

    Raises:
        ValueError: ``mfu`` is not in (0, 1], ``flops_per_second`` not positive, or ``tokens`` negative.
    """
    if not 0 < mfu <= 1:
        raise ValueError(f"mfu must be above 0 and at most 1, not {mfu}")
    if not flops_per_second > 0:
        raise ValueError(f"flops_per_second must be positive, not {flops_per_second}")
    if tokens < 0:
        raise ValueError(f"tokens must not be negative, not {tokens}")
    length = _length(config, context_length)
    return tokens * (flops(config, 1, length) / length) / (flops_per_second * mfu)


def _length(config: ModelConfig, context_length: int | None) -> int:
    length = config.context_length if context_length is None else context_length
    if not 1 <= length <= config.context_length:
        raise ValueError(
            f"context_length must be in 1 … {config.context_length}, that of the model, not {context_length}"
        )
    return length
