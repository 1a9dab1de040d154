"""Chapter 2: the effect of a norm's place on gradients at initialization, and on a single step.

``gradient_at_init`` uses the setting of a theorem; ``gradient_by_layer`` and ``depth_stability`` measure whole language
models. Training comparisons are in :mod:`course_lib.chapters.ch02_normalization.experiments.placements`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from course_lib.data import get_batch
from course_lib.diagnostics import gradient_norms, snapshot
from course_lib.files import progress
from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.hooks import watch_inputs
from course_lib.lab.small_runs import (
    SmallRun,
    constant_after,
    new_model,
    one_thread,
    small_config,
    story_bytes,
    train_small,
)
from course_lib.loss import cross_entropy
from course_lib.model import LayerNorm, Linear, ModelConfig, TransformerBlock, TransformerLM
from course_lib.optim import SGD, AdamW

# --- the setting of the theorem ---------------------------------------------------------------------------------------


@float32_on_cpu()
def theorem_stack(placement: str, depth: int, width: int) -> nn.ModuleList:
    """Blocks as in Xiong et al. 2020, section 3.2: one head, uniform attention, ReLU, a hidden width of d, Xavier.

    Query and key matrices are zero, so that every token attends equally to all tokens before it.
    """
    shape = {"vocab_size": 1, "context_length": 1, "num_heads": 1, "d_ff": width, "position": "none"}
    config = _relu_config(placement, depth, width, **shape)
    blocks = nn.ModuleList(TransformerBlock(config) for _ in range(depth))
    for block in blocks:
        nn.init.zeros_(block.attn.q_proj.weight)  # type: ignore[union-attr, arg-type]
        nn.init.zeros_(block.attn.k_proj.weight)  # type: ignore[union-attr, arg-type]
    return blocks


@float32_on_cpu()
def gradient_at_init(
    depths: Sequence[int],
    widths: Sequence[int],
    *,
    seeds: int = 8,
    placements: Sequence[str] = ("post", "pre"),
    tokens: int = 16,
    draws: int = 8,
    vocab_size: int = 256,
) -> pd.DataFrame:
    """Norm of the gradient of the last layer's second FFN matrix, W^{2,L}, before the first step.

    Inputs (``tokens``, width) and output head are standard normal, as in theorem 1 of Xiong et al. 2020. The theorem is
    about the loss of "one token", the last; training uses the mean over "all tokens".

    Args:
        depths: Numbers of layers.
        widths: Values of d; every depth is combined with every width.
        seeds: Number of initializations, seeded 0, 1, ….
        placements: Placements of the norms.
        tokens: Length of the sequence.
        draws: Random targets for each initialization; the norm is the root mean square over them.
        vocab_size: Number of classes.

    Returns:
        Columns placement, depth, width, seed, loss, gradient_norm, and similarity: the mean cosine of two different
        tokens in the last layer's output.
    """
    jobs = [
        (seed, placement, depth, width)
        for seed in range(seeds)
        for placement in placements
        for width in widths
        for depth in depths
    ]
    rows = []
    with one_thread():
        for seed, placement, depth, width in progress(jobs, description="gradients at initialization"):
            torch.manual_seed(seed)
            blocks = theorem_stack(placement, depth, width)
            head = torch.randn(vocab_size, width)
            logits, similarity = _theorem_logits(blocks, head, torch.randn(tokens, width))
            weight = blocks[-1].get_parameter("ffn.w2.weight")
            for loss, part in (("one token", logits[-1:]), ("all tokens", logits)):
                squares = []
                for _ in range(draws):
                    targets = torch.randint(vocab_size, (len(part),))
                    (gradient,) = torch.autograd.grad(cross_entropy(part, targets), weight, retain_graph=True)
                    squares.append(float(gradient.square().sum()))
                rows.append((placement, depth, width, seed, loss, np.sqrt(np.mean(squares)), similarity))
    columns = ["placement", "depth", "width", "seed", "loss", "gradient_norm", "similarity"]
    return pd.DataFrame(rows, columns=columns)


def _theorem_logits(blocks: nn.ModuleList, head: Tensor, x: Tensor) -> tuple[Tensor, float]:
    """Logits (T, V) with a graph through the last block only, and how alike the tokens have become."""
    with torch.no_grad():
        for block in blocks[:-1]:
            x = block(x)
    x = blocks[-1](x)
    if blocks[-1].placement == "pre":
        x = functional.layer_norm(x, x.shape[-1:])
    return x @ head.T, _similarity(x.detach())


def _similarity(x: Tensor) -> float:
    """Mean cosine of two different rows of ``x``."""
    directions = functional.normalize(x, dim=-1)
    count = len(x)
    return (float((directions @ directions.T).sum()) - count) / (count * (count - 1))


def exponents(results: pd.DataFrame, by: str, *, loss: str = "one token") -> pd.DataFrame:
    """Exponent b of gradient_norm ≈ a · size^b, by least squares on logarithms, for each placement and seed.

    Args:
        results: From :func:`gradient_at_init`.
        by: The size: "depth" or "width".
        loss: "one token" or "all tokens".

    Returns:
        Index seed, a column for each placement.
    """
    chosen = results[results["loss"] == loss]
    slopes = {
        placement: {
            seed: np.polyfit(np.log(rows[by]), np.log(rows["gradient_norm"]), 1)[0]
            for seed, rows in runs.groupby("seed")
        }
        for placement, runs in chosen.groupby("placement", sort=False)
    }
    return pd.DataFrame(slopes).rename_axis("seed")


# --- gradients of a language model, layer by layer --------------------------------------------------------------------

WARMUPS = {"at initialization": None, "after 40 steps, no warm-up": 0, "after 40 steps of warm-up": 40}
"""The states that :func:`gradient_by_layer` can measure, by name: steps of warm-up, or None for no training."""


@cache
@float32_on_cpu()
def gradient_by_layer(
    placement: str, depth: int, width: int, gain: float = 1.0, when: str = "at initialization", seed: int = 0
) -> pd.DataFrame:
    """Gradient norm of every layer of a language model, over all its parameters, for a batch of stories.

    Args:
        placement: Placement of the norms (LayerNorm), see :class:`ModelConfig`.
        depth: Number of layers, L.
        width: d_model; heads have 16 features, the ReLU FFN 2 d.
        gain: Factor on the standard deviation of every matrix in the layers.
        when: A key of ``WARMUPS``; training is 40 steps of AdamW at a learning rate of 0.003.
        seed: Of weights and batches.

    Returns:
        Columns layer (1 … L) and gradient_norm. The frame is cached: do not change it.
    """
    model = _language_model(placement, depth, width, gain, when, seed)
    with one_thread():
        _backward(model, batch_size=2, seed=seed)
    norms = gradient_norms(model, by="layer").dropna(subset="layer")
    return pd.DataFrame({"layer": norms["layer"].astype(int) + 1, "gradient_norm": norms["gradient_norm"]})


@float32_on_cpu()
def warmup_damage(
    states: Sequence[tuple[str, str]], *, depth: int = 8, width: int = 64, seeds: Sequence[int] = (0, 1)
) -> pd.DataFrame:
    """The state of a network: its first layer's gradient, the size of its norms' inputs, the similarity of its tokens.

    Args:
        states: Pairs of placement and a key of ``WARMUPS``.
        depth: Number of layers.
        width: d_model.
        seeds: Of weights and batches.

    Returns:
        Columns placement, when, seed, first_layer (gradient norm), first_over_last (its ratio to the last layer's),
        norm_input (standard deviation of the norms' inputs, mean over norms and tokens), similarity (mean cosine of
        two tokens in the output of the last layer).
    """
    rows = []
    for placement, when in states:
        for seed in seeds:
            model = _language_model(placement, depth, width, 1.0, when, seed)
            layer_norms = [module for module in model.modules() if isinstance(module, LayerNorm)]
            with one_thread(), watch_inputs(layer_norms) as read:
                _backward(model, batch_size=2, seed=seed)
            norms = gradient_norms(model, by="layer").dropna(subset="layer")["gradient_norm"]
            first, last = norms.iloc[[0, -1]]
            size = float(np.mean([float(x.std(-1).mean()) for x in read]))
            rows.append(
                (placement, when, seed, first, first / last, size, _similarity(read[-1].flatten(0, -2)))
            )
    columns = ["placement", "when", "seed", "first_layer", "first_over_last", "norm_input", "similarity"]
    return pd.DataFrame(rows, columns=columns)


def _relu_config(placement: str, depth: int, width: int, **changes: Any) -> ModelConfig:
    """LayerNorm in ``placement``, and a ReLU FFN of twice the width."""
    fields = {"norm": "layernorm", "norm_placement": placement, "activation": "relu", "d_ff": 2 * width}
    return small_config(d_model=width, num_layers=depth, **(fields | changes))


def _language_model(
    placement: str, depth: int, width: int, gain: float, when: str, seed: int
) -> TransformerLM:
    """A model in the state ``when``."""
    config = _relu_config(placement, depth, width, num_heads=width // 16, context_length=32)
    settings = SmallRun(config=config, steps=40, batch_size=2, lr=0.003, prepare=scaled_layers(gain))
    warmup = WARMUPS[when]
    if warmup is None:
        return new_model(settings, seed)
    return train_small(replace(settings, schedule=constant_after(warmup)), seed=seed).model


def scaled_layers(gain: float, *, outputs_only: bool = False) -> Callable[[TransformerLM], None]:
    """Multiply the matrices of all layers, but not those of embedding and head, by ``gain``.

    ``outputs_only``: only those that write into the stream, one in each sublayer, as GPT-2 does.
    """

    @torch.no_grad()
    def scale(model: TransformerLM) -> None:
        for layer in model.layers:
            for name, module in layer.named_modules():
                if isinstance(module, Linear) and (not outputs_only or name.endswith(("output_proj", "w2"))):
                    module.weight.mul_(gain)

    return scale


def _backward(model: TransformerLM, *, batch_size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Compute the gradients for one batch of stories; return its inputs and logits."""
    generator = torch.Generator().manual_seed(seed)
    x, y = get_batch(story_bytes(), batch_size, model.config.context_length, generator=generator)
    logits = model(x)
    model.zero_grad()
    cross_entropy(logits, y).backward()  # type: ignore[no-untyped-call]
    return x, logits.detach()


# --- very deep networks -----------------------------------------------------------------------------------------------


@float32_on_cpu()
def depth_stability(
    depths: Sequence[int],
    *,
    seeds: Sequence[int] = (0,),
    placements: Sequence[str] = ("post", "deepnorm", "pre"),
    width: int = 32,
) -> pd.DataFrame:
    """The effect of one step on very deep networks, and the gradients of their first and last layers.

    Returns:
        Columns placement, depth, seed, first_over_last (gradient norms of the second FFN matrix), adam and sgd: how far
        the logits of the batch moved in one step of AdamW at a learning rate of 0.0001, and of SGD at 0.01, relative to
        their size.
    """
    jobs = [(depth, placement, seed) for depth in depths for placement in placements for seed in seeds]
    rows = []
    with one_thread():
        for depth, placement, seed in progress(jobs, description="one step of deep networks"):
            config = _relu_config(placement, depth, width, num_heads=2, context_length=16)
            model = new_model(SmallRun(config=config), seed)
            x, before = _backward(model, batch_size=2, seed=seed)
            norms = gradient_norms(model).set_index("parameter")["gradient_norm"]
            ends = [norms[f"layers.{layer}.ffn.w2.weight"] for layer in (0, depth - 1)]
            moved = [
                _change(model, optimizer, x, before)
                for optimizer in (
                    AdamW(model.parameters(), 1e-4, (0.9, 0.95), weight_decay=0.0),
                    SGD(model.parameters(), 1e-2),
                )
            ]
            rows.append((placement, depth, seed, ends[0] / ends[1], *moved))
    return pd.DataFrame(rows, columns=["placement", "depth", "seed", "first_over_last", "adam", "sgd"])


@torch.no_grad()
def _change(model: TransformerLM, optimizer: Optimizer, x: Tensor, before: Tensor) -> float:
    """Relative change of the logits in one step, which is then undone."""
    weights = snapshot(model)
    optimizer.step()
    change = float((model(x) - before).norm() / before.norm())
    for name, parameter in model.named_parameters():
        parameter.copy_(weights[name])
    return change
