"""Chapter 5: the caches of published models, by formula."""

from dataclasses import dataclass

import pandas as pd

from course_lib.accounting import KNOWN_MODELS


@dataclass(frozen=True)
class CacheShape:
    """The shape of a published model's cache.

    ``how``: in a word or two. ``kept``: numbers that a token leaves in each of the ``layers``. ``by_heads``: numbers if
    every query head had a key and a value of its own. ``context``: tokens it was made for. ``source``: where the
    numbers are published. ``local``: layers that keep the last ``window`` tokens only.
    """

    name: str
    how: str
    layers: int
    kept: int
    by_heads: int
    context: int
    source: str
    local: int = 0
    window: int = 0

    def num_bytes(self, length: int) -> int:
        """Bytes for one sequence, 16 bits a number."""
        near = self.local * min(length, self.window)
        return 2 * self.kept * (near + (self.layers - self.local) * length)

    def all_heads_bytes(self, length: int) -> int:
        """Bytes without any saving: all layers global, all heads with keys and values of their own."""
        return 2 * self.by_heads * self.layers * length


def _known(name: str, how: str) -> CacheShape:
    known = KNOWN_MODELS[name]
    shape = known.config
    kept, full = (2 * heads * shape.head_width for heads in (shape.kv_heads, shape.num_heads))
    return CacheShape(name, how, shape.num_layers, kept, full, shape.context_length, known.source)


CACHES = (
    _known("GPT-2 XL", "MHA"),
    _known("LLaMA 65B", "MHA"),
    _known("Llama 2 70B", "GQA, 8 heads"),
    _known("Llama 3 8B", "GQA, 8 heads"),
    CacheShape(
        "DeepSeek-V3", "MLA", 61, 512 + 64, 128 * (128 + 64 + 128), 131_072,
        "DeepSeek-AI 2024 (DeepSeek-V3), section 4.2: 128 heads of 128, latent 512, 64 turned",
    ),
    CacheShape(
        "Gemma 3 27B", "GQA, 5 of 6 layers local", 62, 2 * 16 * 128, 2 * 32 * 128, 131_072,
        "Gemma Team 2025 (Gemma 3), sections 2 and 5; heads: the released configuration", local=52, window=1024,
    ),
    CacheShape(
        "gpt-oss-120b", "GQA, every other layer local", 36, 2 * 8 * 64, 2 * 64 * 64, 131_072,
        "OpenAI 2025 (gpt-oss model card), section 2", local=18, window=128,
    ),
)  # fmt: skip
"""In order of publication."""


def published_caches() -> pd.DataFrame:
    """Caches of published models for one sequence, in 16 bits.

    Columns: model, how, kb_per_token (of the first token), context, cache_gb and all_heads_gb (at the model's own
    context, as it is and if every head of every layer kept its own keys and values).
    """
    rows = [
        (
            one.name,
            one.how,
            one.num_bytes(1) / 1e3,
            one.context,
            one.num_bytes(one.context) / 1e9,
            one.all_heads_bytes(one.context) / 1e9,
        )
        for one in CACHES
    ]
    return pd.DataFrame(rows, columns=["model", "how", "kb_per_token", "context", "cache_gb", "all_heads_gb"])
