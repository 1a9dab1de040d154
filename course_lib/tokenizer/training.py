"""Training of a byte-level BPE tokenizer on the compiled engine."""

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import regex
from numpy.typing import NDArray

from course_lib import _bpe
from course_lib.checks import check_integer, check_positive
from course_lib.files import PathLike
from course_lib.files import progress as progress_bar
from course_lib.tokenizer.encoder import surrogate_error
from course_lib.tokenizer.formats import MAX_ID, TokenizerData, assign_special_ids
from course_lib.tokenizer.patterns import resolve_pattern, split_by_regex
from course_lib.tokenizer.piecewise import any_of
from course_lib.tokenizer.source import Source, no_text, read_source
from course_lib.tokenizer.tokenizer import Tokenizer


def train_bpe(
    source: Source,
    vocab_size: int,
    special_tokens: Sequence[str] = (),
    *,
    pattern: str = "gpt2",
    num_threads: int | None = None,
    progress: bool = False,
) -> Tokenizer:
    """Train a byte-level BPE tokenizer (Sennrich et al. 2016, section 3.2) of ``vocab_size`` entries.

    ``source``: the path of a text file (str or ``os.PathLike``), several paths, or an iterable of str documents, which
    is consumed as a stream. The items are files if every one is an ``os.PathLike`` or a str that names an existing
    file; otherwise they are documents, with a warning if one of the first looks like a file. ``special_tokens`` cut the
    text before ``pattern`` cuts it into pre-tokens; they are never split or counted.

    Starting from the 256 bytes, the pair of neighbouring tokens with the highest count within the pre-tokens is merged
    into a new token, again and again; of pairs with equal counts, the lexicographically greater pair of byte strings
    is taken. ``vocab_size`` counts the bytes, the merges and the special tokens; ids come in that order. When no pair
    is left, training stops early with a warning. The result does not depend on ``num_threads`` (default: every
    processor). Ctrl-C stops within a second. Bytes of files that are not UTF-8 are kept (see ``Tokenizer.encode``).

    Raises ValueError for a ``vocab_size`` below 256 + special tokens or above 2²⁴, for empty or repeated special tokens
    and for a source without text; TypeError for a source of another kind; OSError for files that cannot be read.
    """
    specials, num_merges = check_sizes(vocab_size, special_tokens)
    if num_threads is not None:
        check_positive("num_threads", num_threads)
    scanner, expression = resolve_pattern(pattern)
    counts = _bpe.WordCounts(scanner, specials)
    files: list[Path] = []
    with progress_bar(description="counting pre-tokens", enabled=progress) as bar:
        for file_or_documents in read_source(source):
            if isinstance(file_or_documents, Path):
                files.append(file_or_documents)
            if scanner is None:
                for word, count in count_by_regex(file_or_documents, expression, specials).items():
                    counts.add(word, count)
            elif isinstance(file_or_documents, Path):
                counts.add_file(os.fsencode(file_or_documents), num_threads=num_threads, progress=bar)
            else:
                try:
                    counts.add_documents(file_or_documents, num_threads=num_threads, progress=None)
                except UnicodeEncodeError as error:
                    raise surrogate_error(error) from None
    if not len(counts):
        raise ValueError(no_text(source))
    learned = learn_merges(counts, num_merges, num_threads=num_threads, progress=progress)
    return make_tokenizer(learned, num_merges, specials, pattern, files)


def shrink(tokenizer: Tokenizer, vocab_size: int) -> Tokenizer:
    """The tokenizer that training would have made with a smaller ``vocab_size``.

    Training is greedy, so its merges are the first ones of ``tokenizer``. Special tokens keep their order and get the
    ids after the merges.

    Raises ValueError for a ``vocab_size`` below 256 + special tokens or above the tokenizer's own, and for a tokenizer
    whose ids are not in the order of :func:`train_bpe`; TypeError for a ``vocab_size`` of another type.
    """
    specials = tokenizer.special_tokens
    tokens = [*(bytes([byte]) for byte in range(256)), *(left + right for left, right in tokenizer.merges)]
    if list(tokenizer.vocab.items()) != list(enumerate([*tokens, *(text.encode() for text in specials)])):
        raise ValueError(f"tokenizer must have its ids in the order of train_bpe, unlike {tokenizer!r}")
    size = check_integer("vocab_size", vocab_size, least=256 + len(specials), most=tokenizer.vocab_size)
    num_merges = size - 256 - len(specials)
    shorter = make_tokenizer(
        Learned.of(tokenizer.merges[:num_merges]), num_merges, specials, tokenizer.pattern
    )
    shorter._sources = tokenizer._sources
    return shorter


