"""Chapter 12's material, baselines and menu."""

import dataclasses
import gzip
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from course_lib.chapters.ch12_capstone.experiments import ablations, capstone, survival
from course_lib.data import SEPARATOR, open_text
from course_lib.lab.ngrams import NGramModel
from course_lib.train import TrainConfig


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> capstone.Material:
    folder = tmp_path_factory.mktemp("capstone")
    return capstone.prepare(folder, num_bytes=60_000, held_out_bytes=10_000, vocab_size=400)


@pytest.fixture(scope="module")
def config(material: capstone.Material) -> TrainConfig:
    shape = dataclasses.replace(
        capstone.configuration(material).model, d_model=16, num_layers=1, num_heads=2, context_length=32
    )
    return capstone.configuration(
        material, model=shape, steps=6, eval_every=3, sample_every=3, sample_tokens=5, warmup_steps=2
    )


def test_material_is_encoded_by_a_tokenizer_of_the_training_text_alone(material: capstone.Material) -> None:
    for text in (material.text, material.held_out):
        tokens = material.tokens(text)
        assert material.tokenizer.decode(np.asarray(tokens).tolist()) == text.read_text(encoding="utf-8")
        assert tokens.tokenizer_sha256 == material.tokenizer.sha256()
    stories = [set(text.read_text().split(SEPARATOR)) for text in (material.text, material.held_out)]
    assert {story.strip() for story in stories[0]} & {story.strip() for story in stories[1]} <= {""}


@pytest.mark.parametrize("end", ["\n", "; "])
def test_a_text_of_the_readers_takes_the_place_of_the_stories(end: str, tmp_path: Path) -> None:
    text = "".join(f"Number {n} has the square {n * n}{end}" for n in range(2_000))
    (tmp_path / "own.txt").write_text(text, encoding="utf-16")
    own = capstone.prepare(tmp_path, own_text=open_text(tmp_path / "own.txt"))
    training, held_out = own.text.read_text(encoding="utf-8"), own.held_out.read_text(encoding="utf-8")
    assert training + held_out == text and 15 < len(text) / len(held_out) < 17
    assert end != "\n" or training.endswith("\n")
    assert own.tokenizer.decode(np.asarray(own.tokens(own.held_out))) == held_out
    assert capstone.configuration(own).steps == 100  # more than once over so short a text
    part = capstone.prepare(tmp_path, 10_000, 2_000, own_text=open_text(tmp_path / "own.txt"))
    assert (
        len(part.text.read_text(encoding="utf-8")) + len(part.held_out.read_text(encoding="utf-8")) == 12_000
    )


def test_the_run_reads_the_text_once(material: capstone.Material) -> None:
    config = capstone.configuration(material)
    tokens = config.steps * config.batch_size * config.sequence_length
    whole = len(material.tokens(material.text))
    assert whole - config.batch_size * config.sequence_length - 1 <= tokens < whole


def test_compressors_are_judged_by_what_the_held_out_text_adds(material: capstone.Material) -> None:
    rows = capstone.compressors(material).set_index("name")
    held_out = material.held_out.read_bytes()
    alone = 8 * len(gzip.compress(held_out, 9)) / len(held_out)
    assert rows.alone["gzip"] == pytest.approx(alone, rel=0.01)
    assert (rows.bits_per_byte < rows.alone).all() and rows.bits_per_byte["xz"] < rows.bits_per_byte["gzip"]


def test_ngrams_are_judged_on_the_tokens_that_the_run_is_judged_by(
    material: capstone.Material, config: TrainConfig
) -> None:
    row = capstone.ngrams(material, config, orders=[2]).iloc[0]
    ids = np.asarray(material.tokens(material.held_out)).tolist()
    windows = (len(ids) - 1) // 32
    model = NGramModel(material.tokens(material.text), 2, material.tokenizer.vocab_size)
    probabilities = model.probabilities(ids)[1 : 32 * windows + 1]
    num_bytes = len(material.tokenizer.decode_bytes(ids[1 : 32 * windows + 1]))
    assert row.bits_per_byte == pytest.approx(-np.log2(probabilities).sum() / num_bytes)
    assert row.entries == model.num_entries


def test_a_run_can_be_made_twice_and_is_ranked(material: capstone.Material, config: TrainConfig) -> None:
    first, second = (capstone.run_anew(config, progress=False) for _ in range(2))
    bits = capstone.held_out_bits(second)
    assert bits.index.tolist() == [3, 6] and first.losses == second.losses
    loss = second.valid_loss
    assert loss is not None
    ids = np.asarray(material.tokens(material.held_out)).tolist()
    scored = ids[1 : (len(ids) - 1) // 32 * 32 + 1]
    num_bytes = len(material.tokenizer.decode_bytes(scored))
    assert bits.iloc[-1] == pytest.approx(loss / math.log(2) * len(scored) / num_bytes, rel=1e-4)
    rows = capstone.standings(
        pd.DataFrame({"name": ["bad", "good"], "bits_per_byte": [9.0, 0.1]}), result=second
    )
    assert rows["name"].tolist() == ["bad", "our model", "good"]
    samples = capstone.samples(second)
    assert samples["step"].tolist() == [3, 6] and samples["sample"].str.startswith("Once upon a time").all()
    assert 0 < capstone.waiting(second) < 1


def test_every_entry_of_the_menu_changes_what_it_says(material: capstone.Material) -> None:
    configs = {name: ablations.ablation_configuration(material, name) for name in ablations.MENU}
    base = configs[ablations.BASELINE]
    for name, config in configs.items():
        changed = {
            field.name: getattr(config, field.name)
            for field in dataclasses.fields(config)
            if field.name != "model" and getattr(config, field.name) != getattr(base, field.name)
        } | {
            field.name: getattr(config.model, field.name)
            for field in dataclasses.fields(config.model)
            if getattr(config.model, field.name) != getattr(base.model, field.name)
        }
        expected = dict(ablations.MENU[name])
        assert changed == {**expected.pop("model", {}), **expected}, name
    with pytest.raises(ValueError, match="name='more' is not on the menu; there are 'nothing changed'"):
        ablations.ablation_configuration(material, "more")


def test_stored_runs_are_those_of_the_menu() -> None:
    stored = ablations.stored()
    assert stored.groupby("change")["seed"].apply(sorted).to_dict() == {
        name: [0, 1, 2] for name in ablations.MENU
    }
    assert stored["bits_per_byte"].between(0.5, 3).all()


def test_differences_come_with_their_standard_errors(tmp_path: Path) -> None:
    runs = pd.DataFrame(
        [(ablations.BASELINE, 0, 1.0), (ablations.BASELINE, 1, 2.0), ("x", 0, 3.0), ("x", 1, 5.0)],
        columns=["change", "seed", "bits_per_byte"],
    )
    table = ablations.against_baseline(runs).set_index("change")
    assert table.difference["x"] == 2.5 and table.difference[ablations.BASELINE] == 0
    assert table.standard_error["x"] == pytest.approx(math.sqrt(0.5 / 2 + 2 / 2))
    ablations.store(runs, tmp_path / "runs.json")
    assert json.loads((tmp_path / "runs.json").read_text()) == runs.to_dict("records")


def test_a_run_that_ends_before_it_is_killed_is_reported(
    material: capstone.Material, config: TrainConfig, tmp_path: Path
) -> None:
    short = dataclasses.replace(config, directory=str(tmp_path / "run"))
    with pytest.raises(RuntimeError, match="course train made fewer than 100 steps"):
        survival._killed_run(short, 100)
