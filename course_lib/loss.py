"""Cross-entropy (交叉熵) from logits, its chunked forms, and the units a loss is reported in.

Logits are unnormalised scores over V classes, targets are class indices; a loss is in nats, averaged over targets.
Nothing here forms a probability before taking its logarithm: with m the largest score, log sum exp(x) =
m + log sum exp(x - m), and no exponential exceeds 1.
"""

import math
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Loss = TypeVar("Loss", float, Tensor)


def logsumexp(x: Tensor, dim: int) -> Tensor:
    """log(sum(exp(x))) along ``dim``, which is dropped, without overflow for any finite ``x``.

    As in :func:`torch.logsumexp`, a slice that is all -inf gives -inf and one that holds +inf gives +inf.
    """
    largest = _largest(x, dim)
    return (x - largest).exp().sum(dim).log() + largest.squeeze(dim)


def cross_entropy(
    logits: Tensor,
    targets: Tensor,
    *,
    z_loss: float = 0.0,
    ignore_index: int | None = None,
    chunk_size: int | None = None,
) -> Tensor:
    """Mean of -log softmax(logits)[target] over the targets, in nats.

    Args:
        logits: Scores, (..., V), floating point; bfloat16 and float16 are computed in float32.
        targets: Class indices, (...), int64, 0 <= target < V.
        z_loss: Weight of the auxiliary loss mean(log Z ** 2), log Z = logsumexp(logits), which keeps the logits from
            drifting (PaLM, Chowdhery et al. 2022, section 5: 1e-4).
        ignore_index: Targets of this value count neither in the sum nor in the mean.
        chunk_size: Rows at a time. Without it autograd keeps the exponentials of all rows for the backward pass, a
            second tensor as large as the logits. With it only two numbers per row are kept, and the gradient is
            computed chunk by chunk; the result is the same. See :func:`linear_cross_entropy` to avoid the logits as
            well.

    Returns:
        A scalar, in float32 or, for float64 logits, in float64.

    Raises:
        ValueError: Shapes do not match, a target is out of range, or every target is ignored.
        TypeError: Logits are not floating point or targets not int64.
    """
    if targets.shape != logits.shape[:-1]:
        raise ValueError(
            f"targets have shape {tuple(targets.shape)}; logits {tuple(logits.shape)} need {tuple(logits.shape[:-1])}"
        )
    _check_floating(logits=logits)
    weights = _target_weights(targets, logits.shape[-1], ignore_index)
    _check_options(z_loss, chunk_size)
    if chunk_size is not None and not torch._C._are_functorch_transforms_active():
        rows = logits.reshape(-1, logits.shape[-1])
        return _apply(_ChunkedCrossEntropy, rows, targets.reshape(-1), weights, z_loss, chunk_size)
    if logits.dtype in (torch.bfloat16, torch.float16):
        logits = logits.float()
    rows, flat = logits.reshape(-1, logits.shape[-1]), targets.reshape(-1)
    largest = _largest(rows, -1)
    shifted = rows - largest
    log_sum = shifted.exp().sum(-1).log()
    return _mean_loss(shifted, log_sum, largest.squeeze(-1), flat, weights, z_loss)


def linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    *,
    chunk_size: int = 256,
    z_loss: float = 0.0,
    ignore_index: int | None = None,
) -> Tensor:
    """``cross_entropy(hidden @ weight.T, targets)`` without ever holding more than ``chunk_size`` rows of logits.

    Logits are by far the largest tensor of a small language model: 16,384 tokens times 50,257 classes are 3.3 GB in
    float32, three times that with the probabilities and the gradient. Here each chunk goes forward and backward at
    once, while its logits are at hand: softmax minus one-hot replaces them in place, and only the gradients of
    ``hidden`` and ``weight`` are kept. No matrix product is done twice (the idea of Liger Kernel's
    FusedLinearCrossEntropy, Hsu et al. 2024, arXiv:2410.10989, section 3.2).

    Args:
        hidden: Outputs of the last layer, (..., D), floating point; the softmax is taken in float32 at least.
        weight: The output head, (V, D), same dtype.
        targets: Class indices, (...), int64.
        chunk_size: Rows at a time. Smaller saves memory; below about 64 the matrix products become slow.
        z_loss: As in :func:`cross_entropy`.
        ignore_index: As in :func:`cross_entropy`.

    Returns:
        A scalar, which can be differentiated once. Under ``torch.func`` transforms all logits are computed.

    Raises:
        ValueError: Shapes do not match, a target is out of range, or every target is ignored.
        TypeError: ``hidden`` and ``weight`` are not floating point or differ in dtype, or targets are not int64.
    """
    if weight.ndim != 2 or hidden.shape[-1:] != weight.shape[-1:]:
        raise ValueError(
            f"weight has shape {tuple(weight.shape)}; hidden {tuple(hidden.shape)} needs (V, {hidden.shape[-1]})"
        )
    if targets.shape != hidden.shape[:-1]:
        raise ValueError(
            f"targets have shape {tuple(targets.shape)}; hidden {tuple(hidden.shape)} needs {tuple(hidden.shape[:-1])}"
        )
    _check_floating(hidden=hidden, weight=weight)
    if hidden.dtype != weight.dtype:
        raise TypeError(f"hidden is {hidden.dtype} and weight {weight.dtype}; both must have the same dtype")
    weights = _target_weights(targets, weight.shape[0], ignore_index)
    _check_options(z_loss, chunk_size)
    if torch._C._are_functorch_transforms_active():  # torch.func cannot look into an autograd function
        return cross_entropy(hidden @ weight.T, targets, z_loss=z_loss, ignore_index=ignore_index)
    rows = hidden.reshape(-1, hidden.shape[-1])
    return _apply(_LinearCrossEntropy, rows, weight, targets.reshape(-1), weights, z_loss, chunk_size)


def perplexity(loss: Loss) -> Loss:
    """exp(loss) for a loss in nats per token: the number of equally likely tokens that would be as hard to guess."""
    if isinstance(loss, Tensor):
        return loss.exp()
    return math.exp(loss) if loss < 709 else math.inf


def bits_per_byte(loss: Loss, tokens: int, bytes: int) -> Loss:  # noqa: A002 (the unit's own name)
    """A loss in nats per token as bits per UTF-8 byte of the same text, comparable between tokenizers.

    Args:
        loss: Mean loss over ``tokens`` tokens, in nats.
        tokens: Number of targets the mean was taken over.
        bytes: Length of the text that these tokens encode, in UTF-8 bytes.
    """
    for name, count in (("tokens", tokens), ("bytes", bytes)):
        if count <= 0:
            raise ValueError(f"{name} is {count}; it must be positive")
    return loss * (tokens / (bytes * math.log(2)))


def _apply(function: type[torch.autograd.Function], *arguments: Any) -> Tensor:
    """Call an autograd function, whose ``apply`` torch leaves untyped."""
    loss: Tensor = function.apply(*arguments)  # type: ignore[no-untyped-call]
    return loss


def _check_floating(**tensors: Tensor) -> None:
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise TypeError(f"{name} is {tensor.dtype}; a floating-point tensor is needed")


def _check_options(z_loss: float, chunk_size: int | None) -> None:
    if not z_loss >= 0:
        raise ValueError(f"z_loss is {z_loss}; it must be at least 0")
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"chunk_size is {chunk_size}; it must be at least 1")


def _target_weights(targets: Tensor, num_classes: int, ignore_index: int | None) -> Tensor:
    """The weight of each target in the mean, (N,): 1 / number of counted targets, or 0 where it is ignored."""
    if targets.dtype != torch.int64:
        raise TypeError(f"targets are {targets.dtype}; class indices are int64")
    flat = targets.reshape(-1)
    counted = torch.ones_like(flat, dtype=torch.bool) if ignore_index is None else flat != ignore_index
    number = int(counted.sum())
    if not number:
        reason = "are empty" if not flat.numel() else f"all equal ignore_index {ignore_index}"
        raise ValueError(f"targets {reason}: there is nothing to average")
    wrong = flat[counted & ((flat < 0) | (flat >= num_classes))]
    if wrong.numel():
        raise ValueError(
            f"targets hold {int(wrong[0])}; with {num_classes} classes they must be 0 … {num_classes - 1}"
        )
    return counted.to(torch.float64) / number


