"""Chapter 11's counts against torch and hand arithmetic, and its measurements against known limits."""

import numpy as np
import pytest

from course_lib.accounting import KNOWN_MODELS
from course_lib.chapters.ch11_resources.experiments import resources, shapes


def test_known_models_are_found_to_the_last_parameter() -> None:
    models = resources.known_models().set_index("model")
    assert len(models) == len(KNOWN_MODELS) and (models["parameters"] == models["formula"]).all()
    assert models.loc["GPT-2 small", "12 L D²"] == 12 * 12 * 768**2
    shares = models[["embedding", "attention", "ffn", "head"]].sum(axis=1)
    assert ((shares > 0.999) & (shares <= 1)).all()
    assert models.loc["Llama 3 8B", "d_ff / D"] == 3.5 and models.loc["Llama 3 8B", "head"] == pytest.approx(
        128256 * 4096 / 8_030_261_248
    )


def test_torch_counts_the_same_operations_and_parameters() -> None:
    counts = resources.torch_counts({"base": {}, "wide": {"d_model": 128, "qk_norm": True}})
    assert (counts["parameters"] == counts["module"]).all()
    np.testing.assert_allclose(counts["ratio"], 1, atol=0.01)


def test_attention_equals_the_weights_at_six_widths() -> None:
    # 12 L D T for attention against 72 L D² for the layers: equal at T = 6 D, the head aside.
    results = resources.by_context(["LLaMA 65B"], [1024, 6 * 8192]).set_index("context")
    assert results.loc[6 * 8192, "attention"] == pytest.approx(0.5, abs=0.01)
    np.testing.assert_allclose(results["attention"] + results["rule"], 1)
    assert results.loc[1024, "flops"] == pytest.approx(6 * 65.0e9 + 12 * 80 * 8192 * 1024, rel=0.01)


def test_memory_cases_add_up() -> None:
    config = KNOWN_MODELS["GPT-2 small"].config
    cases = resources.memory_cases(config, {"a": {}, "sgd": {"optimizer": "sgd", "batch": 1}}).set_index(
        "case"
    )
    np.testing.assert_allclose(cases.drop(columns="total").sum(axis=1), cases["total"])
    assert cases.loc["a", "optimizer"] == pytest.approx(2 * cases.loc["a", "weights"])
    assert cases.loc["sgd", "optimizer"] == 0
    assert cases.loc["a", "activations"] == pytest.approx(8 * cases.loc["sgd", "activations"])


def test_what_fits_is_counted_by_hand() -> None:
    fits = resources.what_fits(["Llama 3 8B", "LLaMA 65B"], memory_bytes=80e9).set_index("model")
    assert fits.loc["Llama 3 8B", "KV cache a token"] == 2 * 32 * 8 * 128 * 2
    assert fits.loc["Llama 3 8B", "cached tokens"] == pytest.approx(
        (80e9 - 2 * 8_030_261_248) / 131_072 / 1e3
    )
    assert fits.loc["LLaMA 65B", "cached tokens"] < 0 and not fits["trains"].any()
    assert resources.what_fits(["LLaMA 7B"], memory_bytes=200e9)["trains"].all()


def test_published_runs_come_near_the_rule() -> None:
    runs = resources.published_runs().set_index("model")
    by_rule = 6 * 65.3e9 * 1.4e12 / (1_022_362 * 3600 * 312e12)
    assert runs.loc["LLaMA 65B", "MFU"] == pytest.approx(by_rule / runs.loc["LLaMA 65B", "6ND"], rel=0.001)
    assert runs["MFU"].between(0.3, 0.7).all()


def test_operations_have_their_intensity() -> None:
    points = resources.operations(width=64, tokens=32, repeats=1).set_index("name")
    assert points.loc["residual sum", "intensity"] == pytest.approx(1 / 12)
    assert points.loc["layer, 32 tokens", "flops"] == 2 * 32 * 64 * 256
    assert points.loc["layer, 32 tokens", "bytes"] == 4 * (32 * 64 + 64 * 256 + 32 * 256)
    assert (points["flops_per_second"] == points["flops"] / points["cpu_seconds"]).all()


def test_training_steps_are_those_of_the_widths() -> None:
    steps = resources.training_steps([32, 64], batch=2, repeats=1)
    assert steps["width"].tolist() == [32, 64]
    np.testing.assert_allclose(steps["tokens_per_second"], 2 * 64 / steps["cpu_seconds"])
    assert (steps["MFU"] > 0).all()


def test_measured_memory_is_near_the_formula() -> None:
    measured = resources.measured_memory({"plain": {}, "chunks": {"loss_chunk": 64}})
    assert measured["ratio"].between(0.9, 1.1).all()


def test_shapes_have_equal_parameters_in_the_layers_and_break_one_rule() -> None:
    cases = shapes.shapes().set_index("shape")
    assert cases["in layers"].max() / cases["in layers"].min() < 1.001
    assert cases.index[0] == "base" and (cases.drop("base")["rule"] != "").all()
    runs = shapes.ablation((0.01,), seeds=(0,), steps=2)
    assert runs.finals["shape"].tolist() == list(cases.index)
