"""Activation functions: the formulas, and torch's kernels with the same values, which the layers use.

The functions are the forms to read; :func:`torch_kernel` gives torch's kernel of the same name, which makes one pass
over memory and keeps one tensor for the backward pass.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from course_lib.checks import check_choice
from course_lib.model.functional import silu

Activation = Callable[[Tensor], Tensor]


def relu(x: Tensor) -> Tensor:
    """max(x, 0)."""
    return torch.where(x > 0, x, 0.0)


def relu2(x: Tensor) -> Tensor:
    """max(x, 0)², the squared ReLU found by search in Primer (So et al. 2021)."""
    return relu(x).square()


def gelu(x: Tensor) -> Tensor:
    """The input times Φ(x), with the normal distribution function Φ (Hendrycks & Gimpel 2016)."""
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def gelu_tanh(x: Tensor) -> Tensor:
    """GELU in the tanh approximation of the same paper, as used by GPT-2."""
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)), the gate of the first gated linear unit (Dauphin et al. 2016)."""
    return 1 / (1 + torch.exp(-x))


def identity(x: Tensor) -> Tensor:
    """The input itself: the gate of the bilinear layer (Mnih & Hinton 2007; Shazeer 2020)."""
    return x


ACTIVATIONS: dict[str, Activation] = {
    "relu": relu,
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "silu": silu,
    "relu2": relu2,
    "sigmoid": sigmoid,
    "identity": identity,
}
"""The formulas by name."""


def _torch_relu2(x: Tensor) -> Tensor:
    return functional.relu(x).square()


# Named functions, not lambdas: a pickled model holds one of them.
_TORCH_KERNELS: dict[str, Activation] = {
    "relu": functional.relu,
    "gelu": functional.gelu,
    "gelu_tanh": partial(functional.gelu, approximate="tanh"),
    "silu": functional.silu,
    "relu2": _torch_relu2,
    "sigmoid": torch.sigmoid,
    "identity": identity,
}


def torch_kernel(name: str) -> Activation:
    """Torch's kernel for one of ``ACTIVATIONS``. Raises ValueError for another name."""
    check_choice("activation", name, ACTIVATIONS)
    return _TORCH_KERNELS[name]
