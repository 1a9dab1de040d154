"""Kernels and packed projections step aside for anything that watches or replaces a layer, in each of torch's ways."""

import pickle
import types
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.modules import module as torch_module
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from course_lib.model import (
    ACTIVATIONS,
    CausalSelfAttention,
    GatedFFN,
    Linear,
    ModelConfig,
    RMSNorm,
    RotaryEmbedding,
    SwiGLU,
    TransformerLM,
)
from course_lib.train import LanguageModelLoss

pytestmark = [
    pytest.mark.filterwarnings("ignore:Full backward hook is firing"),  # ids have no gradient
    pytest.mark.filterwarnings("ignore:.torch.jit.*is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings(
        "ignore::torch.jit.TracerWarning"
    ),  # of checks that hold for every input of the shape
]
CONFIG = ModelConfig(64, 32, 32, 1, 2, qk_norm=True)
PLAIN = ModelConfig(64, 32, 32, 1, 2)
LAYER = "layers.0"
NAMES = [
    *(f"{LAYER}.attn.{name}" for name in ("q_proj", "k_proj", "v_proj", "output_proj", "rope")),
    *(f"{LAYER}.{name}" for name in ("ffn.w1", "ffn.w2", "ffn.w3", "ln1", "ln2")),
    "ln_final",
    "lm_head",
    "",
]
IDS = torch.arange(2 * 16).view(2, 16)


def model(config: ModelConfig = PLAIN) -> TransformerLM:
    torch.manual_seed(0)
    return TransformerLM(config)


