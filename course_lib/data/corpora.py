"""The published corpora of the course, fetched from the Hugging Face Hub when the reader asks for them.

Nothing in the notebooks needs them: :func:`course_lib.data.stories` makes text without a network.
"""

import gzip
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from course_lib.checks import check_choice
from course_lib.data.hub import download, is_commit, resolve
from course_lib.errors import FormatError
from course_lib.files import PathLike, Progress, atomic_write
from course_lib.files import progress as progress_bar


@dataclass(frozen=True)
class CorpusFile:
    """One text file of a corpus.

    ``name``: its name in the folder of the reader. ``num_bytes``: size of the text. ``sha256``: checksum of the file on
    the hub, if it was known when this was written; in any case the download is compared with the checksum that the hub
    states. ``packed``: name of the file on the hub if it holds the text gzip-compressed.
    """

    name: str
    num_bytes: int
    sha256: str | None = None
    packed: str | None = None


@dataclass(frozen=True)
class Corpus:
    """A corpus on the hub: documents of UTF-8 text with ``<|endoftext|>`` between them.

    ``revision``: a commit, if one was known when this was written; else a branch, and the first :func:`fetch` into a
    folder records the commit that the branch pointed to.
    """

    name: str
    description: str
    repository: str
    revision: str
    license: str
    files: tuple[CorpusFile, ...]

    @property
    def num_bytes(self) -> int:
        """Size of all text files together."""
        return sum(file.num_bytes for file in self.files)


_CORPORA = (
    Corpus(
        name="tinystories",
        description="short stories in a small child's words, written by GPT-4 (Eldan and Li 2023, arXiv:2305.07759)",
        repository="roneneldan/TinyStories",
        revision="f54c09fd23315a6f9c86f9dc80f725de7d8f9c64",
        license="CDLA-Sharing-1.0",
        files=(
            CorpusFile(
                "TinyStoriesV2-GPT4-train.txt",
                2_227_753_162,
                "6418d412de72888f52b5142c761ac21a582f7d1166f0bfbdb5f03ccfdec90443",
            ),
            CorpusFile(
                "TinyStoriesV2-GPT4-valid.txt",
                22_502_601,
                "6874bae9a4c1a4e7edcf0e53b86c17817e9cf881fc75ff2368da457b80c0585d",
            ),
        ),
    ),
    Corpus(
        name="openwebtext-sample",
        description="a sample of OpenWebText, web pages that Reddit users linked to (Gokaslan and Cohen 2019)",
        repository="stanford-cs336/owt-sample",
        revision="main",
        license="see the dataset's page",
        files=(
            CorpusFile("owt_train.txt", 11_920_511_059, packed="owt_train.txt.gz"),
            CorpusFile("owt_valid.txt", 289_998_753, packed="owt_valid.txt.gz"),
        ),
    ),
)


def list() -> Sequence[Corpus]:  # noqa: A001 - read as corpora.list()
    """The corpora that :func:`fetch` can download, with their sizes and licences."""
    return _CORPORA


def fetch(name: str, directory: PathLike, progress: bool = True) -> Sequence[Path]:
    """Download a corpus and return its text files.

    Files that exist already with the right size are kept. After an interruption, by Ctrl-C or a lost connection, the
    next call continues after the bytes that had arrived. A text appears under its name only when it is complete and its
    checksum is right. The environment variable ``HF_ENDPOINT`` names a mirror of the hub.

    If this release knows no commit of a corpus, the first call writes the one it finds to ``NAME.json`` in the folder,
    and all later calls fetch that commit: copy this file to get the same text elsewhere.

    Args:
        name: one of the names in :func:`list`.
        directory: folder to download to; created if it does not exist.
        progress: show progress bars.

    Raises:
        ValueError: the name is unknown.
        ConnectionError: the hub cannot be reached, or the connection kept breaking.
        OSError: the hub refused, or the disk is full.
        FormatError: the downloaded file is not the corpus.
    """
    known = {corpus.name: corpus for corpus in _CORPORA}
    check_choice("name", name, known)
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    return [_fetch_file(known[name], file, folder, progress=progress) for file in known[name].files]


def _fetch_file(corpus: Corpus, file: CorpusFile, folder: Path, *, progress: bool) -> Path:
    target = folder / file.name
    if target.is_file() and target.stat().st_size == file.num_bytes:
        return target
    remote = file.packed or file.name
    revision = corpus.revision if is_commit(corpus.revision) else _noted_commit(corpus, remote, folder)
    loaded = download(
        corpus.repository,
        remote,
        folder / remote,
        revision=revision,
        sha256=file.sha256,
        progress=progress,
    )
    if file.packed:
        _unpack(loaded, target, file.num_bytes, progress=progress)
        loaded.unlink()
    return target


def _noted_commit(corpus: Corpus, remote: str, folder: Path) -> str:
    """The commit that the files in ``folder`` come from; the first time, the current one of the hub."""
    note = folder / f"{corpus.name}.json"
    if note.is_file():
        try:
            noted = json.loads(note.read_bytes())
        except ValueError as error:
            raise FormatError(note, "", f"damaged: {error}") from error
        if not isinstance(noted, dict) or noted.get("repository") != corpus.repository:
            raise FormatError(note, "repository", f"not the record of a download from {corpus.repository}")
        revision = noted.get("revision")
        if not isinstance(revision, str) or not is_commit(revision):
            raise FormatError(note, "revision", f"{revision!r} is not a commit of 40 hexadecimal digits")
        return revision
    revision = resolve(corpus.repository, remote, corpus.revision)
    with atomic_write(note) as file:
        fields = {"repository": corpus.repository, "revision": revision}
        file.write(json.dumps(fields, indent=2).encode() + b"\n")
    return revision


def _unpack(packed: Path, target: Path, num_bytes: int, *, progress: bool) -> None:
    bar: Progress[None] = progress_bar(
        description=f"unpacking {target.name}", total=num_bytes, unit="B", enabled=progress
    )
    size = 0
    with atomic_write(target) as text, bar:
        try:
            with gzip.open(packed) as source:
                while block := source.read(1 << 20):
                    size += text.write(block)
                    bar.update(len(block))
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise FormatError(
                packed, f"after {size} bytes of text", f"not a whole gzip file: {error}"
            ) from error
        if size != num_bytes:
            raise FormatError(
                packed, "", f"holds {size} bytes of text, not the {num_bytes} of the known corpus"
            )
