"""Every test draws the same numbers, whichever tests run before it."""

import pytest
import torch


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)
