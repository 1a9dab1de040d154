"""Looking at the calls of modules while a model runs."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from torch import nn


@contextlib.contextmanager
def watch_modules(
    modules: Iterable[tuple[str, nn.Module]],
    *,
    before: Callable[[str, nn.Module, tuple[Any, ...]], object] | None = None,
    after: Callable[[str, nn.Module, Any], object] | None = None,
) -> Iterator[None]:
    """Look at every call of ``modules`` within a ``with`` block; what they return stays as it is.

    Args:
        modules: (name, module) pairs, such as ``model.named_modules()``.
        before: Called with name, module and positional inputs before the module runs.
        after: Called with name, module and output after it.
    """
    with contextlib.ExitStack() as hooks:
        for name, module in modules:
            if before is not None:

                def enter(module: nn.Module, inputs: tuple[Any, ...], name: str = name) -> None:
                    before(name, module, inputs)

                hooks.callback(module.register_forward_pre_hook(enter).remove)
            if after is not None:

                def leave(module: nn.Module, _inputs: object, output: Any, name: str = name) -> None:
                    after(name, module, output)

                hooks.callback(module.register_forward_hook(leave).remove)
        yield
