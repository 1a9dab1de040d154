"""Chapter 10's experiments on small files: the results that do not depend on the machine."""

from pathlib import Path

import numpy as np
import pytest
import torch

from course_lib.chapters.ch10_memmap_data.experiments import loaders, memmap
from course_lib.lab import step_memory
from course_lib.model import ModelConfig
from course_lib.token_file import TokenFile


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> memmap.Corpus:
    return memmap.make_corpus(tmp_path_factory.mktemp("corpus"), num_bytes=60_000, vocab_size=400)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> TokenFile:
    return memmap.large_file(tmp_path_factory.mktemp("large"), 300_000)


def test_storage_counts_the_real_files(corpus: memmap.Corpus) -> None:
    sizes = memmap.storage(corpus).set_index("form")
    assert sizes.loc["token file, uint16", "bytes"] == corpus.tokens.path.stat().st_size
    assert sizes.loc["NumPy int64", "bytes_per_token"] == 8
    assert sizes.loc["the text, UTF-8", "bytes"] == corpus.text.stat().st_size


def test_every_accident_is_refused_and_no_other_file(corpus: memmap.Corpus, tmp_path: Path) -> None:
    accidents = memmap.damage(corpus.tokens, tmp_path).set_index("accident")
    assert (accidents["token_file"] == "opens").to_dict() == {
        name: name == "none" for name in accidents.index
    }
    swapped = corpus.tokens[:5].byteswap().tolist()
    assert accidents.loc["read as big-endian", "numpy"] == str(swapped)


def test_measurements_have_every_way_and_positive_times(large: TokenFile) -> None:
    speed = loaders.loader_speed(large, (4,), (16, 32), 2, 0.001, patterns=loaders.PATTERNS)
    assert speed.groupby(["way", "pattern", "context"]).size().eq(2).all() and speed["way"].nunique() == 4
    assert (speed["microseconds"] > 0).all()
    access = memmap.cold_and_warm(large, windows=50, repeats=1)
    assert len(access) == 6 and (access["microseconds"] > 0).all()
    assert set(memmap.opening(large)["way"]) == {"np.memmap", "np.fromfile", "np.array(memmap)"}
    growth = memmap.resident_growth(large, batches=20, every=10)
    assert growth.groupby("way").size().eq(3).all()


@pytest.mark.parametrize("pattern", loaders.PATTERNS)
def test_all_ways_make_the_same_batches(large: TokenFile, pattern: str) -> None:
    batches = []
    for name in loaders.ways(large, pattern, 5, 7):
        make = loaders.ways(large, pattern, 5, 7)[name]
        batches.append([make() for _ in range(3)])
    ids = large[:].tolist()
    for way in batches:
        for (x, y), (x0, y0) in zip(way, batches[0], strict=True):
            assert x.shape == y.shape == (5, 7) and torch.equal(x, x0) and torch.equal(y, y0)
    if pattern == "in order":
        read = torch.cat([x.flatten() for x, _ in batches[0]])
        assert read.tolist() == ids[:105] and batches[0][2][1].flatten().tolist() == ids[71:106]
    else:
        assert not torch.equal(batches[0][0][0], batches[0][1][0])


def test_random_windows_stay_resident_as_long_as_their_map(tmp_path: Path) -> None:
    tokens = memmap.large_file(tmp_path, 8_000_000)
    kept = loaders.resident_after(tokens, (32,), (64,)).set_index(["way", "pattern"])["megabytes"]
    assert len(kept) == 8
    assert kept["one gather, mapped", "at random"] > 4 > kept["row by row, mapped again", "at random"]
    assert kept["one gather, mapped", "at random"] > kept["one gather, mapped", "in order"]


def test_a_dataset_holds_the_windows_of_the_file(corpus: memmap.Corpus) -> None:
    dataset = loaders.WindowDataset(corpus.tokens.path, 16)
    assert len(dataset) == (len(corpus.tokens) - 1) // 16
    x, y = dataset[len(dataset) - 1]
    start = (len(dataset) - 1) * 16
    assert x.tolist() == corpus.tokens[start : start + 16].tolist()
    assert y.tolist() == corpus.tokens[start + 1 : start + 17].tolist()


def test_coverage_follows_the_law() -> None:
    seen = memmap.coverage(num_windows=4000, epochs=2, seeds=(5,))
    random = seen[seen["drawn"] == "at random"]
    assert np.allclose(random["unseen"], np.exp(-random["epoch"]), atol=0.03)
    dealt = seen[seen["drawn"] == "each once an epoch"]
    assert np.allclose(dealt["unseen"], np.maximum(0, 1 - dealt["epoch"]), atol=1e-9)


def test_dealing_gives_each_window_once_an_epoch() -> None:
    dealt = memmap.dealing()
    assert (dealt.groupby(["epoch", "window"]).size() == 1).all() and len(dealt) == 2 * 39


def test_boundaries_agree_with_a_count_by_hand(corpus: memmap.Corpus) -> None:
    ids = corpus.tokens[:].tolist()
    found = memmap.boundaries(corpus, contexts=(50,)).iloc[0]
    mixed = foreign = 0
    windows = [ids[i : i + 50] for i in range(0, len(ids) - 49, 50)]
    for window in windows:
        places = [place for place, token in enumerate(window) if token == corpus.end_of_text]
        mixed += any(place < 49 for place in places)
        foreign += sum(any(end < place for end in places) for place in range(50))
    assert found["mixed_windows"] == pytest.approx(mixed / len(windows))
    assert found["foreign_context"] == pytest.approx(foreign / len(windows) / 50)


def test_the_timeline_has_the_phases_in_order_and_the_expected_peak() -> None:
    config = ModelConfig(vocab_size=300, context_length=64, d_model=32, num_layers=2, num_heads=2)
    step = step_memory.timeline(config, 4)
    changes = step["phase"][step["phase"].ne(step["phase"].shift())]
    assert changes.tolist() == ["forward", "backward", "optimizer"] * 2
    compared = step_memory.against_accounting({"small": {}, "chunks": {"loss_chunk": 32}}, config, 4)
    assert compared["ratio"].between(0.9, 1.1).all()
    shape = {"vocab_size": 300, "context_length": 64, "d_model": 32, "num_layers": 2, "num_heads": 2}
    again, peak = step_memory.timeline_and_peak(4, loss_chunk=32, **shape)
    assert peak == pytest.approx(compared.set_index("variant").expected["chunks"])
    assert again["megabytes"].max() == pytest.approx(compared.set_index("variant").measured["chunks"])
