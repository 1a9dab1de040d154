"""Training and encoding on more than one machine, as map and reduce on Dask; the same results as in one process.

Every worker must see the files under the same names, on a network disk for example. A worker gets the name of a file
and a range of bytes, and finds by itself where the engine may cut: workers on adjacent ranges find the same places. To
train, it counts the pre-tokens there and packs the counts: words in ascending order, a few bytes each
(``csrc/bpe/pack.hpp``). Packed counts are merged in a tree, and the merges are learnt from the result on the machine
that started the job. To encode, workers send ids back, which are written in order. The result for a range depends only
on the file and the range, so Dask may recompute it when a worker is lost, and each result is used once.

``benchmarks/terabytes.md`` estimates what a terabyte takes.

    with connect("tcp://10.0.0.1:8786") as client:
        tokenizer = train_bpe(paths, 50_257, ["<|endoftext|>"], client=client)
        encode_file(tokenizer, paths[0], "tokens.bin", client=client)

Needs the extra ``course_lib[cluster]``; Dask is imported by :func:`connect`.
"""

import collections
import contextlib
import importlib.metadata
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from numpy.typing import NDArray

from course_lib import _bpe
from course_lib.checks import check_positive
from course_lib.errors import FormatError
from course_lib.files import PathLike, pip_command
from course_lib.files import progress as progress_bar
from course_lib.token_file import TokenFile, write_token_file
from course_lib.tokenizer.cluster_workers import (
    Block,
    PretokenCounts,
    SourceFile,
    check_files,
    count_block,
    encode_block,
    merge_counts,
    same,
)
from course_lib.tokenizer.patterns import resolve_pattern
from course_lib.tokenizer.source import no_text, read_source
from course_lib.tokenizer.tokenizer import Tokenizer
from course_lib.tokenizer.training import check_sizes, learn_merges, make_tokenizer

if TYPE_CHECKING:
    from distributed import Client, Future

Paths: TypeAlias = PathLike | Sequence[PathLike]

# Counts merged at a time: the tree is shallow, and memory and waiting at each node are bounded.
FAN_IN = 8

# Small blocks spread the work evenly; with large ones, fewer copies of frequent words pass through the tree.
_SMALLEST_BLOCK, _LARGEST_BLOCK = 1 << 24, 1 << 28


@contextlib.contextmanager
def connect(scheduler: str, *, num_workers: int | None = None, timeout: float = 10.0) -> Iterator["Client"]:
    """A Dask client of the scheduler at ``scheduler`` ("tcp://10.0.0.1:8786"), closed at the end of the block.

    "local" starts ``num_workers`` processes on this machine (default: one per processor) and ends them with the block.
    Raises ImportError, naming what to install, if Dask is missing, ValueError for an invalid address, and
    ConnectionError if no scheduler with a worker answers within ``timeout`` seconds.
    """
    try:
        import distributed
        from distributed.comm.addressing import get_address_host_port
    except ModuleNotFoundError as error:
        raise ImportError(
            f"working on a cluster needs Dask ({error}); try: {pip_command('distributed')}"
        ) from error
    if scheduler == "local":
        with (
            distributed.LocalCluster(
                n_workers=num_workers or _bpe.default_num_threads(),
                threads_per_worker=1,
                memory_limit=None,
                dashboard_address=":0",  # any free port
            ) as cluster,
            distributed.Client(cluster, set_as_default=False) as client,
        ):
            yield client
        return
    try:
        get_address_host_port(scheduler)
    except ValueError as error:
        raise ValueError(
            f"scheduler must be 'local' or an address such as 'tcp://10.0.0.1:8786', not {scheduler!r} ({error})"
        ) from error
    try:
        client = distributed.Client(scheduler, timeout=timeout, set_as_default=False)
    except OSError as error:
        raise ConnectionError(f"no Dask scheduler answers at {scheduler} within {timeout:g} s") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=timeout)
        except TimeoutError as error:
            raise ConnectionError(
                f"the Dask scheduler at {scheduler} has no worker within {timeout:g} s"
            ) from error
        yield client


