"""GPT-2's alphabet, in which three file formats write tokens: every byte as one visible character."""

import functools


@functools.cache
def byte_to_char() -> tuple[str, ...]:
    """The character that stands for each byte in ``vocab.json``, ``merges.txt`` and ``tokenizer.json``.

    In GPT-2 (Radford et al. 2019, released code) the printable bytes of Latin-1 stand for themselves, and the others
    get, in order, the code points from 256 on: then no token holds a space or a control character.
    """
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    substitutes = iter(range(256, 512))
    return tuple(chr(byte if byte in visible else next(substitutes)) for byte in range(256))


@functools.cache
def _char_to_byte() -> dict[int, int | None]:
    """For ``str.translate``: each character of the alphabet to its byte's code point.

    The Latin-1 characters that are not in the alphabet are mapped beyond Latin-1, so that encoding them fails.
    """
    table: dict[int, int | None] = dict.fromkeys(range(256), 0xFFFF)
    return table | {ord(char): byte for byte, char in enumerate(byte_to_char())}


def to_bytes(token: str) -> bytes | None:
    """The bytes that ``token`` stands for in GPT-2's alphabet; None when a character is not in it."""
    try:
        return token.translate(_char_to_byte()).encode("latin-1")
    except UnicodeEncodeError:
        return None


def to_chars(token: bytes) -> str:
    """``token`` in GPT-2's alphabet."""
    return token.decode("latin-1").translate(byte_to_char())
