"""Whether anything watches or replaces a module, so that it must be called: asked by modules that compute for others.

Torch has many ways to look at a module or to put another computation in its place: hooks, a ``forward`` set on a module
or on its class, parametrizations. Where one of them is at work, the module itself is called. (Ways to watch operations
rather than modules are the kernels' concern: :mod:`course_lib.model.kernels.eligibility`.)
"""

from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn
from torch.nn.modules import module as torch_module

_CALL = nn.Module.__call__

Module = TypeVar("Module", bound=type[nn.Module])
_forwards: dict[type[nn.Module], Callable[..., Any]] = {}


def may_be_bypassed(kind: Module) -> Module:
    """Decorate a class of modules that another module may compute without calling it, where :func:`is_plain` allows."""
    _forwards[kind] = kind.forward
    return kind


def is_plain(module: nn.Module) -> bool:
    """Whether calling ``module`` runs the ``forward`` that its class was written with, and nothing else.

    False for a subclass (a parametrization makes one), a ``forward`` set on the module or its class, any hook, and a
    module compiled in place.
    """
    kind = type(module)
    return (
        _forwards.get(kind) is kind.forward
        and "forward" not in module.__dict__
        and not (module._forward_hooks or module._forward_pre_hooks)
        and not (module._backward_hooks or module._backward_pre_hooks)
        and not torch_module._has_any_global_hook()  # type: ignore[no-untyped-call]
        and module._compiled_call_impl is None
        and nn.Module.__call__ is _CALL
    )
