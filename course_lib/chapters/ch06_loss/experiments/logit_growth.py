"""Chapter 6: two kinds of logits that grow at a high learning rate, and their remedies.

QK-norm limits the logits of attention, q·k / sqrt(d); z-loss limits log Z of the output logits.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from course_lib.diagnostics import attention_logit_max
from course_lib.lab.small_runs import (
    Comparison,
    SmallRun,
    compare,
    held_out_batch,
    new_model,
    one_thread,
    small_config,
)
from course_lib.loss import cross_entropy, logsumexp
from course_lib.model import TransformerLM

_EVERY = 10
_WINDOWS = 8  # of held-out text, which every measurement reads


def watch_attention(_step: int, model: TransformerLM) -> Mapping[str, float]:
    """The largest attention logit of any head, and the entropy of the most peaked head (mean over queries, nats)."""
    x, _ = held_out_batch(_WINDOWS, model.config.context_length)
    heads = attention_logit_max(model, x)
    return {"max_logit": heads["max_logit"].max(), "entropy": heads["entropy"].min()}


@torch.no_grad()
def watch_output(_step: int, model: TransformerLM) -> Mapping[str, float]:
    """Mean log Z, the largest output logit, and the increase of the held-out loss when logits are stored in bf16."""
    x, y = held_out_batch(_WINDOWS, model.config.context_length)
    logits = model(x)
    return {
        "log_z": logsumexp(logits, -1).mean().item(),
        "max_logit": logits.abs().max().item(),
        "bf16_excess": (cross_entropy(logits.bfloat16(), y) - cross_entropy(logits, y)).item(),
    }


def attention_growth(
    lrs: Sequence[float] = (0.01, 0.03, 0.1), *, seeds: Sequence[int] = (0, 1, 2), steps: int = 100
) -> Comparison:
    """Train with and without QK-norm at several learning rates: constant, AdamW, neither decay nor clipping.

    Labels: qk_norm, lr. Watched every 10 steps: max_logit and entropy (:func:`watch_attention`).
    """
    cases = [
        (
            {"qk_norm": qk_norm, "lr": lr},
            SmallRun(
                config=small_config(qk_norm=qk_norm),
                lr=lr,
                steps=steps,
                watch=watch_attention,
                watch_every=_EVERY,
            ),
        )
        for lr in lrs
        for qk_norm in (False, True)
    ]
    return compare(cases, seeds, description="QK-norm")


def output_drift(
    weights: Sequence[float] = (0.0, 1e-4, 1e-3, 1e-2),
    *,
    seeds: Sequence[int] = (0, 1, 2),
    steps: int = 100,
    lr: float = 0.01,
) -> Comparison:
    """Train with several weights of z-loss: constant learning rate, AdamW, neither decay nor clipping.

    Labels: z_loss. Watched every 10 steps: log_z, max_logit and bf16_excess (:func:`watch_output`).
    """
    cases = [
        (
            {"z_loss": weight},
            SmallRun(lr=lr, steps=steps, z_loss=weight, watch=watch_output, watch_every=_EVERY),
        )
        for weight in weights
    ]
    return compare(cases, seeds, description="z-loss")


@torch.no_grad()
def held_out_logits(model: TransformerLM) -> tuple[Tensor, Tensor]:
    """Output logits (N, V) of a model of the chapter on held-out text, and the targets (N,)."""
    x, y = held_out_batch(_WINDOWS, model.config.context_length)
    return model(x).flatten(0, 1), y.flatten()


@torch.no_grad()
def first_attention_logit(*, qk_norm: bool, head_dim: int, scale: float, seed: int = 0) -> float:
    """The largest attention logit before training, with query and key weights multiplied by ``scale``."""
    config = small_config(qk_norm=qk_norm, head_dim=head_dim)
    model = new_model(SmallRun(config=config), seed)
    for layer in model.layers:
        for projection in ("q_proj", "k_proj"):
            layer.get_submodule(f"attn.{projection}").get_parameter("weight").mul_(scale)
    with one_thread():
        return float(watch_attention(0, model)["max_logit"])
