"""Token ids on disk: a flat file of integers that is mapped, not read, and a JSON file that describes it.

``tokens.bin`` holds nothing but little-endian ids (two bytes each where the vocabulary allows it, else four),
so that any tool can map it. ``tokens.bin.json`` beside it records their number and type, the size of the vocabulary,
and the SHA-256 of the ids and of the tokenizer that made them. The description is written last: ids without a
description are an unfinished file, and opening them says so.
"""

import hashlib
import json
import os
import re
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self, overload

import numpy as np
from numpy.typing import DTypeLike, NDArray

from course_lib.checks import check_integer
from course_lib.errors import FormatError
from course_lib.files import PathLike, atomic_write, check_input_file

VERSION = 1
_KIND = "course_lib tokens"
_DTYPES = ("<u2", "<u4")
_MAPPED_BYTES = 1 << 26

TokenArray = NDArray[np.uint16] | NDArray[np.uint32]


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """The smaller type that holds ids below ``vocab_size``: ``<u2`` up to 65,536 ids, else ``<u4``."""
    vocab_size = check_integer("vocab_size", vocab_size, least=1, most=2**32)
    return np.dtype("<u2" if vocab_size <= 2**16 else "<u4")


class TokenFile:
    """The ids of a token file, as an array that lives on disk.

    Open one with :meth:`open`. It has a length and can be indexed, sliced and passed to NumPy like a one-dimensional
    array; only the pages that are touched are read.

    ``path``: the file of ids. ``tokens``: the mapped array, shape ``(count,)``, read-only. ``vocab_size``:
    all ids are below it. ``sha256``: of the ids' bytes. ``tokenizer_sha256``: of the tokenizer that made
    them.

    Pickling and copying store only the path: unpickling opens the file again, and raises FormatError if it is no longer
    the same file. A spawned worker of a DataLoader receives a few hundred bytes.
    """

    def __init__(
        self, path: Path, tokens: TokenArray, *, vocab_size: int, sha256: str, tokenizer_sha256: str
    ) -> None:
        self.path = path
        self.tokens = tokens
        self.vocab_size = vocab_size
        self.sha256 = sha256
        self.tokenizer_sha256 = tokenizer_sha256
        # Another process may have another working directory, and so may this one later.
        self._absolute = str(Path(path).absolute())
        self._identity: _Identity | None = None
        self._descriptor: int | None = None

    @classmethod
    def open(cls, path: PathLike, *, verify: bool = False) -> Self:
        """Map the token file ``path``. With ``verify``, also read all of it and compare its checksum.

        Raises FormatError when the file is truncated, was not written completely, or is not a token file;
        FileNotFoundError, IsADirectoryError or PermissionError when there is no such file to read.
        """
        path = check_input_file(path)
        described = _read_description(path)
        dtype, count = np.dtype(described["dtype"]), described["count"]
        with open(path, "rb") as file:
            identity = _Identity.of(file.fileno())
            if identity.size != count * dtype.itemsize:
                raise FormatError(
                    path,
                    f"byte {identity.size}",
                    f"the file ends here, but its description promises {count} ids of {dtype.itemsize} bytes",
                )
            # Whoever replaces a token file removes its description first.
            if _read_description(path) != described:
                raise FormatError(path, "", "was replaced while it was opened")
            # An empty file cannot be mapped.
            tokens = np.memmap(file, dtype=dtype, mode="r", shape=(count,)) if count else np.empty(0, dtype)
            tokens.flags.writeable = False
            opened = cls(
                path,
                tokens,
                vocab_size=described["vocab_size"],
                sha256=described["sha256"],
                tokenizer_sha256=described["tokenizer_sha256"],
            )
            opened._identity = identity
            if tokens.nbytes > _MAPPED_BYTES and hasattr(os, "preadv"):
                # Kept open: the name may later belong to another file.
                opened._descriptor = os.dup(file.fileno())
                weakref.finalize(opened, os.close, opened._descriptor)
        if verify:
            opened.verify()
        return opened

    def verify(self) -> None:
        """Read every id and compare the checksum; raises FormatError when the bytes are not those written."""
        with open(self._absolute, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != self.sha256:
            raise FormatError(self.path, "", f"the ids were changed: SHA-256 {found}, not {self.sha256}")

    def expect(self, *, tokenizer_sha256: str, named: str) -> None:
        """Raise FormatError unless the tokenizer with this hash, called ``named`` in the message, made the ids."""
        if self.tokenizer_sha256 != tokenizer_sha256:
            raise FormatError(self.path, "", f"was encoded with another tokenizer than {named}")

    @property
    def dtype(self) -> np.dtype[Any]:
        """``<u2`` or ``<u4``."""
        return self.tokens.dtype

    @property
    def shape(self) -> tuple[int]:
        """``(count,)``."""
        return (len(self.tokens),)

    ndim = 1

    def __len__(self) -> int:
        return len(self.tokens)

    @overload
    def __getitem__(self, index: int) -> np.integer[Any]: ...
    @overload
    def __getitem__(self, index: slice | NDArray[Any] | list[int]) -> NDArray[Any]: ...
    def __getitem__(self, index: Any) -> Any:
        return self.tokens[index]

    def __iter__(self) -> Iterator[np.integer[Any]]:
        return iter(self.tokens)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.tokens, dtype=dtype, copy=copy)

    def windows(self, starts: NDArray[np.integer[Any]], length: int) -> TokenArray:
        """Copy ``length`` ids beginning at each of ``starts``: shape ``(len(starts), length)``, of the file's type.

        A file of more than 64 MB is read for this, not mapped. Mapping would leave pages behind that count as the
        process's memory until the system reclaims them: with large pages, up to two megabytes for a window of a
        kilobyte. Reading costs one call per window and leaves nothing.

        Raises IndexError for a window that is not in the file, and FormatError for one that holds an id of
        ``vocab_size`` or more: the file is damaged, or does not contain token ids.
        """
        if len(starts) and not 0 <= int(starts.min()) <= int(starts.max()) <= len(self) - length:
            raise IndexError(f"windows of {length} ids must start in 0 … {len(self) - length}")
        if self._descriptor is None:
            result = gather_windows(self.tokens, starts, length)
        else:
            result = self._read_windows(self._descriptor, starts, length)
        if result.size and result.max() >= self.vocab_size:
            row, column = np.argwhere(result >= self.vocab_size)[0]
            place = f"token {starts[row] + column}"
            raise FormatError(
                self.path,
                place,
                f"id {result[row, column]} is not below {self.vocab_size}: the file is damaged",
            )
        return result

    def _read_windows(self, descriptor: int, starts: NDArray[np.integer[Any]], length: int) -> NDArray[Any]:
        result = np.empty((len(starts), length), self.dtype)
        for row, start in zip(result.view(np.uint8), starts.tolist(), strict=True):
            if os.preadv(descriptor, [row], start * self.dtype.itemsize) != row.nbytes:
                raise FormatError(self.path, "", "the file was truncated while it was in use")
        return result

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (type(self), self._absolute, self._identity, self.sha256, self.tokenizer_sha256)

    def __repr__(self) -> str:
        details = f"{len(self)} ids, dtype={self.dtype.str}, vocab_size={self.vocab_size}"
        return f"TokenFile({str(self.path)!r}, {details})"


