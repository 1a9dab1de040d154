"""Windows by layer, and reading through small caches."""

import pytest
import torch

from course_lib.chapters.ch05_attention.experiments import windows
from course_lib.lab.small_runs import small_config
from course_lib.model import TransformerLM


def model(**changes: int) -> TransformerLM:
    torch.manual_seed(0)
    return TransformerLM(small_config(**changes)).eval()


def test_every_nth_layer_is_global() -> None:
    assert windows.interleaved(5, window=8, every=2) == [8, None, 8, None, 8]
    made = windows.with_windows(model(num_layers=3), [4, None, 4])
    assert [layer.attn.window for layer in made.layers] == [4, None, 4]


def test_sizes_are_those_of_the_caches() -> None:
    config = small_config(context_length=64)
    table = windows.cache_sizes(config, {"full": [None, None], "mixed": [8, None]}, (8, 64)).set_index(
        "cache"
    )
    number = 2 * 64 * 4
    assert table.loc["full"].tolist() == [number * 16, number * 128]
    assert table.loc["mixed"].tolist() == [number * 16, number * 72]


def test_reading_through_the_whole_cache_gives_the_validation_loss() -> None:
    made = model()
    losses = windows.streamed_losses(
        [made], {"all": (None, 0), "64": (64, 0), "8": (8, 0)}, texts=4, skipped=0
    )
    by_cache = losses.set_index("cache").loss
    assert by_cache["all"] == pytest.approx(by_cache["64"])
    assert by_cache["8"] != pytest.approx(by_cache["all"], rel=1e-6)
    assert losses.columns.tolist() == ["model", "cache", "loss"]
