"""Which parameters decay, and which Muon updates."""

from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor, nn

NOT_MUON = ("embed", "lm_head", "unembed", "wte", "wpe")
"""Parts of parameter names that stand for embeddings and output heads: matrices, but tables rather than maps."""


def param_groups(
    model: nn.Module,
    *,
    weight_decay: float = 0.1,
    part: Literal["all", "muon", "rest"] = "all",
    no_decay: Sequence[str] = (),
    not_muon: Sequence[str] = NOT_MUON,
) -> list[dict[str, Any]]:
    """The trainable parameters of ``model`` as groups for an optimizer, with names for error messages.

        AdamW(param_groups(model, weight_decay=0.1), lr=1e-3)

        muon = Muon(param_groups(model, part="muon"), lr=0.02)
        adamw = AdamW(param_groups(model, part="rest"), lr=1e-3)

    Matrices decay. Gains, biases and other parameters with fewer than two dimensions do not: decay would pull a
    gain towards 0, not towards the 1 where it does nothing (GPT-3's and LLaMA's practice). A tensor that the model
    uses twice (tied embeddings) is listed once.

    Args:
        model: Any module.
        weight_decay: Decay of the matrices.
        part: "all" parameters; those for "muon": the two-dimensional ones outside embeddings and output head (Jordan
            2024); or the "rest".
        no_decay: Parameters whose name contains one of these texts do not decay either.
        not_muon: Parameters whose name contains one of these texts are not for Muon.

    Returns:
        Up to two groups, decayed first, each {"params": [(name, parameter), …], "weight_decay": number}; empty
        groups are left out.

    Raises:
        ValueError: ``part`` is unknown, or the part has no parameter.
    """
    if part not in ("all", "muon", "rest"):
        raise ValueError(f"part is {part!r}; it must be 'all', 'muon' or 'rest'")
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    decayed: list[tuple[str, Tensor]] = []
    kept: list[tuple[str, Tensor]] = []
    for name, param in model.named_parameters():
        if not param.requires_grad:
            continue
        for_muon = param.ndim == 2 and id(param) not in tables and not _holds(name, not_muon)
        if part != "all" and for_muon != (part == "muon"):
            continue
        (kept if param.ndim < 2 or _holds(name, no_decay) else decayed).append((name, param))
    if not decayed and not kept:
        raise ValueError(f"model has no trainable parameter for part {part!r}")
    groups = ((decayed, weight_decay), (kept, 0.0))
    return [{"params": members, "weight_decay": decay} for members, decay in groups if members]


def _holds(name: str, texts: Sequence[str]) -> bool:
    return any(text in name.lower() for text in texts)
