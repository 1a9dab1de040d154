"""Watching the tensors that enter and leave a model's modules, with hooks that are removed again."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from course_lib.diagnostics.hooks import watch_modules
from course_lib.model import CausalSelfAttention


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
    named = [("", module) for module in modules]
    with watch_modules(named, before=lambda _name, _module, inputs: seen.append(inputs[0].detach())):
        yield seen


@contextmanager
def watch_outputs(modules: Iterable[nn.Module]) -> Iterator[list[Tensor]]:
    """Collect the result of every call of ``modules`` inside the block, without its graph."""
    seen: list[Tensor] = []
    named = [("", module) for module in modules]
    with watch_modules(named, after=lambda _name, _module, output: seen.append(output.detach())):
        yield seen


def attentions(model: nn.Module) -> list[CausalSelfAttention]:
    """The attention of each layer of a model."""
    return [module for module in model.modules() if isinstance(module, CausalSelfAttention)]