class _Identity(NamedTuple):
    """Identifies a file without reading it."""

    device: int
    inode: int
    size: int
    modified: int

    @classmethod
    def of(cls, descriptor: int) -> Self:
        found = os.fstat(descriptor)
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _reopen(
    kind: type[TokenFile], path: str, identity: _Identity | None, sha256: str, tokenizer_sha256: str
) -> TokenFile:
    """The token file that was pickled or copied; FormatError if it has been replaced since."""
    opened = kind.open(path)
    if (opened.sha256, opened.tokenizer_sha256) != (sha256, tokenizer_sha256):
        raise FormatError(
            path, "", f"holds different tokens than when it was copied: SHA-256 {opened.sha256}"
        )
    if opened._identity != identity:
        opened.verify()  # another file with this description: a copy, perhaps on another machine
    return opened


def gather_windows(tokens: NDArray[Any], starts: NDArray[np.integer[Any]], length: int) -> NDArray[Any]:
    """``tokens[start : start + length]`` for each of ``starts``, in one call: shape ``(len(starts), length)``."""
    stride = tokens.strides[0]
    # Row i of this view is the window that starts at i; the view takes no memory of its own.
    every = np.lib.stride_tricks.as_strided(
        tokens, (len(tokens) - length + 1, length), (stride, stride), writeable=False
    )
    copied: NDArray[Any] = every[starts]
    return copied


