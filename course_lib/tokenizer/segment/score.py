"""Agreement of two segmentations of the same text."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate, pairwise


@dataclass(frozen=True, slots=True)
class Comparison:
    """Word spans in common: ``correct`` of the ``predicted`` ones are among the ``expected`` ones."""

    correct: int
    predicted: int
    expected: int

    @property
    def precision(self) -> float:
        """The share of the predicted words that are right (准确率)."""
        return self.correct / self.predicted

    @property
    def recall(self) -> float:
        """The share of the reference's words that were found (召回率)."""
        return self.correct / self.expected

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        return 2 * self.correct / (self.predicted + self.expected)


def compare(segmentation: Iterable[str], reference: Iterable[str]) -> Comparison:
    """Compare the words of ``segmentation`` with those of ``reference`` by their places, as SIGHAN does.

    A word is right if the reference has a word that begins and ends where it does. Raises ValueError if the two do not
    spell the same text, or if it is empty.
    """
    segmentation, reference = list(segmentation), list(reference)
    text, expected_text = "".join(segmentation), "".join(reference)
    if text != expected_text:
        place = next(
            (i for i, pair in enumerate(zip(text, expected_text, strict=False)) if pair[0] != pair[1]),
            min(len(text), len(expected_text)),
        )
        raise ValueError(
            f"segmentation and reference spell different texts from character {place} on: "
            f"{text[place : place + 10]!r} and {expected_text[place : place + 10]!r}"
        )
    if not text:
        raise ValueError("segmentation is empty: there is nothing to compare")
    predicted, expected = spans(segmentation), spans(reference)
    return Comparison(len(predicted & expected), len(predicted), len(expected))


def spans(words: Iterable[str]) -> set[tuple[int, int]]:
    """The places (start, end) of the words in their text, in characters; empty words have none."""
    ends = [0, *accumulate(len(word) for word in words)]
    return {(start, end) for start, end in pairwise(ends) if end > start}
