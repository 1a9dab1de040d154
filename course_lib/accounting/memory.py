"""Memory in bytes: of a training step at its peak, and of generation with a cache."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from course_lib.accounting.breakdown import Breakdown
from course_lib.accounting.counts import _length, _norms_a_layer, parameters
from course_lib.model import ModelConfig

if TYPE_CHECKING:
    import torch

_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
# Numbers of optimizer state per weight.
_STATES = {"sgd": 0, "momentum": 1, "adam": 2, "adamw": 2, "muon": 1}
Optimizer = Literal["none", "sgd", "momentum", "adam", "adamw", "muon"]


@dataclass(frozen=True)
class _Sizes:
    """Bytes of a number: of weights, gradients and states; of matrix products' inputs; of the residual stream; of
    what is always computed in float32 at least (norms, loss).
    """

    weight: int
    narrow: int
    stream: int
    wide: int


def _sizes(dtype: "str | torch.dtype") -> _Sizes:
    name = str(dtype).removeprefix("torch.")
    if name == "mixed":
        return _Sizes(weight=4, narrow=2, stream=4, wide=4)
    if name not in _BYTES:
        raise ValueError(f"dtype must be one of {', '.join(map(repr, (*_BYTES, 'mixed')))}, not {dtype!r}")
    size = _BYTES[name]
    return _Sizes(weight=size, narrow=size, stream=size, wide=max(4, size))


def memory(
    config: ModelConfig,
    batch: int = 1,
    optimizer: Optimizer = "adamw",
    dtype: "str | torch.dtype" = "float32",
    *,
    context_length: int | None = None,
    loss_chunk: int | None = None,
    accumulate: bool = False,
) -> Breakdown:
    """Bytes of tensors at the peak of a training step of :class:`~course_lib.model.TransformerLM`.

    Parts, as they are at that moment: ``weights``, ``gradients``, ``optimizer`` (its state), ``activations`` (what
    autograd keeps for the backward pass) and ``loss`` (logits and their like). There are two candidates: the loss, when
    all activations exist but no gradients, and the optimizer's step, when it is the other way round. The
    process itself, the data and the allocator's spare memory come on top.

    Args:
        config: the model's shape.
        batch: sequences in a micro-batch, B.
        optimizer: "sgd", "momentum" (SGD with it), "adam", "adamw", "muon" (with AdamW for tables and gains), or
            "none" for a forward pass without gradients.
        dtype: of everything, by name or as torch.dtype; "mixed" for float32 weights under bfloat16 autocast.
        context_length: tokens in a sequence, T; by default the model's ``context_length``.
        loss_chunk: rows of logits at a time, as in :func:`course_lib.loss.linear_cross_entropy`; None for
            :func:`~course_lib.loss.cross_entropy` of all logits at once.
        accumulate: whether gradients of an earlier micro-batch exist during the forward pass.

    Raises:
        ValueError: an unknown optimizer or dtype, or a context longer than the model's.
    """
    if optimizer not in (*_STATES, "none"):
        raise ValueError(
            f"optimizer must be one of {', '.join(map(repr, (*_STATES, 'none')))}, not {optimizer!r}"
        )
    sizes = _sizes(dtype)
    tokens = batch * _length(config, context_length)
    counts = parameters(config)
    weights = counts * sizes.weight
    if optimizer == "none":
        widest = max(3 * config.d_model + 2 * config.ffn_width, 2 * config.vocab_size)
        return Breakdown({"weights": weights, "activations": tokens * widest * sizes.narrow})
    state = _state_numbers(counts, optimizer) * sizes.weight
    kept = _activation_bytes(config, tokens, sizes).total
    if sizes.narrow < sizes.weight:
        kept += _matrix_weights(config, counts) * sizes.narrow  # the copies that autocast makes
    row = config.vocab_size * sizes.wide
    if loss_chunk is None:
        # Shifted logits, exponentials, and the logits themselves or the gradient.
        at_loss = {"gradients": weights if accumulate else 0, "loss": 3 * tokens * row}
    else:
        # The gradients of head and hidden states are computed chunk by chunk, with the chunk's logits beside them; in
        # the backward pass they are scaled by that of the loss, into copies. In 16 bits, the head's is added up in
        # float32, product by product, and scaled there.
        table, states = config.vocab_size * config.d_model, tokens * config.d_model
        gradients = table * sizes.wide + states * sizes.narrow
        chunk, scaled = min(loss_chunk, tokens) * config.vocab_size * sizes.wide, gradients
        if sizes.narrow < sizes.wide:
            chunk += (2 * min(loss_chunk, tokens) * config.vocab_size + table) * sizes.narrow
            scaled += table * sizes.narrow
        at_loss = {"gradients": weights if accumulate else 0, "loss": gradients + max(chunk, scaled)}
    moments = [
        Breakdown({"weights": weights, **at_loss, "optimizer": state, "activations": kept}),
        Breakdown(
            {"weights": weights, "gradients": weights, "optimizer": state, "activations": 0, "loss": 0}
        ),
    ]
    peak = max(moments)
    order = ("weights", "gradients", "optimizer", "activations", "loss")
    return Breakdown({name: peak[name] for name in order})


def activation_bytes(
    config: ModelConfig,
    batch: int = 1,
    dtype: "str | torch.dtype" = "float32",
    *,
    context_length: int | None = None,
) -> Breakdown:
    """Bytes that autograd keeps from blocks and final norm for the backward pass; parts by kind of layer.

    Logits and loss are not counted here: see :func:`memory`. Parts: ``attention``, ``ffn``, ``stream`` (norms and what
    the sublayers read).
    """
    return _activation_bytes(config, batch * _length(config, context_length), _sizes(dtype))


def _activation_bytes(config: ModelConfig, tokens: int, sizes: _Sizes) -> Breakdown:
    """Counted from the code of the layers: the tensors that each operation needs for its gradient."""
    d, layers = config.d_model, config.num_layers
    queries, keys = config.num_heads * config.head_width, config.kv_heads * config.head_width
    # Queries, keys, values, result and, in float32, row sums of the fused attention.
    attention = (2 * queries + 2 * keys) * sizes.narrow + config.num_heads * 4
    if config.qk_norm:
        attention += (queries + keys) * (4 if sizes.narrow == 4 else 2 * sizes.wide)
    # The inputs of the matrices in a layer's two sublayers and the head, and the tensors that norms keep. Matrices
    # that read the same input share it, but autocast makes a copy in 16 bits for each.
    readers = (3 + (2 if config.is_gated else 1)) if sizes.narrow < sizes.stream else 2
    inputs = (readers * layers + 1) * d * sizes.narrow
    norms = (layers * _norms_a_layer(config) + config.has_final_norm) * _norm_bytes(config, sizes)
    return Breakdown(
        {
            "attention": layers * tokens * attention,
            "ffn": layers * tokens * _ffn_numbers(config, sizes) * config.ffn_width * sizes.narrow,
            "stream": tokens * (inputs + norms),
        }
    )


def _ffn_numbers(config: ModelConfig, sizes: _Sizes) -> int:
    """Tensors of the hidden width that a feed-forward layer keeps."""
    if config.activation == "relu":
        return 1  # its gradient needs only the result, which the second product keeps anyway
    if not config.is_gated:
        return 2
    # Gate, value and product; and the gate before its activation too, unless its result is enough for the gradient or,
    # as in the course's kernel for SwiGLU in float32, is computed again.
    fused = config.activation == "swiglu" and sizes.narrow == 4
    return 4 if config.activation in ("geglu", "swiglu") and not fused else 3


def _norm_bytes(config: ModelConfig, sizes: _Sizes) -> int:
    """Numbers that one norm keeps per token: its input and one or two statistics.

    RMSNorm in 16 bits, which has no fused kernel here, keeps the input and the normed values in float32.
    """
    if config.norm == "rmsnorm" and sizes.weight != 4:
        return 2 * config.d_model * sizes.wide + 4
    return config.d_model * sizes.stream + (8 if config.norm == "layernorm" else 4)


def _matrix_weights(config: ModelConfig, counts: Breakdown) -> int:
    return counts["attention"] + counts["ffn"] + config.vocab_size * config.d_model


def _state_numbers(counts: Breakdown, optimizer: str) -> int:
    if optimizer != "muon":
        return _STATES[optimizer] * counts
    matrices = counts["attention"] + counts["ffn"]
    return matrices + _STATES["adamw"] * (counts - matrices)


def kv_cache_bytes(
    config: ModelConfig,
    batch: int = 1,
    context_length: int | None = None,
    dtype: "str | torch.dtype" = "float32",
) -> int:
    """Bytes of a KV cache for ``batch`` sequences: 2 B T L H_kv d numbers, with T at most the model's window.

    Equals :attr:`course_lib.model.KVCache.num_bytes`. Grouped-query attention divides it by H / H_kv.
    """
    length = min(_length(config, context_length), config.window or config.context_length)
    numbers = 2 * batch * length * config.num_layers * config.kv_heads * config.head_width
    return numbers * _sizes(dtype).narrow
