"""The experiments of chapter 2: seeded, without pictures, with tidy data frames as results."""

from course_lib.chapters.ch02_normalization.experiments.reference import REFERENCE

__all__ = ["REFERENCE"]
