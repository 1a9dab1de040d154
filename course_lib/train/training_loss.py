"""The loss of a batch as a module, the precision it is computed in, and the place where it became infinite or NaN."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from course_lib.diagnostics import watch_modules
from course_lib.loss import cross_entropy, linear_cross_entropy
from course_lib.model import TransformerLM
from course_lib.model.watchers import is_plain


class DivergedError(ArithmeticError):
    """The loss or a gradient became NaN or infinite: ``step`` counts updates from 1, ``layer`` names the place."""

    def __init__(self, step: int, layer: str, what: str) -> None:
        super().__init__(step, layer, what)
        self.step = step
        self.layer = layer
        self.what = what

    def __str__(self) -> str:
        return (
            f"training diverged at step {self.step}: {self.what} in {self.layer}; the last checkpoint is from before. "
            "A lower learning_rate, a longer warm-up or clip_norm usually helps"
        )


class LanguageModelLoss(nn.Module):
    """Token ids and their successors, (B, T) each → the mean cross-entropy in nats, without holding all logits at once.

    If a hook watches the model or its output head, or either was replaced, they are called and all logits exist at
    once.

    ``precision``: that of matrix products; other than float32, under autocast.
    """

    def __init__(
        self,
        model: TransformerLM,
        *,
        chunk_size: int = 1024,
        z_loss: float = 0.0,
        precision: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.model = model
        self.chunk_size = chunk_size
        self.z_loss = z_loss
        self.precision = precision

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """(B, T), (B, T) → a scalar."""
        with torch.autocast(x.device.type, self.precision, enabled=self.precision != torch.float32):
            z_loss = self.z_loss if self.training else 0.0
            if not (is_plain(self.model) and is_plain(self.model.lm_head)):
                return cross_entropy(self.model(x), y, chunk_size=self.chunk_size, z_loss=z_loss)
            hidden = self.model.hidden(x).to(self.precision)
            weight = self.model.lm_head.weight.to(self.precision)
            return linear_cross_entropy(hidden, weight, y, chunk_size=self.chunk_size, z_loss=z_loss)


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """The meaning of ``TrainConfig.precision`` on a device; "auto": bfloat16 or float16 on GPUs, float32 elsewhere."""
    if name != "auto":
        chosen: torch.dtype = getattr(torch, name)
        return chosen
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


@torch.no_grad()
def first_nonfinite(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], loss: nn.Module
) -> str | None:
    """The first module, in the order of computation, whose output holds NaN or infinity; None if there is none."""
    found: list[str] = []

    def look(name: str, _module: nn.Module, output: object) -> None:
        if not found and isinstance(output, Tensor) and not output.isfinite().all():
            found.append(name)

    with watch_modules(((name, module) for name, module in model.named_modules() if name), after=look):
        for x, y in batches:
            if not found:
                loss(x, y)
    return found[0] if found else None
