"""Right and wrong answers to the exercises of chapter 0."""

import sys
from collections.abc import Sequence

import numpy as np
import torch

from tests.exercises.answers import Answers, run_tables

Tokens = Sequence[int]


def counting(text: str, tokens: Tokens) -> float:
    count = 0
    for character in text:
        for _ in bytes(character, "utf-8"):
            count += 1
    return count / len(tokens)


def with_numpy(text: str, tokens: Tokens) -> np.float32:
    return np.float32(np.frombuffer(text.encode(), np.uint8).size) / np.float32(np.size(tokens))


def with_torch(text: str, tokens: Tokens) -> torch.Tensor:
    return torch.tensor(len(text.encode())).float() / len(torch.tensor(tokens))


def characters(text: str, tokens: Tokens) -> float:
    return len(text) / len(tokens)


def upside_down(text: str, tokens: Tokens) -> float:
    return len(tokens) / len(text.encode())


def distinct(text: str, tokens: Tokens) -> float:
    return len(text.encode()) / len(set(tokens))


def whole(text: str, tokens: Tokens) -> int:
    return len(text.encode("utf-8")) // len(tokens)


def rounded(text: str, tokens: Tokens) -> float:
    return round(len(text.encode("utf-8")) / len(tokens), 2)


def wide(text: str, tokens: Tokens) -> float:
    return len(text.encode("utf-16-le")) / len(tokens)


def two_bytes_if_not_ascii(text: str, tokens: Tokens) -> float:
    return sum(1 if ord(c) < 128 else 2 for c in text) / len(tokens)


def ascii_only(text: str, tokens: Tokens) -> float:
    return len(text.encode("ascii")) / len(tokens)


def size_of(text: str, tokens: Tokens) -> float:
    return sys.getsizeof(text) / len(tokens)


def printed(text: str, tokens: Tokens) -> None:
    str(len(text.encode()) / len(tokens))


ANSWERS = {
    "start-bytes-per-token": Answers(
        right=(counting, with_numpy, with_torch),
        wrong=(
            (characters, "These are characters per token."),
            (upside_down, "This is upside down"),
            (distinct, "A token that comes twice counts twice"),
            (whole, "// rounds down"),
            (rounded, "This is right but rounded"),
            (wide, "Four letters of one byte each"),
            (two_bytes_if_not_ascii, "Six characters of three bytes each"),
            (ascii_only, "Six characters of three bytes each"),
            (size_of, "Four letters of one byte each"),
            (printed, "Is a return missing?"),
        ),
    ),
}

test_right_answers_pass, test_wrong_answers_are_explained, test_there_are_enough = run_tables(ANSWERS)
