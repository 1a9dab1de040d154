"""Chapter 2: the setting of Xiong et al. 2020, theorem 1: gradients of the last layer before the first step."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from course_lib.chapters.ch02_normalization.experiments.normalization import relu_config, similarity
from course_lib.files import progress
from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.hooks import watch_inputs
from course_lib.lab.small_runs import one_thread
from course_lib.loss import cross_entropy
from course_lib.model import Linear, TransformerBlock

HEADS: dict[str, Callable[[int, int], float]] = {
    "variance 1": lambda vocab_size, width: 1.0,
    "Xavier": lambda vocab_size, width: (2 / (vocab_size + width)) ** 0.5,
    "variance 1/d": lambda vocab_size, width: width**-0.5,
}
"""Initializations of the output head: the standard deviation of its (V, d) weights, by name."""

ATTENDS = ("all", "past", "self")
"""The tokens that a token averages over: all of them, as in the theorem; those up to itself; only itself."""


class UniformAttention(nn.Module):
    """The mean of the values of the tokens that each token attends to: (T, d) → (T, d).

    One head whose queries and keys are zero, with the output matrix absorbed into the value matrix, as in Xiong et al.
    2020, section 3.3. ``attends``: one of :data:`ATTENDS`.
    """

    def __init__(self, width: int, attends: str) -> None:
        super().__init__()
        self.v_proj = Linear(width, width)
        self.attends = attends

    def forward(self, x: Tensor, token_positions: None = None, *, cache: None = None) -> Tensor:
        """(T, d) → (T, d); the other arguments are those of every attention layer, and unused."""
        values: Tensor = self.v_proj(x)
        if self.attends == "all":
            return values.mean(-2, keepdim=True).expand_as(values)
        if self.attends == "past":
            return values.cumsum(-2) / torch.arange(1, len(x) + 1, device=x.device)[:, None]
        return values


@float32_on_cpu()
def theorem_stack(placement: str, depth: int, width: int, *, attends: str = "all") -> nn.ModuleList:
    """Blocks as in Xiong et al. 2020, section 3.3: one head, uniform attention, ReLU, a hidden width of d, Xavier.

    ``attends``: one of :data:`ATTENDS`.
    """
    shape = {"vocab_size": 1, "context_length": 1, "num_heads": 1, "d_ff": width, "position": "none"}
    config = relu_config(placement, depth, width, **shape)
    blocks = nn.ModuleList(TransformerBlock(config) for _ in range(depth))
    for block in blocks:
        block.attn = UniformAttention(width, attends)
    return blocks


@float32_on_cpu()
def gradient_at_init(
    depths: Sequence[int],
    widths: Sequence[int],
    *,
    seeds: int = 8,
    placements: Sequence[str] = ("post", "pre"),
    heads: Sequence[str] = ("variance 1",),
    attends: str = "all",
    tokens: int = 16,
    draws: int = 8,
    vocab_size: int = 256,
) -> pd.DataFrame:
    """Norm of the gradient of the last layer's second FFN matrix, W^{2,L}, before the first step.

    Inputs (``tokens``, width) are standard normal. The theorem bounds the gradient of the mean loss over "all tokens";
    its proof bounds that of "one token" first.

    Args:
        depths: Numbers of layers.
        widths: Values of d; every depth is combined with every width.
        seeds: Number of initializations, seeded 0, 1, ….
        placements: Placements of the norms.
        heads: Initializations of the output head, keys of :data:`HEADS`; they share their random numbers.
        attends: One of :data:`ATTENDS`.
        tokens: Length of the sequence.
        draws: Random targets for each initialization; the norm is the root mean square over them.
        vocab_size: Number of classes.

    Returns:
        Columns attends, placement, depth, width, seed, head, loss, gradient_norm; similarity: the mean cosine of two
        different tokens in the last layer's output; hidden: root mean square of the hidden values that W^{2,L} reads;
        largest: the largest of a token's hidden values, mean over tokens.
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
            blocks = theorem_stack(placement, depth, width, attends=attends)
            weights = torch.randn(vocab_size, width)
            x, hidden = last_vectors(blocks, torch.randn(tokens, width))
            sizes = (
                similarity(x.detach()),
                float(hidden.square().mean().sqrt()),
                float(hidden.amax(-1).mean()),
            )
            targets = torch.randint(vocab_size, (draws, tokens))
            matrix = blocks[-1].get_parameter("ffn.w2.weight")
            for head in heads:
                logits = x @ (HEADS[head](vocab_size, width) * weights).T
                for loss, part in (("one token", slice(-1, None)), ("all tokens", slice(None))):
                    norm = _typical_norm(logits[part], targets[:, part], matrix)
                    rows.append((attends, placement, depth, width, seed, head, loss, norm, *sizes))
    columns = ["attends", "placement", "depth", "width", "seed", "head", "loss", "gradient_norm"]
    return pd.DataFrame(rows, columns=[*columns, "similarity", "hidden", "largest"])


def _typical_norm(logits: Tensor, targets: Tensor, matrix: Tensor) -> float:
    """Root mean square, over the rows of ``targets``, of the norm of the loss's gradient."""
    squares = []
    for row in targets:
        (gradient,) = torch.autograd.grad(cross_entropy(logits, row), matrix, retain_graph=True)
        squares.append(float(gradient.square().sum()))
    return float(np.sqrt(np.mean(squares)))


def last_vectors(blocks: nn.ModuleList, x: Tensor) -> tuple[Tensor, Tensor]:
    """The input of the head (T, d), with a graph through the last block only, and the last hidden values (T, d)."""
    with torch.no_grad():
        for block in blocks[:-1]:
            x = block(x)
    with watch_inputs([blocks[-1].get_submodule("ffn.w2")]) as hidden:
        x = blocks[-1](x)
    if blocks[-1].placement == "pre":
        x = functional.layer_norm(x, x.shape[-1:])
    return x, hidden[0]


def exponents(results: pd.DataFrame, by: str, *, loss: str = "one token") -> pd.DataFrame:
    """Exponent b of gradient_norm ≈ a · size^b, by least squares on logarithms, for each placement and seed.

    Args:
        results: From :func:`gradient_at_init`, with one head.
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
