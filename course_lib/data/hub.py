"""Downloads from the Hugging Face Hub into a folder of the reader's choice, over connections that break.

``huggingface_hub`` finds the file, knows its checksum, follows ``HF_ENDPOINT`` (a mirror) and proxies, and streams the
bytes. It cannot continue where an earlier process stopped, which a file of several gigabytes needs: so the bytes that
have arrived stay beside the target in a hidden file, and the next call asks for the rest.
"""

import hashlib
import os
import re
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from course_lib.errors import FormatError
from course_lib.files import Progress, check_output_file, sync_folder
from course_lib.files import progress as progress_bar

if TYPE_CHECKING:
    from huggingface_hub import HfFileMetadata

_ATTEMPTS_WITHOUT_PROGRESS = 3


def resolve(repository: str, filename: str, revision: str) -> str:
    """The commit that a branch or tag of the dataset ``repository`` points to now, as 40 hexadecimal digits.

    Raises ConnectionError and OSError as :func:`download`, and FormatError if the hub does not state it.
    """
    url, announced = _announced(repository, filename, revision)
    commit = announced.commit_hash or ""
    if not is_commit(commit):
        raise FormatError(url, "", f"the hub states no commit for the revision {revision}")
    return commit


def is_commit(revision: str) -> bool:
    """Whether a revision is a commit, which never changes, and not a branch or tag."""
    return re.fullmatch("[0-9a-f]{40}", revision) is not None


def download(
    repository: str,
    filename: str,
    target: Path,
    *,
    revision: str = "main",
    sha256: str | None = None,
    progress: bool = True,
) -> Path:
    """Download ``filename`` of the dataset ``repository``; ``target`` appears once it is complete and verified.

    A broken connection is retried as long as each attempt makes progress. The checksum is the one that the hub states
    for the revision: SHA-256 for large files, git's SHA-1 for small ones. With ``sha256``, a hub that announces a
    different file is refused before anything is downloaded.

    Raises:
        ConnectionError: the hub cannot be reached, or the connection keeps breaking; a later call continues.
        OSError: the hub refuses (no such file or revision), the disk is full or the folder is not writable.
        FormatError: the hub announces a different file, or the download is not what it announced (and is removed).
    """
    check_output_file(target)
    url, announced = _announced(repository, filename, revision)
    etag = announced.etag or ""
    if not re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", etag) or announced.size is None:
        raise FormatError(url, "", "the hub states no size or no checksum for this file")
    if sha256 is not None and etag != sha256:
        raise FormatError(url, "", f"the hub has a different file there: checksum {etag}, not {sha256}")
    # Named by its contents, so that two versions of a file are never mixed.
    partial = target.with_name(f".{target.name}.{etag[:16]}.part")
    bar: Progress[None] = progress_bar(description=filename, total=announced.size, unit="B", enabled=progress)
    with open(partial, "ab") as file, bar:
        _stream(url, file, announced.size, bar)
        file.flush()
        os.fsync(file.fileno())
    found = _checksum(partial, announced.size, etag)
    if found != etag:
        partial.unlink()
        raise FormatError(
            target, "", f"the download is damaged: checksum {found}, not {etag}; fetch it again"
        )
    os.replace(partial, target)
    sync_folder(target.parent)
    return target


def _announced(repository: str, filename: str, revision: str) -> tuple[str, "HfFileMetadata"]:
    """The URL of a file, and what the hub states about it."""
    import httpx2
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    # Read here, since huggingface_hub reads it only once, when it is imported.
    endpoint = os.environ.get("HF_ENDPOINT") or None
    url = hf_hub_url(repository, filename, repo_type="dataset", revision=revision, endpoint=endpoint)
    try:
        return url, get_hf_file_metadata(url, endpoint=endpoint)
    except httpx2.TransportError as error:
        raise ConnectionError(f"cannot reach {url}: {error}") from error


def _stream(url: str, file: BinaryIO, size: int, bar: Progress[None]) -> None:
    """Append to ``file`` those of the ``size`` bytes at ``url`` that are missing."""
    import httpx2

    bar.update(file.tell())
    failures = 0
    while (start := file.tell()) < size:
        problem: object = "it ends too early"
        try:
            _receive(url, file, bar)
        except httpx2.TransportError as error:
            problem = error
        if file.tell() > start:
            failures = 0
            continue
        failures += 1
        if failures == _ATTEMPTS_WITHOUT_PROGRESS:
            raise ConnectionError(
                f"the connection to {url} keeps breaking ({problem}); {start:,} of {size:,} bytes have arrived and "
                "are kept: fetch again to continue"
            )
        time.sleep(failures)


def _receive(url: str, file: BinaryIO, bar: Progress[None]) -> None:
    """Append the result of one request, piece by piece: little is lost when the connection breaks."""
    from huggingface_hub import get_session, hf_raise_for_status

    start = file.tell()
    # If they were compressed on the way, the bytes could not be counted.
    headers = {"accept-encoding": "identity", "range": f"bytes={start}-"}
    with get_session().stream("GET", url, headers=headers, follow_redirects=True) as response:
        hf_raise_for_status(response)
        if response.status_code != HTTPStatus.PARTIAL_CONTENT:
            file.truncate(0)  # a mirror that cannot send a part starts from the beginning
            bar.update(-start)
        for piece in response.iter_raw():
            file.write(piece)
            bar.update(len(piece))


def _checksum(path: Path, size: int, like: str) -> str:
    """SHA-256 of a file, or git's SHA-1 of it as a blob, depending on the length of ``like``."""
    with open(path, "rb") as file:
        if len(like) == 64:
            return hashlib.file_digest(file, "sha256").hexdigest()
        blob = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        while block := file.read(1 << 20):
            blob.update(block)
        return blob.hexdigest()
