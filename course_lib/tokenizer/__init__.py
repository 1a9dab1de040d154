"""Tokenizers: byte-level BPE on a compiled engine, and pure-Python references to learn from.

``train_bpe`` makes a :class:`Tokenizer`, whose ``encode`` and ``decode`` turn text into ids and back. ``PATTERNS``
and ``pretokenize`` show the step before any merge, and ``UNICODE_VERSION`` says by which Unicode they know a letter;
``reference`` has the same algorithms in plain Python.
"""

from course_lib.tokenizer.metrics import compression_ratio
from course_lib.tokenizer.patterns import PATTERNS, pretokenize
from course_lib.tokenizer.tokenizer import Tokenizer
from course_lib.tokenizer.training import shrink, train_bpe
from course_lib.tokenizer.unicode import UNICODE_VERSION

__all__ = [
    "PATTERNS",
    "UNICODE_VERSION",
    "Tokenizer",
    "compression_ratio",
    "pretokenize",
    "shrink",
    "train_bpe",
]
