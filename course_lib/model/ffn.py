"""The feed-forward layer, plain and gated."""

from torch import Tensor, nn
from torch.nn import functional

from course_lib.checks import check_choice
from course_lib.model import kernels
from course_lib.model.activation import torch_kernel
from course_lib.model.config import GATED_ACTIVATIONS, PLAIN_ACTIVATIONS, ModelConfig
from course_lib.model.linear import Linear, plain_weights


class FFN(nn.Module):
    """w2(activation(w1(x))) (Vaswani et al. 2017, section 3.3, without biases): (..., d_model) → (..., d_model).

    ``activation``: ``"relu"``, ``"gelu"``, ``"gelu_tanh"``, ``"silu"`` or ``"relu2"``; another raises ValueError.
    Parameters: w1 (d_ff, d_model), w2 (d_model, d_ff).
    """

    def __init__(self, d_model: int, d_ff: int, activation: str) -> None:
        super().__init__()
        check_choice("activation", activation, PLAIN_ACTIVATIONS)
        self.activation = activation
        self.act = torch_kernel(activation)
        self.w1 = Linear(d_model, d_ff)
        self.w2 = Linear(d_ff, d_model)

    def forward(self, x: Tensor) -> Tensor:
        """(..., d_model) → (..., d_model)."""
        return self.w2(self.act(self.w1(x)))  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        """Options shown by ``repr``."""
        return f"activation={self.activation!r}"


class GatedFFN(nn.Module):
    """w2(activation(w1(x)) * w3(x)), a gated linear unit (Shazeer 2020, equation 6): (..., d_model) → (..., d_model).

    ``activation``: that of the gate, ``"identity"``, ``"sigmoid"``, ``"relu"``, ``"gelu"``, ``"gelu_tanh"``, ``"silu"``
    or ``"relu2"``, or the name of the whole: ``"bilinear"``, ``"glu"``, ``"reglu"``, ``"geglu"``, ``"swiglu"``; another
    raises ValueError. Parameters: w1, the gate, and w3 (d_ff, d_model), w2 (d_model, d_ff). With d_ff = 8/3 d_model
    there are as many as in an :class:`FFN` with 4 d_model.
    """

    def __init__(self, d_model: int, d_ff: int, activation: str) -> None:
        super().__init__()
        check_choice(
            "activation", activation, (*GATED_ACTIVATIONS, "identity", "sigmoid", *PLAIN_ACTIVATIONS)
        )
        self.activation = activation
        self.gate = GATED_ACTIVATIONS.get(activation, activation)
        self.act = torch_kernel(self.gate)
        self.w1 = Linear(d_model, d_ff)
        self.w2 = Linear(d_ff, d_model)
        self.w3 = Linear(d_model, d_ff)

    def forward(self, x: Tensor) -> Tensor:
        """(..., d_model) → (..., d_model)."""
        rows = x.reshape(-1, x.shape[-1])  # one matrix, so that autograd has fewer views to follow
        weights = plain_weights(self.w1, self.w3) if self.act is functional.silu else None
        if weights is not None:
            return self.w2(kernels.swiglu(rows, *weights)).view(x.shape)  # type: ignore[no-any-return]
        return self.w2(self.act(self.w1(rows)) * self.w3(rows)).view(x.shape)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        """Options shown by ``repr``."""
        return f"activation={self.activation!r}"


class SwiGLU(GatedFFN):
    """w2(silu(w1(x)) * w3(x)), the feed-forward layer of Llama (Shazeer 2020; Touvron et al. 2023)."""

    def __init__(self, d_model: int, d_ff: int) -> None:
        super().__init__(d_model, d_ff, "swiglu")


def make_ffn(config: ModelConfig) -> FFN | GatedFFN:
    """The feed-forward layer for ``config``."""
    kind = GatedFFN if config.is_gated else FFN
    return kind(config.d_model, config.ffn_width, config.activation)
