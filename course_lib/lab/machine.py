"""The limits of one thread of this machine, which chapters compare their measurements with."""

import torch

from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.measure import take_turns
from course_lib.lab.small_runs import one_thread


@float32_on_cpu()
def machine_limits(*, repeats: int = 9) -> dict[str, float]:
    """Measured limits of one thread per second: "flops" in a 1024 x 1024 matrix product, "bytes" in copying 16 MB."""
    matrix, source = torch.randn(1024, 1024), torch.randn(4096, 1024)
    target = torch.empty_like(source)
    with one_thread():
        seconds = take_turns(
            {"matmul": lambda: matrix @ matrix, "copy": lambda: target.copy_(source)}, repeats
        )
    return {"flops": 2 * 1024**3 / min(seconds["matmul"]), "bytes": 2 * source.nbytes / min(seconds["copy"])}
