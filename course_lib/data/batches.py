"""Batches of token windows, cut from an array that may be larger than memory.

A batch is a pair of integer tensors of shape ``(batch_size, context_length)``: the inputs ``x`` and the targets ``y``,
which are the tokens one place further on. :func:`get_batch` draws windows at random, with replacement, as nanoGPT does;
:class:`BatchStream` goes through all of them once per epoch and can be stopped and resumed at any batch.

Only the pages of a file that hold the windows are read. They stay in the system's page cache, which drops them when
memory runs short; nothing but the batch itself is copied.
"""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

import numpy as np
from numpy.random import PCG64
from numpy.typing import ArrayLike, NDArray

from course_lib.checks import check_integer, check_positive
from course_lib.token_file import TokenFile, gather_windows

if TYPE_CHECKING:
    import torch

    # torch is imported where tensors are made: reading stories does not have to wait for it.
    Batch: TypeAlias = tuple[torch.Tensor, torch.Tensor]


class StreamState(TypedDict):
    """The result of :meth:`BatchStream.state_dict`: plain numbers, ready for JSON."""

    windows_drawn: int
    seed: int
    context_length: int
    num_tokens: int


def get_batch(
    tokens: TokenFile | ArrayLike,
    batch_size: int,
    context_length: int,
    device: "torch.device | str" = "cpu",
    generator: "torch.Generator | None" = None,
) -> "Batch":
    """Draw ``batch_size`` windows at random, with replacement.

    Args:
        tokens: one-dimensional integers: a :class:`~course_lib.data.TokenFile`, a NumPy array or memmap, a tensor.
        batch_size: number of windows, B.
        context_length: tokens in a window, T.
        device: where the tensors go. For a GPU they are pinned first and copied asynchronously.
        generator: source of the random numbers; by default torch's global one.

    Returns:
        ``(x, y)``, both int64 of shape (B, T) and contiguous, with ``y[b, t]`` the token after ``x[b, t]``. Every
        window of the ``len(tokens) - T`` possible ones is equally likely.

    Raises:
        ValueError: a size is not positive, or ``tokens`` holds fewer than ``context_length + 1`` tokens.
        TypeError: ``tokens`` are not one-dimensional integers.
    """
    import torch

    array = _checked_tokens(tokens, context_length)
    batch_size = check_positive("batch_size", batch_size)
    drawn_on = "cpu" if generator is None else generator.device
    starts = torch.randint(
        len(array) - context_length, (batch_size,), generator=generator, device=drawn_on
    ).cpu()
    return _to_device(gather_batch(array, starts.numpy(), context_length), device)


def num_windows(tokens: TokenFile | ArrayLike, context_length: int) -> int:
    """The number of windows that follow each other in ``tokens`` without overlap; a shorter remainder is left out.

    A window has ``context_length`` inputs and, after the last of them, one more target. Constant time: nothing of
    ``tokens`` is read.

    Raises:
        ValueError: ``context_length`` is not positive, or ``tokens`` holds fewer than ``context_length + 1`` tokens.
        TypeError: ``tokens`` are not one-dimensional integers.
    """
    return (len(_checked_tokens(tokens, context_length)) - 1) // context_length


