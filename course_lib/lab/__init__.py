"""Building blocks of the chapters' experiments: small runs, timing, scale. They draw nothing."""

from course_lib.lab.scale import chosen_scale

chosen_scale()  # raises for a wrong COURSE_SCALE before anything runs
