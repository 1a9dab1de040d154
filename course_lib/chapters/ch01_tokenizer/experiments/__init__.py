"""The experiments of chapter 1: seeded, without pictures, with tidy data frames as results."""

from course_lib.chapters.ch01_tokenizer.experiments.judged import ALGORITHM, SIZES, SIZES_SHORT
from course_lib.chapters.ch01_tokenizer.experiments.scale import TIMES
from course_lib.chapters.ch01_tokenizer.experiments.subwords import COMPARISON

REFERENCE = (COMPARISON, SIZES, SIZES_SHORT, ALGORITHM, TIMES)

__all__ = ["REFERENCE"]
