"""Answers are compared by value in any container: nothing wrong passes, and nothing ends in another error."""

import array
import math
import subprocess
import sys
from collections import Counter, OrderedDict, deque
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from course_lib.answers.comparing import Difference, difference, right_but_coarse, same, settle, unchanged
from course_lib.answers.formatting import show, show_both

FLOATS = st.floats(allow_nan=True, allow_infinity=True)
ORDINARY = st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-3)
LEAVES = st.one_of(
    FLOATS,
    st.integers(),
    st.text(),
    st.binary(),
    st.booleans(),
    st.none(),
    st.complex_numbers(),
    st.fractions(),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(st.text(max_size=3), inner, max_size=3),
        st.sets(st.integers(), max_size=3),
    ),
    max_leaves=12,
)


@given(VALUES)
def test_a_value_is_the_same_as_itself(value: Any) -> None:
    assert same(value, value)
    assert unchanged(value, value)
    assert difference(value, value) is None


@given(VALUES, VALUES)
def test_any_two_values_can_be_compared_and_shown(first: Any, second: Any) -> None:
    found = difference(first, second)
    assert (found is None) is same(first, second)
    assert all(isinstance(text, str) for text in show_both(first, second))


@given(hnp.arrays(np.float64, hnp.array_shapes(max_dims=3, max_side=5), elements=ORDINARY))
def test_every_holder_of_the_same_numbers_is_as_good(numbers: np.ndarray) -> None:
    expected = numbers.tolist()
    tensor = torch.tensor(expected, dtype=torch.float64)
    holders = [
        numbers,
        numbers.astype(np.float32),
        numbers.astype(np.longdouble),
        np.asfortranarray(numbers),
        numbers.astype(object),
        tensor,
        tensor.float(),
        tensor.clone().requires_grad_(),
        tensor.T.contiguous().T if tensor.ndim == 2 else tensor,
        torch.nn.Parameter(tensor.clone()),
        list(tensor),
        tuple(numbers),
        deque(expected),
        settle(iter(expected)),
        settle(row for row in numbers),
    ]
    for holder in holders:
        assert same(holder, expected)
        assert same(expected, holder)
        assert show(holder)


@given(hnp.arrays(np.float64, st.integers(1, 40), elements=ORDINARY), st.data())
def test_one_number_that_is_off_is_found(numbers: np.ndarray, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(numbers) - 1))
    largest = max(1.0 if not numbers.any() else 0.0, float(np.abs(numbers).max()))
    wrong = numbers.copy()
    wrong[place] += 3e-5 * largest
    assert difference(wrong, numbers.tolist()) == Difference((place,))
    assert difference(torch.from_numpy(wrong), numbers.tolist()) == Difference((place,))
    got, want, _ = show_both(wrong, numbers.tolist())
    assert got.removeprefix("array(").removesuffix(")") != want


@given(
    hnp.arrays(
        np.float64, st.tuples(st.integers(1, 6), st.integers(1, 8)), elements=ORDINARY.map(lambda x: x / 1e5)
    )
)
@example(np.full((1, 3), 1.1875e-05))  # in float64 the mean is not exact, so x - mean is not 0
def test_what_float32_computes_is_right(rows: np.ndarray) -> None:
    """Softmax, norms and products, computed in float32 by NumPy and by torch, against float64."""
    exact = torch.from_numpy(rows)
    single = exact.float()
    numpy_single = rows.astype(np.float32)
    for function in (
        lambda x: x.softmax(-1),
        lambda x: x.log_softmax(-1),
        lambda x: torch.stack([x, x - x.mean(-1, keepdim=True)]),  # what cancels, beside what it came from
        lambda x: x @ x.T,
        lambda x: x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt(),
        lambda x: x * x.sigmoid(),
    ):
        assert same(function(single), function(exact).tolist())
    weights = np.exp(numpy_single - numpy_single.max(-1, keepdims=True))
    assert same(weights / weights.sum(-1, keepdims=True), exact.softmax(-1).tolist())


@given(st.floats(-60, 60, width=32))
def test_an_exponential_in_float32_is_right(x: float) -> None:
    """A rounding of x, up to 4e-6 of 60, is a relative error of the result."""
    assert same(np.exp(np.float32(x)), math.exp(x))
    assert same(torch.tensor(x).exp(), math.exp(x))
    assert not same(math.exp(x) * (1 + 3e-5), math.exp(x))