def train_bpe(
    source: Paths,
    vocab_size: int,
    special_tokens: Sequence[str] = (),
    *,
    client: "Client",
    pattern: str = "gpt2",
    max_words: int | None = None,
    block_bytes: int | None = None,
    progress: bool = False,
) -> Tokenizer:
    """As :func:`course_lib.tokenizer.train_bpe` on a file or several, counted by the workers of ``client``.

    The tokenizer is the same as from one process, however the text is divided and even if workers are lost. With
    ``max_words`` (see :func:`count_pretokens`) it may differ; a warning then states how much was left out.

    Raises what :func:`course_lib.tokenizer.train_bpe` and :func:`count_pretokens` raise.
    """
    specials, num_merges = check_sizes(vocab_size, special_tokens)
    counted = count_pretokens(
        source,
        specials,
        client=client,
        pattern=pattern,
        max_words=max_words,
        block_bytes=block_bytes,
        progress=progress,
    )
    words = _bpe.WordCounts(None, [])
    words.add_packed(counted.packed)
    if counted.dropped:
        share = counted.dropped / (words.total() + counted.dropped)
        warnings.warn(
            f"max_words={max_words} left out {share:.2%} of the text's pre-tokens; no count is more than "
            f"{counted.missed} too low",
            stacklevel=2,
        )
    if not len(words):
        raise ValueError(no_text(source))
    learned = learn_merges(words, num_merges, progress=progress)
    files = [source] if isinstance(source, str | os.PathLike) else source
    return make_tokenizer(learned, num_merges, specials, pattern, files)


def count_pretokens(
    source: Paths,
    special_tokens: Sequence[str] = (),
    *,
    client: "Client",
    pattern: str = "gpt2",
    max_words: int | None = None,
    block_bytes: int | None = None,
    progress: bool = False,
) -> PretokenCounts:
    """Count the pre-tokens of the file ``source``, or of several, on the workers.

    A worker counts about ``block_bytes`` at a time (by default between 16 and 256 MiB, in four parts per thread if the
    text is large enough). With a ``pattern`` that has no compiled scanner there are no safe cuts: files are counted
    whole.

    ``max_words`` bounds memory and network traffic for texts of unbounded vocabulary: after each step of the reduction
    only that many pre-tokens are kept at most, the most frequent ones; ties at the limit are dropped together. A
    pre-token dropped by a step occurs there at most n / (max_words + 1) times, of n occurrences, as in the summaries of
    Manku and Motwani (2002) and Agarwal et al. (2012); ``missed`` adds up the counts that were actually dropped.

    Raises ValueError for a ``source`` without files and for bad numbers, TypeError for one that holds documents,
    FileNotFoundError and FormatError, naming the file and the host, for a file that a worker does not see or that has
    another size there, ImportError for a worker without this package, and ConnectionError if the scheduler is lost or
    one part of the work kills several workers.
    """
    for name, number in (("max_words", max_words), ("block_bytes", block_bytes)):
        if number is not None:
            check_positive(name, number)
    scanner, expression = resolve_pattern(pattern)
    files = _all_files(client, source)
    parts = []
    total = sum(file.size for file in files)
    with progress_bar(description="counting pre-tokens", total=total, unit="B", enabled=progress) as bar:
        for block in _blocks(client, files, block_bytes if scanner else math.inf):
            part = client.submit(
                count_block, block, scanner, expression, special_tokens, max_words, pure=False
            )
            part.add_done_callback(lambda _, amount=block.stop - block.start: bar.update(amount))
            parts.append(part)
        # Higher levels first (priority), so that few results wait at the same time.
        level = 0
        while len(parts) > 1:
            level += 1
            groups = [parts[at : at + FAN_IN] for at in range(0, len(parts), FAN_IN)]
            parts = [
                client.submit(merge_counts, group, max_words, pure=False, priority=level) for group in groups
            ]
        result: PretokenCounts = _result(parts.pop())
    return result


