"""Chapter 5's explorers show the sizes and weights that they describe."""

import numpy as np
import pytest

from course_lib.accounting import KNOWN_MODELS, kv_cache_bytes
from course_lib.chapters.ch05_attention import explorers
from course_lib.chapters.ch05_attention.experiments import roofline


def test_the_calculator_computes_the_formula() -> None:
    calculator = explorers.kv_calculator()
    calculator.controls["model"].value = "Llama 2 70B"
    calculator.controls["group"].value = 8
    calculator.controls["context"].value = 4096
    calculator.controls["batch"].value = 2
    size = kv_cache_bytes(KNOWN_MODELS["Llama 2 70B"].config, 2, 4096, "bfloat16") / 1e9
    assert f"takes {size:,.2f} GB" in calculator.alt
    assert "the weights alone do not fit into 80 GB" in calculator.alt
    calculator.controls["bits"].value = 8
    calculator.controls["device"].value = 192
    assert f"takes {size / 2:,.2f} GB" in calculator.alt
    assert f"{2 * (192 - 2 * 68_976_648_192 / 1e9) / (size / 2):,.1f} such sequences fit" in calculator.alt
    calculator.controls["group"].value = 1
    assert f"takes {4 * size:,.2f} GB" in calculator.alt


def test_the_calculator_starts_as_published() -> None:
    calculator = explorers.kv_calculator()
    for model, heads in (("Llama 3 8B", 8), ("LLaMA 65B", 64), ("Llama 2 70B", 8)):
        calculator.controls["model"].value = model
        assert f"{model}, {heads} KV heads" in calculator.alt


def test_lines_end_where_the_memory_is_full() -> None:
    explorer = explorers.capacity_explorer(roofline.capacity_roofline, roofline.DEVICES)
    assert explorer.alt.startswith("Llama 3 8B on H100, 80 GB, 4,096 tokens per sequence.")
    assert "MHA 1,231 with 29; GQA 5,053 with 119; MQA 40,719 with 959; MLA 17,845 with 420." in explorer.alt
    (axes,) = explorer.figure.axes
    names = [text for text in axes.texts if text.get_text().startswith(("M", "G"))]
    assert {name.get_text() for name in names} == {"MHA, 29", "GQA, 119", "MQA, 959", "MLA, 420"}
    boxes = [name.get_window_extent() for name in names]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    explorer.controls["model"].value = "LLaMA 65B"
    assert "the weights do not fit beside one sequence" in explorer.alt
    assert all(not name.get_text() for name in names)


def test_every_setting_stays_on_the_axes() -> None:
    explorer = explorers.capacity_explorer(roofline.capacity_roofline, roofline.DEVICES)
    (axes,) = explorer.figure.axes
    for device in roofline.DEVICES:
        for context in (1024, 131_072):
            explorer.controls["device"].value, explorer.controls["context"].value = device, context
            for line in axes.get_lines():
                for x, y in np.asarray(line.get_xydata()):
                    assert axes.get_xlim()[0] < x < axes.get_xlim()[1]
                    assert axes.get_ylim()[0] < y < axes.get_ylim()[1]


def test_the_calculators_labels_keep_apart_and_its_ends_are_on_the_axis() -> None:
    calculator = explorers.kv_calculator()
    (axes,) = calculator.figure.axes
    for model, device in (("Llama 3 8B", 24), ("LLaMA 65B", 80), ("Llama 2 70B", 192)):
        calculator.controls["model"].value, calculator.controls["device"].value = model, device
        weights, limit = (
            next(text.get_window_extent() for text in axes.texts if text.get_text().endswith(end))
            for end in (f"{2 * KNOWN_MODELS[model].published / 1e9:,.0f} GB", "available")
        )
        assert not weights.overlaps(limit)
    low, high = axes.get_ylim()
    for model, ends in (("Llama 3 8B", (8, 1024, 1, 4)), ("LLaMA 65B", (1, 2**20, 256, 32))):
        calculator.controls["model"].value = model
        for name, value in zip(("group", "context", "batch", "bits"), ends, strict=True):
            calculator.controls[name].value = value
        size = float(calculator.alt.partition("takes ")[2].split()[0].replace(",", ""))
        assert low < size < high


def patterns() -> dict[str, tuple[list[str], np.ndarray]]:
    weights = np.zeros((2, 3, 4, 4), dtype=np.float32)
    weights[..., range(4), [0, 0, 1, 2]] = 1  # each looks one back
    weights[1, 2] = np.tril(np.ones((4, 4))) / np.arange(1, 5)[:, None]
    return {"first": (list("a b\n"), weights), "second": (list("wxyz"), weights)}


def test_the_viewer_shows_the_chosen_query() -> None:
    viewer = explorers.pattern_viewer(patterns(), distances=3)
    viewer.controls["query"].value = 3
    viewer.controls["layer"].value = 0
    assert viewer.alt == (
        "Layer 0, head 0: the query '\\n' at 3 looks most (100%) at 'b', 1 back; its weights spread over 1.0 tokens."
    )
    assert [bar.get_height() for bar in viewer.figure.axes[1].patches] == pytest.approx([0.25, 1, 0])  # type: ignore[attr-defined]
    viewer.controls["layer"].value, viewer.controls["head"].value = 1, 2
    assert "spread over 4.0 tokens" in viewer.alt
    viewer.controls["text"].value = "second"
    assert "the query 'z' at 3" in viewer.alt
    assert [text.get_text() for text in viewer.figure.axes[2].texts] == list("wxyz")


def test_patterns_of_different_shapes_are_refused() -> None:
    different = patterns() | {"third": (list("ab"), np.zeros((1, 1, 2, 2), dtype=np.float32))}
    with pytest.raises(ValueError, match="one shape"):
        explorers.pattern_viewer(different)
    with pytest.raises(ValueError, match="one shape"):
        explorers.pattern_viewer({})
