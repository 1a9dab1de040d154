"""Text and tokens to train on: the reader's own text, generated corpora, published corpora, token files and batches."""

from course_lib.data import corpora
from course_lib.data.batches import BatchStream, get_batch, num_windows
from course_lib.data.reader_text import ReaderText, open_text
from course_lib.data.stories import SEPARATOR, stories, write_stories
from course_lib.token_file import TokenFile

__all__ = [
    "SEPARATOR",
    "BatchStream",
    "ReaderText",
    "TokenFile",
    "corpora",
    "get_batch",
    "num_windows",
    "open_text",
    "stories",
    "write_stories",
]