# --- shared with reference.py and cluster.py ----------------------------------------------------------------------


class Learned(NamedTuple):
    """A trained vocabulary: ``tokens`` in the order of their ids, first the bytes, and ``merges`` as pairs of them.

    ``merge_ids``, shape (3, merges), holds the ids of the two parts and of the result, if the trainer counted in ids.
    """

    tokens: list[bytes]
    merges: list[tuple[bytes, bytes]]
    merge_ids: NDArray[np.uint32] | None = None

    @classmethod
    def of(cls, merges: list[tuple[bytes, bytes]]) -> Self:
        """The same from the merges alone."""
        return cls(
            [*(bytes([byte]) for byte in range(256)), *(left + right for left, right in merges)], merges
        )


def learn_merges(
    counts: _bpe.WordCounts, num_merges: int, *, num_threads: int | None = None, progress: bool = False
) -> Learned:
    """The first ``num_merges`` merges of counted pre-tokens, fewer if no pair is left."""
    with progress_bar(description="merging", enabled=progress) as bar:
        return Learned(*_bpe.train(counts, num_merges, num_threads=num_threads, progress=bar))


def check_sizes(vocab_size: int, special_tokens: Sequence[str]) -> tuple[list[str], int]:
    """The special tokens and the number of merges asked for; ValueError or TypeError as :func:`train_bpe`."""
    specials = list(assign_special_ids({}, special_tokens))
    smallest = 256 + len(specials)
    size = check_integer("vocab_size", vocab_size, most=MAX_ID + 1)
    if size < smallest:
        raise ValueError(
            f"vocab_size must be at least {smallest} (256 bytes + {len(specials)} special tokens), not {size}"
        )
    return specials, size - smallest


def make_tokenizer(
    learned: Learned,
    num_merges: int,
    specials: Sequence[str],
    pattern: str,
    files: Iterable[PathLike] = (),
) -> Tokenizer:
    """The tokenizer of ``learned`` (from ``files``) and special tokens; warns if there are too few merges.

    Call it directly from the function that the reader calls, whose caller the warning names.
    """
    made = len(learned.merges)
    if made < num_merges:
        size = 256 + len(specials)
        warnings.warn(
            f"no pair is left to merge after {made} of {num_merges} merges: "
            f"the vocabulary has {size + made} entries instead of {size + num_merges}",
            stacklevel=3,
        )
    vocab = dict(enumerate(learned.tokens))
    special_ids = assign_special_ids(vocab, specials)
    vocab |= {token_id: text.encode() for text, token_id in special_ids.items()}
    data = TokenizerData(vocab, learned.merges, special_ids, pattern)
    return Tokenizer._from_data(data, *files, merge_ids=learned.merge_ids)


def count_by_regex(
    file_or_documents: Path | list[str], expression: str, specials: Sequence[str]
) -> Counter[bytes]:
    """Pre-tokens with their counts, by the ``regex`` package; bytes that are not UTF-8 are kept."""
    if isinstance(file_or_documents, Path):
        file_or_documents = [file_or_documents.read_bytes().decode("utf-8", "surrogateescape")]
        errors = "surrogateescape"  # such bytes become lone surrogates for the expression
    else:
        errors = "strict"
    cut = regex.compile(any_of(specials))
    words: Counter[str] = Counter()
    for document in file_or_documents:
        for part in cut.split(document):
            words.update(split_by_regex(part, expression))
    try:
        return Counter({word.encode("utf-8", errors): count for word, count in words.items()})
    except UnicodeEncodeError as error:
        raise surrogate_error(error) from None
