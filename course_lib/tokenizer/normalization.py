"""Normal forms of Unicode: with one, "é" becomes the same tokens whether it is one character or two.

The forms are those of Unicode Standard Annex 15, as the running Python knows Unicode.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final, Literal, TypeAlias, get_args

Form: TypeAlias = Literal["NFC", "NFD", "NFKC", "NFKD"]
FORMS: Final[tuple[Form, ...]] = get_args(Form)
"""The normal forms by name."""


def check_normalizer(normalizer: str | Iterable[str]) -> tuple[Form, ...]:
    """The normal forms of ``normalizer``, one or several in turn. Raises ValueError for another name."""
    forms = (normalizer,) if isinstance(normalizer, str) else tuple(normalizer)
    for form in forms:
        if form not in FORMS:
            raise ValueError(f"normalizer must be of {', '.join(FORMS)}, got {form!r}")
    return forms  # type: ignore[return-value]  # checked just now


def normalize(text: str, forms: Sequence[Form]) -> str:
    """``text`` in each of the normal forms in turn. Lone surrogates, as bytes that are not UTF-8, stay."""
    for form in forms:
        text = unicodedata.normalize(form, text)
    return text
