"""Text and tokens to train on: generated corpora, published corpora, token files and batches."""

from course_lib.data import corpora
from course_lib.data.batches import BatchStream, get_batch
from course_lib.data.stories import SEPARATOR, stories, write_stories
from course_lib.token_file import TokenFile

__all__ = ["SEPARATOR", "BatchStream", "TokenFile", "corpora", "get_batch", "stories", "write_stories"]
