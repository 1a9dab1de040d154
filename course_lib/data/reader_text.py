"""A reader's own text file, whatever it is encoded in: found out, decoded, and handed on as UTF-8."""

import codecs
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from course_lib.errors import ReaderError
from course_lib.files import PathLike, atomic_write, check_input_file

_SAMPLE = 1 << 22  # bytes that the encoding is judged by
_BLOCK = 1 << 20
# The longer marks first: UTF-32's begins with UTF-16's.
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
    """A text file and how it is read. ``encoding``: a name that ``bytes.decode`` knows."""

    path: Path
    encoding: str

    def __repr__(self) -> str:
        size = self.path.stat().st_size
        return f"{self.path.name}: {size:,} bytes, read as {_NAMES.get(self.encoding, self.encoding)}"

    def read(self, num_characters: int) -> str:
        """The first ``num_characters`` of the text, all of it if it is shorter.

        Line ends stay what they are; a byte that does not belong into the encoding becomes �.
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

        With ``num_bytes``, no more than that many bytes of it, cut behind a line end or, in a long line, behind a whole
        character. The memory it takes does not depend on the size of the file.
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
    """A reader's text file, ready to be read; None for None, so that a notebook can hand on a path or none.

    UTF-8, UTF-16, UTF-32, GB18030 (and with it GBK and GB2312) and Windows-1252 (and with it Latin-1) are told apart by
    byte-order marks and by what the first 4 MiB hold; what the result prints says which one it is. ``encoding`` names
    another one, or corrects the guess.

    Raises ReaderError, in one line, for a path that is no readable file, a file without text, an unknown encoding.
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
    # Every second byte of ASCII text in UTF-16 is 0; other texts hold hardly any.
    zeros = sample[0::2].count(0), sample[1::2].count(0)
    if max(zeros) > len(sample) / 5 and min(zeros) < max(zeros) / 10:
        return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    foreign = len(re.findall(rb"[\x80-\xff]", sample))
    # A little damage makes no other encoding of it: in Latin-1, nearly every such byte would be an error.
    if _errors(sample, "utf-8") <= foreign / 20:
        return "utf-8"
    # Chinese characters are two such bytes in a row; letters with accents stand among letters without.
    in_pairs = 2 * len(re.findall(rb"[\x81-\xfe][\xa1-\xfe]", sample))
    if in_pairs > 0.8 * foreign and _errors(sample, "gb18030") <= foreign / 20:
        return "gb18030"
    return "cp1252"


def _errors(sample: bytes, encoding: str) -> int:
    """How often decoding fails; a character that the end of the sample, not of the file, cuts off is none."""
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    return decoder.decode(sample, final=len(sample) < _SAMPLE).count("�")


def _cut(contents: bytes, num_bytes: int) -> bytes:
    kept = contents[:num_bytes]
    return kept[: kept.rfind(b"\n") + 1] or kept.decode(errors="ignore").encode()
