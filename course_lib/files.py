"""Helpers for everything that touches files: atomic writes, checks of paths, the progress bar, data of packages.

Anything beyond the standard library is imported only when it is needed.
"""

import contextlib
import errno
import glob
import importlib.util
import os
import secrets
import shlex
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Generic, Self, TypeVar, overload

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

T = TypeVar("T")

PathLike = str | os.PathLike[str]

_NO_ROOM = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))


def check_input_file(path: PathLike) -> Path:
    """Return ``path`` as a :class:`~pathlib.Path` after checking that it can be read as a file.

    Raises FileNotFoundError, IsADirectoryError or PermissionError, each naming the path in one sentence.
    """
    path = Path(path)
    try:
        is_dir, exists = path.is_dir(), path.exists()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        shown = str(path)[:60]
        raise FileNotFoundError(
            f"{shown}… is not a file: no path has {len(str(path)):,} characters"
        ) from None
    if is_dir:
        raise IsADirectoryError(f"{path} is a directory; a file is needed")
    if not exists:
        raise FileNotFoundError(f"{path} does not exist")
    if not os.access(path, os.R_OK):
        raise PermissionError(f"{path} cannot be read (permission denied)")
    return path


def check_output_file(path: PathLike) -> Path:
    """Return the file that a write to ``path`` would replace, symbolic links followed.

    Long jobs call it before they start, so that a wrong target wastes no work. Raises IsADirectoryError for a
    directory, FileNotFoundError or NotADirectoryError when the folder is missing or is a file,
    PermissionError when the folder is not writable, and OSError for devices and pipes, which a rename would
    replace by a plain file.
    """
    shown = os.fspath(path)
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"cannot write {shown}: it is a directory")
    if not target.parent.exists():
        raise FileNotFoundError(f"cannot write {shown}: the folder {target.parent} does not exist")
    if not target.parent.is_dir():
        raise NotADirectoryError(f"cannot write {shown}: {target.parent} is a file, not a folder")
    if target.exists() and not target.is_file():
        raise OSError(f"cannot write {shown}: it is not a regular file")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise PermissionError(f"cannot write {shown}: the folder {target.parent} is not writable")
    return target


def check_not_sources(
    targets: Iterable[PathLike], sources: Iterable[PathLike], *, folders: Iterable[PathLike] = ()
) -> None:
    """Raise ValueError if writing would destroy what is read: a target is a source, or a source lies in a folder.

    ``targets``: all files that will be written or replaced, including those written beside the one that was named.
    ``folders``: folders whose contents may be removed. Files are compared, not their names: a symbolic or hard link, a
    relative path, and a name in another case on a disk that ignores case all lead to the same file.
    """
    targets, folders = list(targets), list(folders)
    for source in sources:
        shown = os.fspath(source)
        for target in targets:
            if _same_file(target, source):
                named = os.fspath(target)
                also = "" if named == shown else f" (as {shown})"
                raise ValueError(f"cannot write {named}: it is read here{also}, and would be lost")
        for folder in folders:
            if any(_same_file(folder, parent) for parent in Path(os.path.realpath(source)).parents):
                raise ValueError(
                    f"cannot write into {os.fspath(folder)}: {shown}, which is read here, lies in it and would be lost"
                )


def _same_file(one: PathLike, other: PathLike) -> bool:
    try:
        return Path(one).samefile(other)
    except OSError:
        return False  # one of them does not exist


