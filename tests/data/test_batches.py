"""Batches: the windows that were asked for, each once an epoch, from any position, on any number of processes."""

import copy
import gc
import json
import pickle
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.data import BatchStream, TokenFile, get_batch, num_windows
from course_lib.token_file import write_token_file


def token_file(path: Path, count: int, vocab_size: int = 60_000) -> TokenFile:
    ids = np.arange(count) % vocab_size
    return write_token_file(path, [ids], vocab_size=vocab_size, tokenizer_sha256="ab" * 32)


@pytest.mark.parametrize("vocab_size", [60_000, 100_000])
def test_a_random_batch_holds_windows_and_their_successors(tmp_path: Path, vocab_size: int) -> None:
    tokens = token_file(tmp_path / "t.bin", 5000, vocab_size)
    x, y = get_batch(tokens, 16, 32)
    assert x.dtype == y.dtype == torch.int64 and x.shape == y.shape == (16, 32)
    assert x.is_contiguous() and y.is_contiguous()
    starts = x[:, :1]
    assert torch.equal(x, starts + torch.arange(32)) and torch.equal(y, x + 1)
    assert len(set(starts.flatten().tolist())) > 8


def test_it_equals_slicing_row_by_row() -> None:
    tokens = np.random.default_rng(0).integers(0, 50_000, 3000).astype(np.uint16)
    x, y = get_batch(tokens, 8, 100, generator=torch.Generator().manual_seed(5))
    starts = torch.randint(2900, (8,), generator=torch.Generator().manual_seed(5)).tolist()
    assert x.tolist() == [tokens[start : start + 100].tolist() for start in starts]
    assert y.tolist() == [tokens[start + 1 : start + 101].tolist() for start in starts]


def test_every_window_can_be_drawn_the_last_one_too() -> None:
    x, y = get_batch(np.arange(6), 500, 4)
    assert set(x[:, 0].tolist()) == {0, 1}
    assert int(y.max()) == 5


@pytest.mark.parametrize("kind", [list, torch.tensor, lambda ids: np.array(ids)[::-1][::-1], np.int32])
def test_any_sequence_of_integers_will_do(kind: Any) -> None:
    x, _ = get_batch(kind(list(range(20))), 4, 3)
    assert torch.equal(x[:, 1:], x[:, :-1] + 1)


def starts_of(batches: list[tuple[torch.Tensor, torch.Tensor]]) -> list[int]:
    return [int(start) for x, _ in batches for start in x[:, 0]]


@given(
    count=st.integers(2, 300),
    context=st.integers(1, 12),
    batch=st.integers(1, 9),
    world=st.integers(1, 4),
    seed=st.integers(0, 2**64 - 1),
)
def test_each_window_comes_once_an_epoch(count: int, context: int, batch: int, world: int, seed: int) -> None:
    tokens = np.arange(max(count, context + 1))
    streams = [BatchStream(tokens, batch, context, seed=seed, rank=r, world_size=world) for r in range(world)]
    windows = (len(tokens) - 1) // context
    # As many global batches as there are windows: world * batch epochs exactly.
    seen = starts_of([next(stream) for _ in range(windows) for stream in streams])
    for epoch in range(world * batch):
        part = seen[epoch * windows : (epoch + 1) * windows]
        assert sorted(part) == [window * context for window in range(windows)]


@given(
    st.integers(0, 20),
    st.sampled_from([(1, 12), (2, 6), (3, 4), (12, 1)]),
    st.sampled_from([(1, 12), (4, 3)]),
)
def test_it_resumes_at_the_next_batch_on_another_number_of_processes(
    before: int, first: tuple[int, int], then: tuple[int, int]
) -> None:
    tokens = np.arange(1000)
    whole = BatchStream(tokens, 12, 10, seed=3)
    expected = starts_of([next(whole) for _ in range(before + 12)])
    ranks = [BatchStream(tokens, first[1], 10, seed=3, rank=r, world_size=first[0]) for r in range(first[0])]
    seen = starts_of([next(stream) for _ in range(before) for stream in ranks])
    states = [json.loads(json.dumps(stream.state_dict())) for stream in ranks]
    assert all(state == states[0] for state in states)
    ranks = [BatchStream(tokens, then[1], 10, seed=3, rank=r, world_size=then[0]) for r in range(then[0])]
    for stream in ranks:
        stream.load_state_dict(states[0])
    seen += starts_of([next(stream) for _ in range(12) for stream in ranks])
    assert seen == expected


