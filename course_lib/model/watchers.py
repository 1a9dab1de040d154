"""Whether anything watches or replaces what a layer does: the one place that our kernels ask before they run.

Torch has many ways to look at a computation or to put another in its place: hooks, a ``forward`` set on a module or on
its class, parametrizations, modes, tracers, transforms. A kernel is invisible to all of them, so wherever one is at
work, the plain operations run.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch import float32 as _float32
from torch import strided as _strided
from torch._C import _are_functorch_transforms_active, _is_tracing, _len_torch_function_stack
from torch._C._functorch import is_legacy_batchedtensor as _is_legacy_batchedtensor
from torch.autograd import forward_ad
from torch.nn.modules import module as torch_module
from torch.utils._device import DeviceContext
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

_WITH_MEMORY = (Tensor, nn.Parameter)  # exactly: a subclass may be fake, or wrap another tensor
_CALL = nn.Module.__call__

Module = TypeVar("Module", bound=type[nn.Module])
_forwards: dict[type[nn.Module], Callable[..., Any]] = {}


def may_be_bypassed(kind: Module) -> Module:
    """Decorate a class of modules that another module may compute without calling it, where :func:`is_plain` allows."""
    _forwards[kind] = kind.forward
    return kind


def is_plain(module: nn.Module) -> bool:
    """Whether calling ``module`` runs the ``forward`` that its class was written with, and nothing besides.

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


def can_fuse(*tensors: Tensor) -> bool:
    """Whether a kernel may read these tensors as float32 in the CPU's memory, unseen by torch.

    Nothing may have to see every operation: ``torch.compile`` and ``torch.export``, which fuse the formulas themselves;
    ``torch.jit.trace``; ``torch.func`` transforms, whose tensors have no memory of their own; forward-mode derivatives,
    which travel with the operations; modes, such as the flop counter, but not the one behind
    ``torch.set_default_device``. And the numbers must lie there as they are: no subclass, no lazy negation.

    On a single token, these questions take as long as some answers: hence the names that are looked up once.
    """
    if (
        torch.compiler.is_compiling()
        or _is_tracing()
        or _are_functorch_transforms_active()
        or is_in_torch_dispatch_mode()
        or forward_ad._current_level >= 0
        or (_len_torch_function_stack() and _a_function_mode_watches())
    ):
        return False
    for tensor in tensors:
        if (
            tensor.dtype is not _float32
            or not tensor.is_cpu
            or type(tensor) not in _WITH_MEMORY
            or tensor.layout is not _strided
            or tensor.is_neg()
        ):
            return False
    return True


def needs_formulas(*gradients: Tensor) -> bool:
    """Whether a backward pass that gets these must be made of operations that torch sees.

    That is so where it will be differentiated again (``create_graph=True``), where several gradients come at once
    (``is_grads_batched=True``), and where :func:`can_fuse` says no.
    """
    if torch.is_grad_enabled() or not can_fuse(*gradients):
        return True
    return any(_is_legacy_batchedtensor(gradient) for gradient in gradients)


def _a_function_mode_watches() -> bool:
    stack = (torch._C._get_function_stack_at(i) for i in range(_len_torch_function_stack()))
    return any(not isinstance(mode, DeviceContext) for mode in stack)
