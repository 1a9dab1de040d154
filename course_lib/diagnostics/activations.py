"""The tensors that flow through a network: sizes of activations, attention logits and their entropy."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from course_lib.diagnostics.hooks import watch_modules
from course_lib.diagnostics.norms import layer_of


@torch.no_grad()
def activation_stats(
    model: nn.Module, *inputs: Any, select: Callable[[str, nn.Module], bool] | None = None, **keywords: Any
) -> pd.DataFrame:
    """Statistics of the output of every module in one forward pass, ``model(*inputs, **keywords)``.

    Args:
        model: Any module.
        *inputs: Its positional arguments.
        select: Called with name and module; true for modules to report. Default: all but the model itself.
        **keywords: Its keyword arguments.

    Returns:
        One row per call, in the order in which calls finish: module (name), kind (class), layer (<NA> outside numbered
        layers), mean, rms (root of the mean square), max_abs, zeros (share of exact zeros). Modules that do not return
        one floating-point tensor are left out.
    """
    rows: list[tuple[Any, ...]] = []

    def report(name: str, module: nn.Module, output: Any) -> None:
        if not isinstance(output, Tensor) or not output.is_floating_point() or not output.numel():
            return
        x = output.float()
        stats = [x.mean(), x.square().mean().sqrt(), x.abs().amax(), (x == 0).float().mean()]
        rows.append((name, type(module).__name__, layer_of(name), *(float(value) for value in stats)))

    chosen = [
        (name, module)
        for name, module in model.named_modules()
        if (select(name, module) if select is not None else name)
    ]
    with watch_modules(chosen, after=report):
        model(*inputs, **keywords)
    columns = ["module", "kind", "layer", "mean", "rms", "max_abs", "zeros"]
    return pd.DataFrame(rows, columns=columns).astype({"layer": "Int64"})


@torch.no_grad()
def attention_logit_max(model: nn.Module, *inputs: Any, **keywords: Any) -> pd.DataFrame:
    """The largest attention logit of every head, and the entropy of its weights, in one forward pass.

    Logits are q·k / sqrt(d), only those that the mask lets through. Their growth, and an entropy near 0 (every
    token looks at a single one), are signs of the instability that QK-norm cures (Dehghani et al. 2023, section 2;
    Wortsman et al. 2023, section 3.1). Every call of ``torch.nn.functional.scaled_dot_product_attention`` is seen, in
    any model.

    Args:
        model: Any module that calls it.
        *inputs: Positional arguments of the model.
        **keywords: Keyword arguments of the model.

    Returns:
        One row per head: module (name), layer, head, max_logit, entropy (of a query's weights, mean over queries, in
        nats).

    Raises:
        ValueError: The model never called scaled_dot_product_attention.
    """
    watch = _AttentionWatch()
    with watch_modules(model.named_modules(), before=watch.enter, after=watch.leave), watch:
        model(*inputs, **keywords)
    if not watch.rows:
        raise ValueError(
            "model did not call torch.nn.functional.scaled_dot_product_attention: no logits were seen"
        )
    columns = ["module", "layer", "head", "max_logit", "entropy"]
    return pd.DataFrame(watch.rows, columns=columns).astype({"layer": "Int64"})


class _AttentionWatch(TorchFunctionMode):
    """Looks at the arguments of every call of torch's attention, with the name of the module that makes it."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[str, int | None, int, float, float]] = []
        self._running = [""]

    def enter(self, name: str, *_: object) -> None:
        self._running.append(name)

    def leave(self, *_: object) -> None:
        self._running.pop()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention:
            self._look(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _look(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> None:
        """Query (..., H, T, d), key (..., H or fewer, S, d)."""
        if enable_gqa:
            key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
        scale = query.shape[-1] ** -0.5 if scale is None else scale
        logits = scale * query.float() @ key.float().mT  # (..., H, T, S)
        if is_causal:
            logits = logits.masked_fill(~torch.ones_like(logits, dtype=torch.bool).tril(), -torch.inf)
        elif attn_mask is not None and attn_mask.dtype == torch.bool:
            logits = logits.masked_fill(~attn_mask, -torch.inf)
        elif attn_mask is not None:
            logits = logits + attn_mask
        entropy = torch.special.entr(logits.softmax(-1)).sum(-1)  # (..., H, T)
        by_head = logits.reshape(-1, logits.shape[-3] if logits.ndim > 2 else 1, *logits.shape[-2:])
        entropies = entropy.reshape(-1, by_head.shape[1], logits.shape[-2]).mean((0, 2))
        name = self._running[-1]
        for head, (largest, mean) in enumerate(zip(by_head.amax((0, 2, 3)), entropies, strict=True)):
            self.rows.append((name, layer_of(name), head, float(largest), float(mean)))
