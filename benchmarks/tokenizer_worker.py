"""The measuring process of tokenizer_speed.py: one package, one task, timed pass by pass.

It imports little, so that what is measured is the package's.
"""

import hashlib
import json
import resource
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizer_peers import PEERS, Peer, bind, ids_of, tokens_of
from tokenizer_texts import SEPARATOR, Corpus, Vocabulary

PASSES_FOR = 0.5  # seconds that later passes over a text may take together
MOST_PASSES = 5


@dataclass(frozen=True)
class Task:
    """One line of the comparison; all packages that can do it take turns.

    ``argument``: the vocabulary, or its size in training. ``threads``: as many processors as well.
    """

    job: str
    text: str
    path: str
    argument: str
    threads: int = 1
    form: str = ""  # of the result: "list" or "NumPy"

    def peers(self, names: Sequence[str]) -> list[Peer]:
        """The installed packages, of ``names`` if there are any, that can do it."""
        field = {"encode": "whole"}.get(self.job, self.job)
        return [
            peer
            for peer in PEERS
            if (not names or peer.name in ("course_lib", *names))
            and peer.can(field)
            and peer.installed
            and (self.job == "train" or self.argument in peer.vocabularies)
            and (self.job != "short" or self.form in peer.short)
        ]


def prepared(task: Task, peer: Peer, folder: Path) -> Callable[[], Any]:
    """The work that is timed, with everything it needs loaded."""
    corpus = Corpus(Path(task.path))
    if task.job == "train":
        return peer.train(corpus, int(task.argument), task.threads)
    tokenizer = peer.open(Vocabulary(task.argument, folder))
    if task.job == "short":
        encode = peer.short[task.form](tokenizer)
        strings = corpus.short_strings
        return lambda: deque(map(encode, strings), maxlen=0)
    way = {"encode": peer.whole, "batch": peer.batch, "file": peer.file}[task.job]
    return way(tokenizer, corpus, task.threads)


def measure(task: Task, peer: Peer, folder: Path) -> dict[str, Any]:
    """CPU and wall seconds of each pass, peak memory, and a digest of the ids, or the tokens that were learned."""
    work = prepared(task, peer, folder)
    cpu: list[float] = []
    wall: list[float] = []
    digests = set()
    result: Any = None
    while len(cpu) < 2 or (sum(cpu[1:]) < PASSES_FOR and len(cpu) < MOST_PASSES):
        result = None  # freed before the clock starts
        started, started_cpu = time.perf_counter(), time.process_time()
        result = work()
        cpu.append(time.process_time() - started_cpu)
        wall.append(time.perf_counter() - started)
        if task.job == "train":
            break
        if task.job != "short":
            digests.add(digest(without_separators(ids_of(result), task.argument, folder)))
    found: dict[str, Any] = {"cpu": cpu, "wall": wall, "peak_mb": peak_memory()}
    if task.job == "train":
        return found | {"tokens": [token.hex() for token in tokens_of(result)]}
    if task.job == "short":
        encode = peer.short[task.form](peer.open(Vocabulary(task.argument, folder)))
        strings = Corpus(Path(task.path)).short_strings
        digests = {digest(np.concatenate([ids_of(encode(string)) for string in strings]))}
    return found | {"digests": sorted(digests)}


def peak_memory() -> float:
    """Of this process, in MB. Linux counts the memory of the process that started it in ru_maxrss, but not in VmHWM."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # macOS: bytes
    [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024 / 1e6


def without_separators(ids: NDArray[np.uint32], vocabulary: str, folder: Path) -> NDArray[np.uint32]:
    """Ids without that of ``<|endoftext|>``, which only some packages put between documents."""
    separator = Vocabulary(vocabulary, folder).description["special_tokens"].get(SEPARATOR)
    return ids if separator is None else ids[ids != separator]


def digest(ids: NDArray[np.uint32]) -> str:
    return hashlib.sha256(np.ascontiguousarray(ids, np.uint32).tobytes()).hexdigest()


def main() -> None:
    """Read the task from the command line and print the result as JSON, in the last line."""
    request = json.loads(sys.argv[1])
    task = Task(**request["task"])
    bind(task.threads)
    peer = next(peer for peer in PEERS if peer.name == request["peer"])
    print(json.dumps(measure(task, peer, Path(request["folder"]))))


if __name__ == "__main__":
    main()
