"""The loss on text that is not trained on."""

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from course_lib.data import TokenFile, num_windows
from course_lib.data.batches import gather_batch
from course_lib.loss import bits_per_byte
from course_lib.tokenizer import Tokenizer
from course_lib.train.processes import Processes


def byte_lengths(tokenizer: Tokenizer) -> Tensor:
    """The number of bytes of each token, (V,) int64, by id."""
    lengths = torch.zeros(max(tokenizer.vocab) + 1, dtype=torch.int64, device="cpu")
    for token_id, token in tokenizer.vocab.items():
        lengths[token_id] = len(token)
    return lengths


@torch.no_grad()
def evaluate(
    loss_module: nn.Module,
    tokens: TokenFile | ArrayLike,
    *,
    batch_size: int,
    context_length: int,
    max_batches: int | None = None,
    lengths: Tensor | None = None,
    among: Processes | None = None,
) -> dict[str, float]:
    """Mean loss over the first windows of ``tokens``, which follow each other without overlap.

    Args:
        loss_module: returns the mean loss in nats when called with x and y, (B, T) each.
        tokens: one-dimensional integers; as for :class:`~course_lib.data.BatchStream`.
        batch_size: windows at a time.
        context_length: tokens per window.
        max_batches: stop after this many batches; None: use all windows.
        lengths: bytes of each token, by id; adds bits per byte, which allow comparing models with different tokenizers.
        among: processes that share the work.

    Returns:
        ``valid_loss``, in nats per token, and ``valid_bits_per_byte`` if ``lengths`` are given.

    Raises:
        ValueError: the tokens do not fill one window.
    """
    device = next(loss_module.parameters()).device
    among = among or Processes(device)
    array = tokens if isinstance(tokens, TokenFile) else np.asarray(tokens)
    windows = num_windows(array, context_length)
    if max_batches is not None:
        windows = min(windows, max_batches * batch_size)
    sums = torch.zeros(3, dtype=torch.float64, device="cpu")  # loss, tokens, bytes
    for first in range(among.rank * batch_size, windows, among.world_size * batch_size):
        count = min(batch_size, windows - first)
        starts = np.arange(first, first + count) * context_length
        x, y = gather_batch(array, starts, context_length)
        loss = float(loss_module(x.to(device), y.to(device)))
        size = int(lengths[y].sum()) if lengths is not None else 0
        sums += sums.new_tensor([loss * y.numel(), y.numel(), size])
    loss_sum, num_tokens, num_bytes = among.sum(sums.to(device if among.world_size > 1 else "cpu")).tolist()
    result = {"valid_loss": loss_sum / num_tokens}
    if lengths is not None and num_bytes:
        result["valid_bits_per_byte"] = bits_per_byte(result["valid_loss"], int(num_tokens), int(num_bytes))
    return result
