"""Run by test_torch_defaults.py in a process of its own: the public API before and after a change of torch's defaults.

A kernel that is handed memory of the wrong size kills its process, so pytest must not be the one to run it.
"""

import copy
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from course_lib import diagnostics, model, optim
from course_lib.data import BatchStream, get_batch, write_stories
from course_lib.loss import bits_per_byte, cross_entropy, linear_cross_entropy, logsumexp, perplexity
from course_lib.tokenizer import train_bpe
from course_lib.train import TrainConfig, load_checkpoint, load_model, save_checkpoint, train
from course_lib.train.evaluation import evaluate
from course_lib.train.training_loss import LanguageModelLoss

Case = Callable[[], Any]
CONFIG = model.ModelConfig(48, 64, 32, 2, 4, 2, 64)
SETTINGS = ("bfloat16", "float16", "float64", "meta")
TEXT = np.arange(500, dtype=np.uint16) % 48


def random(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float32, device="cpu")


def with_gradients(module: nn.Module, *inputs: Tensor) -> Case:
    """The result and the gradients of inputs and parameters, and the result without a graph."""

    def case() -> Any:
        leaves = [x.detach().clone().requires_grad_(x.is_floating_point()) for x in inputs]
        y = module(*leaves)
        wanted = [x for x in (*leaves, *module.parameters()) if x.requires_grad]
        slopes = torch.autograd.grad(y.square().mean(), wanted)
        with torch.no_grad():
            return y, slopes, module(*inputs), module(inputs[0][:, :1])

    return case


def repeated(module: nn.Module, x: Tensor) -> Case:
    """A large input again and again: what is too small is found by running over its end."""

    def case() -> Tensor:
        with torch.no_grad():
            for _ in range(50):
                y = module(x)
        return y

    return case


def layers() -> dict[str, Case]:
    x, long = random(2, 24, 32), random(1, 300, 32)
    rope = model.RotaryEmbedding(1e4, 8, 512)
    per_sequence = torch.stack((torch.arange(24), torch.arange(3, 27)))
    ids = torch.randint(48, (2, 24))
    embedding, sinusoidal = model.Embedding(48, 8), model.SinusoidalEmbedding(64, 8)
    attention = model.CausalSelfAttention(32, 4, 2, rope=rope, qk_norm=True)
    return {
        "linear": with_gradients(model.Linear(32, 48), x),
        "linear of a row": repeated(model.Linear(64, 8), random(1, 64)),
        "embedding": lambda: embedding(ids),
        "rms_norm": with_gradients(model.RMSNorm(32), x),
        "rms_norm of many rows": repeated(model.RMSNorm(64), random(4096, 64)),
        "layer_norm": with_gradients(model.LayerNorm(32), x),
        "swiglu": with_gradients(model.SwiGLU(32, 64), x),
        "geglu": with_gradients(model.GatedFFN(32, 64, "geglu"), x),
        "ffn": with_gradients(model.FFN(32, 64, "relu2"), x),
        "rope": lambda: (rope(x[..., :8]), rope(x[..., :8], per_sequence)),
        "sinusoidal": lambda: sinusoidal(ids),
        "attention": with_gradients(attention, x),
        "long attention": with_gradients(attention, long),
        "window": with_gradients(model.CausalSelfAttention(32, 4, window=5), x),
        "heads": lambda: attention.heads(x, per_sequence),
        "rotary_frequencies": lambda: [
            model.rotary_frequencies(
                1e4, 16, {"type": kind, "factor": 2.0, "original_max_seq_len": 32, **more}
            )
            for kind, more in (
                ("yarn", {}),
                ("ntk", {}),
                ("linear", {}),
                ("llama3", {"low_freq_factor": 1.0, "high_freq_factor": 4.0}),
            )
        ],
    }


def functions() -> dict[str, Case]:
    q, k, v = random(3, 2, 4, 6, 8)
    allowed = torch.rand(6, 6) < 0.5
    attention = model.scaled_dot_product_attention
    return {
        "activations": lambda: [f(q) for f in model.ACTIVATIONS.values()],
        "softmax": lambda: (model.softmax(q, -1), model.silu(q)),
        "attention function": lambda: [attention(q, k, v, m) for m in (None, allowed, k[0, 0, :, :6])],
        "causal attention function": lambda: attention(q, k[:, :2], v[:, :2], is_causal=True),
        "online": lambda: (
            model.online_attention(q, k, v, block_size=4, is_causal=True),
            model.online_softmax(q, 3),
        ),
        "losses": lambda: (
            cross_entropy(q, torch.ones(q.shape[:-1], dtype=torch.int64, device="cpu"), z_loss=0.1),
            logsumexp(q, -1),
            perplexity(q),
            bits_per_byte(q, 3, 4),
        ),
        "sample": lambda: model.sample(
            q[0, 0], generator=torch.Generator().manual_seed(0), top_k=3, top_p=0.9
        ),
    }


