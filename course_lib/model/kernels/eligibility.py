"""Where a compiled kernel may stand in for torch's operations: the one place that all kernels ask.

Torch has many ways to look at a computation or to put another in its place: modes, tracers, transforms, subclasses of
tensors. A kernel is invisible to all of them, so wherever one is at work, the plain operations run.
"""

import torch
from torch import Tensor, nn
from torch import float32 as _float32
from torch import strided as _strided
from torch._C import _are_functorch_transforms_active, _is_tracing, _len_torch_function_stack
from torch._C._functorch import is_legacy_batchedtensor as _is_legacy_batchedtensor
from torch.autograd import forward_ad
from torch.utils._device import DeviceContext
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

_WITH_MEMORY = (Tensor, nn.Parameter)  # exactly: a subclass may be fake, or wrap another tensor


def eligible(*tensors: Tensor) -> bool:
    """Whether a kernel may read these tensors as float32 in the CPU's memory, unseen by torch.

    Nothing may have to see every operation: ``torch.compile`` and ``torch.export``, which fuse the formulas themselves;
    ``torch.jit.trace``; ``torch.func`` transforms, whose tensors have no memory of their own; forward-mode derivatives,
    which travel with the operations; modes, such as the flop counter, but not the one behind
    ``torch.set_default_device``. And the numbers must be in memory as they are: no subclass, no lazy negation.

    For a single token, asking takes as long as some kernels do, which is why so many names are looked up at import.
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
    """Whether a backward pass that receives these gradients must consist of operations that torch sees.

    That is so where it will be differentiated again (``create_graph=True``), where several gradients come at once
    (``is_grads_batched=True``), and where the gradients are not :func:`eligible`.
    """
    if torch.is_grad_enabled() or not eligible(*gradients):
        return True
    return any(_is_legacy_batchedtensor(gradient) for gradient in gradients)


def _a_function_mode_watches() -> bool:
    stack = (torch._C._get_function_stack_at(i) for i in range(_len_torch_function_stack()))
    return any(not isinstance(mode, DeviceContext) for mode in stack)
