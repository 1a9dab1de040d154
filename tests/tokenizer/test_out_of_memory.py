"""Calls that run out of memory leave nothing behind."""

import subprocess
import sys

import pytest

OUT_OF_MEMORY = """
import random, resource
from pathlib import Path
from course_lib.tokenizer import train_bpe

letters = random.Random(1)
tokenizer = train_bpe(["the cat sat on the mat and the dog sat on the cat"], 270)
text = "hello zyxwvut the cat qwertzui " * 3000
expected = tokenizer.encode(text)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 6_000_000, resource.RLIM_INFINITY))
try:
    while True:
        tokenizer.encode(" ".join("".join(letters.choices("abcdefghijklmnop", k=9)) for _ in range(40)))
except MemoryError:
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert tokenizer.encode(text) == expected
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory that a process may map")
def test_a_call_that_runs_out_of_memory_leaves_nothing_to_the_next():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", OUT_OF_MEMORY], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
