"""Normal forms of Unicode: with one, "é" becomes the same tokens whether it is one character or two.

The forms are those of Unicode Standard Annex 15, as the running Python knows Unicode.
"""

import itertools
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final, Literal, TypeAlias, get_args

import regex

from course_lib.checks import check_choice

Form: TypeAlias = Literal["NFC", "NFD", "NFKC", "NFKD"]
FORMS: Final[tuple[Form, ...]] = get_args(Form)
"""The normal forms by name."""


# Python takes quadratic time to normalize a run of marks that are out of order.
_MANY_MARKS = regex.compile(r"\p{M}{64,}")


def _in_order(marks: str) -> str:
    """Marks in canonical order: sorted by class between marks of class 0, which stay in place."""
    apart = (part for mark in marks for part in unicodedata.normalize("NFD", mark))
    runs = itertools.groupby(apart, key=lambda mark: unicodedata.combining(mark) > 0)
    return "".join(itertools.chain.from_iterable(sorted(run, key=unicodedata.combining) for _, run in runs))


def check_normalizer(normalizer: str | Iterable[str]) -> tuple[Form, ...]:
    """The normal forms that ``normalizer`` names, one or several. Raises ValueError for an unknown name."""
    forms = (normalizer,) if isinstance(normalizer, str) else tuple(normalizer)
    for form in forms:
        check_choice("normalizer", form, FORMS)
    return forms  # type: ignore[return-value]  # just checked


def normalize(text: str, forms: Sequence[Form]) -> str:
    """``text`` in each of the normal forms in turn. Lone surrogates, which stand for bytes that are not UTF-8, stay."""
    if forms:
        text = _MANY_MARKS.sub(lambda marks: _in_order(marks.group()), text)
    for form in forms:
        text = unicodedata.normalize(form, text)
    return text
