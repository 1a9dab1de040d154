"""Chapter 2's experiments against torch, closed forms and networks built by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from course_lib.chapters.ch02_normalization.experiments import (
    deep,
    norm_cost,
    normalization,
    theorem,
)
from course_lib.data import get_batch
from course_lib.lab.small_runs import (
    SmallRun,
    new_model,
    story_bytes,
)
from course_lib.loss import cross_entropy
from course_lib.model import CausalSelfAttention, TransformerLM, deepnorm_constants


class TestTheorem:
    @pytest.mark.parametrize("attends", theorem.ATTENDS)
    def test_the_stack_is_the_papers(self, attends: str) -> None:
        """Uniform attention, one value matrix, one ReLU layer, no scale: written out for one post-norm block."""
        (block,) = theorem.theorem_stack("post", 1, 6, attends=attends)
        x = torch.randn(5, 6)
        averages = {
            "all": x.mean(0).expand(5, 6),
            "past": torch.stack([x[: token + 1].mean(0) for token in range(5)]),
            "self": x,
        }[attends]
        u = nn.functional.layer_norm(x + averages @ block.attn.v_proj.weight.T, (6,))
        hidden = (u @ block.ffn.w1.weight.T).relu()
        expected = nn.functional.layer_norm(u + hidden @ block.ffn.w2.weight.T, (6,))
        torch.testing.assert_close(block(x), expected)
        assert block.ffn.w1.weight.shape == (6, 6)

    def test_the_mask_is_that_of_our_models(self) -> None:
        attention = CausalSelfAttention(6, 1, 1)
        nn.init.zeros_(attention.q_proj.weight)
        nn.init.eye_(attention.output_proj.weight)
        uniform = theorem.UniformAttention(6, "past")
        uniform.v_proj.weight = attention.v_proj.weight
        x = torch.randn(5, 6)
        torch.testing.assert_close(uniform(x), attention(x))

    def test_results_are_tidy_and_seeded(self) -> None:
        frame = theorem.gradient_at_init((1, 2), (8,), seeds=2, draws=2)
        assert len(frame) == 2 * 2 * 2 * 2
        assert not frame.isna().any().any() and (frame["gradient_norm"] > 0).all()
        again = theorem.gradient_at_init((2,), (8,), seeds=2, draws=2)
        same = frame[frame["depth"] == 2].reset_index(drop=True)
        pd.testing.assert_frame_equal(same, again)

    def test_the_gradient_is_that_of_the_whole_network(self) -> None:
        """Only the last block has a graph; a network with a full graph gives the same norm."""
        torch.manual_seed(3)
        blocks = theorem.theorem_stack("pre", 3, 8)
        head, x = torch.randn(11, 8), torch.randn(4, 8)
        vectors, hidden = theorem.last_vectors(blocks, x)
        targets = torch.tensor([1, 2, 3, 4])
        weight = blocks[-1].get_parameter("ffn.w2.weight")
        norm = theorem._typical_norm(vectors @ head.T, targets[None], weight)
        for block in blocks:
            x = block(x)
        full = nn.functional.layer_norm(x, (8,)) @ head.T
        nn.functional.cross_entropy(full, targets).backward()
        assert norm == pytest.approx(float(weight.grad.norm()), rel=1e-5)
        assert hidden.shape == (4, 8) and (hidden >= 0).all()

    def test_the_typical_norm_is_a_root_mean_square(self) -> None:
        matrix = torch.tensor([[1.0, 2.0]], requires_grad=True)
        logits = (matrix.T @ torch.ones(1, 2)).T
        norms = [theorem._typical_norm(logits, torch.tensor([[row, row]]), matrix) for row in (0, 1)]
        both = theorem._typical_norm(logits, torch.tensor([[0, 0], [1, 1]]), matrix)
        assert both == pytest.approx((sum(norm**2 for norm in norms) / 2) ** 0.5)
        # p - e for the wrong class is e times that for the right one: the logits differ by 1.
        assert norms[0] == pytest.approx(np.e * norms[1], rel=1e-5)

    def test_heads_share_their_random_numbers(self) -> None:
        """A head of variance 1/d is the wide one divided: with d = 1 they are the same."""
        frame = theorem.gradient_at_init((1,), (2, 8), seeds=1, draws=2, heads=[*theorem.HEADS], vocab_size=8)
        norms = frame.pivot_table(
            index=["placement", "loss", "width"], columns="head", values="gradient_norm"
        )
        assert (norms["variance 1"] > norms["variance 1/d"]).all()
        squared = norms.xs(8, level="width")  # 2 / (V + d) is 1/d where V = d
        np.testing.assert_allclose(squared["Xavier"], squared["variance 1/d"], rtol=1e-6)

    def test_exponents_of_powers_are_found(self) -> None:
        rows = [
            (name, depth, seed, "one token", (1 + seed) * depth**power)
            for name, power in (("post", 0.0), ("pre", -0.5))
            for depth in (2, 4, 8)
            for seed in (0, 1)
        ]
        results = pd.DataFrame(rows, columns=["placement", "depth", "seed", "loss", "gradient_norm"])
        slopes = theorem.exponents(results, "depth")
        np.testing.assert_allclose(slopes, [[0, -0.5]] * 2, atol=1e-12)

    def test_similarity(self) -> None:
        assert normalization.similarity(torch.tensor([[2.0, 0.0], [1.0, 0.0]])) == pytest.approx(1)
        assert normalization.similarity(torch.eye(3)) == pytest.approx(0)


class TestLanguageModels:
    def test_gradients_by_layer_are_autograds(self) -> None:
        frame = normalization.gradient_by_layer("pre", 2, 16, 0.5)
        assert list(frame["layer"]) == [1, 2]
        model = normalization._language_model("pre", 2, 16, 0.5, "at initialization", 0)
        x, y = get_batch(story_bytes(), 2, 32, generator=torch.Generator().manual_seed(0))
        cross_entropy(model(x), y).backward()
        squares = sum(float(p.grad.square().sum()) for p in model.layers[1].parameters())
        assert frame["gradient_norm"].iloc[1] == pytest.approx(squares**0.5, rel=1e-5)

    def test_the_gain_scales_the_matrices_of_the_layers_only(self) -> None:
        one, two = (
            normalization._language_model("pre", 1, 16, gain, "at initialization", 0) for gain in (1.0, 2.0)
        )
        torch.testing.assert_close(two.layers[0].ffn.w1.weight, 2 * one.layers[0].ffn.w1.weight)
        torch.testing.assert_close(two.lm_head.weight, one.lm_head.weight)
        torch.testing.assert_close(two.layers[0].ln1.weight, one.layers[0].ln1.weight)

    def test_ends_are_compared_by_a_geometric_mean(self) -> None:
        ratio = normalization.first_over_last("pre", 2, 0.5, width=16, seeds=2)
        frames = [normalization.gradient_by_layer("pre", 2, 16, 0.5, seed=seed) for seed in (0, 1)]
        ratios = [frame["gradient_norm"].iloc[0] / frame["gradient_norm"].iloc[1] for frame in frames]
        assert ratio == pytest.approx((ratios[0] * ratios[1]) ** 0.5)

    def test_the_growth_of_a_stream(self) -> None:
        frame = normalization.evenness((1.0, 1e-4), depth=2, width=16, seeds=1).set_index("gain")
        assert frame["growth"][1e-4] == pytest.approx(1, rel=1e-3) and frame["growth"][1.0] > 1.2
        layers = normalization.gradient_by_layer("pre", 2, 16, 1.0)["gradient_norm"]
        assert frame["first_over_last"][1.0] == pytest.approx(layers.iloc[0] / layers.iloc[1])


class TestDeepNetworks:
    def network(self, arm: str, depth: int = 3) -> TransformerLM:
        config = normalization.relu_config("pre", depth, 16, num_heads=2, context_length=16, position="none")
        model = new_model(SmallRun(config=config), 0)
        for layer in model.layers:
            deep.arrange(layer, deep.ARMS[arm], depth)
        if arm != "pre":
            model.ln_final = None
        return model

    @pytest.mark.parametrize("arm", ["post", "deepnorm"])
    def test_arranged_layers_are_those_of_the_library(self, arm: str) -> None:
        config = normalization.relu_config(arm, 3, 16, num_heads=2, context_length=16, position="none")
        library, arranged = new_model(SmallRun(config=config), 1), self.network(arm)
        library.load_state_dict(arranged.state_dict())
        x = torch.randint(256, (2, 16))
        torch.testing.assert_close(library(x), arranged(x))

    def test_deepnorms_beta_multiplies_what_the_library_multiplies(self) -> None:
        plain, scaled = self.network("pre").layers[0], self.network("deepnorm").layers[0]
        _, beta = deepnorm_constants(3)
        for name, weight in plain.named_parameters():
            small = not name.startswith(("ln", "attn.q", "attn.k"))
            torch.testing.assert_close(scaled.get_parameter(name), (beta if small else 1) * weight)

    def test_arms_solve_the_equation(self) -> None:
        for arm in ("deepnorm", "all in alpha", "all in beta"):
            alpha, beta = deep.ARMS[arm](50)
            assert 4 * 50 * beta**2 / alpha**2 == pytest.approx(1)

    @pytest.mark.parametrize("rule", ["sgd", "adam"])
    def test_a_step_is_that_of_the_optimizer(self, rule: str) -> None:
        frame = deep.one_step(("deepnorm",), {2: [0]}, width=16, probes=[(rule, "all")])
        config = normalization.relu_config("pre", 2, 16, num_heads=2, context_length=16, position="none")
        model = new_model(SmallRun(config=config), 0).double()
        model.ln_final = None
        for layer in model.layers:
            deep.arrange(layer, deepnorm_constants, 2)
        x, logits = normalization.backward(model, batch_size=2, seed=0)
        if rule == "sgd":
            optimizer: torch.optim.Optimizer = torch.optim.SGD(model.parameters(), 1e-6)
        else:
            optimizer = torch.optim.Adam(model.parameters(), 1e-6)
        optimizer.step()
        with torch.no_grad():
            change = float((model(x) - logits).norm() / logits.norm()) / 1e-6
        assert frame["change"].item() == pytest.approx(change, rel=1e-5)

    def test_parts_are_moved_alone_and_taken_back(self) -> None:
        probes = [("sgd", part) for part in ("matrices", "norms", "all", "matrices")]
        changes = deep.one_step(("deepnorm", "pre"), {2: [0]}, width=16, probes=probes)
        first, norms, everything, again = changes[changes["arm"] == "deepnorm"]["change"]
        assert again == pytest.approx(first) and 0 < first < everything > norms > 0
        alone = deep.one_step(("pre",), {2: [0]}, width=16, probes=[("sgd", "all")])
        beside = changes[(changes["arm"] == "pre") & (changes["part"] == "all")]
        assert alone["change"].item() == pytest.approx(beside["change"].item())
        assert deep._part("layers.0.ln1.weight") == "norms" and deep._part("ln_final.weight") == "ends"
        assert deep._part("layers.11.attn.q_proj.weight") == "matrices"

    def test_deepnorm_keeps_gradients_even(self) -> None:
        frame = deep.one_step(("deepnorm", "pre"), {24: [0]}, probes=[("sgd", "all")]).set_index("arm")
        assert 0.5 < frame["first_over_last"]["deepnorm"] < 2 < frame["first_over_last"]["pre"]
        assert frame["change"]["deepnorm"] < frame["change"]["pre"]

    def test_growth_is_a_power_of_the_depth(self) -> None:
        rows = [
            ("deepnorm", depth, seed, "sgd", "all", 3 * depth**0.5)
            for depth in (100, 10, 30)
            for seed in (0, 1)
        ]
        rows += [("deepnorm", 10, 2, "sgd", "all", 1.0)]
        columns = ["arm", "depth", "seed", "rule", "part", "change"]
        found = deep.growth(pd.DataFrame(rows, columns=columns))
        assert list(found["seed"]) == [0, 1]
        np.testing.assert_allclose(found["exponent"], 0.5)


class TestCosts:
    def test_passes_are_counted(self) -> None:
        frame = norm_cost.norm_costs(64, 128, repeats=1).set_index(["norm", "direction"])
        passes = frame["passes"]
        # x is squared (2), averaged (1), scaled (2), weighted (2); rows and weights are small change.
        assert passes["RMSNorm, formula", "forward"] == pytest.approx(7, abs=0.2)
        assert passes["LayerNorm, F.layer_norm", "forward"] == pytest.approx(2, abs=0.1)
        assert passes["RMSNorm, our kernel", "forward and backward"] == 5
        assert (frame["cpu_seconds"] >= 0).all()
        assert frame["flops"]["RMSNorm, formula", "forward"] == 4 * 64 * 128

    def test_shares_of_a_step(self) -> None:
        frame = norm_cost.share_of_step(width=32, num_layers=1, batch_size=1, tokens=16, repeats=1)
        assert frame["flops_share"].between(0, 0.1).all() and (frame["time_share"] > 0).all()