def _largest(x: Tensor, dim: int) -> Tensor:
    """The maximum along ``dim``, kept with size 1, to subtract before taking exponentials.

    An infinite maximum becomes 0: inf - inf is NaN, while infinities pass through exp and log by themselves.
    """
    largest = x.detach().amax(dim, keepdim=True)
    return torch.where(largest.isfinite(), largest, torch.zeros_like(largest))


def _mean_loss(
    shifted: Tensor, log_sum: Tensor, largest: Tensor, targets: Tensor, weights: Tensor, z_loss: float
) -> Tensor:
    """Weighted sum of the losses of rows (N, V) from which ``largest`` (N,) was subtracted.

    The loss is taken between shifted values: log Z - logits[target] would lose digits when both are large.
    """
    # An ignored target need not be a class (-100): it reads class 0 and has weight zero.
    chosen = shifted.gather(-1, targets.where(weights > 0, 0).unsqueeze(-1)).squeeze(-1)
    per_target = log_sum - chosen
    if z_loss:
        per_target = per_target + z_loss * (log_sum + largest).square()
    return (per_target * weights.to(per_target.dtype)).where(weights > 0, 0.0).sum()


def _chunk_loss(
    logits: Tensor, targets: Tensor, weights: Tensor, z_loss: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss of a chunk (C, V), the maximum of its rows and log(sum(exp(logits - maximum))); overwrites the logits.

    They become exp(logits - maximum).
    """
    largest = _largest(logits, -1)
    logits.sub_(largest)
    index = targets.where(weights > 0, 0).unsqueeze(-1)
    chosen = logits.gather(-1, index)
    log_sum = logits.exp_().sum(-1).log()
    largest = largest.squeeze(-1)
    return _mean_loss(chosen, log_sum, largest, torch.zeros_like(targets), weights, z_loss), largest, log_sum


def _to_gradient(
    exponentials: Tensor, log_sum: Tensor, largest: Tensor, targets: Tensor, weights: Tensor, z_loss: float
) -> None:
    """Overwrite a chunk's exponentials (C, V) with the gradient of its loss with respect to the logits.

    The gradient is w · (softmax · (1 + 2 z log Z) - onehot(target)), w the weight of the row.
    """
    counted = weights > 0
    scale = weights.to(exponentials.dtype)
    exponentials.mul_((scale * (1 + 2 * z_loss * (log_sum + largest)) / log_sum.exp()).unsqueeze(-1))
    exponentials.scatter_add_(-1, targets.where(counted, 0).unsqueeze(-1), -scale.unsqueeze(-1))
    if not counted.all():
        exponentials.masked_fill_(~counted.unsqueeze(-1), 0.0)


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Cross-entropy of given logits (N, V): saves two numbers per row instead of the probabilities."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, weights: Tensor, z_loss: float, chunk_size: int
    ) -> Tensor:
        dtype = torch.promote_types(logits.dtype, torch.float32)
        loss = torch.zeros((), dtype=dtype, device=logits.device)
        largest, log_sum = torch.empty(2, len(logits), dtype=dtype, device=logits.device)
        for start in range(0, len(logits), chunk_size):
            rows = slice(start, start + chunk_size)
            chunk = logits[rows].to(dtype, copy=True)
            part, largest[rows], log_sum[rows] = _chunk_loss(chunk, targets[rows], weights[rows], z_loss)
            loss += part
        ctx.save_for_backward(logits, targets, weights, largest, log_sum)
        ctx.z_loss, ctx.chunk_size = z_loss, chunk_size
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor | None, ...]:
        logits, targets, weights, largest, log_sum = ctx.saved_tensors
        gradient = torch.empty_like(logits)
        for start in range(0, len(logits), ctx.chunk_size):
            rows = slice(start, start + ctx.chunk_size)
            chunk = logits[rows].to(largest.dtype, copy=True)
            chunk.sub_(largest[rows].unsqueeze(-1)).exp_()
            _to_gradient(chunk, log_sum[rows], largest[rows], targets[rows], weights[rows], ctx.z_loss)
            gradient[rows] = chunk.mul_(grad_loss)
        return gradient, None, None, None, None


class _LinearCrossEntropy(torch.autograd.Function):
    """Cross-entropy of hidden (N, D) @ weight.T (D, V): gradients are computed in the forward pass, chunk by chunk.

    They are those of the sum of losses times ``_headroom``, not of the mean: 1 / N would take a probability below what
    float16 can hold, before the scale of the loss comes to lift it. Both factors are multiplied in at the end, in
    float32. The gradient of ``weight`` is a sum over chunks and added up in float32, too.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        weights: Tensor,
        z_loss: float,
        chunk_size: int,
    ) -> Tensor:
        dtype = torch.promote_types(hidden.dtype, torch.float32)
        loss = torch.zeros((), dtype=dtype, device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        grad_weight = torch.zeros_like(weight, dtype=dtype) if ctx.needs_input_grad[1] else None
        headroom = _headroom(hidden, weight, chunk_size)
        counted = (weights > 0).to(dtype) * headroom
        buffer = hidden.new_empty(min(chunk_size, len(hidden)), len(weight))
        for start in range(0, len(hidden), chunk_size):
            rows = slice(start, start + chunk_size)
            logits = torch.mm(hidden[rows], weight.T, out=buffer[: len(targets[rows])]).to(dtype)
            part, largest, log_sum = _chunk_loss(logits, targets[rows], weights[rows], z_loss)
            loss += part
            if grad_hidden is None and grad_weight is None:
                continue
            _to_gradient(logits, log_sum, largest, targets[rows], counted[rows], z_loss)
            gradient = logits.to(hidden.dtype)
            if grad_hidden is not None:
                torch.mm(gradient, weight, out=grad_hidden[rows])
            if grad_weight is not None and grad_weight.dtype == weight.dtype:
                grad_weight.addmm_(gradient.T, hidden[rows])
            elif grad_weight is not None:
                grad_weight += gradient.T @ hidden[rows]
        ctx.save_for_backward(grad_hidden, grad_weight, weights.amax().to(dtype) / headroom)
        ctx.dtype = hidden.dtype
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_weight, unit = ctx.saved_tensors
        # Of one dimension: torch would round a factor without any to the dtype of what it multiplies.
        scale = (grad_loss * unit).reshape(1)
        scaled = [
            None if g is None else torch.mul(g, scale, out=torch.empty_like(g, dtype=ctx.dtype))
            for g in (grad_hidden, grad_weight)
        ]
        return scaled[0], scaled[1], None, None, None, None


def _headroom(hidden: Tensor, weight: Tensor, chunk_size: int) -> Tensor:
    """The power of two by which the gradients of a chunk's losses may be multiplied in the dtype of ``hidden``.

    1, but for float16: there, the largest that surely leaves the products with ``hidden`` and ``weight`` finite. The
    gradients of a row's logits add up to at most 2 in size (a little more with a z-loss), those of a column to
    at most the number of rows.
    """
    one = torch.ones((), dtype=torch.promote_types(hidden.dtype, torch.float32), device=hidden.device)
    if hidden.dtype != torch.float16 or not hidden.numel():
        return one
    largest = torch.maximum(
        min(chunk_size, len(hidden)) * hidden.abs().amax().float(), 2 * weight.abs().amax().float()
    )
    return torch.exp2(torch.log2(2.0**14 / largest).floor().clamp(-14, 10))