def description_path(path: PathLike) -> Path:
    """The path of the description of the token file ``path``: its full name with ``.json`` appended."""
    return Path(f"{os.fspath(path)}.json")


def write_token_file(
    path: PathLike, chunks: Iterable[NDArray[np.integer[Any]]], *, vocab_size: int, tokenizer_sha256: str
) -> TokenFile:
    """Write the ids of ``chunks``, one after the other, to ``path`` and describe them beside it.

    The chunks are consumed one at a time, so memory does not grow with the file. Nothing appears at ``path``
    before the last id is on the disk, and an exception from ``chunks`` leaves an earlier token file there
    untouched.

    Raises ValueError for an id that is not in ``range(vocab_size)``, TypeError for chunks that are not
    integers, and what :func:`course_lib.files.check_output_file` raises for a target that cannot be written.
    """
    dtype = token_dtype(vocab_size)
    digest = hashlib.sha256()
    count = 0
    with atomic_write(description_path(path)) as description:
        with atomic_write(path) as file:
            for chunk in chunks:
                ids = _checked_ids(chunk, vocab_size, first=count).astype(dtype, copy=False)
                contents = np.ascontiguousarray(ids).data
                file.write(contents)
                digest.update(contents)
                count += len(ids)
            file.flush()
            os.fsync(file.fileno())
            # Until the second rename there is no description: new ids are never paired with an old one.
            description_path(path).unlink(missing_ok=True)
        fields = {
            "kind": _KIND,
            "version": VERSION,
            "dtype": dtype.str,
            "count": count,
            "vocab_size": vocab_size,
            "sha256": digest.hexdigest(),
            "tokenizer_sha256": tokenizer_sha256,
        }
        description.write(json.dumps(fields, indent=2).encode() + b"\n")
    return TokenFile.open(path)


def _checked_ids(chunk: NDArray[Any], vocab_size: int, *, first: int) -> NDArray[Any]:
    ids = np.asarray(chunk)
    if ids.ndim != 1 or (len(ids) and ids.dtype.kind not in "iu"):
        raise TypeError(
            f"chunks must be one-dimensional arrays of integers, not {ids.dtype} of shape {ids.shape}"
        )
    if len(ids) and (ids.min() < 0 or ids.max() >= vocab_size):
        place = int(np.argmax((ids < 0) | (ids >= vocab_size)))
        raise ValueError(f"id {ids[place]} at position {first + place} is not in range({vocab_size})")
    return ids


def _read_description(path: Path) -> dict[str, Any]:
    described_in = description_path(path)
    if not described_in.is_file():
        raise FormatError(
            path,
            "",
            f"not a token file, or an unfinished one: {described_in.name} is missing beside it",
        )
    try:
        fields = json.loads(described_in.read_bytes())
    except json.JSONDecodeError as error:
        raise FormatError(described_in, f"line {error.lineno} column {error.colno}", error.msg) from error
    except UnicodeDecodeError as error:
        raise FormatError(described_in, f"byte {error.start}", "not UTF-8") from error
    if not isinstance(fields, dict) or fields.get("kind") != _KIND:
        raise FormatError(described_in, "kind", f"not the description of a token file ({_KIND!r})")
    if fields.get("version") != VERSION:
        raise FormatError(
            described_in,
            "version",
            f"{fields.get('version')!r} is unknown; this release reads {VERSION}",
        )
    if fields.get("dtype") not in _DTYPES:
        raise FormatError(
            described_in, "dtype", f"{fields.get('dtype')!r} is not one of {', '.join(map(repr, _DTYPES))}"
        )
    for name, least, most in (("count", 0, 2**48), ("vocab_size", 1, 2**32)):
        if type(fields.get(name)) is not int or not least <= fields[name] <= most:
            raise FormatError(
                described_in, name, f"{fields.get(name)!r} is not an integer from {least} to {most}"
            )
    needed = token_dtype(fields["vocab_size"]).str
    if fields["dtype"] != needed:
        raise FormatError(
            described_in,
            "dtype",
            f"{fields['dtype']!r} does not fit vocab_size = {fields['vocab_size']}: its ids are of type {needed!r}",
        )
    for name in ("sha256", "tokenizer_sha256"):
        if not isinstance(fields.get(name), str) or not re.fullmatch(r"[0-9a-f]{64}", fields[name]):
            raise FormatError(described_in, name, f"{fields.get(name)!r} is not a SHA-256 in hexadecimal")
    return fields
