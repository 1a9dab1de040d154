"""The size of experiments follows ``COURSE_SCALE``, and a wrong value is reported on import."""

import os
import subprocess
import sys
from typing import Any

import pytest

from course_lib.errors import ReaderError
from course_lib.lab.scale import choose, is_small


def test_small_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, expected in ((None, 1), ("", 1), ("small", 1), ("large", 9)):
        if value is None:
            monkeypatch.delenv("COURSE_SCALE", raising=False)
        else:
            monkeypatch.setenv("COURSE_SCALE", value)
        assert choose(small=1, large=9) == expected
        assert is_small() == (expected == 1)


@pytest.mark.parametrize(
    ("small", "large", "reduced"),
    [
        (100, 600, 200),
        (40, 50, 50),
        (1, 0, 0),
        (0.01, 0.1, 0.02),
        ((96, 2, 4, 64), (512, 8, 8, 512), (192, 4, 8, 128)),
        ((0, 1), (0, 1, 2), (0, 1, 2)),
        ((0, 1, 2), range(5), range(5)),
        (False, True, True),
        ("a", "b", "b"),
    ],
)
def test_reduced_has_the_shape_of_large_and_at_most_twice_the_size_of_small(
    small: Any, large: Any, reduced: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COURSE_SCALE", "reduced")
    assert choose(small=small, large=large) == reduced
    assert not is_small()


def test_another_scale_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_SCALE", "huge")
    with pytest.raises(
        ReaderError, match="COURSE_SCALE is 'huge'; allowed are 'small', 'reduced' and 'large'"
    ):
        choose(small=1, large=2)


def test_another_scale_is_told_when_the_lab_is_imported() -> None:
    environment = {**os.environ, "COURSE_SCALE": "Large"}
    done = subprocess.run(
        [sys.executable, "-c", "import course_lib.lab"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode and "COURSE_SCALE is 'Large'; allowed are" in done.stderr
