"""Strings that repeat, and the share of their symbols that a model predicts."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.lab.repeated_strings import NEAR, SYMBOLS, accuracy, repeated


@given(st.integers(1, 20), st.integers(0, 20), st.integers(1, 60), st.integers(0, 99))
def test_strings_repeat_with_their_period(low: int, more: int, length: int, seed: int) -> None:
    ids, period = repeated(5, length, (low, low + more), torch.Generator().manual_seed(seed))
    assert ids.shape == (5, length + 1) and ids.max() < SYMBOLS
    for row, p in zip(ids, period.tolist(), strict=True):
        assert low <= p <= low + more
        assert torch.equal(row[p:], row[: max(0, len(row) - p)])


def test_accuracy_is_one_for_a_reader_of_one_period_back_and_chance_for_a_guess() -> None:
    class Oracle(torch.nn.Module):
        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            logits = torch.zeros(*ids.shape, SYMBOLS)
            for row, scores in zip(ids, logits, strict=True):
                period = next(p for p in range(1, len(row)) if torch.equal(row[p:], row[:-p]))
                for place in range(period - 1, len(row)):
                    scores[place, row[place + 1 - period]] = 1.0
            return logits

    class Guess(torch.nn.Module):
        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return torch.rand(*ids.shape, SYMBOLS)

    assert accuracy(Oracle(), 64, NEAR, count=8) == 1.0
    assert accuracy(Guess(), 64, NEAR) == pytest.approx(1 / SYMBOLS, abs=0.02)