def encode_file(
    tokenizer: Tokenizer,
    source: PathLike,
    target: PathLike,
    *,
    client: "Client",
    block_bytes: int | None = None,
    progress: bool = False,
) -> TokenFile:
    """As :meth:`Tokenizer.encode_file <course_lib.tokenizer.Tokenizer.encode_file>`, by the workers of ``client``.

    The token file has the same bytes as from one process. Only this machine writes it: ids arrive over the network, a
    few parts ahead of the one that is being written, so memory does not grow with the file. With a normalizer, or a
    pattern without a compiled scanner, one worker encodes the whole file.

    Raises what :meth:`Tokenizer.encode_file` and :func:`count_pretokens` raise.
    """
    if block_bytes is not None:
        check_positive("block_bytes", block_bytes)
    target = tokenizer.check_target(source, target)
    files = _all_files(client, source)

    def ids() -> Iterator[NDArray[Any]]:
        # The result of a task, not scattered data, which would be lost with the worker that holds it.
        shared = client.submit(same, tokenizer, pure=False)
        waiting: collections.deque[tuple[Future[Any], int]] = collections.deque()
        for block in _blocks(client, files, block_bytes if tokenizer.can_cut_files else math.inf):
            part = client.submit(encode_block, shared, block, pure=False)
            waiting.append((part, block.stop - block.start))
            if len(waiting) > 2 * _num_threads(client):
                yield take(waiting)
        while waiting:
            yield take(waiting)

    def take(waiting: "collections.deque[tuple[Future[Any], int]]") -> NDArray[Any]:
        part, amount = waiting.popleft()
        result: NDArray[Any] = _result(part)
        bar.update(amount)
        return result

    with progress_bar(
        description=f"encoding {Path(source).name}", total=files[0].size, unit="B", enabled=progress
    ) as bar:
        return write_token_file(
            target, ids(), vocab_size=tokenizer.vocab_size, tokenizer_sha256=tokenizer.sha256()
        )


def _all_files(client: "Client", source: Paths) -> list[SourceFile]:
    """The files by absolute path, after checking that all workers see the same ones and run the same code."""
    files: list[SourceFile] = []
    for path in read_source(source):
        if not isinstance(path, Path):
            raise TypeError("source must be a path or several paths of existing files: workers read files")
        files.append(SourceFile(str(path.absolute()), path.stat().st_size))
    if not files:
        raise ValueError("source names no file")
    try:
        versions = client.run(check_files, files)
    except (OSError, FormatError):
        raise
    except Exception as error:  # a worker could not find the function
        raise ImportError(f"a worker cannot import course_lib, which every worker needs: {error}") from error
    here = importlib.metadata.version("course-lib")
    for worker, version in versions.items():
        if version != here:
            raise ValueError(f"worker {worker} has course_lib {version}, but {here} started the job")
    return files


def _num_threads(client: "Client") -> int:
    return sum(client.nthreads().values())


def _blocks(client: "Client", files: Sequence[SourceFile], block_bytes: float | None) -> Iterator[Block]:
    """Each file in ranges of equal size, at most ``block_bytes`` each."""
    if block_bytes is None:
        share = sum(file.size for file in files) / max(1, 4 * _num_threads(client))
        block_bytes = min(max(share, _SMALLEST_BLOCK), _LARGEST_BLOCK)
    for file in files:
        count = max(1, math.ceil(file.size / block_bytes))
        for k in range(count):
            yield Block(file, file.size * k // count, file.size * (k + 1) // count)


def _result(future: "Future[Any]") -> Any:
    """The result of a task, directly from the worker that has it if possible."""
    from distributed import KilledWorker
    from distributed.client import FutureCancelledError

    try:
        return future.client.gather(future, direct=True)
    except KilledWorker as error:
        raise ConnectionError(
            "several workers died at the same part of the job, most often for lack of memory: "
            "smaller blocks, or max_words, need less"
        ) from error
    except FutureCancelledError as error:
        raise ConnectionError(f"the Dask scheduler is gone, and the job with it ({error})") from error
