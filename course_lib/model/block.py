"""One Transformer block, with every placement of the norms that the course compares."""

from collections.abc import Callable

from torch import Tensor, nn

from course_lib.checks import check_positive
from course_lib.model.attention import CausalSelfAttention
from course_lib.model.cache import LayerCache
from course_lib.model.config import ModelConfig
from course_lib.model.ffn import make_ffn
from course_lib.model.norm import make_norm
from course_lib.model.rope import RotaryEmbedding

Sublayer = Callable[[Tensor], Tensor]


def deepnorm_constants(num_layers: int) -> tuple[float, float]:
    """DeepNorm's alpha = (2M)^(1/4) and beta = (8M)^(-1/4) for a decoder of M layers (Wang et al. 2022, figure 2)."""
    check_positive("num_layers", num_layers)
    return (2 * num_layers) ** 0.25, (8 * num_layers) ** -0.25


class TransformerBlock(nn.Module):
    """Attention and a feed-forward layer, each on a residual branch: (..., T, D) → (..., T, D).

    ``config.norm_placement`` says where the norms are; see :class:`ModelConfig`. With ``"deepnorm"`` the stream is
    multiplied by alpha before the sum is normed, and the feed-forward, value and output matrices start smaller by the
    factor beta (Wang et al. 2022), see :func:`deepnorm_constants`.

    ``rope``: the rotary table to use, which the blocks of a model share; by default the block makes its own if
    ``config.position`` is ``"rope"``.

    Parameters: attn, ffn, and ln1 and ln2 for the two sublayers: before them for ``"pre"`` and ``"double"``, after
    the sum for ``"post"`` and ``"deepnorm"``, after the sublayer for ``"branch"``, where ``"double"`` has ln1_post and
    ln2_post; none for ``"none"``.
    """

    def __init__(self, config: ModelConfig, *, rope: RotaryEmbedding | None = None) -> None:
        super().__init__()
        if rope is None and config.position == "rope":
            rope = make_rope(config)
        self.placement = config.norm_placement
        self.alpha = 1.0
        self.attn = CausalSelfAttention(
            config.d_model,
            config.num_heads,
            config.num_kv_heads,
            rope=rope,
            qk_norm=config.qk_norm,
            window=config.window,
            head_dim=config.head_dim,
            eps=config.norm_eps,
        )
        self.ffn = make_ffn(config)
        names = {"none": (), "double": ("ln1", "ln2", "ln1_post", "ln2_post")}.get(
            self.placement, ("ln1", "ln2")
        )
        for name in names:
            setattr(self, name, make_norm(config.norm, config.d_model, config.norm_eps))
        if self.placement == "deepnorm":
            self.alpha, beta = deepnorm_constants(config.num_layers)
            self._scale_initialization(beta)

    def _scale_initialization(self, beta: float) -> None:
        self.attn.v_proj.reset_parameters(beta)
        self.attn.output_proj.reset_parameters(beta)
        for linear in self.ffn.children():
            linear.reset_parameters(beta)  # type: ignore[operator]

    def forward(
        self, x: Tensor, token_positions: Tensor | None = None, *, cache: LayerCache | None = None
    ) -> Tensor:
        """(..., T, D) → (..., T, D); arguments as in :class:`CausalSelfAttention`."""
        x = self._residual(x, lambda h: self.attn(h, token_positions, cache=cache), "ln1")
        return self._residual(x, self.ffn, "ln2")

    def _residual(self, x: Tensor, f: Sublayer, norm: str) -> Tensor:
        """Add sublayer ``f`` to the stream ``x``, normed where the placement says."""
        if self.placement == "none":
            return x + f(x)
        ln: Sublayer = getattr(self, norm)
        if self.placement == "pre":
            return x + f(ln(x))
        if self.placement == "post":
            return ln(x + f(x))
        if self.placement == "deepnorm":
            return ln(self.alpha * x + f(x))
        if self.placement == "branch":
            return x + ln(f(x))
        ln_post: Sublayer = getattr(self, f"{norm}_post")
        return x + ln_post(f(ln(x)))  # "double"


def make_rope(config: ModelConfig) -> RotaryEmbedding:
    """The rotary table for ``config``."""
    return RotaryEmbedding(
        config.rope_theta,
        config.head_width,
        config.context_length,
        layout=config.rope_layout,
        scaling=config.rope_scaling,
    )
