"""Word segmentation of Chinese (中文分词): where the words are in a text that is written without spaces.

Maximum matching takes the longest dictionary word (``max_match``, ``max_match_backward``, ``bidirectional``);
``max_probability`` takes the most probable path through the dictionary's word graph and can leave unknown words to an
``HMM``. ``jieba_dictionary`` and ``jieba_hmm`` read the data of the jieba package, and ``compare`` scores a result.
"""

from course_lib.tokenizer.segment.dictionary import Dictionary, jieba_dictionary
from course_lib.tokenizer.segment.hmm import HMM, jieba_hmm, tag
from course_lib.tokenizer.segment.matching import bidirectional, max_match, max_match_backward
from course_lib.tokenizer.segment.probability import best_path, max_probability, word_graph
from course_lib.tokenizer.segment.score import Comparison, compare, spans

__all__ = [
    "HMM",
    "Comparison",
    "Dictionary",
    "best_path",
    "bidirectional",
    "compare",
    "jieba_dictionary",
    "jieba_hmm",
    "max_match",
    "max_match_backward",
    "max_probability",
    "spans",
    "tag",
    "word_graph",
]
