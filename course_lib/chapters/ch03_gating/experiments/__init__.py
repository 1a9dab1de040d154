"""The experiments of chapter 3: seeded, without pictures, with tidy data frames as results."""

from course_lib.chapters.ch03_gating.experiments.gates import SIGMOID
from course_lib.chapters.ch03_gating.experiments.reference import ACTIVATIONS, ACTIVATIONS_LONGER

REFERENCE = (ACTIVATIONS, ACTIVATIONS_LONGER, SIGMOID)

__all__ = ["REFERENCE"]