def whole_model() -> dict[str, Case]:
    ids = torch.randint(48, (2, 24))
    cases: dict[str, Case] = {}
    for position in ("rope", "learned", "sinusoidal"):
        lm = model.TransformerLM(model.ModelConfig(48, 64, 32, 2, 4, 2, 64, position=position))
        loss = LanguageModelLoss(lm, chunk_size=7, z_loss=0.1)

        def learn(lm: nn.Module = lm, loss: nn.Module = loss) -> Any:
            value = loss(ids, ids.roll(1, 1))
            return value, torch.autograd.grad(value, list(lm.parameters())), lm(ids)

        cases[f"model, {position}"] = learn
        for use_cache in (True, False):
            cases[f"generate, {position}, {use_cache}"] = lambda lm=lm, use_cache=use_cache: [
                lm.generate(prompt, 4, use_cache=use_cache, seed=0, top_k=9, top_p=0.9, stop_ids=[7])
                for prompt in ([1, 2, 3], [[1, 2], [3]], ids, list(ids))
            ]
    state = {name: tensor.clone() for name, tensor in lm.state_dict().items()}
    cases["chunked"] = lambda: [
        f(state["lm_head.weight"]) for f in (chunked_cross_entropy, chunked_linear_cross_entropy)
    ]
    cases["evaluate"] = lambda: evaluate(
        loss, TEXT, batch_size=3, context_length=16, lengths=torch.arange(48, device="cpu")
    )
    cases["checkpoint"] = lambda: checkpoint(lm)
    cases["run"] = run
    cases["from_hf"] = from_hf_case()
    cases["diagnostics"] = lambda: diagnose(lm, ids)
    return cases


def chunked_cross_entropy(weight: Tensor) -> Any:
    logits = weight.detach().clone().requires_grad_()
    loss = cross_entropy(logits, torch.arange(48, device="cpu") % 32, chunk_size=5, z_loss=0.1)
    return loss, torch.autograd.grad(loss, logits)


def chunked_linear_cross_entropy(weight: Tensor) -> Any:
    results = []
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        leaf = weight.detach().to(dtype, copy=True).requires_grad_()
        targets = torch.arange(48, device="cpu")
        loss = linear_cross_entropy(leaf, leaf, targets, chunk_size=5, ignore_index=3)
        results.append((loss, torch.autograd.grad(loss, leaf)))
    return results


def checkpoint(lm: nn.Module) -> Any:
    trained, other = copy.deepcopy(lm), copy.deepcopy(lm)
    optimizer = optim.AdamW(trained.parameters())
    for param in trained.parameters():
        param.grad = param.detach().clone()
    optimizer.step()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint"
        save_checkpoint(path, trained, optimizer, step=1, extra={"x": next(trained.parameters())})
        resumed = optim.AdamW(other.parameters())
        found = load_checkpoint(path, other, resumed)
    state = [tensor for entry in resumed.state_dict()["state"].values() for tensor in entry.values()]
    return list(other.parameters()), state, found.extra["x"]


def run() -> Any:
    """A training run: its losses, and its model read back."""
    with tempfile.TemporaryDirectory() as folder:
        text, ids, directory = (str(Path(folder) / name) for name in ("text", "ids", "run"))
        write_stories(text, 10_000, seed=0)
        train_bpe(text, 300, ["<|endoftext|>"]).encode_file(text, ids)
        shape = model.ModelConfig(vocab_size=300, context_length=16, d_model=16, num_layers=1, num_heads=2)
        config = TrainConfig(
            model=shape, train_tokens=ids, valid_tokens=ids, directory=directory, steps=3, batch_size=4,
            warmup_steps=1, threads=1, log_every=1, eval_batches=2, device="cpu", tensorboard=False,
        )  # fmt: skip
        result = train(config, progress=False)
        return list(result.losses.values()), result.valid_loss, list(load_model(directory)[0].parameters())


