"""COURSE_CPU_CAPABILITY caps the instructions that the kernels use, and what is chosen by them follows."""

import os
import re
import subprocess
import sys

import pytest

from course_lib import _kernels

ISAS = _kernels.available_isas()
SHOW = """
import torch
from course_lib import _kernels
from course_lib.model import kernels

torch.set_num_threads(1)
available, reached = _kernels.available_isas(), set()
for name in ("attention_forward", "multiply"):
    setattr(_kernels, name, lambda *arguments, name=name, **options: reached.add(name))
kernels.attention(*torch.ones(3, 1, 64, 4, 16))
kernels.product(torch.ones(64, 64), torch.ones(64, 64))
print(available, sorted(reached))
"""


def show(capability: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COURSE_CPU_CAPABILITY": capability}
    return subprocess.run([sys.executable, "-c", SHOW], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("capability", ISAS)
def test_kernels_use_no_more_than_was_allowed(capability: str) -> None:
    allowed = ISAS[: ISAS.index(capability) + 1]
    done = show(capability)
    assert done.stderr == ""
    reached = {"portable": [], "avx2": ["attention_forward"], "avx512": ["attention_forward", "multiply"]}
    assert done.stdout.strip() == f"{allowed} {reached[capability]}"


def test_allowing_all_is_no_cap() -> None:
    assert show("").stdout == show("avx512").stdout != ""


def test_an_unknown_capability_is_an_error_at_import() -> None:
    last_line = show("sse9").stderr.strip().splitlines()[-1]
    assert re.fullmatch(
        "ImportError: .*COURSE_CPU_CAPABILITY is 'sse9'; allowed are 'avx512', 'avx2' and 'portable'",
        last_line,
    )