@contextlib.contextmanager
def atomic_write(path: PathLike) -> Iterator[BinaryIO]:
    """Open a binary file that becomes ``path`` when the block ends without an exception, and not before.

    The bytes go to a hidden temporary file in the same folder. At the end they are flushed to the disk and
    the file is renamed over ``path``, so that a reader sees the old contents or all of the new ones. Any
    exception, KeyboardInterrupt included, removes the temporary file and leaves ``path`` as it was. A killed
    process cannot do that: the next write to ``path`` removes what it left. A file that is replaced keeps its
    permissions; a new one gets those that ``open`` would give it. A symbolic link stays a link: the file it
    points to is replaced.

    Raises what :func:`check_output_file` raises.
    """
    target = check_output_file(path)
    _remove_abandoned(target)
    # File names end at 255 bytes on the usual file systems: the target's own name may not fit twice.
    temporary = target.with_name(f".{target.name[:32]}.{secrets.token_hex(8)}.tmp")
    try:
        # Opened inside the try: an interrupt right after the file was created must still remove it.
        with os.fdopen(_create(temporary), "w+b") as file:
            with contextlib.suppress(FileNotFoundError):
                os.chmod(temporary, stat.S_IMODE(os.stat(target).st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
            if fcntl is not None:
                os.replace(temporary, target)  # while it is still locked
        if fcntl is None:
            os.replace(temporary, target)  # Windows cannot rename an open file
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        # The system does not say for which file there is no room.
        if isinstance(error, OSError) and error.errno in _NO_ROOM and error.filename is None:
            error.filename = os.fspath(path)
        raise
    sync_folder(target.parent)


def _create(temporary: Path) -> int:
    """Create a file that stays locked while this process writes it; an abandoned one is not locked."""
    while True:
        descriptor = os.open(
            temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666
        )
        if fcntl is None:
            return descriptor
        with contextlib.suppress(OSError):  # a disk without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        # Between creation and lock, another process took it for abandoned and removed it.
        os.close(descriptor)


def _remove_abandoned(target: Path) -> None:
    """Remove the temporary files for ``target`` whose process was killed: its locks ended with it."""
    for path in target.parent.glob(f".{glob.escape(target.name[:32])}.{'[0-9a-f]' * 16}.tmp"):
        with contextlib.suppress(OSError):
            if fcntl is None:
                path.unlink()  # Windows cannot remove an open file
                continue
            descriptor = os.open(path, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(
                    descriptor
                ).st_nlink:  # else another process was faster, and the name may be in use again
                    path.unlink()
            finally:
                os.close(descriptor)


@contextlib.contextmanager
def hold_folder(folder: PathLike) -> Iterator[None]:
    """Lock ``folder`` during the block, for processes that use this function too.

    The lock ends with the process, however the process ends, and leaves nothing behind. Where folders cannot be locked
    (Windows, some network disks), this does nothing.

    Raises BlockingIOError if another process has locked the folder.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _lock(descriptor, f"another process is working in {os.fspath(folder)}")
        yield
    finally:
        os.close(descriptor)


def lock_file(file: BinaryIO) -> None:
    """Lock an open file until it is closed, for processes that use this function too; otherwise as :func:`hold_folder`.

    Raises BlockingIOError if another process has locked it.
    """
    if fcntl is not None:
        _lock(file.fileno(), f"another process is writing {file.name}")


def _lock(descriptor: int, refusal: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BlockingIOError(refusal) from None
    except OSError:
        pass  # a disk without locks


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` survive a power cut, where the system can (not all network disks can)."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Progress(Generic[T]):
    """A progress bar that appears only when the work takes longer than ``delay`` seconds.

    Created by :func:`progress`. Times and rates are measured from its creation.
    """

    def __init__(
        self,
        iterable: Iterable[T] | None,
        *,
        description: str,
        total: float | None,
        unit: str,
        enabled: bool,
        delay: float,
    ) -> None:
        self._iterable = iterable
        self._options: dict[str, Any] = {
            "desc": description,
            "unit": unit,
            "unit_scale": unit == "B",
            "leave": False,
        }
        self._total = total
        self._enabled = enabled
        self._delay = delay
        self._started = time.monotonic()
        self._done: float = 0
        self._bar: Any = None  # tqdm has no type information

    def __call__(self, done: float, total: float | None = None) -> None:
        """Report that ``done`` of ``total`` units are finished; the compiled engine calls this.

        A smaller ``done`` or a different ``total`` than before restarts the bar, for work in several phases.
        """
        if total is not None and (total != self._total or done < self._done):
            self._total, self._done, self._started = total, 0, time.monotonic()
            if self._bar is not None:
                self._bar.reset(total=total)
        self.update(done - self._done)

    def update(self, amount: float = 1) -> None:
        """Report that ``amount`` more units are finished."""
        self._done += amount
        if self._bar is not None:
            self._bar.update(amount)
        elif self._enabled and time.monotonic() - self._started >= self._delay:
            # tqdm has a delay of its own, but importing it takes longer than most jobs that finish within the delay.
            from tqdm.auto import tqdm

            self._bar = tqdm(total=self._total, **self._options)
            self._bar.start_t -= time.monotonic() - self._started
            self._bar.update(self._done)

    def close(self) -> None:
        """Remove the bar from the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        self._enabled = False

    def __iter__(self) -> Iterator[T]:
        if self._iterable is None:
            raise TypeError("progress() was given no iterable to loop over")
        with self:
            for item in self._iterable:
                yield item
                self.update()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@overload
def progress(
    iterable: Iterable[T],
    *,
    description: str = "",
    total: float | None = None,
    unit: str = "",
    enabled: bool = True,
    delay: float = 0.5,
) -> Progress[T]: ...
@overload
def progress(
    iterable: None = None,
    *,
    description: str = "",
    total: float | None = None,
    unit: str = "",
    enabled: bool = True,
    delay: float = 0.5,
) -> Progress[Any]: ...
def progress(
    iterable: Iterable[Any] | None = None,
    *,
    description: str = "",
    total: float | None = None,
    unit: str = "",
    enabled: bool = True,
    delay: float = 0.5,
) -> Progress[Any]:
    """The course's one progress bar, for terminals and notebooks.

    As an iterator, ``for item in progress(items)`` counts items. As a context manager, ``with
    progress(total=n) as bar`` gives an object to call as ``bar.update(amount)``, or to pass to the compiled
    engine, which calls ``bar(done, total)``. Nothing appears when ``enabled`` is false or the work ends
    within ``delay`` seconds.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    return Progress(iterable, description=description, total=total, unit=unit, enabled=enabled, delay=delay)


def cache_folder() -> Path:
    """The folder for files that can be made or downloaded again: ``$COURSE_CACHE``, else the user's cache folder."""
    from platformdirs import user_cache_path

    chosen = os.environ.get("COURSE_CACHE")
    return Path(chosen).expanduser() if chosen else user_cache_path("course-lib", appauthor=False)


def package_folders(package: str) -> list[Path]:
    """The folders of an installed top-level package, none if it is missing; finding it does not run its code."""
    spec = importlib.util.find_spec(package)
    return [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []


def pip_command(*arguments: str) -> str:
    """The shell command that installs something for the running Python; a plain ``pip`` may belong to another one."""
    return shlex.join([sys.executable, "-m", "pip", "install", *arguments])
