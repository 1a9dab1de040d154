"""Training a byte-level BPE tokenizer on the compiled engine."""

import itertools
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import regex

from course_lib import _bpe
from course_lib.files import PathLike, check_input_file
from course_lib.files import progress as progress_bar
from course_lib.tokenizer.formats import assign_special_ids
from course_lib.tokenizer.patterns import resolve_pattern, split_by_regex
from course_lib.tokenizer.tokenizer import Tokenizer, check_num_threads, surrogate_error

Source: TypeAlias = PathLike | Iterable[str] | Sequence[os.PathLike[str]]

# Documents are handed to the engine in groups of about this many characters.
_GROUP_CHARACTERS = 1 << 23


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

    ``source``: the path of a text file (str or ``os.PathLike``), several paths (``os.PathLike`` objects: plain strings
    in a list are documents), or an iterable of str documents, which is consumed as a stream. ``special_tokens`` cut
    the text before it is cut into pre-tokens by ``pattern``; they are never split or counted.

    Starting from the 256 bytes, the pair of neighbouring tokens with the highest count within the pre-tokens is merged
    into a new token, again and again; of pairs with equal counts, the lexicographically greater pair of byte strings
    is taken. ``vocab_size`` counts the bytes, the merges and the special tokens; ids come in that order. When no pair
    is left, training stops early with a warning. The result does not depend on ``num_threads`` (default: every
    processor). Ctrl-C stops within a second. Bytes of files that are not UTF-8 are kept (see ``Tokenizer.encode``).

    Raises ValueError for a ``vocab_size`` below 256 + special tokens, for empty or repeated special tokens and for a
    source without text; TypeError for a source of another kind; OSError for files that cannot be read.
    """
    specials = _checked_specials(special_tokens)
    num_merges = _num_merges(vocab_size, specials)
    check_num_threads(num_threads)
    scanner, expression = resolve_pattern(pattern)
    counts = _bpe.WordCounts(scanner, specials)
    with progress_bar(description="counting pre-tokens", enabled=progress) as bar:
        for file_or_documents in _sources(source):
            if scanner is None:
                _count_by_regex(counts, file_or_documents, expression, specials)
            elif isinstance(file_or_documents, Path):
                counts.add_file(str(file_or_documents), num_threads=num_threads, progress=bar)
            else:
                try:
                    counts.add_documents(file_or_documents, num_threads=num_threads, progress=None)
                except UnicodeEncodeError as error:
                    raise surrogate_error(error) from None
    if not len(counts):
        raise ValueError(f"source holds no text to train on: {_describe(source)}")
    with progress_bar(description="merging", enabled=progress) as bar:
        pairs, _ = _bpe.train(counts, num_merges, num_threads=num_threads, progress=bar)
    if len(pairs) < num_merges:
        warnings.warn(
            f"no pair is left to merge after {len(pairs)} of {num_merges} merges: "
            f"the vocabulary has {256 + len(pairs) + len(specials)} entries instead of {vocab_size}",
            stacklevel=2,
        )
    tokens = [bytes([byte]) for byte in range(256)]
    merges = []
    for left, right in pairs:
        merges.append((tokens[left], tokens[right]))
        tokens.append(tokens[left] + tokens[right])
    return Tokenizer(dict(enumerate(tokens)), merges, specials, pattern=pattern)


def _checked_specials(special_tokens: Sequence[str]) -> list[str]:
    return list(assign_special_ids({}, special_tokens))


def _num_merges(vocab_size: int, specials: Sequence[str]) -> int:
    smallest = 256 + len(specials)
    if type(vocab_size) is not int:
        raise TypeError(f"vocab_size must be int, not {type(vocab_size).__name__}")
    if vocab_size < smallest:
        raise ValueError(
            f"vocab_size must be at least {smallest} (256 bytes + {len(specials)} special tokens), got {vocab_size}"
        )
    return vocab_size - smallest


def _sources(source: Source) -> Iterator[Path | list[str]]:
    """The files, or the documents in groups of bounded size."""
    if isinstance(source, str | os.PathLike):
        yield check_input_file(source)
        return
    if isinstance(source, bytes) or not isinstance(source, Iterable):
        raise TypeError(f"source must be a path or an iterable of str documents, not {type(source).__name__}")
    items = iter(source)
    first = next(items, None)
    if first is None:
        return
    items = itertools.chain([first], items)
    if isinstance(first, os.PathLike):
        # All of them are checked before the first is read.
        yield from [check_input_file(_expect_path(item)) for item in items]
        return
    group: list[str] = []
    size = 0
    for item in items:
        if not isinstance(item, str):
            raise TypeError(f"source starts with a str document, but then holds a {type(item).__name__}")
        group.append(item)
        size += len(item)
        if size >= _GROUP_CHARACTERS:
            yield group
            group, size = [], 0
    if group:
        yield group


def _expect_path(item: object) -> os.PathLike[str]:
    if not isinstance(item, os.PathLike):
        raise TypeError(f"source starts with a path, but then holds a {type(item).__name__}")
    return item


def _count_by_regex(
    counts: _bpe.WordCounts, file_or_documents: Path | list[str], expression: str, specials: Sequence[str]
) -> None:
    """Count with the ``regex`` package; bytes that are not UTF-8 are lone surrogates on the way."""
    if isinstance(file_or_documents, Path):
        file_or_documents = [file_or_documents.read_bytes().decode("utf-8", "surrogateescape")]
        errors = "surrogateescape"
    else:
        errors = "strict"
    cut = regex.compile("|".join(map(regex.escape, sorted(specials, key=len, reverse=True))) or "(?!)")
    words: Counter[str] = Counter()
    for document in file_or_documents:
        for part in cut.split(document):
            words.update(split_by_regex(part, expression))
    for word, count in words.items():
        try:
            counts.add(word.encode("utf-8", errors), count)
        except UnicodeEncodeError as error:
            raise surrogate_error(error) from None


def _describe(source: Source) -> str:
    if isinstance(source, str | os.PathLike):
        return f"{os.fspath(source)} is empty"
    return "it has no document, or only empty ones"
