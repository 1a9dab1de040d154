"""The experiments of chapter 4: seeded, without pictures, with tidy data frames as results."""

from course_lib.chapters.ch04_rope.experiments.reference import REFERENCE

__all__ = ["REFERENCE"]
