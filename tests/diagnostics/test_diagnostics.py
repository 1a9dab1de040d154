"""Diagnostics against hand calculation, numpy and torch."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from course_lib.diagnostics import (
    activation_stats,
    attention_logit_max,
    condition_number,
    effective_rank,
    gradient_norms,
    layer_of,
    loss_on_plane,
    saved_bytes,
    singular_values,
    snapshot,
    trajectory_projection,
    update_norms,
)
from course_lib.model import ModelConfig, TransformerLM


def language_model(**options: object) -> TransformerLM:
    config = {
        "vocab_size": 30,
        "context_length": 8,
        "d_model": 16,
        "num_layers": 3,
        "num_heads": 2,
        **options,
    }
    return TransformerLM(ModelConfig(**config))  # type: ignore[arg-type]


IDS = torch.randint(30, (4, 8), generator=torch.Generator().manual_seed(0))

# --- norms ------------------------------------------------------------------------------------------------------------


def test_layers_are_read_from_names() -> None:
    assert layer_of("layers.12.attn.q_proj.weight") == 12
    assert layer_of("transformer.h.3.mlp.c_fc.weight") == 3
    assert layer_of("0.weight") == 0
    assert layer_of("ffn.w1.weight") is None and layer_of("lm_head.weight") is None


def test_gradient_norms_by_parameter_and_layer() -> None:
    model = language_model()
    model(IDS).square().mean().backward()
    frame = gradient_norms(model)
    assert list(frame.columns) == ["parameter", "layer", "size", "weight_norm", "gradient_norm"]
    params = dict(model.named_parameters())
    assert list(frame["parameter"]) == list(params)
    for row in frame.itertuples():
        assert row.gradient_norm == pytest.approx(params[row.parameter].grad.norm().item(), rel=1e-5)
        assert row.weight_norm == pytest.approx(params[row.parameter].norm().item(), rel=1e-5)
    layers = gradient_norms(model, by="layer")
    assert [name for name in layers["name"] if name.startswith("layer ")] == ["layer 0", "layer 1", "layer 2"]
    assert layers["size"].sum() == model.num_parameters()
    for row in layers[layers["layer"].notna()].itertuples():
        parts = [p.grad.norm() ** 2 for name, p in params.items() if name.startswith(f"layers.{row.layer}.")]
        assert row.gradient_norm == pytest.approx(math.sqrt(sum(parts).item()), rel=1e-5)
    total = torch.nn.utils.get_total_norm([p.grad for p in params.values()])
    assert math.hypot(*layers["gradient_norm"]) == pytest.approx(total.item(), rel=1e-5)


def test_parameters_without_a_gradient_have_no_norm() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with pytest.raises(ValueError, match="model has no gradients"):
        gradient_norms(model)
    model[0](torch.ones(1, 2)).sum().backward()
    frame = gradient_norms(model).set_index("parameter")["gradient_norm"]
    assert frame["0.weight"] > 0 and math.isnan(frame["1.weight"])
    assert math.isnan(gradient_norms(model, by="layer")["gradient_norm"][1])
    model[0].weight.grad[0, 0] = math.nan
    assert math.isnan(gradient_norms(model).set_index("parameter")["gradient_norm"]["0.weight"])
    with pytest.raises(ValueError, match="by is 'module'"):
        gradient_norms(model, by="module")  # type: ignore[arg-type]


def test_update_norms() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with torch.no_grad():
        model[0].weight.fill_(3)
    before = snapshot(model)
    with torch.no_grad():
        model[0].weight.add_(0.3)
    frame = update_norms(model, before).set_index("parameter")
    assert frame.loc["0.weight"][["weight_norm", "update_norm", "relative_update"]].tolist() == pytest.approx(
        [6, 0.6, 0.1]
    )
    assert frame.loc["1.weight", "update_norm"] == 0
    by_layer = update_norms(model, before, by="layer")
    assert by_layer["update_norm"].tolist() == pytest.approx([0.6, 0])
    with pytest.raises(ValueError, match=r"no '0\.weight' of shape \(2, 2\)"):
        update_norms(model, {})


# --- activations ------------------------------------------------------------------------------------------------------


def test_activation_stats() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    x = torch.randn(5, 3)
    frame = activation_stats(model, x)
    assert list(frame["module"]) == ["0", "1", "2"] and list(frame["kind"]) == ["Linear", "ReLU", "Linear"]
    hidden = model[:2](x)
    row = frame.iloc[1]
    assert row["mean"] == pytest.approx(hidden.mean().item(), rel=1e-5)
    assert row["rms"] == pytest.approx(hidden.square().mean().sqrt().item(), rel=1e-5)
    assert row["max_abs"] == pytest.approx(hidden.abs().max().item())
    assert row["zeros"] == pytest.approx((hidden == 0).float().mean().item())
    assert list(
        activation_stats(model, x, select=lambda name, module: isinstance(module, nn.ReLU))["module"]
    ) == ["1"]
    assert not any(module._forward_hooks for module in model.modules())


def test_hooks_are_taken_off_when_the_model_fails() -> None:
    model = nn.Sequential(nn.Linear(3, 4))
    for look in (activation_stats, attention_logit_max):
        with pytest.raises(RuntimeError):
            look(model, torch.ones(1, 5))
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize("num_kv_heads", [2, 1])
@pytest.mark.parametrize("qk_norm", [False, True])
def test_attention_logits_of_the_courses_model(num_kv_heads: int, qk_norm: bool) -> None:
    model = language_model(num_kv_heads=num_kv_heads, qk_norm=qk_norm)
    frame = attention_logit_max(model, IDS)
    assert list(frame["layer"]) == [0, 0, 1, 1, 2, 2] and list(frame["head"]) == [0, 1] * 3
    assert list(frame["module"].unique()) == ["layers.0.attn", "layers.1.attn", "layers.2.attn"]
    with torch.no_grad():
        x = model.layers[0].ln1(F.embedding(IDS, next(model.parameters())))
        q, k, _ = model.layers[0].attn.heads(x)
        k = k.repeat_interleave(2 // num_kv_heads, 1)
        logits = q @ k.mT / math.sqrt(q.shape[-1])
        logits = logits.masked_fill(~torch.ones(8, 8, dtype=torch.bool).tril(), -math.inf)
    assert frame["max_logit"][:2].tolist() == pytest.approx(logits.amax((0, 2, 3)).tolist(), rel=1e-4)
    weights = logits.softmax(-1)
    entropy = -(weights * weights.clamp(min=1e-30).log()).sum(-1).mean((0, 2))
    assert frame["entropy"][:2].tolist() == pytest.approx(entropy.tolist(), rel=1e-3)


class Attention(nn.Module):
    def __init__(self, **options: object) -> None:
        super().__init__()
        self.options = options

    def forward(self, q: Tensor, k: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, k, **self.options)  # type: ignore[arg-type]


def test_attention_logits_under_masks_and_scales() -> None:
    q = torch.randn(2, 3, 4, 8, generator=torch.Generator().manual_seed(1))
    k = torch.randn(2, 3, 5, 8, generator=torch.Generator().manual_seed(2))
    mask = torch.ones(4, 5, dtype=torch.bool).tril()
    scores = q @ k.mT
    plain = attention_logit_max(Attention(scale=0.5), q, k)["max_logit"]
    assert plain.tolist() == pytest.approx((0.5 * scores).amax((0, 2, 3)).tolist(), rel=1e-5)
    masked = attention_logit_max(Attention(scale=1.0, attn_mask=mask), q, k)["max_logit"]
    assert masked.tolist() == pytest.approx(
        scores.masked_fill(~mask, -math.inf).amax((0, 2, 3)).tolist(), rel=1e-5
    )
    added = attention_logit_max(Attention(scale=1.0, attn_mask=mask * 3.0), q, k)["max_logit"]
    assert added.tolist() == pytest.approx((scores + 3 * mask).amax((0, 2, 3)).tolist(), rel=1e-5)
    # Equal logits: every key gets the same weight.
    assert attention_logit_max(Attention(), 0 * q, k)["entropy"].tolist() == pytest.approx([math.log(5)] * 3)
    with pytest.raises(ValueError, match="no logits were seen"):
        attention_logit_max(nn.Linear(8, 8), q)


# --- spectra ----------------------------------------------------------------------------------------------------------


def with_singular_values(values: list[float], rows: int = 7, cols: int = 9) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    u = torch.linalg.qr(torch.randn(rows, len(values), generator=generator, dtype=torch.float64))[0]
    v = torch.linalg.qr(torch.randn(cols, len(values), generator=generator, dtype=torch.float64))[0]
    return u @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ v.T


def test_spectra_of_matrices_with_known_singular_values() -> None:
    matrix = with_singular_values([5.0, 4, 3, 2, 1, 0.5, 0.25])
    assert singular_values(matrix).tolist() == pytest.approx([5, 4, 3, 2, 1, 0.5, 0.25])
    assert condition_number(matrix).item() == pytest.approx(20)
    shares = np.array([5, 4, 3, 2, 1, 0.5, 0.25]) / 15.75
    assert effective_rank(matrix).item() == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))
    assert effective_rank(with_singular_values([2.0] * 5)).item() == pytest.approx(5)
    assert effective_rank(with_singular_values([3.0])).item() == pytest.approx(1)
    assert condition_number(torch.eye(4)).item() == pytest.approx(1)
    assert condition_number(with_singular_values([1.0, 1.0])).item() == math.inf
    assert condition_number(torch.zeros(2, 2)).item() == math.inf
    assert condition_number(torch.randn(2, 5, 3, 4).bfloat16()).shape == (2, 5)


@given(
    rows=st.integers(1, 8), cols=st.integers(1, 8), seed=st.integers(0, 2**31), factor=st.floats(1e-3, 1e3)
)
def test_spectra_against_numpy(rows: int, cols: int, seed: int, factor: float) -> None:
    matrix = factor * torch.randn(
        3, rows, cols, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    expected = np.linalg.svd(matrix.numpy(), compute_uv=False)
    np.testing.assert_allclose(singular_values(matrix).numpy(), expected, rtol=1e-8)
    np.testing.assert_allclose(condition_number(matrix).numpy(), np.linalg.cond(matrix.numpy()), rtol=1e-5)
    rank = effective_rank(matrix).numpy()
    assert (rank >= 1 - 1e-9).all() and (rank <= min(rows, cols) + 1e-9).all()
    np.testing.assert_allclose(rank, effective_rank(7 * matrix.mT).numpy(), rtol=1e-8)


def test_wrong_matrices_are_named() -> None:
    with pytest.raises(ValueError, match=r"matrix has shape \(3,\)"):
        singular_values(torch.ones(3))
    with pytest.raises(ValueError, match="matrix holds NaN"):
        condition_number(torch.full((2, 2), math.nan))


# --- trajectories -----------------------------------------------------------------------------------------------------


def test_pca_of_a_path_against_numpy() -> None:
    path = torch.randn(12, 50, generator=torch.Generator().manual_seed(0)).cumsum(0)
    projection = trajectory_projection(list(path))
    centred = (path - path[-1]).numpy().astype(float)
    _, s, vh = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(projection.explained.numpy(), s[:2] ** 2 / (s**2).sum(), rtol=1e-4)
    for axis in range(2):
        assert abs(float(projection.directions[axis].numpy() @ vh[axis])) == pytest.approx(1, abs=1e-4)
    expected = np.abs(centred @ vh[:2].T)
    np.testing.assert_allclose(projection.coordinates.abs().numpy(), expected, atol=1e-3)
    assert projection.coordinates[-1].tolist() == [0, 0]
    assert (projection.coordinates[0] <= 0).all()
    frame = projection.frame()
    assert list(frame.columns) == ["snapshot", "x", "y"] and len(frame) == 12


def test_a_path_in_a_plane_is_shown_whole() -> None:
    plane = torch.linalg.qr(torch.randn(40, 2, generator=torch.Generator().manual_seed(3)))[0].T
    points = torch.randn(9, 2, generator=torch.Generator().manual_seed(4))
    projection = trajectory_projection(list(points @ plane))
    assert projection.explained.sum().item() == pytest.approx(1, rel=1e-4)
    for x, y, point in zip(*projection.coordinates.T.tolist(), points @ plane, strict=True):
        torch.testing.assert_close(projection.point(x, y), point, rtol=1e-4, atol=1e-4)


def test_random_directions_are_orthonormal_seeded_and_see_little() -> None:
    path = list(torch.randn(10, 1000, generator=torch.Generator().manual_seed(0)).cumsum(0))
    first, again, other = (trajectory_projection(path, "random", seed=seed) for seed in (1, 1, 2))
    torch.testing.assert_close(first.directions @ first.directions.T, torch.eye(2), rtol=1e-4, atol=1e-4)
    assert torch.equal(first.directions, again.directions) and not torch.equal(
        first.directions, other.directions
    )
    assert first.explained.sum() < 0.05 < trajectory_projection(path).explained.sum()


def test_loss_on_the_plane_and_the_model_put_back() -> None:
    model = nn.Linear(2, 1, bias=False)
    path = [{"weight": torch.tensor([[a, b]])} for a, b in ((4.0, 0.0), (2.0, 1.0), (1.0, 0.0), (0.0, 0.0))]
    projection = trajectory_projection(path)
    before = model.weight.detach().clone()
    frame = loss_on_plane(
        model, projection, lambda m: m.weight.square().sum(), [-1.0, 0.0, 2.0], np.array([0.0, 3.0])
    )
    assert list(frame.columns) == ["x", "y", "loss"] and len(frame) == 6
    # The plane is the whole space here and distances are kept.
    np.testing.assert_allclose(frame["loss"], frame["x"] ** 2 + frame["y"] ** 2, atol=1e-5)
    assert torch.equal(model.weight, before)
    with pytest.raises(RuntimeError, match="broken"):
        loss_on_plane(
            model, projection, lambda m: (_ for _ in ()).throw(RuntimeError("broken")), [1.0], [1.0]
        )
    assert torch.equal(model.weight, before)
    with pytest.raises(ValueError, match="model has 6 trainable parameters, the projection 2"):
        loss_on_plane(nn.Linear(2, 2), projection, lambda m: 0.0, [0.0], [0.0])


def test_wrong_snapshots_are_named() -> None:
    with pytest.raises(ValueError, match="2 snapshots were given"):
        trajectory_projection([torch.zeros(3)] * 2)
    with pytest.raises(ValueError, match="all equal"):
        trajectory_projection([torch.zeros(3)] * 4)
    with pytest.raises(ValueError, match=r"different sizes: \[3, 4\]"):
        trajectory_projection([torch.zeros(3), torch.zeros(4), torch.zeros(3)])
    with pytest.raises(ValueError, match="method is 'tsne'"):
        trajectory_projection([torch.zeros(3)] * 3, "tsne")  # type: ignore[arg-type]


# --- memory -----------------------------------------------------------------------------------------------------------


def test_saved_bytes_counts_each_memory_once_and_no_parameter() -> None:
    layer = nn.Linear(10, 20, bias=False)
    x = torch.randn(8, 10)
    with saved_bytes() as saved:
        y = layer(x)  # keeps x
        y.exp()  # keeps its result
    assert saved.total == x.nbytes + y.nbytes
    with saved_bytes() as saved:
        x @ layer.weight.T  # a view of a parameter is not counted either
    assert saved.total == x.nbytes
    with saved_bytes(x) as saved:
        layer(x).exp()
    assert saved.total == y.nbytes
    with saved_bytes() as saved:
        z = torch.randn(100, requires_grad=True)
        z[:50] * z[50:]  # two views of one memory
    assert saved.total == 400
    assert saved.frame()["shape"].tolist() == [(50,), (50,)]
    assert saved.frame()["counted"].tolist() == [True, False]


def test_saved_bytes_counts_only_inside_its_block_and_leaves_the_gradient_alone() -> None:
    x = torch.randn(6, requires_grad=True)
    with saved_bytes() as saved:
        y = x.exp()
    before = saved.total
    y.square().sum().backward()
    assert saved.total == before == 24
    torch.testing.assert_close(x.grad, 2 * (2 * x.detach()).exp())
