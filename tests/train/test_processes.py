"""Process groups come and go: no process hangs or aborts when the last of a group is freed."""

import os
import subprocess
import sys
from pathlib import Path

ROUNDS = """
import os, sys
import torch
import torch.distributed as dist
from torch import nn
from course_lib.train.processes import Processes

rank = int(os.environ["RANK"])
if sys.platform == "linux":  # threads that share a core are interrupted more often
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
for round_ in range(60):
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[1]}/{round_}", rank=rank, world_size=2)
    among = Processes(torch.device("cpu"), rank, 2)
    linear = nn.Linear(8, 8)
    model = among.wrap(linear)
    if round_ % 2:  # what is sent last is a number, or else gradients
        assert float(among.sum(torch.ones(()))) == 2
        among.wait()
    else:
        model(torch.full((4, 8), rank + 1.0)).sum().backward()
        assert linear.weight.grad.eq(6).all()  # the mean of 4 and 8
    dist.destroy_process_group()
    del model  # the last owner of the group, which waits for the group's threads
"""


def test_groups_that_end_do_not_hang(tmp_path: Path) -> None:
    # Each process imports torch._dynamo beforehand, as training does: it would keep the first group.
    (tmp_path / "rounds.py").write_text("import torch._dynamo\n" + ROUNDS)
    started = [
        subprocess.Popen(
            [sys.executable, str(tmp_path / "rounds.py"), str(tmp_path)],
            env={**os.environ, "RANK": str(rank), "OMP_NUM_THREADS": "1"},
        )
        for rank in range(2)
    ]
    try:
        assert [process.wait(timeout=100) for process in started] == [0, 0]
    finally:
        for process in started:
            process.kill()
