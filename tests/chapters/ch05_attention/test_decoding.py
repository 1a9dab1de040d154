"""Cache sizes, operations per byte and speed of decoding, against published figures, the allocator and hand counts."""

import pytest
import torch

from course_lib.chapters.ch05_attention.experiments import decoding
from course_lib.model import ModelConfig


def test_caches_of_published_models() -> None:
    table = decoding.known_caches().set_index("model")
    assert table.kb_per_token["Llama 3 8B"] == 131.072
    assert table.cache_gb["LLaMA 65B"] == pytest.approx(80 * 64 * 128 * 2048 * 4 / 1e9)
    assert table.as_mha_gb["Llama 2 70B"] == pytest.approx(8 * table.cache_gb["Llama 2 70B"])


def test_the_allocator_agrees_with_the_formula() -> None:
    table = decoding.measured_caches([{"num_kv_heads": 4}, {"num_layers": 2}], batch_size=3)
    assert (
        table.measured.tolist()
        == table.formula.tolist()
        == [2 * 4 * 4 * 16 * 256 * 3 * 4, 2 * 2 * 8 * 16 * 256 * 3 * 4]
    )


def test_operations_a_byte_by_hand() -> None:
    config = ModelConfig(10, 8, 4, 1, 2, d_ff=8, activation="relu")
    table = decoding.intensity(config, kv_heads=(1,), batches=(3,), length=8).set_index("phase")
    weights = 4 * 4 + 2 * 2 * 4 + 4 * 4 + 2 * 4 * 8 + 3 * 4 + 10 * 4  # q, k and v, output, FFN, norms, head
    assert table.weight_bytes["decode"] == 2 * weights
    assert table.cache_bytes["decode"] == 2 * 3 * 8 * 1 * 2 * 2
    assert table.flops["decode"] == 3 * 2 * weights + 3 * 4 * 8 * 2 * 2
    matrices = weights - 3 * 4
    assert table.flops["prefill"] == 3 * 8 * (2 * matrices + 4 * 8 * 2 * 2)


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


def test_decode_speed_reports_each_setting() -> None:
    table = decoding.decode_speed([(32, 8, 2)], (8, 2), repeats=1)
    assert table.kv_heads.tolist() == [8, 2]
    assert table.relative[0] == 1
    assert table.tokens_per_second[1] == pytest.approx(table.relative[1] * table.tokens_per_second[0])
    assert table.cache_mb[0] == pytest.approx(4 * table.cache_mb[1]) == 2 * 4 * 32 * 9 * 2 * 4 / 1e6
