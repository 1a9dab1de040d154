"""Text and tokens to train on: texts, the reader's own and generated ones, published corpora, token files, batches."""

from course_lib.data import corpora
from course_lib.data.batches import BatchStream, get_batch, num_windows
from course_lib.data.documents import SEPARATOR
from course_lib.data.reader_text import ReaderText, open_text
from course_lib.data.stories import stories, write_stories
from course_lib.data.texts import TEXTS, Split, split, text, write_text
from course_lib.token_file import TokenFile

__all__ = [
    "SEPARATOR",
    "TEXTS",
    "BatchStream",
    "ReaderText",
    "Split",
    "TokenFile",
    "corpora",
    "get_batch",
    "num_windows",
    "open_text",
    "split",
    "stories",
    "text",
    "write_stories",
    "write_text",
]
