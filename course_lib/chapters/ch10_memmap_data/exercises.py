"""The exercises of chapter 10, Memmap data. Results come from packing bytes, counting, and dealing out one by one."""

import itertools
import struct
from collections.abc import Callable, Iterator

from course_lib.answers.checking import Case, Exercise, Mistake


def _read_cases() -> Iterator[Case]:
    yield Case((b"\x01\x00", "<"), [1], "Little-endian: the first byte counts ones, the second 256s.")
    yield Case((b"\x01\x00", ">"), [256], "Big-endian: the first byte counts 256s.")
    yield Case((b"", "<"), [], "No bytes, no ids.")
    for ids in ([944, 1186, 258], [0, 65535, 255, 256]):
        for order in "<>":
            packed = struct.pack(f"{order}{len(ids)}H", *ids)
            yield Case((packed, order), ids, "Each id takes two bytes; the order says which comes first.")


def _unpacked(code: str, *, swapped: bool = False) -> Callable[[bytes, str], list[int]]:
    """A reader of 16-bit numbers, with one byte order or, ``swapped``, the other."""
    other = {"<": ">", ">": "<"}

    def read(data: bytes, order: str) -> list[int]:
        return list(struct.unpack(f"{other[order] if swapped else order}{len(data) // 2}{code}", data))

    return read


def _pairs(data: bytes, order: str, *, base: int = 256, step: int = 2) -> list[int]:
    low, high = (0, 1) if order == "<" else (1, 0)
    return [data[i + low] + base * data[i + high] for i in range(0, len(data) - 1, step)]


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
    yield Case((1, 3), [], "One token is the input of no window: it has no target.")
    for num_tokens, context in ((100, 7), (65, 64), (1000, 1)):
        yield Case(
            (num_tokens, context),
            _every_window(num_tokens, context),
            "A window of T inputs needs T + 1 tokens: its last target is the token after it.",
        )


def _deal(order: list[int], batch: int, rank: int, world: int) -> list[list[int]]:
    """Deal the windows out one batch at a time, to each process in turn; an incomplete rest is left."""
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
    for length, batch, world, rank in (
        (20, 2, 3, 0),
        (20, 2, 3, 1),
        (20, 2, 3, 2),
        (23, 3, 2, 0),
        (23, 3, 2, 1),
    ):
        order = list(range(length, 0, -1))
        yield Case(
            (order, batch, rank, world),
            _deal(order, batch, rank, world),
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


def _with_a_rest(least: int | None = None) -> Callable[[list[int], int, int, int], list[list[int]]]:
    """The last global batch need not be full: only batches of fewer than ``least`` (a whole batch) are left out."""

    def share(order: list[int], batch: int, rank: int, world: int) -> list[list[int]]:
        firsts = range(rank * batch, len(order), batch * world)
        batches = (order[first : first + batch] for first in firsts)
        return [windows for windows in batches if len(windows) >= (least or batch)]

    return share


EXERCISES = (
    Exercise(
        id="memmap-read",
        chapter=10,
        cases=_read_cases,
        hint="Take the bytes two by two. Little-endian: first + 256 * second; big-endian: 256 * first + second.",
        mistakes=(
            Mistake(
                lambda data, order: _unpacked("H")(data, "<"),
                'This reads little-endian whatever the order says; ">" swaps the two bytes.',
            ),
            Mistake(
                lambda data, order: _unpacked("H")(data, ">"),
                'This reads big-endian whatever the order says; "<" has the low byte first.',
            ),
            Mistake(
                _unpacked("H", swapped=True),
                'The orders are swapped: "<" is little-endian, the low byte first.',
            ),
            Mistake(lambda data, order: list(data), "An id has two bytes; this returns one number per byte."),
            Mistake(
                lambda data, order: _pairs(data, order, step=1),
                "Every byte begins an id here. Ids stand one after the other: two bytes on for the next.",
            ),
            Mistake(
                _unpacked("h"),
                "Ids from 32,768 on come out negative: the numbers have no sign, 65,535 is the largest.",
            ),
            Mistake(
                lambda data, order: _pairs(data, order, base=255),
                "A byte has 256 values, 0 to 255: the high byte counts 256s.",
            ),
            Mistake(
                lambda data, order: _pairs(data, order, base=10),
                "The high byte counts 256s, not tens: ids are not decimal digits.",
            ),
            Mistake(
                lambda data, order: _pairs(data, order, base=0),
                "The high byte is lost. In eight bits, 256 times a byte is 0: make it a larger integer first.",
            ),
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
                lambda n, context: list(range(0, n - context + 1, context)),
                "The last window has no target for its last input: it needs T + 1 tokens.",
            ),
            Mistake(
                lambda n, context: list(range(0, n, context)),
                "The last windows have no target, or not even all inputs: a window needs T + 1 tokens.",
            ),
            Mistake(
                lambda n, context: list(range(0, n - 1, context)),
                "The last window is cut short: all T inputs and a target after them must exist.",
            ),
            Mistake(
                lambda n, context: list(range(0, n - context - 1, context)),
                "A window too few where the last one just fits: with T + 1 tokens left, there is one more.",
            ),
            Mistake(
                lambda n, context: list(range(n - context)),
                "These windows overlap: the next one starts T tokens later.",
            ),
            Mistake(
                lambda n, context: list(range(0, n - context, context + 1)),
                "These windows skip a token: the last target of one window is the first input of the next.",
            ),
            Mistake(
                lambda n, context: max(0, (n - 1) // context),
                "This is how many windows there are. Return where they start.",
            ),
            Mistake(
                lambda n, context: list(range(max(0, (n - 1) // context))),
                "These are the windows' numbers. Window i starts at token i * T.",
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
            Mistake(
                _with_a_rest(),
                "A last global batch that is not full gives some processes a batch and others none, and those wait "
                "forever: leave it out for all.",
            ),
            Mistake(
                _with_a_rest(1),
                "The last batches are not full, or only some processes have one: leave out windows that fill no global "
                "batch.",
            ),
            Mistake(
                lambda order, batch, rank, world: _deal(order, batch, 0, world),
                "Every process gets the windows of process 0: rank is not used.",
            ),
            Mistake(
                lambda order, batch, rank, world: _deal(order, batch, 0, 1),
                "Every process gets every window here, as if there were one.",
            ),
            Mistake(
                lambda *arguments: list(itertools.chain(*_deal(*arguments))),
                "These are the right windows in one list. Return them batch by batch, a list of lists.",
            ),
            Mistake(
                lambda order, batch, rank, world: _deal(order, batch, rank, world)[:1],
                "This is the share of the first global batch. Continue through the whole order.",
            ),
        ),
    ),
)
