"""The experiments of chapter 5: seeded, without pictures, with tidy data frames as results."""

from course_lib.chapters.ch05_attention.experiments.reference import REFERENCE

__all__ = ["REFERENCE"]