def from_hf_case() -> Case:
    options = {
        "model_type": "llama",
        "vocab_size": 48,
        "max_position_embeddings": 64,
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True,
    }
    shapes = {"embed_tokens": (48, 32), "norm": (32,), "layers.0.input_layernorm": (32,)}
    shapes |= {"layers.0.post_attention_layernorm": (32,), "layers.0.mlp.down_proj": (32, 64)}
    shapes |= {f"layers.0.mlp.{part}_proj": (64, 32) for part in ("gate", "up")}
    shapes |= {f"layers.0.self_attn.{part}_proj": (32, 32) for part in "qkvo"}
    state = {f"model.{name}.weight": random(*shape) for name, shape in shapes.items()}
    ids = torch.arange(10).unsqueeze(0)
    return lambda: model.from_hf(state, options)(ids)


def diagnose(lm: nn.Module, ids: Tensor) -> Any:
    lm(ids).square().mean().backward()
    before = diagnostics.snapshot(lm)
    frames = [
        diagnostics.gradient_norms(lm),
        diagnostics.update_norms(lm, before),
        diagnostics.activation_stats(lm, ids),
        diagnostics.attention_logit_max(lm, ids),
    ]
    lm.zero_grad()
    weight = lm.get_parameter("lm_head.weight").detach()
    path = [weight * a + a * a for a in (1.0, 2.0, 3.0, 4.0)]
    return (
        [frame.select_dtypes("number").to_numpy(float, na_value=-1.0).tolist() for frame in frames],
        [f(weight) for f in (diagnostics.singular_values, diagnostics.effective_rank)],
        diagnostics.condition_number(weight[:, :8]),
        [diagnostics.trajectory_projection(path, method).explained for method in ("pca", "random")],
    )


def optimizers() -> dict[str, Case]:
    weights, slopes = [random(6, 8), random(5, 8)], [random(6, 8), random(5, 8)]
    makers: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
        "sgd": lambda p: optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1, nesterov=True),
        "adam": lambda p: optim.Adam(p, l2=0.1),
        "adamw": optim.AdamW,
        "adamw in parts": lambda p: optim.AdamW(p, fused=False),
        "muon": lambda p: optim.Muon(p, 0.1),
    }

    def steps(make: Callable[[Any], torch.optim.Optimizer]) -> Any:
        params = [nn.Parameter(weight.clone()) for weight in weights]
        optimizer = make(params)
        for _ in range(260 if make is optim.AdamW else 3):  # a counter in bfloat16 stops at 256
            for param, slope in zip(params, slopes, strict=True):
                param.grad = slope.clone()
            norm = optim.clip_grad_norm(params, 1.0)
            optimizer.step()
        states = [list(optimizer.state[param].values()) for param in params]
        return params, states, norm, optim.clip_grad_norm([nn.Parameter(weights[0])], 1.0)

    cases: dict[str, Case] = {name: lambda make=make: steps(make) for name, make in makers.items()}
    cases["newton_schulz"] = lambda: optim.newton_schulz(weights[0])
    return cases


def batches() -> dict[str, Case]:
    return {
        "get_batch": lambda: get_batch(TEXT, 3, 16, generator=torch.Generator().manual_seed(0)),
        "get_batch of the global generator": lambda: (torch.manual_seed(0), get_batch(TEXT, 3, 16))[1],
        "stream": lambda: next(BatchStream(TEXT, 3, 16, seed=0)),
    }


def flatten(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in flatten(item)]
    return [value]


def difference(found: Any, expected: Any) -> str:
    """The fault of a result, or an empty string."""
    for a, b in zip(flatten(found), flatten(expected), strict=True):
        if isinstance(b, str | bytes):
            if a != b:
                return f"{a!r} instead of {b!r}"
            continue
        try:
            torch.testing.assert_close(a, b)
        except Exception as error:
            return f"{type(error).__name__} {error}"
    return ""


def report(cases: dict[str, Case]) -> None:
    """Print, as JSON, the cases of each setting whose results differ from those under torch's own defaults."""
    expected = {name: case() for name, case in cases.items()}
    wrong: dict[str, dict[str, str]] = {}
    for setting in SETTINGS:
        wrong[setting] = {}
        if setting == "meta":
            torch.set_default_device("meta")
        else:
            torch.set_default_dtype(getattr(torch, setting))
        for name, case in cases.items():
            print(setting, name, file=sys.stderr, flush=True)  # the last one before a crash
            try:
                found = case()
            except Exception as error:
                wrong[setting][name] = f"{type(error).__name__}: {error}"
                continue
            with torch.device("cpu"):
                if reason := difference(found, expected[name]):
                    wrong[setting][name] = reason
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    print(json.dumps(wrong))


if __name__ == "__main__":
    torch.manual_seed(0)
    report(layers() | functions() | whole_model() | optimizers() | batches())
