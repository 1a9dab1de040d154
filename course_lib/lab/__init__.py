"""Experiments of the chapters: seeded, without pictures, with tidy data frames as results."""

from course_lib.lab.scale import chosen_scale

chosen_scale()  # a wrong COURSE_SCALE is told before anything runs