@given(st.integers(-(2**60), 2**60), st.integers(1, 10))
def test_whole_numbers_are_exact(number: int, off: int) -> None:
    assert same(np.int64(number), number)
    assert same(Fraction(number), number)
    assert not same(number + off, number)
    assert not same(np.int64(number + off), number)
    assert not same([number - off], [number])
    assert not same(Fraction(2 * number + 1, 2), number)


@pytest.mark.parametrize(
    "answer",
    [
        768,
        768.0,
        768.0000001,
        np.int64(768),
        np.int32(768),
        np.float32(768),
        np.array(768),
        np.float64(767.9999999),
        torch.tensor(768),
        torch.tensor(768.0),
        torch.tensor(768.0, dtype=torch.bfloat16),
        Fraction(768),
        Decimal(768),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_stands_for_768(answer: Any) -> None:
    assert same(answer, 768)
    assert same(answer, 768.0)
    assert same([answer, answer], [768, 768])


@pytest.mark.parametrize(
    ("result", "expected", "what"),
    [
        (767.99, 768, ""),
        (767.99, 768.0, ""),
        (True, 1, "the result is a bool, not a number"),
        (1, True, "the result is a number, not a bool"),
        (np.True_, 1.0, "the result is a bool, not a number"),
        ([1, True], [1, 1], "result[1] is a bool, not a number"),
        (None, 0, "the result is None, not a number"),
        ("768", 768, "the result is a str, not a number"),
        (768 + 0j, 768.0, "the result is a complex number, not a number"),
        (math.nan, 1.0, ""),
        (math.inf, 10**400, ""),
        (math.inf, -math.inf, ""),
        (-math.inf, 0, ""),
        ([1, 2], [1, 2, 3], "the result has 2 items, not 3"),
        ([], [1], "the result has 0 items, not 1"),
        ([[1, 2], [3]], [[1, 2], [3, 4]], "result[1] has 1 item, not 2"),
        (np.ones((3, 1)), [1.0] * 3, "the result has the shape (3, 1), not (3,)"),
        (torch.ones(3, 2), torch.ones(2, 3), "the result has the shape (3, 2), not (2, 3)"),
        (np.ones(1), 1.0, "the result has the shape (1,); a single number is expected"),
        (np.float64(1), [1.0], "the result is a single number; the expected shape is (1,)"),
        ("hugs", ["hugs"], "the result is a str, not a list"),
        ({1, 2}, [1, 2], "the result is a set, not a list"),
        ([1, 2], {1, 2}, "the result is a list, not a set"),
        (b"ab", [97, 98], "the result is bytes, not a list"),
        (b"ab", "ab", "the result is bytes, not a str"),
        ({"a": 1}, {"a": 1, "b": 2}, "the key 'b' is missing"),
        ({"a": 1, "b": 0}, {"a": 1}, "the key 'b' should not be there"),
        (object, 3, "the result is a type, not a number"),
        ((0.5, 1e-9), (0.5, 2e-9), ""),  # the members of a tuple need not be of one size
        (1e-9, 2e-9, ""),
        (-1e-3, 1e-3, ""),
    ],
)
def test_what_is_not_the_same(result: Any, expected: Any, what: str) -> None:
    found = difference(result, expected)
    assert found
    assert found.what == what


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (range(3), [0, 1, 2]),
        (array.array("d", [0.5, 1.5]), [0.5, 1.5]),
        (np.bool_(True), True),
        (torch.tensor(False), False),
        (np.array({1, 2}, dtype=object), {1, 2}),
        (np.array([True, False]), [True, False]),
        (np.array(["a", "bc"]), ["a", "bc"]),
        (np.str_("a"), "a"),
        (bytearray(b"ab"), b"ab"),
        ((np.float32(0.1), [torch.tensor(0.2)]), [0.1, [0.2]]),
        (OrderedDict(a=np.int64(1)), {"a": 1}),
        (Counter("aab"), {"a": 2, "b": 1}),
        ({np.int64(3): 1.0}, {3: 1}),
        ({(np.str_("a"), np.int32(1)): 1}, {("a", 1): 1}),
        (frozenset({1, 2}), {2, 1}),
        (np.zeros((0,)), []),
        (torch.zeros(2, 0), [[], []]),
        (math.nan, math.nan),
        (np.array([math.inf, -math.inf, math.nan]), [math.inf, -math.inf, math.nan]),
        (torch.eye(2).to_sparse(), [[1.0, 0.0], [0.0, 1.0]]),
        (1.0, 1 + 0j),
        (Fraction(1, 3), 1 / 3),
        (Decimal("0.1"), 0.1),
        ([1, 0.5], [1.0000001, 0.5]),
        (1e-8, 0.0),
        (10**400, math.inf),
        (-(10**400), -math.inf),
        (1.2e308 + 1.2e308j, 1.2e308 + 1.2e308j),
    ],
)
def test_what_is_the_same(result: Any, expected: Any) -> None:
    assert same(result, expected)


