"""The error types that callers tell apart: damaged files, unusable settings, gradients that are not finite."""

import os


class FormatError(ValueError):
    """A file is damaged, incomplete, or not of the expected kind.

    ``file`` is the path as the caller gave it, ``place`` says where in the file (a line, a byte offset or a
    JSON path such as ``model.merges[3]``; empty when the whole file is meant) and ``reason`` what is wrong
    there. The message holds all three, so that it can be shown to a reader as it is; the middle of a long one, which
    quotes a large part of the file, is left out.
    """

    def __init__(self, file: str | os.PathLike[str], place: str, reason: str) -> None:
        # All three go to the base class, so that the error survives pickling (process pools, notebooks).
        super().__init__(os.fspath(file), place, reason)
        self.file = os.fspath(file)
        self.place = place
        self.reason = reason

    def __str__(self) -> str:
        parts = (self.file, _shortened(self.place), _shortened(self.reason))
        return ": ".join(part for part in parts if part)


def _shortened(text: str) -> str:
    return text if len(text) <= 600 else f"{text[:400]} … {text[-150:]}"


class ReaderError(ValueError):
    """Something that a reader wrote in a notebook, such as a path or a setting, cannot be used.

    The message says what is wrong, where, and what is allowed. Notebooks show it as one line, without a traceback.
    """

    def _render_traceback_(self) -> list[str]:
        return [f"✗ {self}"]


class NonFiniteGradientError(ValueError):
    """A gradient holds NaN or infinity, or is too large for its norm to be a number.

    ``parameter`` is the name of its parameter, or its number where parameters came without names; ``reason`` says what
    the gradient is.
    """

    def __init__(self, parameter: str | int, shape: tuple[int, ...], reason: str) -> None:
        super().__init__(parameter, shape, reason)
        self.parameter = parameter
        self.shape = shape
        self.reason = reason

    def __str__(self) -> str:
        named = isinstance(self.parameter, str)
        parameter = f"{self.parameter!r}" if named else f"{self.parameter}, shape {self.shape},"
        return f"the gradient of parameter {parameter} is {self.reason}; nothing was clipped"