class Count:
    """A hook of any kind that notes its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, *_: Any) -> None:
        self.calls += 1


@contextmanager
def globally(register: Callable[..., Any], hook: Callable[..., Any]) -> Iterator[None]:
    handle = register(hook)
    try:
        yield
    finally:
        handle.remove()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["forward", "forward_pre", "full_backward", "full_backward_pre"])
def test_hooks_are_called(name: str, kind: str) -> None:
    lm, count = model(), Count()
    getattr(lm.get_submodule(name), f"register_{kind}_hook")(count)
    lm(IDS).sum().backward()
    twice = 2 if name.endswith("rope") else 1  # queries and keys
    assert count.calls == twice


@pytest.mark.parametrize("kind", ["forward", "forward_pre", "full_backward", "full_backward_pre"])
def test_global_hooks_see_every_module(kind: str) -> None:
    lm, seen = model(CONFIG), set()
    register = getattr(torch_module, f"register_module_{kind}_hook")
    with globally(register, lambda module, *_: seen.add(module)):
        lm(IDS).sum().backward()
    wanted = {module for module in lm.modules() if not isinstance(module, nn.ModuleList)}
    if "backward" in kind:  # what takes ids has no gradient to see
        wanted -= {lm, lm.token_embeddings} if kind == "full_backward" else set()
    assert wanted <= seen


def doubled(lm: TransformerLM, name: str) -> None:
    """Replace ``forward`` as libraries do, on the object, by one that gives twice as much."""
    module = lm.get_submodule(name)
    before = module.forward
    module.forward = lambda *inputs, **options: 2 * before(*inputs, **options)


def doubled_class(lm: TransformerLM, name: str) -> None:
    """Put an object of another class in the place."""
    module = lm.get_submodule(name)
    before = type(module).forward
    module.__class__ = type(
        "Doubled", (type(module),), {"forward": lambda self, *i, **o: 2 * before(self, *i, **o)}
    )


def doubled_by_hook(lm: TransformerLM, name: str) -> None:
    lm.get_submodule(name).register_forward_hook(lambda _, __, output: 2 * output)


@pytest.mark.parametrize("name", NAMES)
def test_a_replaced_forward_is_what_runs(name: str) -> None:
    expected, plain = model(), model()(IDS)
    doubled_by_hook(expected, name)
    for replace in (doubled, doubled_class):
        lm = model()
        replace(lm, name)
        torch.testing.assert_close(lm(IDS), expected(IDS), atol=1e-5, rtol=1e-4)
        assert not torch.allclose(lm(IDS), plain, atol=1e-3)
        loss = LanguageModelLoss(lm)(IDS, IDS)
        expected_loss = nn.functional.cross_entropy(expected(IDS).flatten(0, 1), IDS.flatten())
        torch.testing.assert_close(loss, expected_loss, atol=1e-5, rtol=1e-4)


def test_a_forward_replaced_on_the_class_is_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = model()
    for kind in (type(lm.lm_head), RotaryEmbedding, RMSNorm):
        count, before = Count(), kind.forward
        with monkeypatch.context() as patch:

            def forward(self: nn.Module, *inputs: Any, before: Any = before, count: Any = count) -> Any:
                count()
                return before(self, *inputs)

            patch.setattr(kind, "forward", forward)
            lm(IDS)
        assert count.calls == sum(isinstance(m, kind) for m in lm.modules()) + (kind is RotaryEmbedding)


def test_generation_calls_a_model_that_is_replaced_or_watched() -> None:
    class Capped(TransformerLM):
        """Never gives token 7."""

        def forward(self, *inputs: Any, **options: Any) -> Tensor:
            logits = super().forward(*inputs, **options)
            return logits.index_fill(-1, torch.tensor([int(super().forward(IDS)[0, -1].argmax())]), -1e9)

    torch.manual_seed(0)
    capped, plain = Capped(PLAIN), model()
    unwanted = int(plain(IDS)[0, -1].argmax())
    assert int(plain.generate(IDS, 1, temperature=0)[0, -1]) == unwanted
    for use_cache in (True, False):
        assert int(capped.generate(IDS, 1, temperature=0, use_cache=use_cache)[0, -1]) != unwanted
    count = Count()
    plain.register_forward_hook(count)
    plain.generate(IDS, 3)
    assert count.calls == 3


class Halved(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight / 2


@pytest.mark.parametrize("name", [name for name in NAMES if name and not name.endswith("rope")])
def test_parametrized_weights(name: str) -> None:
    lm, halved = model(), model()
    parametrize.register_parametrization(lm.get_submodule(name), "weight", Halved())
    with torch.no_grad():
        halved.get_parameter(f"{name}.weight").div_(2)
    torch.testing.assert_close(lm(IDS), halved(IDS), atol=1e-5, rtol=1e-4)
    for one in (lm, halved):
        one(IDS).square().sum().backward()
    slope = lm.get_parameter(f"{name}.parametrizations.weight.original").grad
    expected = halved.get_parameter(f"{name}.weight").grad
    assert slope is not None and expected is not None
    torch.testing.assert_close(2 * slope, expected, atol=1e-3, rtol=1e-3)


class Watched(Tensor):
    """A subclass that notes what is done with it."""

    seen: set[str] = set()  # noqa: RUF012 (shared on purpose)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        cls.seen.add(getattr(func, "__name__", ""))
        return super().__torch_function__(func, types, args, kwargs or {})


def test_weights_of_a_subclass_see_their_operations() -> None:
    for name in ("attn.q_proj", "ffn.w1", "ln1"):
        lm = model()
        module = lm.get_submodule(f"{LAYER}.{name}")
        module.weight = nn.Parameter(module.weight.detach().as_subclass(Watched))  # type: ignore[arg-type]
        Watched.seen.clear()
        with torch.no_grad():
            torch.testing.assert_close(lm(IDS).as_subclass(Tensor), model()(IDS), atol=1e-5, rtol=1e-4)
        assert Watched.seen & {"matmul", "__matmul__", "mul", "__mul__"}


class FunctionMode(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append(getattr(func, "__name__", ""))
        return func(*args, **(kwargs or {}))


class DispatchMode(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append(func.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", [FunctionMode, DispatchMode])
def test_modes_see_the_operations(kind: type[FunctionMode | DispatchMode]) -> None:
    lm = model(CONFIG)
    plain = lm(IDS)
    with torch.no_grad(), kind() as mode:
        torch.testing.assert_close(lm(IDS), plain, atol=1e-5, rtol=1e-4)
    products = sum("mm" in name or "matmul" in name for name in mode.seen)
    assert products >= 8 and any("rsqrt" in name for name in mode.seen)


def test_a_watched_projection_is_called() -> None:
    seen: list[torch.Size] = []
    attention, ffn, x = CausalSelfAttention(16, 2), GatedFFN(16, 32, "swiglu"), torch.randn(1, 5, 16)
    before = attention(x), ffn(x)
    for linear in (attention.k_proj, ffn.w1):
        linear.register_forward_hook(lambda _, __, output: seen.append(output.shape))
    torch.testing.assert_close((attention(x), ffn(x)), before, atol=1e-5, rtol=1e-4)
    assert seen == [(5, 16), (5, 32)]


@pytest.mark.parametrize("gradients", [True, False])
def test_forward_mode_derivatives(gradients: bool) -> None:
    norm, x, along = RMSNorm(8), torch.randn(3, 8), torch.randn(3, 8)
    expected = torch.autograd.functional.jvp(norm, x, along)[1]
    modes: list[AbstractContextManager[Any]] = [forward_ad.dual_level(), torch.set_grad_enabled(gradients)]
    with modes[0], modes[1]:
        tangent = forward_ad.unpack_dual(norm(forward_ad.make_dual(x, along))).tangent
    assert tangent is not None
    torch.testing.assert_close(tangent, expected)


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("length", [16, 1])
def test_a_trace_gives_the_same_on_other_inputs(gradients: bool, length: int) -> None:
    lm, others = model(CONFIG).requires_grad_(gradients), IDS[:, :length].flip(0) + 7
    with torch.set_grad_enabled(gradients):
        traced = torch.jit.trace(lm, IDS[:, :length], check_trace=False)
        torch.testing.assert_close(traced(others), lm(others), atol=1e-5, rtol=1e-4)


def test_an_exported_program_gives_the_same_on_other_inputs() -> None:
    lm, others = model(CONFIG).eval(), IDS.flip(0) + 7
    program = torch.export.export(lm, (IDS,), strict=False).module()
    torch.testing.assert_close(program(others), lm(others), atol=1e-5, rtol=1e-4)


def test_one_graph_of_operations() -> None:
    from torch.fx.experimental.proxy_tensor import make_fx

    lm, others = model(CONFIG), IDS.flip(0) + 7
    torch.testing.assert_close(make_fx(lm)(IDS)(others), lm(others), atol=1e-5, rtol=1e-4)
    compiled = torch.compile(lm, backend="eager", fullgraph=True)
    for ids in (others, others[:, :5], others[:1, :7]):  # from the second shape on, sizes are symbols
        torch.testing.assert_close(compiled(ids), lm(ids), atol=1e-5, rtol=1e-4)
    torch._dynamo.reset()


def test_another_activation_put_into_a_gate_is_what_runs() -> None:
    lm = model()
    ffn, x = lm.get_submodule(f"{LAYER}.ffn"), torch.randn(5, 32)
    ffn.act = types.SimpleNamespace(run=torch.sigmoid).run
    torch.testing.assert_close(ffn(x), ffn.w2(torch.sigmoid(ffn.w1(x)) * ffn.w3(x)))


def test_lazily_negated_and_sparse_inputs() -> None:
    linear, norm = model().get_submodule("lm_head"), RMSNorm(32)
    wide = torch.randn(2, 32)
    with torch.no_grad():
        for module in (linear, norm):
            torch.testing.assert_close(module(torch._neg_view(wide)), module(-wide))
        torch.testing.assert_close(linear(wide.to_sparse()), linear(wide), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("length", [1, 5])
def test_several_gradients_at_once(length: int) -> None:
    rope = RotaryEmbedding(1e4, 8, 8)
    modules: list[tuple[nn.Module, int]] = [
        (RMSNorm(32), 32),
        (SwiGLU(32, 64), 32),
        (Linear(32, 16), 32),
        (rope, 8),
    ]
    modules += [(CausalSelfAttention(32, 4, 2, rope=rope), 32)]
    for module, width in modules:
        x = torch.randn(2, length, width, requires_grad=True)
        y = module(x)
        wanted, dy = (x, *module.parameters()), torch.randn(3, *y.shape)
        together = torch.autograd.grad(y, wanted, dy, is_grads_batched=True, retain_graph=True)
        one_by_one = [torch.autograd.grad(y, wanted, one, retain_graph=True) for one in dy]
        for found, *expected in zip(together, *one_by_one, strict=True):
            torch.testing.assert_close(found, torch.stack(expected), atol=1e-4, rtol=1e-4)


def test_a_mode_that_comes_for_the_backward_pass_sees_it() -> None:
    loss = model()(IDS).sum()
    with DispatchMode() as mode:
        loss.backward()
    assert sum("mm" in name for name in mode.seen) >= 14  # two for each of seven products


def test_transforms_of_the_training_loss() -> None:
    loss = LanguageModelLoss(model(), chunk_size=5)
    parameters = {name: parameter.detach() for name, parameter in loss.named_parameters()}
    slopes = torch.func.grad(lambda p: torch.func.functional_call(loss, p, (IDS, IDS)))(parameters)
    loss(IDS, IDS).backward()
    for name, parameter in loss.named_parameters():
        torch.testing.assert_close(slopes[name], parameter.grad, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("gradients", [True, False])
def test_empty_batches_and_sequences(gradients: bool) -> None:
    modules = [CausalSelfAttention(32, 4, 2, rope=RotaryEmbedding(1e4, 8, 8)), SwiGLU(32, 64), RMSNorm(32)]
    for module in (*modules, Linear(32, 16)):
        for shape in ((0, 5, 32), (2, 0, 32)):
            with torch.set_grad_enabled(gradients):
                y = module(torch.randn(shape))
            assert y.shape[:-1] == shape[:-1]
            if gradients:
                y.sum().backward()
                assert not any(p.grad is None or p.grad.any() for p in module.parameters())


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_layers_can_be_pickled(activation: str) -> None:
    ffn, x = GatedFFN(8, 16, activation), torch.randn(3, 8)
    torch.testing.assert_close(pickle.loads(pickle.dumps(ffn))(x), ffn(x))


def test_compiled_for_a_length_and_then_another() -> None:
    lm = model(CONFIG)
    compiled = torch.compile(lm, backend="eager", fullgraph=True)
    for length in (16, 9, 12):  # from the second on, the length is a symbol
        torch.testing.assert_close(compiled(IDS[:, :length]), lm(IDS[:, :length]), atol=1e-5, rtol=1e-4)
    torch._dynamo.reset()
