"""Text and tokens to train on: generated corpora."""

from course_lib.data.stories import SEPARATOR, stories, write_stories

__all__ = ["SEPARATOR", "stories", "write_stories"]