def test_the_order_is_random_and_another_one_each_epoch_and_seed() -> None:
    firsts: Counter[int] = Counter()
    orders = set()
    for seed in range(300):
        stream = BatchStream(np.arange(11), 10, 1, seed=seed)
        for _ in range(4):
            order = tuple(starts_of([next(stream)]))
            orders.add(order)
            firsts[order[0]] += 1
    assert len(orders) >= 1195  # of 3.6 million: one pair in five such tests is the same by chance
    # 1200 draws of 10: chi-squared with 9 degrees of freedom stays below 28 in 999 cases of 1000.
    assert sum((firsts[window] - 120) ** 2 / 120 for window in range(10)) < 28


def test_the_order_is_part_of_the_format() -> None:
    # A checkpoint of today must resume tomorrow, whatever NumPy does: these numbers may never change.
    stream = BatchStream(np.arange(11), 10, 1, seed=1)
    assert starts_of([next(stream), next(stream)]) == [
        *(9, 2, 4, 7, 5, 0, 8, 6, 3, 1),
        *(5, 6, 3, 0, 7, 2, 1, 4, 9, 8),
    ]


@given(st.integers(2, 400), st.integers(1, 60))
def test_windows_are_counted_as_a_stream_deals_them(num_tokens: int, context_length: int) -> None:
    tokens = np.arange(num_tokens)
    starts = range(0, num_tokens - context_length, context_length)  # each window and the token after it
    if not starts:
        with pytest.raises(ValueError, match=f"needs at least {context_length + 1} tokens, not {num_tokens}"):
            num_windows(tokens, context_length)
        return
    assert num_windows(tokens, context_length) == len(starts)
    assert BatchStream(tokens, 1, context_length, seed=0).num_windows == len(starts)


def test_counting_windows_orders_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("course_lib.data.batches._order", None)
    assert num_windows(np.broadcast_to(np.uint8(0), 10**12), 10) == 10**11 - 1


def test_both_ways_of_asking_go_on_where_the_other_stopped() -> None:
    stream = BatchStream(np.arange(101), 5, 10, seed=0)
    next(stream)
    for batches, _ in enumerate(stream):
        if batches == 1:
            break
    assert stream.epoch == 1.5
    assert stream.num_windows == 10


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda stream: pickle.loads(pickle.dumps(stream))]
)
@pytest.mark.parametrize("mapped_bytes", [0, 1 << 26])
def test_a_copied_stream_goes_on_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copied: Any, mapped_bytes: int
) -> None:
    monkeypatch.setattr("course_lib.token_file._MAPPED_BYTES", mapped_bytes)
    stream = BatchStream(token_file(tmp_path / "t.bin", 100_000), 7, 5, seed=3)
    assert len(pickle.dumps(stream)) < 2000
    for _ in range(3000):  # into the second epoch
        next(stream)
    other = copied(stream)
    expected = [next(stream)[0].tolist() for _ in range(3)]
    assert [next(other)[0].tolist() for _ in range(3)] == expected
    del stream
    gc.collect()
    next(other)


class WholeWindows(torch.utils.data.IterableDataset[torch.Tensor]):
    """A dataset as a reader may write it: a token file, a stream, and a share for each worker."""

    def __init__(self, tokens: TokenFile) -> None:
        self.tokens = tokens
        self.stream = BatchStream(tokens, 4, 1024, seed=1)

    def __iter__(self) -> Iterator[torch.Tensor]:
        worker = torch.utils.data.get_worker_info()
        share = BatchStream(self.tokens, 4, 1024, seed=1, rank=worker.id, world_size=worker.num_workers)
        for _ in range(3):
            yield next(share)[0]


