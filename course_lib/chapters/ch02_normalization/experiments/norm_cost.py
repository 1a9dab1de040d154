"""Chapter 2: the cost of a norm in bytes moved, operations and time."""

from collections.abc import Callable
from functools import partial

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from course_lib.accounting import flops
from course_lib.diagnostics import moved_bytes
from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.measure import take_turns
from course_lib.lab.small_runs import one_thread, small_config
from course_lib.loss import cross_entropy
from course_lib.model import RMSNorm, TransformerLM, layer_norm_reference, rms_norm_reference

Norm = Callable[[Tensor, Tensor], Tensor]
Call = Callable[[], object]

# Operations per number of the input; every multiplication and addition counts as one. RMSNorm: square, sum, scale,
# weight; LayerNorm also a sum for the mean and a subtraction. Backward: from the formulas of the gradients.
_FORWARD_FLOPS = {"RMSNorm": 4, "LayerNorm": 6}
_BACKWARD_FLOPS = {"RMSNorm": 9, "LayerNorm": 12}

# One kernel reads x and writes y; backward it reads x and dy and writes dx. Compiled code takes addresses, so that
# torch cannot see its traffic.
_KERNEL_PASSES = {"forward": 2, "forward and backward": 5}


@float32_on_cpu()
def implementations(width: int, *, compiled: bool = False) -> dict[str, Norm]:
    """Norms of x (..., width) with a weight (width,), by name: formulas, torch's functions, our kernel.

    ``compiled``: also RMSNorm's formula under ``torch.compile``, which takes half a minute and a C++ compiler.
    """
    kernel = RMSNorm(width)

    def fused(x: Tensor, weight: Tensor) -> Tensor:
        kernel.weight = weight  # type: ignore[assignment]
        return kernel(x)  # type: ignore[no-any-return]

    norms: dict[str, Norm] = {
        "LayerNorm, formula": layer_norm_reference,
        "RMSNorm, formula": rms_norm_reference,
        "RMSNorm, F.rms_norm": lambda x, weight: functional.rms_norm(x, (width,), weight, 1e-5),
        "LayerNorm, F.layer_norm": lambda x, weight: functional.layer_norm(x, (width,), weight),
        "RMSNorm, our kernel": fused,
    }
    if compiled:
        norms["RMSNorm, compiled"] = torch.compile(rms_norm_reference)
    return norms


@float32_on_cpu()
def norm_costs(
    rows: int = 4096, width: int = 512, *, repeats: int = 9, seed: int = 0, compiled: bool = False
) -> pd.DataFrame:
    """Bytes, operations and time of each implementation on one thread, in turns.

    Returns:
        Columns norm, direction ("forward", "forward and backward"), bytes (read and written), passes (bytes over the
        bytes of x), flops, cpu_seconds (least of all turns) and gbytes_per_second. All must agree with the formula to
        1e-5 (AssertionError otherwise).
    """
    torch.manual_seed(seed)
    x = torch.randn(rows, width, requires_grad=True)
    weight = nn.Parameter(torch.ones(width))
    dy = torch.randn(rows, width)
    norms = implementations(width, compiled=compiled)
    formulas = {"LayerNorm": layer_norm_reference(x, weight), "RMSNorm": rms_norm_reference(x, weight)}
    calls: dict[tuple[str, str], Call] = {}
    for name, norm in norms.items():
        torch.testing.assert_close(norm(x, weight), formulas[name.split(",")[0]], rtol=1e-5, atol=1e-5)
        calls[name, "forward"] = partial(norm, x, weight)
        calls[name, "forward and backward"] = _round_trip(norm, x, weight, dy)
    with one_thread():
        seconds = take_turns(calls, repeats)
    results = []
    for (name, direction), call in calls.items():
        kind = name.split(",")[0]
        moved = _bytes_of(name, direction, call, 4 * rows * width)
        backward = 0 if direction == "forward" else _BACKWARD_FLOPS[kind]
        operations = rows * width * (_FORWARD_FLOPS[kind] + backward)
        least = min(seconds[name, direction])
        passes, speed = moved / (4 * rows * width), moved / least / 1e9
        results.append((name, direction, moved, passes, operations, least, speed))
    columns = ["norm", "direction", "bytes", "passes", "flops", "cpu_seconds", "gbytes_per_second"]
    return pd.DataFrame(results, columns=columns)


def _round_trip(norm: Norm, x: Tensor, weight: Tensor, dy: Tensor) -> Call:
    """Forward and backward pass of a norm."""
    return lambda: torch.autograd.grad(norm(x, weight), (x, weight), dy)


def _bytes_of(name: str, direction: str, call: Call, size: int) -> int:
    if name.endswith(("our kernel", "compiled")):
        return _KERNEL_PASSES[direction] * size
    with moved_bytes() as moved:
        call()
    return int(moved.total)


@float32_on_cpu()
def share_of_step(
    *, width: int = 256, num_layers: int = 4, batch_size: int = 2, tokens: int = 256, repeats: int = 7
) -> pd.DataFrame:
    """The share of a training step spent on norms, 2 L + 1 of them in L layers, in operations and in time.

    Returns:
        Columns norm, flops_share (of matrix products and norms) and time_share: the time of the norms' forward and
        backward passes over that of the model, which uses our kernel.
    """
    config = small_config(d_model=width, num_layers=num_layers, context_length=tokens)
    torch.manual_seed(0)
    model = TransformerLM(config)
    ids, targets = torch.randint(config.vocab_size, (2, batch_size, tokens))
    x, dy = torch.randn(2, batch_size * tokens, width)
    x.requires_grad_()
    weight = nn.Parameter(torch.ones(width))
    norms = implementations(width)
    work: dict[str, Call] = {name: _round_trip(norm, x, weight, dy) for name, norm in norms.items()}
    work["step"] = lambda: cross_entropy(model(ids), targets).backward()  # type: ignore[no-untyped-call]
    with one_thread():
        seconds = take_turns(work, repeats)
    count = 2 * num_layers + 1
    rows = []
    for name in norms:
        kind = name.split(",")[0]
        operations = count * x.numel() * (_FORWARD_FLOPS[kind] + _BACKWARD_FLOPS[kind])
        share = operations / (operations + flops(config, batch_size))
        rows.append((name, share, count * min(seconds[name]) / min(seconds["step"])))
    return pd.DataFrame(rows, columns=["norm", "flops_share", "time_share"])
