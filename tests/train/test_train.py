"""Training: it learns, it can be killed, it says what went wrong, and it is the same on several processes."""

import dataclasses
import json
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from course_lib.accounting import parameters
from course_lib.data import TokenFile
from course_lib.errors import FormatError
from course_lib.loss import cross_entropy
from course_lib.model import TransformerLM
from course_lib.tokenizer import Tokenizer, train_bpe
from course_lib.train import (
    DivergedError,
    LanguageModelLoss,
    TrainConfig,
    TrainState,
    checkpoints,
    evaluate,
    latest_checkpoint,
    load_model,
    read_metrics,
    train,
)
from course_lib.train import resources as train_resources
from course_lib.train.optimizers import learning_rate
from tests.train.conftest import Corpus, losses

SCRIPT = """
import gc, sys
from pathlib import Path
from course_lib.train import TrainConfig, train
train(TrainConfig.from_toml(sys.argv[1]), resume=True)
gc.collect()
threads = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]  # on Linux only
assert not any("runloop" in name for name in threads), f"threads outlive the process group: {threads}"
"""


def test_it_learns_and_leaves_what_it_promises(corpus: Corpus, tmp_path: Path) -> None:
    config = corpus.config(
        tmp_path / "run", steps=60, eval_every=20, sample_every=30, sample_tokens=10,
        tokenizer=str(corpus.folder / "tokenizer.json"), keep_checkpoints=2,
    )  # fmt: skip
    seen: list[TrainState] = []
    result = train(config, callbacks=[seen.append], progress=False)
    records = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert records == result.records
    assert [state.step for state in seen] == [record["step"] for record in records] == list(range(1, 61))
    assert result.losses[60] < result.losses[1] - 1
    assert [r["step"] for r in records if "valid_loss" in r] == [20, 40, 60]
    assert result.valid_loss is not None and result.valid_loss < 5
    # Two batches of eight windows of 32 targets: their bytes, decoded.
    targets = TokenFile.open(corpus.folder / "valid.bin")[1 : 2 * 8 * 32 + 1]
    num_bytes = len(Tokenizer.load(corpus.folder / "tokenizer.json").decode_bytes(targets))
    in_bits = records[-1]["valid_loss"] * 512 / math.log(2) / num_bytes
    assert records[-1]["valid_bits_per_byte"] == pytest.approx(in_bits)
    assert [r["step"] for r in records if r.get("sample", "").startswith("Once upon a time")] == [30, 60]
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["step_00000055", "step_00000060"]
    assert result.checkpoint == latest_checkpoint(tmp_path / "run")
    assert TrainConfig.from_toml(tmp_path / "run" / "config.toml") == config
    loaded, loaded_config = load_model(tmp_path / "run")
    assert loaded_config == config and not loaded.training
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, result.model.state_dict()[name])


def test_callbacks_see_this_steps_gradients(corpus: Corpus, tmp_path: Path) -> None:
    def look(state: TrainState) -> None:
        norms = [float(p.grad.norm()) for p in state.model.parameters() if p.grad is not None]
        assert len(norms) == len(list(state.model.parameters()))
        total = sum(norm**2 for norm in norms) ** 0.5
        assert total == pytest.approx(min(state.gradient_norm, 0.5), rel=1e-4)

    train(corpus.config(tmp_path / "run", steps=4, clip_norm=0.5), callbacks=[look], progress=False)


@pytest.mark.parametrize("steps_before", [1, 5, 13])
def test_a_stopped_run_resumes_to_the_same_bits(
    corpus: Corpus, tmp_path: Path, finished: Path, steps_before: int
) -> None:
    class Stop(Exception):  # noqa: N818
        pass

    def stop(state: TrainState) -> None:
        if state.step == steps_before:
            raise Stop

    config = corpus.config(tmp_path / "run")
    with pytest.raises(Stop):
        train(config, callbacks=[stop], progress=False)
    result = train(config, resume=True, progress=False)
    assert losses(tmp_path / "run") == losses(finished)
    reference, _ = load_model(finished)
    for name, tensor in reference.state_dict().items():
        assert torch.equal(tensor, result.model.state_dict()[name])


