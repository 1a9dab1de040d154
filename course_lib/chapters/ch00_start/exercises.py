"""The warm-up of chapter 0."""

from collections.abc import Iterator, Sequence

from course_lib.answers.checking import Case, Exercise, Mistake


def _bytes_per_token_cases() -> Iterator[Case]:
    # UTF-8 takes 1 byte for ASCII, 2 for é, 3 for these Chinese characters, 4 for the emoji: counted by hand.
    yield Case(("abcd", [7, 8]), 2.0, "Four letters of one byte each in two tokens are 2 bytes per token.")
    yield Case(
        ("跟我学习语文", [1, 2, 3, 4]), 4.5, "Six characters of three bytes each are 18 bytes, in 4 tokens."
    )
    yield Case(("café", [5, 5, 6]), 5 / 3, "é takes two bytes in UTF-8: café has five.")
    yield Case(("😀!", [9]), 5.0, "The emoji takes four bytes.")


def _characters_per_token(text: str, tokens: Sequence[int]) -> float:
    return len(text) / len(tokens)


def _tokens_per_byte(text: str, tokens: Sequence[int]) -> float:
    return len(tokens) / len(text.encode())


def _whole_bytes_per_token(text: str, tokens: Sequence[int]) -> int:
    return len(text.encode()) // len(tokens)


def _bytes_per_distinct_token(text: str, tokens: Sequence[int]) -> float:
    return len(text.encode()) / len(set(tokens))


EXERCISES = (
    Exercise(
        id="start-bytes-per-token",
        chapter=0,
        cases=_bytes_per_token_cases,
        hint="A str knows its characters, not its bytes: text.encode() gives the UTF-8 bytes, and len counts either.",
        mistakes=(
            Mistake(
                _characters_per_token,
                "These are characters per token. len(text) counts characters; the ratio is about bytes, so that it "
                "means the same in every language.",
            ),
            Mistake(
                _tokens_per_byte,
                "This is upside down: tokens per byte. The compression ratio grows when fewer tokens are needed.",
            ),
            Mistake(
                _whole_bytes_per_token, "// rounds down, and the ratio need not be a whole number: use /."
            ),
            Mistake(
                _bytes_per_distinct_token,
                "A token that comes twice counts twice: the model reads it twice.",
            ),
        ),
    ),
)
