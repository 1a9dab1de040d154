"""Bytes are counted by hand: four for a float32, once for each reading and each writing."""

import torch
from torch.nn import functional

from course_lib.diagnostics import moved_bytes


def test_operations_read_their_inputs_and_write_their_results() -> None:
    x, y = torch.randn(10, 3), torch.randn(3)
    with moved_bytes() as moved:
        (x * y).sum()
    assert moved.frame().to_numpy().tolist() == [["mul", 4 * 33, 4 * 30], ["sum", 4 * 30, 4]]
    assert moved.total == 4 * (33 + 30 + 30 + 1)


def test_views_and_empty_memory_are_free() -> None:
    x = torch.randn(10, 3)
    with moved_bytes() as moved:
        torch.empty_like(x.T[1:].unflatten(1, (5, 2)))
    assert moved.total == 0


def test_the_backward_pass_counts_too() -> None:
    x = torch.randn(50, requires_grad=True)
    with moved_bytes() as moved:
        torch.autograd.grad(x * 2.0, x, torch.ones(50))
    assert list(moved.frame()["operation"]) == ["mul", "ones", "mul"]


def test_dtypes_lists_and_in_place() -> None:
    x = torch.zeros(8, dtype=torch.float16)
    with moved_bytes() as moved:
        torch.cat([x, x])
        x.add_(1)
    assert moved.frame()[["read", "written"]].to_numpy().tolist() == [[32, 32], [16, 16]]


def test_a_broadcast_tensor_has_one_number() -> None:
    with moved_bytes() as moved:
        torch.zeros(1).expand(1000).clone()
    assert moved.frame().iloc[-1].tolist() == ["clone", 4, 4000]


def test_a_fused_operation_is_one() -> None:
    x = torch.randn(100, 8)
    with moved_bytes() as moved:
        functional.layer_norm(x, (8,))
    assert moved.total == 4 * (800 + 800 + 100 + 100)  # x, y, and the mean and inverse deviation of each row
