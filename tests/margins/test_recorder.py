"""The tool that measures margins must not change what it measures."""

import subprocess
import sys

SHIFTED = """
import numpy as np, torch
from course_lib.chapters.ch09_schedules.experiments import reference
from course_lib.lab.code_version import code_version
from tests.margins.recorder import shift_seeds

def drawn():
    torch.manual_seed(3)
    generator = torch.Generator().manual_seed(3)
    return float(torch.rand(())), float(torch.rand((), generator=generator)), np.random.default_rng(3).random()

code = code_version(reference.SHAPES.run)
assert drawn() == drawn()
before = drawn()
shift_seeds(1000)
assert all(new != old for new, old in zip(drawn(), before))
assert code_version(reference.SHAPES.run) == code
reference.SHAPES.load()
"""


def test_other_seeds_are_drawn_and_stored_runs_stay_valid():
    done = subprocess.run([sys.executable, "-c", SHIFTED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
