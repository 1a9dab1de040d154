"""The experiments of chapter 9: seeded, without pictures, with tidy data frames as results."""

from course_lib.chapters.ch09_schedules.experiments.reference import REFERENCE

__all__ = ["REFERENCE"]
