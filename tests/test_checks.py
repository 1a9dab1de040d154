"""Argument checks: valid values are returned as plain numbers; others are refused with the same wording everywhere."""

import math
import re
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.checks import check_choice, check_integer, check_number, check_positive, check_text


def test_values_within_bounds_are_returned_as_plain_numbers() -> None:
    assert check_integer("n", np.uint8(7)) == 7 and type(check_integer("n", np.uint8(7))) is int
    assert type(check_positive("n", np.int64(1))) is int
    assert check_number("x", np.float32(0.5), least=0, below=1) == 0.5
    assert type(check_number("x", 3)) is float and check_number("x", Fraction(1, 4)) == 0.25
    check_choice("x", "a", ("a", "b"))
    check_text("x", "")


@pytest.mark.parametrize(
    ("check", "kind", "message"),
    [
        (lambda: check_integer("n", 1.0), TypeError, "n must be an integer, not 1.0"),
        (lambda: check_integer("n", True), TypeError, "n must be an integer, not True"),
        (lambda: check_integer("n", "3"), TypeError, "n must be an integer, not '3'"),
        (lambda: check_integer("n", None), TypeError, "n must be an integer, not None"),
        (lambda: check_integer("n", -1, least=0), ValueError, "n must be at least 0, not -1"),
        (lambda: check_integer("n", 9, most=8), ValueError, "n must be at most 8, not 9"),
        (lambda: check_integer("n", 9, least=1, most=8), ValueError, "n must be at least 1 and at most 8, not 9"),
        (lambda: check_positive("n", np.int64(0)), ValueError, "n must be at least 1, not 0"),
        (lambda: check_number("x", "1"), TypeError, "x must be a number, not '1'"),
        (lambda: check_number("x", False), TypeError, "x must be a number, not False"),
        (lambda: check_number("x", 1j), TypeError, "x must be a number, not 1j"),
        (lambda: check_number("x", Decimal(1)), TypeError, "x must be a number, not Decimal('1')"),
        (lambda: check_number("x", math.nan), ValueError, "x must be finite, not nan"),
        (lambda: check_number("x", -math.inf), ValueError, "x must be finite, not -inf"),
        (lambda: check_number("x", 0, above=0), ValueError, "x must be greater than 0, not 0"),
        (lambda: check_number("x", 1.0, least=0, below=1), ValueError, "x must be at least 0 and less than 1, not 1.0"),
        (lambda: check_choice("x", "c", ("a", "b")), ValueError, "x must be one of 'a', 'b', not 'c'"),
        (lambda: check_choice("x", ["a"], {"a": 1}), ValueError, "x must be one of 'a', not ['a']"),
        (lambda: check_text("x", b"a"), TypeError, "x must be a str, not bytes"),
    ],
)  # fmt: skip
def test_others_are_refused_in_one_wording(
    check: Callable[[], Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        check()


def test_an_integer_too_large_for_a_float_is_not_finite() -> None:
    with pytest.raises(ValueError, match="x must be finite"):
        check_number("x", 10**400)


@given(st.integers(), st.integers(), st.integers())
def test_bounds_are_inclusive(value: int, least: int, most: int) -> None:
    if least <= value <= most:
        assert check_integer("n", value, least=least, most=most) == value
    else:
        with pytest.raises(ValueError, match="n must be at least"):
            check_integer("n", value, least=least, most=most)


def test_only_the_standard_library_is_imported() -> None:
    code = "import sys, course_lib.checks; print({'numpy', 'torch'} & set(sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "set()\n"
    )
