"""Right and wrong answers to the exercises of chapter 10."""

import array
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from tests.exercises.answers import Answers, run_tables

# --- two bytes, one id ------------------------------------------------------------------------------------------------


def ids_by_int(data: bytes, order: str) -> list[int]:
    name = {"<": "little", ">": "big"}[order]
    return [int.from_bytes(data[i : i + 2], name) for i in range(0, len(data), 2)]


def ids_by_numpy(data: bytes, order: str) -> np.ndarray:
    return np.frombuffer(data, dtype=f"{order}u2")


def ids_by_torch(data: bytes, order: str) -> torch.Tensor:
    pairs = torch.tensor(list(data), dtype=torch.int64).reshape(-1, 2)
    return (pairs if order == "<" else pairs.flip(1)) @ torch.tensor([1, 256])


def ids_in_an_array(data: bytes, order: str) -> array.array:
    ids = array.array("H", data)
    if (order == "<") != (sys.byteorder == "little"):
        ids.byteswap()
    return ids


def ids_recursive(data: bytes, order: str) -> tuple[int, ...]:
    if not data:
        return ()
    first, second, *rest = data
    if order == ">":
        first, second = second, first
    return first | second << 8, *ids_recursive(bytes(rest), order)


def ids_always_little(data: bytes, order: str) -> list[int]:
    return [data[i] + 256 * data[i + 1] for i in range(0, len(data), 2)]


def ids_always_big(data: bytes, order: str) -> np.ndarray:
    return np.frombuffer(data, ">u2")


def ids_swapped(data: bytes, order: str) -> list[int]:
    big = order == "<"
    return [int.from_bytes(data[i : i + 2], "big" if big else "little") for i in range(0, len(data), 2)]


def ids_byte_by_byte(data: bytes, order: str) -> list[int]:
    return list(data)


def ids_at_every_byte(data: bytes, order: str) -> list[int]:
    name = "little" if order == "<" else "big"
    return [int.from_bytes(data[i : i + 2], name) for i in range(len(data) - 1)]


def ids_with_a_sign(data: bytes, order: str) -> np.ndarray:
    return np.frombuffer(data, f"{order}i2")


def ids_of_255(data: bytes, order: str) -> list[int]:
    first, second = (1, 255) if order == "<" else (255, 1)
    return [first * data[i] + second * data[i + 1] for i in range(0, len(data), 2)]


def ids_of_tens(data: bytes, order: str) -> list[int]:
    first, second = (1, 10) if order == "<" else (10, 1)
    return [first * data[i] + second * data[i + 1] for i in range(0, len(data), 2)]


def ids_in_eight_bits(data: bytes, order: str) -> np.ndarray:
    pairs = np.frombuffer(data, np.uint8).reshape(-1, 2)
    low, high = (pairs[:, 0], pairs[:, 1]) if order == "<" else (pairs[:, 1], pairs[:, 0])
    return low + (high << 8)


def ids_of_32_bits(data: bytes, order: str) -> np.ndarray:
    return np.frombuffer(data, f"{order}u4")


# --- where windows begin ----------------------------------------------------------------------------------------------


def starts_as_a_range(num_tokens: int, context: int) -> range:
    return range(0, num_tokens - context, context)


