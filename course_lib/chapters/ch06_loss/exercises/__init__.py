"""The exercises of chapter 6."""

from course_lib.chapters.ch06_loss.exercises.loss import EXERCISES

__all__ = ["EXERCISES"]
