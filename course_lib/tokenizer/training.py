"""Training a byte-level BPE tokenizer on the compiled engine."""

import contextlib
import itertools
import os
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias, TypeGuard

import regex

from course_lib import _bpe
from course_lib.files import PathLike, check_input_file
from course_lib.files import progress as progress_bar
from course_lib.tokenizer.formats import assign_special_ids
from course_lib.tokenizer.patterns import resolve_pattern, split_by_regex
from course_lib.tokenizer.piecewise import any_of
from course_lib.tokenizer.tokenizer import MAX_TOKEN_ID, Tokenizer, check_num_threads, surrogate_error

Source: TypeAlias = PathLike | Iterable[str] | Iterable[PathLike]

# Documents are handed to the engine in groups of about this many characters.
_GROUP_CHARACTERS = 1 << 23

# How long a path may be on Linux, and how many documents are looked at for the name of a file among them.
_LONGEST_PATH = 4096
_LOOKED_AT = 100


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
    text before it is cut into pre-tokens by ``pattern``; they are never split or counted.

    Starting from the 256 bytes, the pair of neighbouring tokens with the highest count within the pre-tokens is merged
    into a new token, again and again; of pairs with equal counts, the lexicographically greater pair of byte strings
    is taken. ``vocab_size`` counts the bytes, the merges and the special tokens; ids come in that order. When no pair
    is left, training stops early with a warning. The result does not depend on ``num_threads`` (default: every
    processor). Ctrl-C stops within a second. Bytes of files that are not UTF-8 are kept (see ``Tokenizer.encode``).

    Raises ValueError for a ``vocab_size`` below 256 + special tokens or above 2²⁴, for empty or repeated special tokens
    and for a source without text; TypeError for a source of another kind; OSError for files that cannot be read.
    """
    specials, num_merges = check_sizes(vocab_size, special_tokens)
    check_num_threads(num_threads)
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
    merges = learn_merges(counts, num_merges, num_threads=num_threads, progress=progress)
    return make_tokenizer(merges, num_merges, specials, pattern, files)


# --- what the references in reference.py and cluster.py share with it -------------------------------------------------


def learn_merges(
    counts: _bpe.WordCounts, num_merges: int, *, num_threads: int | None = None, progress: bool = False
) -> list[tuple[bytes, bytes]]:
    """The first ``num_merges`` merges of counted pre-tokens, fewer if no pair is left."""
    with progress_bar(description="merging", enabled=progress) as bar:
        pairs, _ = _bpe.train(counts, num_merges, num_threads=num_threads, progress=bar)
    tokens = [bytes([byte]) for byte in range(256)]
    for left, right in pairs:
        tokens.append(tokens[left] + tokens[right])
    return [(tokens[left], tokens[right]) for left, right in pairs]


def check_sizes(vocab_size: int, special_tokens: Sequence[str]) -> tuple[list[str], int]:
    """The special tokens and the number of merges asked for; ValueError or TypeError as :func:`train_bpe`."""
    specials = list(assign_special_ids({}, special_tokens))
    smallest = 256 + len(specials)
    if type(vocab_size) is not int:
        raise TypeError(f"vocab_size must be int, not {type(vocab_size).__name__}")
    if vocab_size > MAX_TOKEN_ID + 1:
        raise ValueError(f"vocab_size must be at most {MAX_TOKEN_ID + 1:,}, got {vocab_size}")
    if vocab_size < smallest:
        raise ValueError(
            f"vocab_size must be at least {smallest} (256 bytes + {len(specials)} special tokens), got {vocab_size}"
        )
    return specials, vocab_size - smallest


def make_tokenizer(
    merges: list[tuple[bytes, bytes]],
    num_merges: int,
    specials: Sequence[str],
    pattern: str,
    files: Iterable[PathLike] = (),
) -> Tokenizer:
    """The tokenizer of the bytes, ``merges`` (from ``files``) and special tokens; a warning where merges are missing.

    To be called by the function that the reader called: the warning names the line above it.
    """
    if len(merges) < num_merges:
        size = 256 + len(specials)
        warnings.warn(
            f"no pair is left to merge after {len(merges)} of {num_merges} merges: "
            f"the vocabulary has {size + len(merges)} entries instead of {size + num_merges}",
            stacklevel=3,
        )
    tokens = [*(bytes([byte]) for byte in range(256)), *(left + right for left, right in merges)]
    tokenizer = Tokenizer(dict(enumerate(tokens)), merges, specials, pattern=pattern)
    tokenizer._sources = [Path(file).absolute() for file in files]
    return tokenizer


def read_source(source: Source) -> Iterator[Path | list[str]]:
    """The files of ``source``, or its documents in groups of bounded size."""
    if isinstance(source, str | os.PathLike):
        yield _single_file(source)
        return
    if isinstance(source, bytes) or not isinstance(source, Iterable):
        raise TypeError(f"source must be a path or an iterable of str documents, not {type(source).__name__}")
    items = iter(source)
    files: list[PathLike] = []
    for item in items:
        if not _names_file(item):
            yield from _groups(files, itertools.chain([item], items))
            return
        files.append(item)
    # All of them are checked before the first is read.
    yield from [check_input_file(file) for file in files]


def _single_file(source: PathLike) -> Path:
    try:
        return check_input_file(source)
    except FileNotFoundError as error:
        if isinstance(source, str):
            error.args = (f"{error} (a str is a path: a text to train on goes into a list)",)
        raise


def _names_file(item: object) -> TypeGuard[PathLike]:
    """Whether an item of a source is a path, or a str that names an existing file."""
    if not isinstance(item, str):
        return isinstance(item, os.PathLike)
    with contextlib.suppress(OSError):  # a part of it is too long for a name
        # Nothing is asked of the system for texts that are no path at all.
        return len(item) <= _LONGEST_PATH and "\n" not in item and Path(item).is_file()
    return False


def _groups(files: list[PathLike], others: Iterator[object]) -> Iterator[list[str]]:
    """The documents of a source in groups. Its first items look like ``files``, the first of ``others`` does not."""
    head = list(itertools.islice(others, _LOOKED_AT))
    path = next((item for item in files if not isinstance(item, str)), None)
    if path is not None and isinstance(head[0], str):
        shown = repr(head[0][:60])
        raise TypeError(
            f"source holds the path {os.fspath(path)}, but also {shown}, which is neither a path nor the name of a file"
        )
    names = [item for item in (*files, *head) if _names_file(item) and isinstance(item, str)]
    if names:
        warnings.warn(
            f"the items of source are taken as documents, though {names[0]!r} is the name of a file: "
            "to train on files, all items must name existing ones",
            stacklevel=_level_of_caller(),
        )
    group: list[str] = []
    size = 0
    for item in itertools.chain(files, head, others):
        if not isinstance(item, str):
            kind = "path" if isinstance(item, os.PathLike) else type(item).__name__
            raise TypeError(f"source holds documents and a {kind}: {item!r} (documents must be str)")
        group.append(item)
        size += len(item)
        if size >= _GROUP_CHARACTERS:
            yield group
            group, size = [], 0
    if group:
        yield group


def _level_of_caller() -> int:
    """The ``stacklevel`` of a warning that is to name the line by which the reader came into this package."""
    package = Path(__file__).parents[1]
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and Path(frame.f_code.co_filename).is_relative_to(package):
        frame, level = frame.f_back, level + 1
    return level


def count_by_regex(
    file_or_documents: Path | list[str], expression: str, specials: Sequence[str]
) -> Counter[bytes]:
    """Pre-tokens and how often each occurs, by the ``regex`` package; bytes that are not UTF-8 are kept."""
    if isinstance(file_or_documents, Path):
        file_or_documents = [file_or_documents.read_bytes().decode("utf-8", "surrogateescape")]
        errors = "surrogateescape"  # such bytes are lone surrogates on their way through the expression
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


def no_text(source: Source) -> str:
    """What to say of a source without text."""
    empty = isinstance(source, str | os.PathLike)
    why = f"{os.fspath(source)} is empty" if empty else "it has no file and no document, or only empty ones"  # type: ignore[arg-type]
    return f"source holds no text to train on: {why}"
