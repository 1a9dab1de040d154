"""Chapter 3's experiments: against torch, closed forms and layers worked out by hand."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional

from course_lib.chapters.ch03_gating.experiments import activations, gating
from course_lib.lab.hooks import watch_outputs
from course_lib.lab.small_runs import SmallRun, new_model, small_config, validation_loss
from course_lib.model import FFN, GatedFFN, TransformerLM


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

    def test_costs_name_the_bytes(self) -> None:
        frame = activations.ffn_costs(width=24, tokens=8, repeats=1).set_index("ffn")
        assert frame["parameters"].nunique() == 1  # 8/3 of 24 is a whole number
        assert frame["megabytes"]["swiglu"] == pytest.approx(8 * 4 * 8 * 64 / 1e6)
        assert frame["megabytes"]["swiglu, formula"] > 2 * frame["megabytes"]["swiglu"]
        # ReLU forward reads and writes 8 x 96; backward it reads gradient and result and writes.
        assert frame["megabytes"]["relu"] == pytest.approx(5 * 4 * 8 * 96 / 1e6, rel=0.01)


class TestComparison:
    def test_parameters_are_equal(self) -> None:
        counts = {
            name: TransformerLM(gating.gating_config(name)).num_parameters() for name in gating.ACTIVATIONS
        }
        assert max(counts.values()) / min(counts.values()) < 1.002

    def test_differences_are_paired_by_seed_and_rate(self) -> None:
        rows = [("relu", 0.1, 0, 2.0), ("relu", 0.1, 1, 3.0), ("relu", 0.2, 0, 4.0)]
        rows += [("silu", 0.2, 0, 5.0), ("silu", 0.1, 1, 2.5), ("silu", 0.1, 0, 2.1)]
        finals = pd.DataFrame(rows, columns=["activation", "lr", "seed", "validation_loss"])
        frame = gating.differences(finals)
        assert frame["difference"].tolist() == pytest.approx([1.0, -0.5, 0.1])
        assert set(frame["activation"]) == {"silu"}

    def test_the_rate_falls_to_zero(self) -> None:
        run = gating.gating_run("silu", lr=0.02)
        assert run.schedule(0) == 1 and run.schedule(run.steps - 1) == pytest.approx(1 / run.steps)

    def test_runs_carry_labels(self, monkeypatch: pytest.MonkeyPatch) -> None:
        full = gating.gating_run
        monkeypatch.setattr(
            gating, "gating_run", lambda *args, **options: replace(full(*args, **options), steps=2)
        )
        runs = gating.gating_runs(("relu", "glu"), (0.01, 0.02), seeds=(5,))
        assert runs.finals[["activation", "lr", "seed"]].to_numpy().tolist() == [
            ["relu", 0.01, 5],
            ["glu", 0.01, 5],
            ["relu", 0.02, 5],
            ["glu", 0.02, 5],
        ]


class TestHiddenUnits:
    def test_stats_are_counted_on_the_hidden_values(self, model: TransformerLM) -> None:
        ffn = model.layers[1].ffn
        with torch.no_grad():
            ffn.w1.weight[:3] = 0  # three of twelve units can never be anything but 0
        with watch_outputs([ffn.w1]) as seen:
            frame = gating.hidden_stats(model)
        assert frame["layer"].tolist() == [1, 2] and frame["dead"][1] == pytest.approx(0.25)
        assert frame["zeros"][1] == pytest.approx(float((seen[0] <= 0).float().mean()))
        assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.modules())

    def test_keeping_everything_changes_nothing(self, model: TransformerLM) -> None:
        frame = gating.keep_largest({"relu": model}, (0.25, 1.0)).set_index("kept")["loss"]
        assert frame[1.0] == pytest.approx(validation_loss(model), rel=1e-6)
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

    def test_dead_units_come_with_large_steps(self) -> None:
        frame = gating.dead_units(("relu",), (0.003, 0.1), (0,)).set_index("lr")["dead"]
        assert frame[0.1] > frame[0.003] + 0.1


class TestGates:
    def test_two_units_multiply(self) -> None:
        x = torch.tensor([[3.0, -2.0], [-1.5, -4.0], [0.0, 7.0], [-2.0, 0.5]])
        assert gating.multiplier()(x).tolist() == [[-6.0, 0.0], [6.0, 0.0], [0.0, 0.0], [-1.0, 0.0]]

    def test_a_gate_learns_the_product_better(self) -> None:
        frame = gating.learn_product({"relu": 12, "swiglu": 8}, seeds=3, steps=200)
        assert frame.groupby("activation")["seed"].apply(list).tolist() == [[0, 1, 2]] * 2
        median = frame.groupby("activation")["error"].median()
        assert median["swiglu"] < 0.5 * median["relu"] < 0.5
        pd.testing.assert_frame_equal(
            frame, gating.learn_product({"relu": 12, "swiglu": 8}, seeds=3, steps=200)
        )

    def test_equal_layers_have_equal_parameters(self) -> None:
        plain, gated = FFN(2, 12, "relu"), GatedFFN(2, 8, "swiglu")
        assert sum(p.numel() for p in plain.parameters()) == sum(p.numel() for p in gated.parameters())
