"""Watching the tensors that enter and leave a model's modules, with hooks that are removed again."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


@contextmanager
def hooked(handles: Iterable[RemovableHandle]) -> Iterator[None]:
    """Remove hooks at the end of the block. ``handles`` are what registering them returned."""
    with ExitStack() as stack:
        for handle in handles:
            stack.enter_context(handle)
        yield


@contextmanager
def watch_inputs(modules: Iterable[nn.Module]) -> Iterator[list[Tensor]]:
    """Collect the first argument of every call of ``modules`` inside the block, without its graph."""
    seen: list[Tensor] = []

    def look(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(inputs[0].detach())

    with hooked(module.register_forward_pre_hook(look) for module in modules):
        yield seen


@contextmanager
def watch_outputs(modules: Iterable[nn.Module]) -> Iterator[list[Tensor]]:
    """Collect the result of every call of ``modules`` inside the block, without its graph."""
    seen: list[Tensor] = []

    def look(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(output.detach())

    with hooked(module.register_forward_hook(look) for module in modules):
        yield seen
