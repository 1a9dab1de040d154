"""Speed of reading and writing: what the functions compute, against hand counts."""

import pytest
import torch

from course_lib.chapters.ch05_attention.experiments import decoding
from course_lib.model import KVCache, ModelConfig


def test_phases_compute_what_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    forward = decoding.TransformerLM.forward

    def watch(self: decoding.TransformerLM, ids: torch.Tensor, **options: object) -> torch.Tensor:
        seen.append(ids.shape[-1])
        return forward(self, ids, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(decoding.TransformerLM, "forward", watch)
    table = decoding.phases(d_model=32, length=16, repeats=1)
    assert table.tokens.tolist() == [16, 1, 17] == seen[:3]
    assert table.per_token[0] == pytest.approx(table.milliseconds[0] / 16)


def test_the_law_counts_bytes_and_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "machine_limits", lambda **_: {"bytes": 1e9, "flops": 1e15})
    table = decoding.decode_law((8, 2), (1, 3), d_model=32, length=8, repeats=1)
    assert table.kv_heads.tolist() == [8, 2, 8, 2]
    assert table.batch.tolist() == [1, 1, 3, 3]
    caches = [
        2 * 4 * heads * 4 * 9 * batch * 4 for heads, batch in zip(table.kv_heads, table.batch, strict=True)
    ]
    weights = (1e6 * table.megabytes - caches).tolist()
    assert weights[0] == pytest.approx(weights[2])
    assert weights[0] - weights[1] == pytest.approx(
        4 * 4 * 2 * 6 * 4 * 32
    )  # six key and six value heads less
    assert table.law_ms.tolist() == pytest.approx(table.megabytes.tolist())  # a megabyte per millisecond
    assert (table.net_ms + table.calls_ms).tolist() == pytest.approx(table.step_ms.tolist())
    assert (table.law * table.law_ms).tolist() == pytest.approx((1e3 * table.batch).tolist())


def test_the_law_counts_operations_where_they_take_longer() -> None:
    config = ModelConfig(256, 9, 32, 4, 8, 8)
    moved, operations = decoding._counted(config, KVCache(config, 2), 2, 8)
    layer = 4 * 32 * 32 + 3 * 32 * config.ffn_width + 2 * 32
    weights = 4 * layer + 32 + 256 * 32  # layers, final norm, head
    assert moved == 4 * weights + 2 * 4 * 8 * 4 * 9 * 2 * 4
    assert operations == 2 * (2 * weights + 4 * 4 * 8 * 4 * 8)