@pytest.mark.parametrize(("context", "workers"), [("spawn", 2), ("forkserver", 1)])
def test_workers_that_are_spawned_open_the_file_themselves(
    tmp_path: Path, context: str, workers: int
) -> None:
    # Large enough to be read, not mapped, also in the workers; a sparse file is made at once.
    path = tmp_path / "t.bin"
    token_file(path, 10)
    with open(path, "r+b") as file:
        file.truncate(2 * 40_000_000)
    description = path.with_name("t.bin.json")
    description.write_text(json.dumps(json.loads(description.read_text()) | {"count": 40_000_000}))
    tokens = TokenFile.open(path)
    dataset = WholeWindows(tokens)
    assert len(pickle.dumps(dataset)) < 4000
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=None, num_workers=workers, multiprocessing_context=context
    )
    seen = [batch.tolist() for batch in loader]
    ranks = [BatchStream(tokens, 4, 1024, seed=1, rank=rank, world_size=workers) for rank in range(workers)]
    expected = [next(ranks[rank])[0].tolist() for _ in range(3) for rank in range(workers)]
    assert seen == expected


def test_a_batch_does_not_share_memory_with_the_file(tmp_path: Path) -> None:
    tokens = token_file(tmp_path / "t.bin", 100)
    x, y = get_batch(tokens, 1, 5)
    x.zero_()
    y.zero_()
    assert tokens[1] == 1


@pytest.mark.parametrize(
    ("tokens", "options", "error", "message"),
    [
        (
            np.arange(5),
            {"context_length": 5},
            ValueError,
            "context_length = 5 needs at least 6 tokens, not 5",
        ),
        (np.arange(5), {"context_length": 0}, ValueError, "context_length must be at least 1, not 0"),
        (np.arange(5), {"batch_size": 0}, ValueError, "batch_size must be at least 1, not 0"),
        (np.arange(5.0), {}, TypeError, "one-dimensional integers, not float64"),
        (np.zeros((3, 3), int), {}, TypeError, r"one-dimensional integers, not int64 of shape \(3, 3\)"),
    ],
)
def test_bad_arguments_are_named(
    tokens: Any, options: dict[str, int], error: type[Exception], message: str
) -> None:
    arguments = {"batch_size": 2, "context_length": 2, **options}
    with pytest.raises(error, match=message):
        get_batch(tokens, **arguments)
    with pytest.raises(error, match=message):
        BatchStream(tokens, **arguments, seed=0)


def test_bad_places_in_the_world_are_named() -> None:
    with pytest.raises(ValueError, match="rank must be at least 0 and at most 1, not 2"):
        BatchStream(np.arange(9), 1, 2, seed=0, rank=2, world_size=2)
    with pytest.raises(ValueError, match="seed"):
        BatchStream(np.arange(9), 1, 2, seed=-1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 8}, "seed = 8, not 7"),
        ({"context_length": 3}, "context_length = 3, not 2"),
        ({"num_tokens": 10}, "num_tokens = 10, not 9"),
        ({"windows_drawn": -1}, "windows_drawn must be at least 0, not -1"),
        ({"other": 1}, "must have the keys"),
    ],
)
def test_the_state_of_another_stream_is_refused(change: dict[str, int], message: str) -> None:
    stream = BatchStream(np.arange(9), 1, 2, seed=7)
    with pytest.raises(ValueError, match=message):
        stream.load_state_dict({**stream.state_dict(), **change})  # type: ignore[typeddict-item]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells private memory from pages of files")
def test_batches_from_a_large_file_cost_no_memory_but_their_order(tmp_path: Path) -> None:
    chunk = np.zeros(10**7, np.uint16)
    tokens = write_token_file(tmp_path / "t.bin", [chunk] * 12, vocab_size=9, tokenizer_sha256="ab" * 32)
    stream = BatchStream(tokens, 32, 256, seed=0)
    process = psutil.Process()
    next(stream)
    before = process.memory_info()
    for _ in range(600):  # 19,200 windows: one in every 12 kB of the file's 240 MB
        next(stream)
    after = process.memory_info()
    assert after.rss - after.shared - (before.rss - before.shared) < 8e6
    assert after.rss - before.rss < 40e6  # nor do pages of the file pile up


def test_thousands_of_batches_leave_nothing_behind() -> None:
    tokens = np.ones(400_000, np.uint16)
    stream = BatchStream(tokens, 8, 64, seed=0)
    process = psutil.Process()
    for _ in range(100):
        next(stream)
    before = process.memory_full_info().uss
    for _ in range(4000):  # 33 MB of batches
        next(stream)
    assert process.memory_full_info().uss - before < 4_000_000
