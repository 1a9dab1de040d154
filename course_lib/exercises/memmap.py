"""The exercises of chapter 10. Results come from packing bytes, counting, and dealing cards one by one."""

import struct
from collections.abc import Iterator

from course_lib.exercises.checking import Case, Exercise, Mistake


def _read_cases() -> Iterator[Case]:
    yield Case((b"\x01\x00", "<"), [1], "Little-endian: the first byte counts ones, the second 256s.")
    yield Case((b"\x01\x00", ">"), [256], "Big-endian: the first byte counts 256s.")
    yield Case((b"", "<"), [], "No bytes, no ids.")
    for ids in ([944, 1186, 258], [0, 65535, 255, 256]):
        for order in "<>":
            packed = struct.pack(f"{order}{len(ids)}H", *ids)
            yield Case((packed, order), ids, "Each id takes two bytes; the order says which comes first.")


def _always_little(data: bytes, order: str) -> list[int]:  # noqa: ARG001
    return list(struct.unpack(f"<{len(data) // 2}H", data))


def _swapped(data: bytes, order: str) -> list[int]:
    return list(struct.unpack(f"{'<' if order == '>' else '>'}{len(data) // 2}H", data))


def _byte_by_byte(data: bytes, order: str) -> list[int]:  # noqa: ARG001
    return list(data)


def _every_window(num_tokens: int, context: int) -> list[int]:
    """Starts of windows without overlap whose last target exists, one by one."""
    starts: list[int] = []
    start = 0
    while start + context + 1 <= num_tokens:
        starts.append(start)
        start += context
    return starts


def _windows_cases() -> Iterator[Case]:
    yield Case((11, 5), [0, 5], "Inputs 0-4 and 5-9, targets 1-5 and 6-10: token 10 is the last target.")
    yield Case((10, 5), [0], "The second window's last target would be token 10, which does not exist.")
    yield Case((5, 5), [], "Five tokens hold four pairs of input and target in a row.")
    for num_tokens, context in ((100, 7), (65, 64), (1000, 1)):
        yield Case(
            (num_tokens, context),
            _every_window(num_tokens, context),
            "A window of T inputs needs T + 1 tokens: its last target is the token after it.",
        )


def _without_last_target(num_tokens: int, context: int) -> list[int]:
    return list(range(0, num_tokens - context + 1, context))


def _overlapping(num_tokens: int, context: int) -> list[int]:
    return list(range(num_tokens - context))


def _no_shared_token(num_tokens: int, context: int) -> list[int]:
    return list(range(0, num_tokens - context, context + 1))


def _deal(order: list[int], batch: int, rank: int, world: int) -> list[list[int]]:
    """Deal the order out by hand, one batch after the other to each process in turn; a rest is left."""
    cards, mine = list(order), []
    while len(cards) >= batch * world:
        for process in range(world):
            hand, cards = cards[:batch], cards[batch:]
            if process == rank:
                mine.append(hand)
    return mine


def _share_cases() -> Iterator[Case]:
    order = [5, 2, 7, 0, 3, 6, 1, 4]
    yield Case((order, 2, 0, 2), [[5, 2], [3, 6]], "Process 0 takes the first two of every four.")
    yield Case((order, 2, 1, 2), [[7, 0], [1, 4]], "Process 1 takes the last two of every four.")
    yield Case((order, 4, 0, 1), [[5, 2, 7, 0], [3, 6, 1, 4]], "One process takes everything.")
    for rank in range(3):
        yield Case(
            (list(range(20, 0, -1)), 2, rank, 3),
            _deal(list(range(20, 0, -1)), 2, rank, 3),
            "A global batch has batch * world windows; process r takes places r * batch to (r + 1) * batch of it. "
            "What is left over at the end fills no global batch.",
        )


def _strided(order: list[int], batch: int, rank: int, world: int) -> list[list[int]]:
    mine = order[rank::world]
    count = len(order) // (batch * world)
    return [mine[i * batch : (i + 1) * batch] for i in range(count)]


def _in_blocks(order: list[int], batch: int, rank: int, world: int) -> list[list[int]]:
    share = len(order) // world
    mine = order[rank * share : (rank + 1) * share]
    return [mine[i : i + batch] for i in range(0, share - batch + 1, batch)]


EXERCISES = (
    Exercise(
        id="memmap-read",
        chapter=10,
        cases=_read_cases,
        hint="Take the bytes two by two. Little-endian: first + 256 * second; big-endian: 256 * first + second.",
        mistakes=(
            Mistake(
                _always_little, 'This reads little-endian whatever the order says; ">" swaps the two bytes.'
            ),
            Mistake(_swapped, 'The orders are swapped: "<" is little-endian, the low byte first.'),
            Mistake(_byte_by_byte, "An id has two bytes; this returns one number a byte."),
        ),
    ),
    Exercise(
        id="memmap-windows",
        chapter=10,
        cases=_windows_cases,
        hint="The window that starts at s reads tokens s … s + T, the last one as a target only. The next one starts "
        "at s + T: the shared token is a target of the first and an input of the second.",
        mistakes=(
            Mistake(
                _without_last_target,
                "The last window has no target for its last input: it needs T + 1 tokens.",
            ),
            Mistake(_overlapping, "These windows overlap: the next one starts T tokens later."),
            Mistake(
                _no_shared_token,
                "These windows skip a token: the last target of one window is the first input of the next.",
            ),
        ),
    ),
    Exercise(
        id="memmap-share",
        chapter=10,
        cases=_share_cases,
        hint="Global batch g is order[g * B * W : (g + 1) * B * W]. Which slice of it is process r's?",
        mistakes=(
            Mistake(
                _strided,
                "Every window has one owner here too, but one process with batch B * W would see its windows in "
                "another order: take neighbours in the order.",
            ),
            Mistake(
                _in_blocks,
                "This gives each process its own part of the epoch: then the global batches depend on the number of "
                "processes.",
            ),
        ),
    ),
)