@pytest.mark.parametrize("options", [{"optimizer": "muon"}, {"precision": "float16"}, {"schedule": "wsd"}])
def test_other_runs_resume_to_the_same_bits(corpus: Corpus, tmp_path: Path, options: dict[str, Any]) -> None:
    whole = corpus.config(tmp_path / "whole", steps=8, checkpoint_every=4, **options)
    train(whole, progress=False)
    # The first half of a run: what was there when it was stopped after its first checkpoint.
    half = dataclasses.replace(whole, directory=str(tmp_path / "half"))
    shutil.copytree(tmp_path / "whole", tmp_path / "half")
    shutil.rmtree(tmp_path / "half" / "checkpoints" / "step_00000008")
    train(half, resume=True, progress=False)
    assert losses(tmp_path / "half") == losses(tmp_path / "whole")
    assert len(losses(tmp_path / "half")) == 8


def test_a_full_disk_leaves_the_last_checkpoint(corpus: Corpus, tmp_path: Path, finished: Path) -> None:
    config = corpus.config(tmp_path / "run")
    train(dataclasses.replace(config, steps=5, schedule="constant"), progress=False)
    shutil.rmtree(tmp_path / "run")

    def full_from(state: TrainState) -> None:
        if state.step == 8:
            limit = (1000, limits[1])
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(OSError, match=r"[Ff]ile too large|cannot write"):
            train(config, callbacks=[full_from], progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["step_00000005"]
    train(config, resume=True, progress=False)
    assert losses(tmp_path / "run") == losses(finished)


@pytest.mark.parametrize("accumulate", [2, 8])
def test_accumulation_changes_nothing_but_rounding(
    corpus: Corpus, tmp_path: Path, finished: Path, accumulate: int
) -> None:
    train(corpus.config(tmp_path / "run", accumulate=accumulate), progress=False)
    assert losses(tmp_path / "run") == pytest.approx(losses(finished), rel=1e-4)


@pytest.mark.parametrize(
    ("count", "options", "runs"), [(2, {}, 2), (4, {"accumulate": 2, "optimizer": "muon"}, 1)]
)
def test_several_processes_give_the_losses_of_one(
    corpus: Corpus, tmp_path: Path, count: int, options: dict[str, Any], runs: int
) -> None:
    one, several = tmp_path / "one", tmp_path / "several"
    train(corpus.config(one, steps=10, **options), progress=False)
    config = corpus.config(several, steps=10, **options)
    config.to_toml(tmp_path / "c.toml")
    (tmp_path / "script.py").write_text(SCRIPT)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(count), "--standalone"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    # The second run resumes from the checkpoint in the middle.
    for _ in range(runs):
        done = subprocess.run(
            [*launcher, str(tmp_path / "script.py"), str(tmp_path / "c.toml")],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert losses(several) == pytest.approx(losses(one), rel=1e-4)
        evaluations = [read_metrics(folder / "metrics.jsonl")[-1]["valid_loss"] for folder in (one, several)]
        assert evaluations[0] == pytest.approx(evaluations[1], rel=1e-4)
        shutil.rmtree(several / "checkpoints" / "step_00000010")


def poison(name: str, value: float, at: int) -> Callable[[TrainState], None]:
    def spoil(state: TrainState) -> None:
        if state.step == at:
            with torch.no_grad():
                state.model.get_parameter(name).view(-1)[0] = value

    return spoil


@pytest.mark.parametrize(
    ("name", "value", "layer"),
    [
        ("layers.1.ffn.w1.weight", float("nan"), "layers.1.ffn.w1"),
        ("layers.0.attn.output_proj.weight", float("inf"), "layers.0.attn.output_proj"),
        ("lm_head.weight", float("nan"), "lm_head"),
    ],
)
def test_a_loss_that_is_no_number_stops_with_step_and_layer(
    corpus: Corpus, tmp_path: Path, name: str, value: float, layer: str
) -> None:
    with pytest.raises(DivergedError, match=rf"diverged at step 8: .* in {layer};") as caught:
        train(corpus.config(tmp_path / "run"), callbacks=[poison(name, value, at=7)], progress=False)
    assert (caught.value.step, caught.value.layer) == (8, layer)
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["step_00000005"]


def test_a_gradient_that_is_no_number_stops_with_its_name(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = TransformerLM.__init__

    def with_bad_gradient(model: TransformerLM, config: Any) -> None:
        original(model, config)
        model.get_parameter("layers.1.attn.k_proj.weight").register_hook(lambda grad: grad * float("nan"))

    monkeypatch.setattr(TransformerLM, "__init__", with_bad_gradient)
    with pytest.raises(
        DivergedError, match=r"step 1: the gradient is not finite in layers\.1\.attn\.k_proj\.weight"
    ):
        train(corpus.config(tmp_path / "run"), progress=False)


def test_a_run_that_cannot_fit_says_so_before_it_starts(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    huge = corpus.config(tmp_path / "run")
    huge = dataclasses.replace(
        huge, model=dataclasses.replace(huge.model, d_model=65536, num_layers=100, num_heads=64)
    )
    assert parameters(huge.model) > 10**12
    with pytest.raises(MemoryError, match=r"a step needs about .* GB \(weights .*a smaller model is needed"):
        train(huge, progress=False)
    monkeypatch.setattr(train_resources, "available_memory", lambda device: 2_000_000)
    wide = corpus.config(tmp_path / "run", batch_size=64)
    with pytest.raises(MemoryError, match="raise accumulate or lower batch_size"):
        train(wide, progress=False)
    assert not (tmp_path / "run").exists()
    train(dataclasses.replace(wide, accumulate=64, loss_chunk=32, steps=2), progress=False)


def test_an_old_run_is_neither_overwritten_nor_mixed_with_another(corpus: Corpus, finished: Path) -> None:
    config = corpus.config(finished)
    before = {name: (finished / name).read_bytes() for name in ("metrics.jsonl", "config.toml")}
    with pytest.raises(FileExistsError, match=r"holds a run \(step_00000020\): resume it or choose another"):
        train(config, progress=False)
    for change in ({"seed": 5}, {"learning_rate": 0.5}, {"batch_size": 16}):
        with pytest.raises(ValueError, match=f"is from a run with {next(iter(change))} = "):
            train(dataclasses.replace(config, **change), resume=True, progress=False)  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match=r"is from a run with model\.qk_norm = False, not True; choose another"
    ):
        other = dataclasses.replace(config, model=dataclasses.replace(config.model, qk_norm=True))
        train(other, resume=True, progress=False)
    with pytest.raises(ValueError, match="on other tokens than"):
        train(
            dataclasses.replace(config, train_tokens=str(corpus.folder / "valid.bin")),
            resume=True,
            progress=False,
        )
    assert {name: (finished / name).read_bytes() for name in before} == before


def test_a_damaged_position_in_the_data_is_named(corpus: Corpus, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    index = checkpoints(tmp_path / "run")[-1] / "checkpoint.json"
    saved = json.loads(index.read_bytes())
    for stream in ({"windows_drawn": "many"}, {"windows_drawn": -1}, {}):
        saved["extra"]["stream"] = {**saved["extra"]["stream"], **stream} if stream else stream
        index.write_text(json.dumps(saved))
        with pytest.raises(FormatError, match=r"step_00000020: extra\.stream: (windows_drawn|a state) must"):
            train(corpus.config(tmp_path / "run", steps=21), resume=True, progress=False)


def test_a_finished_run_resumes_to_its_result_and_may_go_further(corpus: Corpus, tmp_path: Path) -> None:
    config = corpus.config(tmp_path / "run", steps=4, schedule="constant", checkpoint_every=0)
    first = train(config, progress=False)
    again = train(config, resume=True, progress=False)
    assert again.losses == first.losses
    further = train(dataclasses.replace(config, steps=6), resume=True, progress=False)
    assert list(further.losses) == [1, 2, 3, 4, 5, 6]


def test_files_that_do_not_belong_together_are_refused_before_any_work(
    corpus: Corpus, tmp_path: Path
) -> None:
    config = corpus.config(tmp_path / "run")
    other = tmp_path / "other.json"
    train_bpe(corpus.folder / "valid.txt", 290).save(other)
    with pytest.raises(FormatError, match="was encoded with another tokenizer than"):
        train(dataclasses.replace(config, tokenizer=str(other)), progress=False)
    valid = tmp_path / "valid.bin"
    Tokenizer.load(other).encode_file(corpus.folder / "valid.txt", valid)
    with pytest.raises(
        FormatError, match=r"valid\.bin: was encoded with another tokenizer than .*train\.bin"
    ):
        train(dataclasses.replace(config, valid_tokens=str(valid)), progress=False)
    for prompt in ("", "long " * 50):
        sampling = dataclasses.replace(
            config, tokenizer=str(corpus.folder / "tokenizer.json"), sample_every=10, sample_prompt=prompt
        )
        with pytest.raises(ValueError, match="sample_prompt must have at least one token and fewer than 32"):
            train(sampling, progress=False)
    with pytest.raises(ValueError, match=r"model\.vocab_size must be at least 300"):
        small = dataclasses.replace(config, model=dataclasses.replace(config.model, vocab_size=299))
        train(small, progress=False)
    short = tmp_path / "short.bin"
    Tokenizer.load(corpus.folder / "tokenizer.json").encode_file(
        _written(tmp_path / "short.txt", "Once upon"), short
    )
    for name in ("train_tokens", "valid_tokens"):
        with pytest.raises(
            ValueError, match=r"context_length = 32 needs at least 33 tokens, not the \d+ of .*short\.bin"
        ):
            train(dataclasses.replace(config, **{name: str(short)}), progress=False)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="device 'quantum' cannot be used here"):
        train(dataclasses.replace(config, device="quantum"), progress=False)
    assert not (tmp_path / "run").exists()


def test_a_padded_vocabulary_can_be_sampled(corpus: Corpus, tmp_path: Path) -> None:
    model = dataclasses.replace(corpus.config(tmp_path).model, vocab_size=3000)
    config = corpus.config(
        tmp_path / "run", steps=2, model=model, tokenizer=str(corpus.folder / "tokenizer.json"), sample_every=1,
    )  # fmt: skip
    result = train(config, progress=False)
    assert all(record["sample"].startswith("Once upon a time") for record in result.records)


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_evaluation_is_the_mean_over_all_windows(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("course_lib.data.batches._order", None)  # it takes the windows as they come
    model = TransformerLM(corpus.config(corpus.folder).model)
    tokens = torch.randint(300, (32 * 7 + 20,), generator=torch.Generator().manual_seed(0))
    x, y = tokens[: 32 * 7].view(7, 32), tokens[1 : 32 * 7 + 1].view(7, 32)
    with torch.no_grad():
        expected, of_four = float(cross_entropy(model(x), y)), float(cross_entropy(model(x[:4]), y[:4]))
    for size in (1, 2, 7, 100):
        found = evaluate(LanguageModelLoss(model), tokens, batch_size=size, context_length=32)
        assert found["valid_loss"] == pytest.approx(expected, rel=1e-5)
    first = evaluate(LanguageModelLoss(model), tokens, batch_size=2, context_length=32, max_batches=2)
    assert first["valid_loss"] == pytest.approx(of_four, rel=1e-5)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "wsd", "constant", "inverse_sqrt"])
def test_each_schedule_warms_up_and_ends_where_it_says(corpus: Corpus, schedule: Any) -> None:
    config = corpus.config(corpus.folder, steps=100, warmup_steps=10, schedule=schedule)
    rates = [learning_rate(config, step, 0.01) for step in range(101)]
    assert max(rates) == rates[10] == pytest.approx(0.01) and rates[5] == pytest.approx(0.005)
    ends = {"constant": 0.01, "inverse_sqrt": 0.01 * (10 / 100) ** 0.5}
    assert rates[100] == pytest.approx(ends.get(schedule, 0.001))


def test_files_among_the_checkpoints_are_left_alone(corpus: Corpus, tmp_path: Path) -> None:
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    for name in ("notes.tmp", "step_00000001"):
        (folder / name).write_text("mine")
    train(corpus.config(tmp_path / "run", steps=3), progress=False)
    assert sorted(path.name for path in folder.iterdir()) == ["notes.tmp", "step_00000001", "step_00000003"]


def test_waiting_for_input_is_a_small_part_of_a_step(corpus: Corpus, tmp_path: Path) -> None:
    # At the size the course trains: well below 2 % of a step, here with room for a busy machine.
    config = corpus.config(tmp_path / "run", steps=20, batch_size=32)
    records = train(config, progress=False).records
    seconds = records[-1]["seconds"] - records[0]["seconds"]
    assert sum(record["input_seconds"] for record in records[1:]) < 0.1 * seconds


def test_a_model_keeps_its_mode_and_the_callers_random_numbers(corpus: Corpus, tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    result = train(corpus.config(tmp_path / "run", steps=2), progress=False)
    assert torch.equal(torch.rand(3), expected)
    assert isinstance(result.model, nn.Module) and result.model.training
