"""The cases of chapter 1's exercises are the same in every process."""

import os
import subprocess
import sys

_PRINT = """
from course_lib.chapters.ch01_tokenizer.exercises import EXERCISES
print([(exercise.id, case.arguments, case.expected) for exercise in EXERCISES for case in exercise.cases()])
"""


def test_cases_do_not_depend_on_the_seed_of_hashes() -> None:
    seen = {
        subprocess.run(
            [sys.executable, "-c", _PRINT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(seen) == 1
