"""The exercises of chapter 8."""

from course_lib.chapters.ch08_muon.exercises.cost_and_parameters import BATCH, PARAMETERS
from course_lib.chapters.ch08_muon.exercises.spectrum import FIRST_AXIS, SPECTRUM

EXERCISES = (BATCH, SPECTRUM, PARAMETERS, FIRST_AXIS)
