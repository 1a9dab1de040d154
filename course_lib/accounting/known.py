"""Published models, to check the formulas and to compare with your own."""

from dataclasses import dataclass

from course_lib.model import ModelConfig


@dataclass(frozen=True)
class KnownModel:
    """A published model.

    ``config``: its shape, as closely as :class:`~course_lib.model.ModelConfig` can describe it. ``biases``: parameters
    of the original that the course's layers do not have. ``published``: the original's exact number of parameters,
    which is ``parameters(config) + biases``. ``training_tokens``: as its authors state. ``source``: where these
    numbers are published.
    """

    name: str
    config: ModelConfig
    published: int
    training_tokens: int | None
    source: str
    biases: int = 0


def _gpt2(name: str, published: int, d_model: int, num_layers: int) -> KnownModel:
    config = ModelConfig(
        vocab_size=50257,
        context_length=1024,
        d_model=d_model,
        num_layers=num_layers,
        num_heads=d_model // 64,
        norm="layernorm",
        activation="gelu_tanh",
        position="learned",
        tie_embeddings=True,
    )
    # A layer: queries, keys and values 3 D, output D, feed-forward 4 D and D, two norms 2 D; and the last norm D.
    biases = (11 * num_layers + 1) * d_model
    source = "Radford et al. 2019, table 2; exact counts from the released weights"
    return KnownModel(name, config, published, None, source, biases)


def _llama(
    name: str,
    published: int,
    tokens: float,
    source: str,
    *,
    d_model: int,
    num_layers: int,
    num_heads: int,
    d_ff: int,
    vocab_size: int = 32000,
    context_length: int = 2048,
    num_kv_heads: int | None = None,
    rope_theta: float = 10000.0,
) -> KnownModel:
    config = ModelConfig(
        vocab_size, context_length, d_model, num_layers, num_heads, num_kv_heads, d_ff, rope_theta
    )
    return KnownModel(name, config, published, round(tokens), source)


_LLAMA = "Touvron et al. 2023 (LLaMA), table 2"
_LLAMA2 = "Touvron et al. 2023 (Llama 2), table 1"
_LLAMA3 = "Grattafiori et al. 2024 (Llama 3), table 3; vocabulary and tokens: the release and its model card"

KNOWN_MODELS = {
    model.name: model
    for model in (
        _gpt2("GPT-2 small", 124_439_808, 768, 12),
        _gpt2("GPT-2 medium", 354_823_168, 1024, 24),
        _gpt2("GPT-2 large", 774_030_080, 1280, 36),
        _gpt2("GPT-2 XL", 1_557_611_200, 1600, 48),
        _llama("LLaMA 7B", 6_738_415_616, 1e12, _LLAMA, d_model=4096, num_layers=32, num_heads=32, d_ff=11008),
        _llama("LLaMA 13B", 13_015_864_320, 1e12, _LLAMA, d_model=5120, num_layers=40, num_heads=40, d_ff=13824),
        _llama("LLaMA 33B", 32_528_943_616, 1.4e12, _LLAMA, d_model=6656, num_layers=60, num_heads=52, d_ff=17920),
        _llama("LLaMA 65B", 65_285_660_672, 1.4e12, _LLAMA, d_model=8192, num_layers=80, num_heads=64, d_ff=22016),
        _llama(
            "Llama 2 70B", 68_976_648_192, 2e12, _LLAMA2,
            d_model=8192, num_layers=80, num_heads=64, d_ff=28672, num_kv_heads=8, context_length=4096,
        ),
        _llama(
            "Llama 3 8B", 8_030_261_248, 15e12, _LLAMA3,
            d_model=4096, num_layers=32, num_heads=32, d_ff=14336, num_kv_heads=8, context_length=8192,
            vocab_size=128256, rope_theta=500000.0,
        ),
    )
}  # fmt: skip
"""By name, in order of publication and size."""
