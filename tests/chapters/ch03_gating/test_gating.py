"""Chapter 3's experiments: against torch, closed forms and layers worked out by hand."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from course_lib.chapters.ch03_gating.experiments import activations, gating
from course_lib.lab.hooks import watch_outputs
from course_lib.lab.small_runs import SmallRun, new_model, small_config, validation_loss
from course_lib.model import TransformerLM


@pytest.fixture
def model() -> TransformerLM:
    config = small_config(d_model=16, num_layers=2, num_heads=2, context_length=8, activation="relu", d_ff=12)
    return new_model(SmallRun(config=config), 0)


class TestCurves:
    def test_values_and_slopes_are_torchs(self) -> None:
        frame = activations.curves(("gelu", "silu"), points=11)
        z = torch.tensor(frame["z"][:11].to_numpy(), requires_grad=True)
        for name, function in (("gelu", functional.gelu), ("silu", functional.silu)):
            rows = frame[frame["activation"] == name]
            value = function(z)
            (slope,) = torch.autograd.grad(value.sum(), z)
            np.testing.assert_allclose(rows["value"], value.detach(), atol=1e-12)
            np.testing.assert_allclose(rows["slope"], slope, atol=1e-12)

    def test_moments_have_closed_forms(self) -> None:
        frame = activations.moments(("relu", "relu2")).set_index("activation")
        # E[z; z > 0] = 1 / sqrt(2 pi), E[z²; z > 0] = 1/2, E[z⁴; z > 0] = 3/2, E[4 z²; z > 0] = 2
        assert frame.loc["relu", "mean"] == pytest.approx(1 / math.sqrt(2 * math.pi), rel=1e-4)
        assert frame.loc["relu", ["power", "slope_power"]].tolist() == pytest.approx([0.5, 0.5], rel=1e-3)
        assert frame.loc["relu2", ["mean", "power", "slope_power"]].tolist() == pytest.approx(
            [0.5, 1.5, 2.0], rel=1e-4
        )

    def test_moments_of_gelu_by_sampling(self) -> None:
        z = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0))
        power = float(functional.gelu(z).square().mean())
        assert activations.moments(("gelu",))["power"][0] == pytest.approx(power, rel=0.01)

    def test_one_layer_keeps_the_size_and_relu_keeps_it_on(self) -> None:
        frame = activations.size_through_chain(depth=6, width=256)
        first = frame[frame["layer"] == 1].groupby("activation")["size"].mean()
        # relu2 has a heavy tail, hence the wider bound
        assert (first[["relu", "gelu", "silu"]] - 1).abs().max() < 0.2 and abs(first["relu2"] - 1) < 0.4
        relu = frame[(frame["activation"] == "relu") & (frame["layer"] == 6)]
        assert relu["size"].between(0.4, 2.5).all() and relu["gradient"].eq(1).all()
        assert (frame.loc[frame["layer"] == 0, "size"] - 1).abs().max() < 0.1

    def test_landmarks_are_the_zeros_of_the_slope(self) -> None:
        frame = activations.landmarks(activations.curves(points=8001)).set_index("activation")
        for name in ("gelu", "silu"):
            z = torch.tensor(frame.loc[name, "at"], dtype=torch.float64, requires_grad=True)
            value = getattr(functional, name)(z)
            (slope,) = torch.autograd.grad(value, z)
            assert abs(float(slope)) < 1e-3 and value.item() == pytest.approx(
                frame.loc[name, "lowest"], abs=1e-6
            )
        assert frame.loc["relu"].tolist() == [0, -2, 1]

    def test_a_function_without_a_scale_keeps_sizes(self) -> None:
        frame = activations.size_through_chain((activations.LEAKY,), depth=6, width=128, seeds=(0, 1))
        assert frame.loc[frame["layer"] == 6, "size"].between(0.4, 2.5).all()

    def test_widths_are_timed_for_each_parameter(self) -> None:
        frame = activations.width_costs((32, 33, 48), d_model=16, tokens=8, repeats=1)
        assert frame["divides"].tolist() == [32, 1, 16]
        assert frame["parameters"].tolist() == [3 * 16 * width for width in (32, 33, 48)]
        times = frame["cpu_seconds"] / frame["parameters"]
        assert frame["relative_time"].tolist() == pytest.approx((times / times[0]).tolist())

    def test_costs_name_the_bytes(self) -> None:
        frame = activations.ffn_costs(width=24, tokens=8, repeats=1).set_index("ffn")
        assert frame["parameters"].nunique() == 1  # 8/3 of 24 is 64
        assert frame["megabytes"]["swiglu"] == pytest.approx(8 * 4 * 8 * 64 / 1e6)
        assert frame["megabytes"]["swiglu, formula"] > 2 * frame["megabytes"]["swiglu"]
        # ReLU forward reads and writes 8 x 96; backward it reads gradient and result and writes.
        assert frame["megabytes"]["relu"] == pytest.approx(5 * 4 * 8 * 96 / 1e6, rel=0.01)


class TestHiddenUnits:
    def test_stats_are_counted_on_the_units(self, model: TransformerLM) -> None:
        with watch_outputs([layer.ffn.w1 for layer in model.layers]) as seen:
            frame = gating.hidden_stats(model)
        assert frame["layer"].tolist() == [1, 2]
        z = seen[1].flatten(0, -2).numpy()
        hidden = np.maximum(z, 0)
        assert frame["positive"][1] == pytest.approx((z > 0).mean())
        assert frame["zeros"][1] == pytest.approx((z <= 0).mean())
        assert frame["slope"][1] == float(np.quantile(z, 0.5, method="lower") > 0)
        assert frame["small"][1] == pytest.approx(
            (hidden < 0.1 * np.sqrt((hidden**2).mean())).mean(), abs=1e-4
        )
        assert frame["kurtosis"][1] == pytest.approx((hidden**4).mean() / (hidden**2).mean() ** 2, rel=1e-3)
        assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.modules())

    def test_a_normal_input_has_the_kurtosis_3(
        self, monkeypatch: pytest.MonkeyPatch, model: TransformerLM
    ) -> None:
        values = torch.randn(100_000, 4, generator=torch.Generator().manual_seed(0))
        monkeypatch.setattr(gating, "units", lambda *_, **__: [values])
        assert gating.hidden_stats(model)["kurtosis"][0] == pytest.approx(3, abs=0.1)

    def test_keeping_everything_changes_nothing(self, model: TransformerLM) -> None:
        frame = gating.keep_largest({"relu": model}, (0.25, 1.0)).set_index("kept")["loss"]
        assert frame[1.0] == pytest.approx(validation_loss(model, text=gating.TEXT), rel=1e-6)
        assert frame[0.25] != frame[1.0]

    def test_the_largest_values_are_kept(self) -> None:
        h = torch.tensor([[0.1, -5.0, 2.0, 0.0], [1.0, 0.5, 0.2, -0.1]])
        kept = gating._Keep(0.5)(nn.Identity(), (h,))
        assert kept.tolist() == [[0.0, -5.0, 2.0, 0.0], [1.0, 0.5, 0.0, 0.0]]
        assert int((gating._Keep(0.01)(nn.Identity(), (h,)) != 0).sum()) == 2  # at least one a token

    def test_histograms_add_up(self, model: TransformerLM) -> None:
        frame = gating.histograms({"relu": model}, bins=12)
        sums = frame.groupby(["when", "layer", "what"])["share"].sum()
        assert len(sums) == 8 and sums.between(0.99, 1 + 1e-9).all()
        # Before training means new: the model given is a new one of the same seed.
        before, after = (part["share"].to_numpy() for _, part in frame.groupby("when"))
        np.testing.assert_array_equal(before, after)
        negative = frame[(frame["what"] == "hidden") & (frame["x"] < -0.5)]
        assert negative["share"].max() == 0