class BatchStream:
    """An endless stream of batches in which every window comes once per epoch, in a new order each time.

    The tokens are cut into N = ``(len(tokens) - 1) // context_length`` windows that follow each other without overlap
    (all targets of a window but the last are also its inputs; a remainder shorter than a window is left out). In every
    epoch the windows are shuffled and dealt out, ``world_size * batch_size`` to each global batch, of which rank r
    takes the r-th share. Where an epoch ends within a batch, the batch is filled from the next epoch, so that all
    batches are full on all ranks.

    Two things follow. The sequence of global batches depends only on ``world_size * batch_size``, so that two
    processes see what one process with twice the batch sees. And the position in the stream is a single number, which
    can be saved, and resumed at once, on any number of processes. A stream can be pickled and copied; of a
    :class:`~course_lib.data.TokenFile` in it, only the path is stored.

    Iterate over it, or call :func:`next`; both continue where the last batch ended. Memory: 8 bytes per window,
    and 28 for a moment at the start of an epoch.

    Args:
        tokens: one-dimensional integers, as for :func:`get_batch`.
        batch_size: windows in a batch of one process, B.
        context_length: tokens in a window, T.
        seed: determines the order; the same on all ranks.
        rank: number of this process, from 0.
        world_size: number of processes.
        device: where the tensors go.

    Raises:
        ValueError: a size is not positive, ``rank`` is not below ``world_size``, ``seed`` is negative or above 2**64,
            or ``tokens`` holds fewer than ``context_length + 1`` tokens.
        TypeError: ``tokens`` are not one-dimensional integers.
    """

    def __init__(
        self,
        tokens: TokenFile | ArrayLike,
        batch_size: int,
        context_length: int,
        *,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        device: "torch.device | str" = "cpu",
    ) -> None:
        self._tokens = _checked_tokens(tokens, context_length)
        self.batch_size = check_positive("batch_size", batch_size)
        self.context_length = check_positive("context_length", context_length)
        self.seed = check_integer("seed", seed, least=0, most=2**64 - 1)
        self.world_size = check_positive("world_size", world_size)
        self.rank = check_integer("rank", rank, least=0, most=world_size - 1)
        self.device = device
        self.num_windows = num_windows(self._tokens, context_length)
        """Windows in an epoch, N."""
        self._drawn = 0  # by all ranks together
        self._order_epoch = 0
        self._order = _order(self.num_windows, seed, 0)

    @property
    def epoch(self) -> float:
        """Number of passes over the tokens so far: 1.5 is the middle of the second epoch."""
        return self._drawn / self.num_windows

    def __iter__(self) -> Iterator["Batch"]:
        while True:
            yield next(self)

    def __next__(self) -> "Batch":
        """The next batch ``(x, y)``, as :func:`get_batch` returns it."""
        first = self._drawn + self.rank * self.batch_size
        starts = self._windows(first, self.batch_size) * self.context_length
        self._drawn += self.world_size * self.batch_size
        return _to_device(gather_batch(self._tokens, starts, self.context_length), self.device)

    def _windows(self, first: int, count: int) -> NDArray[np.intp]:
        """The windows at places ``first … first + count - 1`` of the endless shuffled sequence."""
        parts = []
        while count:
            epoch, place = divmod(first, self.num_windows)
            if epoch != self._order_epoch:
                self._order, self._order_epoch = _order(self.num_windows, self.seed, epoch), epoch
            parts.append(self._order[place : place + count])
            first, count = first + len(parts[-1]), count - len(parts[-1])
        return np.concatenate(parts)

    def __getstate__(self) -> dict[str, Any]:
        # The order, of 8 bytes per window, is made again.
        return {name: value for name, value in self.__dict__.items() if name != "_order"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._order = _order(self.num_windows, self.seed, self._order_epoch)

    def state_dict(self) -> StreamState:
        """The position of the stream, the same on all ranks: for :meth:`load_state_dict` and for JSON."""
        return {
            "windows_drawn": self._drawn,
            "seed": self.seed,
            "context_length": self.context_length,
            "num_tokens": len(self._tokens),
        }

    def load_state_dict(self, state: StreamState) -> None:
        """Continue at the batch that would have come next when ``state`` was taken.

        Batch size and number of processes may have changed: even then no window is seen twice or left out.

        Raises:
            ValueError: the state belongs to another seed, context length or text.
        """
        own = self.state_dict()
        if set(state) != set(own):
            raise ValueError(f"a state must have the keys {', '.join(own)}, not {', '.join(map(str, state))}")
        for name in ("seed", "context_length", "num_tokens"):
            if state[name] != own[name]:
                raise ValueError(
                    f"the state belongs to a stream with {name} = {state[name]}, not {own[name]}"
                )
        self._drawn = check_integer("windows_drawn", state["windows_drawn"], least=0)


def _order(num_windows: int, seed: int, epoch: int) -> NDArray[np.intp]:
    """A random order of ``range(num_windows)``: the same on every machine and with every version of NumPy.

    NumPy promises that for the raw output of PCG64, not for its own shuffles (NEP 19).
    """
    return np.argsort(PCG64([seed, epoch]).random_raw(num_windows), kind="stable")


def _checked_tokens(
    tokens: "TokenFile | ArrayLike", context_length: int
) -> "TokenFile | NDArray[np.integer[Any]]":
    # asarray makes no copy of a memmap, but a plain view, which is indexed faster.
    array = tokens if isinstance(tokens, TokenFile) else np.asarray(tokens)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(f"tokens must be one-dimensional integers, not {array.dtype} of shape {array.shape}")
    check_positive("context_length", context_length)
    if len(array) <= context_length:
        found = f"the {len(array)} of {array.path}" if isinstance(array, TokenFile) else len(array)
        raise ValueError(
            f"context_length = {context_length} needs at least {context_length + 1} tokens, not {found}"
        )
    return array


def gather_batch(
    tokens: "TokenFile | NDArray[np.integer[Any]]", starts: NDArray[np.integer[Any]], context_length: int
) -> "Batch":
    """The windows that begin at ``starts``, as int64, which torch's embedding and cross-entropy take."""
    import torch

    take = tokens.windows if isinstance(tokens, TokenFile) else partial(gather_windows, tokens)
    windows = take(starts, context_length + 1)  # (B, T + 1)
    x = torch.empty(len(starts), context_length, dtype=torch.int64, device="cpu")
    y = torch.empty_like(x)
    np.copyto(x.numpy(), windows[:, :-1])
    np.copyto(y.numpy(), windows[:, 1:])
    return x, y


def _to_device(batch: "Batch", device: "torch.device | str") -> "Batch":
    import torch

    device = torch.device(device)
    if device.type == "cpu":
        return batch
    if device.type == "cuda":
        batch = batch[0].pin_memory(), batch[1].pin_memory()
    return batch[0].to(device, non_blocking=True), batch[1].to(device, non_blocking=True)