def starts_by_numpy(num_tokens: int, context: int) -> np.ndarray:
    return context * np.arange((num_tokens - 1) // context)


def starts_in_a_loop(num_tokens: int, context: int) -> list[int]:
    starts, start = [], 0
    while start + context < num_tokens:
        starts.append(start)
        start += context
    return starts


def starts_in_torch(num_tokens: int, context: int) -> torch.Tensor:
    starts = torch.arange(0, num_tokens, context)
    return starts[starts + context < num_tokens]


def starts_of_inputs(num_tokens: int, context: int) -> list[int]:
    return [i * context for i in range(num_tokens // context)]


def starts_to_the_end(num_tokens: int, context: int) -> range:
    return range(0, num_tokens, context)


def starts_with_one_target(num_tokens: int, context: int) -> range:
    return range(0, num_tokens - 1, context)


def starts_one_too_few(num_tokens: int, context: int) -> range:
    return range(0, num_tokens - context - 1, context)


def starts_everywhere(num_tokens: int, context: int) -> range:
    return range(num_tokens - context)


def starts_without_sharing(num_tokens: int, context: int) -> list[int]:
    return [i for i in range(0, num_tokens, context + 1) if i + context < num_tokens]


def starts_counted(num_tokens: int, context: int) -> int:
    return len(range(0, num_tokens - context, context))


def starts_as_numbers(num_tokens: int, context: int) -> np.ndarray:
    return np.arange((num_tokens - 1) // context)


def starts_and_ends(num_tokens: int, context: int) -> list[tuple[int, int]]:
    return [(i, i + context) for i in range(0, num_tokens - context, context)]


# --- one process's share ----------------------------------------------------------------------------------------------


def share_by_numpy(order: Sequence[int], batch: int, rank: int, world: int) -> np.ndarray:
    whole = len(order) // (batch * world) * batch * world
    return np.array(order)[:whole].reshape(-1, world, batch)[:, rank]


def share_in_torch(order: Sequence[int], batch: int, rank: int, world: int) -> list[torch.Tensor]:
    globals_ = torch.tensor(order).split(batch * world)
    return [g.chunk(world)[rank] for g in globals_ if len(g) == batch * world]


def _batched(order: Sequence[int], batch: int) -> list[Sequence[int]]:
    return [order[i : i + batch] for i in range(0, len(order), batch)]


def share_every_world_th(order: Sequence[int], batch: int, rank: int, world: int) -> list[Sequence[int]]:
    batches = [piece for piece in _batched(order, batch) if len(piece) == batch]
    return batches[: len(batches) // world * world][rank::world]


def share_recursive(order: Sequence[int], batch: int, rank: int, world: int) -> list[Sequence[int]]:
    if len(order) < batch * world:
        return []
    mine = order[rank * batch : (rank + 1) * batch]
    return [mine, *share_recursive(order[batch * world :], batch, rank, world)]


def share_strided(order: Sequence[int], batch: int, rank: int, world: int) -> list[list[int]]:
    whole = len(order) // (batch * world) * batch * world
    return np.array(order)[:whole].reshape(-1, batch, world)[..., rank].tolist()


def share_in_blocks(order: Sequence[int], batch: int, rank: int, world: int) -> list[Sequence[int]]:
    share = len(order) // world
    mine = order[rank * share : (rank + 1) * share]
    return [mine[i * batch : (i + 1) * batch] for i in range(share // batch)]


def share_with_full_rest(order: Sequence[int], batch: int, rank: int, world: int) -> list[Sequence[int]]:
    firsts = range(rank * batch, len(order) - batch + 1, batch * world)
    return [order[first : first + batch] for first in firsts]


def share_with_any_rest(order: Sequence[int], batch: int, rank: int, world: int) -> list[Any]:
    return _batched(order, batch)[rank::world]


def share_without_rank(order: Sequence[int], batch: int, rank: int, world: int) -> np.ndarray:
    return share_by_numpy(order, batch, 0, world)


def share_of_everything(order: Sequence[int], batch: int, rank: int, world: int) -> list[Sequence[int]]:
    return [order[i : i + batch] for i in range(0, len(order) - batch + 1, batch)]


def share_flat(order: Sequence[int], batch: int, rank: int, world: int) -> list[int]:
    return share_by_numpy(order, batch, rank, world).ravel().tolist()


def share_of_the_first(order: Sequence[int], batch: int, rank: int, world: int) -> list[Sequence[int]]:
    return [order[rank * batch : (rank + 1) * batch]]


def share_counted_from_1(order: Sequence[int], batch: int, rank: int, world: int) -> np.ndarray:
    return share_by_numpy(order, batch, rank - 1, world)


ANSWERS = {
    "memmap-read": Answers(
        right=(ids_by_int, ids_by_numpy, ids_by_torch, ids_in_an_array, ids_recursive),
        wrong=(
            (ids_always_little, "This reads little-endian whatever the order says"),
            (ids_always_big, "This reads big-endian whatever the order says"),
            (ids_swapped, "The orders are swapped"),
            (ids_byte_by_byte, "An id has two bytes"),
            (ids_at_every_byte, "Every byte begins an id here."),
            (ids_with_a_sign, "Ids from 32,768 on come out negative"),
            (ids_of_255, "A byte has 256 values"),
            (ids_of_tens, "The high byte counts 256s, not tens"),
            (ids_in_eight_bits, "The high byte is lost."),
            (ids_of_32_bits, "Little-endian: the first byte counts ones"),
        ),
    ),
    "memmap-windows": Answers(
        right=(starts_as_a_range, starts_by_numpy, starts_in_a_loop, starts_in_torch),
        wrong=(
            (starts_of_inputs, "The last window has no target for its last input"),
            (starts_to_the_end, "The last windows have no target, or not even all inputs"),
            (starts_with_one_target, "The last window is cut short"),
            (starts_one_too_few, "A window too few where the last one just fits"),
            (starts_everywhere, "These windows overlap"),
            (starts_without_sharing, "These windows skip a token"),
            (starts_counted, "This is how many windows there are."),
            (starts_as_numbers, "These are the windows' numbers."),
            (starts_and_ends, "Inputs 0-4 and 5-9, targets 1-5 and 6-10"),
        ),
    ),
    "memmap-share": Answers(
        right=(share_by_numpy, share_in_torch, share_every_world_th, share_recursive),
        wrong=(
            (share_strided, "Every window has one owner here too"),
            (share_in_blocks, "This gives each process its own part of the epoch"),
            (share_with_full_rest, "A last global batch that is not full gives some processes a batch"),
            (share_with_any_rest, "The last batches are not full"),
            (share_without_rank, "Every process gets the windows of process 0"),
            (share_of_everything, "Every process gets every window here"),
            (share_flat, "These are the right windows in one list."),
            (share_of_the_first, "This is the share of the first global batch."),
            (share_counted_from_1, "Process 0 takes the first two of every four."),
        ),
    ),
}

test_right_answers_pass, test_wrong_answers_are_explained, test_there_are_enough = run_tables(ANSWERS)
