"""What one thread of this machine can do: the limits that chapters compare their measurements with."""

import torch

from course_lib.lab.measure import take_turns
from course_lib.lab.small_runs import one_thread


def machine_limits(*, repeats: int = 9) -> dict[str, float]:
    """One thread's measured limits a second: "flops" of a 1024 x 1024 matrix product, "bytes" of copying 16 MB."""
    matrix, text = torch.randn(1024, 1024), torch.randn(4096, 1024)
    target = torch.empty_like(text)
    with one_thread():
        seconds = take_turns({"matmul": lambda: matrix @ matrix, "copy": lambda: target.copy_(text)}, repeats)
    return {"flops": 2 * 1024**3 / seconds["matmul"], "bytes": 2 * text.nbytes / seconds["copy"]}
