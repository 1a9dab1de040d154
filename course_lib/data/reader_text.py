"""A reader's own text file in any encoding: the encoding is detected, the text decoded and written as UTF-8."""

import codecs
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from course_lib.errors import ReaderError
from course_lib.files import PathLike, atomic_write, check_input_file

_SAMPLE = 1 << 22  # bytes that the encoding is detected from
_BLOCK = 1 << 20
# Longer marks come first: that of UTF-32 begins with that of UTF-16. It is also UTF-16's with a NUL behind it; a text
# that begins with NUL is the less likely of the two.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NAMES = {
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8 with a byte-order mark",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "utf-32": "UTF-32",
    "gb18030": "GB18030",
    "cp1252": "Windows-1252 (Latin-1)",
}


@dataclass(frozen=True)
class ReaderText:
    """A text file and its encoding, as a name that ``bytes.decode`` knows."""

    path: Path
    encoding: str

    def __repr__(self) -> str:
        size = self.path.stat().st_size
        return f"{self.path.name}: {size:,} bytes, read as {_NAMES.get(self.encoding, self.encoding)}"

    def read(self, num_characters: int) -> str:
        """The first ``num_characters`` of the text, all of it if it is shorter.

        Line ends stay as they are; a byte that is invalid in the encoding becomes �.
        """
        parts, missing = [], num_characters
        for part in self._decoded():
            parts.append(part[:missing])
            missing -= len(parts[-1])
            if missing <= 0:
                break
        return "".join(parts)

    def save(self, path: PathLike, num_bytes: int | None = None) -> Path:
        """Write the text to ``path`` as UTF-8, whole or not at all, and return the path.

        With ``num_bytes``, write at most that many bytes, cut after a line end or, within a long line, after a whole
        character. Memory use does not depend on the size of the file.
        """
        room = sys.maxsize if num_bytes is None else num_bytes
        with atomic_write(path) as file:
            for part in self._decoded():
                contents = part.encode()
                if len(contents) > room:
                    file.write(_cut(contents, room))
                    break
                file.write(contents)
                room -= len(contents)
        return Path(path)

    def _decoded(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder(self.encoding)(errors="replace")
        with self.path.open("rb") as file:
            while block := file.read(_BLOCK):
                yield decoder.decode(block)
        yield decoder.decode(b"", final=True)


def open_text(path: PathLike | None, encoding: str | None = None) -> ReaderText | None:
    """A reader's text file, ready to be read; None for None, so that a path is optional in a notebook.

    UTF-8, UTF-16, UTF-32, GB18030 (and with it GBK and GB2312) and Windows-1252 (and with it Latin-1) are told apart by
    byte-order marks and by the first 4 MiB; the result shows which one was found when it is printed. ``encoding`` names
    another one, or corrects the guess.

    Raises ReaderError, in one line, for a path that is not a readable file, an empty file, or an unknown encoding.
    """
    if path is None:
        return None
    try:
        found = check_input_file(Path(path).expanduser())
        if not found.is_file():
            raise OSError(f"{found} is a device or a pipe; a file is needed")
        with found.open("rb") as file:
            sample = file.read(_SAMPLE)
        text = ReaderText(found, encoding or _guess(sample))
        if not text.read(1):
            raise ReaderError(f"your text: {found} is empty; a file with at least one character is needed")
    except ReaderError:
        raise
    except (OSError, LookupError, RuntimeError, TypeError, ValueError) as error:
        place = "" if Path(str(path)).is_absolute() else f" (looked for in {Path.cwd()})"
        raise ReaderError(f"your text: {error}{place}") from None
    return text


def _guess(sample: bytes) -> str:
    for mark, encoding in _MARKS:
        if sample.startswith(mark):
            return encoding
    # Every second byte of ASCII text in UTF-16 is 0; other texts hardly hold any.
    zeros = sample[0::2].count(0), sample[1::2].count(0)
    if max(zeros) > len(sample) / 5 and min(zeros) < max(zeros) / 10:
        return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    foreign = len(re.findall(rb"[\x80-\xff]", sample))
    # A few errors may be damage: if this were Latin-1, nearly every such byte would be an error.
    if _errors(sample, "utf-8") <= foreign / 20:
        return "utf-8"
    # Chinese characters are two such bytes in a row; accented letters stand between plain ones.
    in_pairs = 2 * len(re.findall(rb"[\x81-\xfe][\xa1-\xfe]", sample))
    if in_pairs > 0.8 * foreign and _errors(sample, "gb18030") <= foreign / 20:
        return "gb18030"
    return "cp1252"


def _errors(sample: bytes, encoding: str) -> int:
    """The number of decoding errors; a character cut off by the end of the sample, but not of the file, is not one."""
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    return decoder.decode(sample, final=len(sample) < _SAMPLE).count("�")


def _cut(contents: bytes, num_bytes: int) -> bytes:
    kept = contents[:num_bytes]
    return kept[: kept.rfind(b"\n") + 1] or kept.decode(errors="ignore").encode()
