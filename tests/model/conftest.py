"""Every test draws the same numbers, no matter which tests run before it."""

import pytest
import torch


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)
