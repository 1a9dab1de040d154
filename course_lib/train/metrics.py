"""The metrics of a run: a file of JSON lines, and TensorBoard if it is installed."""

import contextlib
import importlib.util
import json
import math
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from course_lib.files import PathLike, atomic_write

Record = dict[str, Any]


def read_metrics(path: PathLike) -> list[Record]:
    """The records of a metrics file in order, without damaged lines and an unfinished last one."""
    records = []
    for line in (
        Path(path).read_bytes().split(b"\n")[:-1]
    ):  # not splitlines: a sample may hold other line ends
        with contextlib.suppress(ValueError):  # not JSON, or not UTF-8
            record = json.loads(line)
            if isinstance(record, dict) and isinstance(record.get("step"), int):
                records.append(record)
    return records


class MetricsWriter:
    """Appends records, one JSON object per line, each flushed before the next step begins.

    Args:
        path: the file, created if it does not exist.
        resume_at: drop the records of later steps, whose updates are about to be repeated.
        tensorboard: a folder for TensorBoard's files, or None. Nothing is written there if it is not installed.
    """

    def __init__(self, path: PathLike, *, resume_at: int = 0, tensorboard: PathLike | None = None) -> None:
        self.path = Path(path)
        kept: list[Record] = []
        if resume_at and self.path.exists():
            kept = [record for record in read_metrics(path) if record["step"] <= resume_at]
        self.records = kept
        with atomic_write(self.path) as file:
            file.writelines(map(_line, kept))
        self._file = open(self.path, "ab")  # noqa: SIM115 - closed by close()
        self._board: Any = None
        if tensorboard is not None and importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard.writer import SummaryWriter

            self._board = SummaryWriter(str(tensorboard), purge_step=resume_at + 1)

    def write(self, record: Record) -> None:
        """Add a record; it must have a ``step``."""
        self.records.append(record)
        self._file.write(_line(record))
        self._file.flush()
        if self._board is not None:
            for name, value in record.items():
                if name != "step" and isinstance(value, int | float):
                    self._board.add_scalar(name, value, record["step"])
                elif isinstance(value, str):
                    self._board.add_text(name, value, record["step"])

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        if self._board is not None:
            self._board.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _line(record: Record) -> bytes:
    # JSON has neither NaN nor infinity; such a loss is written as null.
    finite = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in record.items()
    }
    return json.dumps(finite, ensure_ascii=False, allow_nan=False).encode() + b"\n"
