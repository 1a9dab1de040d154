"""Texts that small runs read: training and held-out ids, in bytes or in tokens of a vocabulary trained on the text."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from course_lib.checks import check_choice
from course_lib.data import TEXTS, split, stories
from course_lib.data.stories import Language
from course_lib.tokenizer import train_bpe

STORIES: Mapping[str, Language] = {"stories_en": "en", "stories_zh": "zh"}
"""Generated texts, for chapters where knowing the grammar is the point."""

_TRAINING_BYTES, _HELD_OUT_BYTES = 1_000_000, 100_000
_HELD_OUT_SEED = 1_000_003  # stories that no run trains on
BYTES = 256


@dataclass(frozen=True)
class RunText:
    """A text for small runs: ``training`` and ``held_out`` ids (int64), and the size of the held-out text."""

    training: Tensor
    held_out: Tensor
    held_out_bytes: int

    def bits_per_byte(self, nats_per_token: float) -> float:
        """A mean loss per token in bits per byte of the held-out text."""
        return nats_per_token / float(np.log(2)) * len(self.held_out) / self.held_out_bytes


@cache
def run_text(name: str = "stories_en", vocab_size: int = BYTES) -> RunText:
    """A text as ids: byte values if ``vocab_size`` is 256, else tokens of a BPE trained on the training part.

    Args:
        name: "novels_en" or "classics_zh" (:func:`course_lib.data.split`: no sentence in both parts), or "stories_en"
            or "stories_zh" (generated, 1 MB and 100 kB).
        vocab_size: 256 or more.

    Raises ValueError for an unknown name or a smaller vocabulary.
    """
    check_choice("name", name, [*(known.name for known in TEXTS), *STORIES])
    if vocab_size < BYTES:
        raise ValueError(f"vocab_size must be at least {BYTES}, not {vocab_size}")
    if name in STORIES:
        parts = [_stories(name, _TRAINING_BYTES, 0), _stories(name, _HELD_OUT_BYTES, _HELD_OUT_SEED)]
    else:
        whole = split(name)
        parts = [whole.joined(part).encode() for part in ("training", "held_out")]
    if vocab_size == BYTES:
        training, held_out = (_int64(np.frombuffer(part, dtype=np.uint8)) for part in parts)
    else:
        tokenizer = train_bpe([parts[0].decode(errors="ignore")], vocab_size, num_threads=1)
        training, held_out = (_int64(tokenizer.encode_to_numpy(part)) for part in parts)
    return RunText(training, held_out, len(parts[1]))


def _stories(name: str, num_bytes: int, seed: int) -> bytes:
    return "\n\n\n".join(stories(num_bytes, seed, STORIES[name])).encode()[:num_bytes]


def _int64(ids: np.ndarray) -> Tensor:
    return torch.from_numpy(ids.astype(np.int64))
