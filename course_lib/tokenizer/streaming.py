"""Encoding a text that comes in parts: checked, and cut again where no token can cross."""

from collections.abc import Callable, Iterable, Iterator

from course_lib.tokenizer.encoder import surrogate_error

# About this much text is gathered before the first search for a place to cut.
_GATHERED_BYTES = 1 << 14


def safe_parts(blocks: Iterable[bytes], safe_cut: Callable[[bytes], int]) -> Iterator[bytes]:
    """The concatenation of ``blocks``, cut where the ids on both sides do not depend on each other.

    ``safe_cut`` finds such a place in a buffer; 0 if there is none.
    """
    pending: list[bytes] = []
    size, wanted = 0, _GATHERED_BYTES
    for block in blocks:
        pending.append(block)
        size += len(block)
        if size < wanted:
            continue
        buffer = b"".join(pending)
        cut = safe_cut(buffer)
        if cut:
            yield buffer[:cut]
        pending = [buffer[cut:]]
        size = len(buffer) - cut
        # A text without a place to cut is searched again only when it has doubled: never quadratic.
        wanted = max(_GATHERED_BYTES, 2 * size)
    if size:
        yield b"".join(pending)


def checked_items(iterable: Iterable[str]) -> Iterator[bytes]:
    """The items in UTF-8. Raises TypeError for anything but str items, ValueError for a lone surrogate."""
    if isinstance(iterable, str):
        raise TypeError("encode_iterable needs an iterable of str; encode takes a single text")
    for item in iterable:
        if not isinstance(item, str):
            raise TypeError(
                f"encode_iterable needs an iterable of str, got an item of type {type(item).__name__}"
            )
        try:
            yield item.encode()
        except UnicodeEncodeError as error:
            raise surrogate_error(error) from None