def test_what_cannot_be_read_is_wrong_and_no_error() -> None:
    class Grumpy:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError

        __hash__ = None  # type: ignore[assignment]

    for odd in (torch.empty(3, device="meta"), Grumpy(), np.float32, lambda: 3):
        assert not same(odd, [1.0, 2.0, 3.0])
        assert not same(odd, 3)
        assert show_both(odd, 3)[2]


def test_a_change_of_any_size_is_a_change() -> None:
    assert unchanged(np.array([1.0, math.nan]), np.array([1.0, math.nan]))
    for now, before in (
        (1 + 1e-12, 1.0),
        (np.array([0.0, 1e-30]), np.zeros(2)),
        ([1, 2], [2, 1]),
        ({}, {1: 2}),
    ):
        assert not unchanged(now, before)


def test_sixteen_bits_are_named() -> None:
    third = torch.tensor([1 / 3, -2 / 3])
    assert right_but_coarse(third.bfloat16(), [1 / 3, -2 / 3]) == "bfloat16"
    assert right_but_coarse(third.half().numpy(), [1 / 3, -2 / 3]) == "float16"
    assert right_but_coarse(third.half(), [0.3, -2 / 3]) == ""
    assert right_but_coarse(third.half(), "text") == ""
    assert right_but_coarse(third.half(), [10**400, 1 + 1j]) == ""
    assert right_but_coarse([0.3], [1 / 3]) == ""


def test_iterators_and_views_become_lists_once() -> None:
    assert settle(x for x in "ab") == ["a", "b"]
    assert settle(({"a": 1}.values(), zip("ab", "cd", strict=True))) == ([1], [("a", "c"), ("b", "d")])
    assert settle({"a": 1}.items()) == [("a", 1)]
    assert settle({"a": 1}) == {"a": 1}


def test_long_values_are_shown_around_the_place() -> None:
    numbers = list(range(1000))
    assert show(numbers) == "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, … (1000 items)]"
    assert show(numbers, (500,)) == "[0, …, 497, 498, 499, 500, 501, 502, 503, … (1000 items)]"
    assert show(numbers, (999,)) == "[0, …, 996, 997, 998, 999 (1000 items)]"
    assert show(dict.fromkeys(range(30), 1.0), (20,)).startswith("{0: 1.0, …, 17: 1.0, ")
    assert show(torch.tensor([0.1, 2.0])) == "tensor([0.1, 2.0])"
    assert show((np.float32(0.1),)) == "(0.1,)"
    assert show([1 / 3, 7 + 1e-12, math.inf]) == "[0.33333333, 7.0, inf]"
    assert show("x" * 1000).count("x") < 200
    assert show_both([0.1 + 1e-12] * 30, [0.1] * 29 + [0.2])[2] == "they first differ at [29]"
    assert show_both(131071.9999, 131072)[:2] == ("131071.9999", "131072")


def test_comparing_numbers_does_not_load_torch() -> None:
    """Some chapters' exercises load it; what checks them does not."""
    code = (
        "import sys\n"
        "from course_lib.answers.checking import Case, Exercise, run_check\n"
        "run_check(Exercise('test-one', 0, lambda: [Case((1, 2.0), [1, 2], '')], ''), lambda *numbers: numbers)\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
