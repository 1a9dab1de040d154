"""Shared by all optimizers: checks that name the parameter at fault, closures, cache-sized lists of tensors."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

# Elements of each tensor in one round of a multi-tensor update. On a CPU every torch operation passes over its
# tensors once; with 65,536 float32 numbers (256 KiB) each of weight, gradient, moments and a temporary, later passes
# find their numbers in the cache instead of in memory. Larger pieces would not fit the second-level cache; smaller
# ones would spend their time calling torch.
CACHE_ELEMENTS = 1 << 16


def name_of(group: dict[str, Any], index: int) -> str:
    """The name of a parameter in error messages: its own where names were given, else its position and shape."""
    if "param_names" in group:
        return f"parameter {group['param_names'][index]!r}"
    return f"parameter {index} of its group, shape {tuple(group['params'][index].shape)},"


def cache_sized(*lists: list[Tensor]) -> Iterator[tuple[list[Tensor], ...]]:
    """Cut lists of tensors, the i-th of each list shaped alike, into rounds for ``torch._foreach_*`` operations.

    On a CPU, large tensors are cut into flat pieces and small ones are taken together, so that a round fits the
    cache. An accelerator gets everything in one round, since its cost is the number of kernels, not the cache.
    """
    if lists[0] and lists[0][0].device.type != "cpu":
        yield lists
        return
    small: list[tuple[Tensor, ...]] = []
    waiting = 0
    for tensors in zip(*lists, strict=True):
        size = tensors[0].numel()
        if size > CACHE_ELEMENTS and all(tensor.is_contiguous() for tensor in tensors):
            for pieces in zip(*(tensor.view(-1).split(CACHE_ELEMENTS) for tensor in tensors), strict=True):
                yield tuple([piece] for piece in pieces)
            continue
        small.append(tensors)
        waiting += size
        if waiting >= CACHE_ELEMENTS:
            yield tuple(list(column) for column in zip(*small, strict=True))
            small, waiting = [], 0
    if small:
        yield tuple(list(column) for column in zip(*small, strict=True))


def gradients_of(params: list[Tensor]) -> list[Tensor]:
    """The gradients of parameters that have one."""
    return [param.grad for param in params if param.grad is not None]


class CourseOptimizer(torch.optim.Optimizer, ABC):
    """A ``torch.optim.Optimizer`` whose subclasses say how one group of parameters is updated.

    A subclass implements ``_update(group, params)`` and ``_check(group)``. Everything around it is here: every group's
    hyperparameters are checked when the group is added, ``step`` evaluates a closure and skips parameters without a
    gradient, and a sparse gradient is refused by name.
    """

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group with its own options, as in torch. Raises ValueError for options that cannot work."""
        super().add_param_group(param_group)
        try:
            self._check(self.param_groups[-1])
        except ValueError:
            self.param_groups.pop()
            raise

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient.

        Args:
            closure: Clears the gradients, computes the loss, calls backward and returns the loss; its value is
            returned.

        Raises:
            ValueError: A gradient is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = []
            for index, param in enumerate(group["params"]):
                if param.grad is None:
                    continue
                if param.grad.layout != torch.strided:
                    raise ValueError(
                        f"{name_of(group, index)} has a sparse gradient; {type(self).__name__} needs a dense one"
                    )
                params.append(param)
            if params:
                self._update(group, params)
        return loss

    @abstractmethod
    def _update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        """Update ``params``, the parameters of ``group`` that have a gradient, in place."""

    @abstractmethod
    def _check(self, group: dict[str, Any]) -> None:
        """Raise ValueError naming the option of ``group`` that is out of range."""


def check_at_least_zero(group: dict[str, Any], *names: str) -> None:
    """Raise ValueError unless the named options are finite numbers >= 0."""
    for name in names:
        if not 0.0 <= float(group[name]) < float("inf"):
            raise ValueError(f"{name} is {group[name]}; it must be a finite number, at least 0")


def check_decay_rate(name: str, value: float) -> None:
    """Raise ValueError unless 0 <= value < 1, the range of the factor of a running average."""
    if not 0.0 <= value < 1.0:
        raise ValueError(f"{name} is {value}; it must be at least 0 and less than 1")
