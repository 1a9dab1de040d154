"""Speed and capacity by counting, against hand counts, real modules and transformers' configurations."""

from dataclasses import replace

import pytest
import torch
from transformers import DeepseekV3Config, Gemma3TextConfig, GptOssConfig

from course_lib.accounting import KNOWN_MODELS, kv_cache_bytes, parameters
from course_lib.chapters.ch05_attention.experiments import caches, latent, roofline
from course_lib.model import ModelConfig, RotaryEmbedding

LLAMA = KNOWN_MODELS["Llama 3 8B"].config
H100 = roofline.DEVICES["H100, 80 GB"]


def test_a_kind_is_the_accounting_of_its_shape() -> None:
    kinds = roofline.kinds(LLAMA)
    assert [kind.cache for kind in kinds.values()] == [524_288, 131_072, 16_384, 2 * 32 * 576]
    for name, heads in (("MHA", 32), ("GQA", 8), ("MQA", 1)):
        shape = replace(LLAMA, num_kv_heads=heads)
        assert kinds[name].weights == 2 * parameters(shape)
        assert kinds[name].read == 2 * (parameters(shape) - 128_256 * 4096)
        assert kinds[name].cache * 4096 == kv_cache_bytes(shape, 1, 4096, "bfloat16")
        assert kinds[name].flops_per_token == 4 * 32 * 4096


def test_the_weights_of_latent_attention_are_those_of_the_module() -> None:
    config = ModelConfig(100, 64, 256, 3, 8, head_dim=32)
    rope = RotaryEmbedding(100.0, roofline.ROPE_DIM, 64)
    layer = latent.LatentAttention(256, 8, 32, latent=roofline.LATENT, rope=rope)
    counted = parameters(config)
    with_it = counted - counted["attention"] + 3 * sum(p.numel() for p in layer.parameters())
    assert roofline.kinds(config)["MLA"].weights == 2 * with_it
    cache = layer.new_cache(1, 10)
    assert cache.buffer[0, 0].numel() * 3 * 2 == roofline.kinds(config)["MLA"].cache


def test_operations_of_a_step_by_hand() -> None:
    config = ModelConfig(10, 8, 4, 1, 2, d_ff=8, activation="relu")
    kind = roofline.kinds(config)["MQA"]
    weights = 4 * 4 + 2 * 2 * 4 + 4 * 4 + 2 * 4 * 8 + 3 * 4 + 10 * 4  # q, k and v, output, FFN, norms, head
    assert kind.read == 2 * weights
    device = roofline.Device(bandwidth=100.0, flops=1000.0, memory=1e9)
    moving, computing = roofline.step_seconds(kind, device, 3, 8)
    assert moving == pytest.approx((2 * weights + 3 * 8 * 1 * 2 * 2 * 2) / 100)
    assert computing == pytest.approx(3 * (2 * weights + 8 * 2 * 2 * 2 * 2) / 1000)


def test_llama_on_an_h100() -> None:
    table = roofline.capacity_roofline(LLAMA, H100, length=4096)
    full = table.groupby("kind", sort=False).last()
    assert full.batch.to_dict() == {"MHA": 29, "GQA": 119, "MQA": 959, "MLA": 420}
    assert [round(speed) for speed in full.tokens_per_second[:3]] == [1231, 5053, 40719]
    for kind, counted in roofline.kinds(LLAMA).items():
        room = H100.memory - counted.weights
        assert full.batch[kind] * counted.cache * 4096 <= room < (full.batch[kind] + 1) * counted.cache * 4096
    one = table[table.batch == 1].set_index("kind")
    assert one.seconds["GQA"] == pytest.approx(4.64e-3, rel=1e-3)
    assert (table.limit == "memory").all()


def test_weights_that_do_not_fit_leave_no_rows() -> None:
    assert roofline.capacity_roofline(KNOWN_MODELS["LLaMA 65B"].config, H100, length=1024).empty
    slow = replace(H100, flops=1e13)
    table = roofline.capacity_roofline(LLAMA, slow, length=4096)
    assert set(table[table.kind == "MLA"].limit) == {"memory", "arithmetic"}


def test_published_caches() -> None:
    table = caches.published_caches().set_index("model")
    assert table.kb_per_token["Llama 3 8B"] == 131.072
    assert table.kb_per_token["DeepSeek-V3"] == 70.272
    assert table.kb_per_token["Llama 2 70B"] == 327.68
    assert table.cache_gb["LLaMA 65B"] == pytest.approx(80 * 64 * 128 * 2048 * 4 / 1e9)
    assert table.all_heads_gb["Llama 2 70B"] == pytest.approx(8 * table.cache_gb["Llama 2 70B"])


def test_shapes_are_those_of_the_released_configurations() -> None:
    """Transformers' defaults are gpt-oss-120b and DeepSeek-V3; of Gemma 3 only the pattern of windows."""
    shapes = {one.name: one for one in caches.CACHES}
    gpt, ours = GptOssConfig(), shapes["gpt-oss-120b"]
    assert (gpt.num_hidden_layers, gpt.sliding_window) == (ours.layers, ours.window)
    assert gpt.layer_types.count("sliding_attention") == ours.local
    assert 2 * gpt.num_key_value_heads * gpt.head_dim == ours.kept
    assert 2 * gpt.num_attention_heads * gpt.head_dim == ours.by_heads
    deep, ours = DeepseekV3Config(), shapes["DeepSeek-V3"]
    assert (deep.num_hidden_layers, deep.kv_lora_rank + deep.qk_rope_head_dim) == (ours.layers, ours.kept)
    heads = deep.qk_nope_head_dim + deep.qk_rope_head_dim + deep.v_head_dim
    assert deep.num_attention_heads * heads == ours.by_heads
    gemma, ours = Gemma3TextConfig(num_hidden_layers=62), shapes["Gemma 3 27B"]
    assert gemma.layer_types.count("sliding_attention") == ours.local


def test_local_layers_keep_their_window() -> None:
    shape = caches.CacheShape("toy", "", 4, 10, 40, 100, "", local=3, window=8)
    assert shape.num_bytes(4) == 2 * 10 * 4 * 4
    assert shape.num_bytes(50) == 2 * 10 * (3 * 8 + 50)
    assert shape.all_heads_bytes(50) == 2 * 40 * 4 * 50


def test_latents_in_bfloat16_take_two_bytes() -> None:
    layer = latent.LatentAttention(8, 2, 4, latent=6, rope=RotaryEmbedding(100.0, 2, 8)).to(torch.bfloat16)
    assert layer.new_cache(3, 5).num_bytes == 3 * 5 * 8 * 2
