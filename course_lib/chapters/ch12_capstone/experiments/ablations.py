"""Chapter 12: one change to a small run, chosen from a menu, beside stored runs of the unchanged one.

The stored runs, ``ablations.json``, were made by
``python -m course_lib.chapters.ch12_capstone.experiments.ablations``.
The chapter repeats one of them; the result is nearly the same on every machine.
"""

import dataclasses
import json
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import pandas as pd

from course_lib.chapters.ch12_capstone.experiments.capstone import (
    Material,
    configuration,
    held_out_bits,
    prepare,
    run_anew,
)
from course_lib.files import PathLike, atomic_write, progress
from course_lib.model import ModelConfig
from course_lib.train import TrainConfig

BASELINE = "nothing changed"
MENU: dict[str, dict[str, Any]] = {
    BASELINE: {},
    "norm: after the sublayer (post)": {"model": {"norm_placement": "post"}},
    "norm: before and after (double)": {"model": {"norm_placement": "double"}},
    "positions: learned, no RoPE": {"model": {"position": "learned"}},
    "positions: none": {"model": {"position": "none"}},
    "gating: none (GELU)": {"model": {"activation": "gelu", "d_ff": 384}},
    "attention: one KV head (MQA)": {"model": {"num_kv_heads": 1}},
    "optimizer: AdamW, no Muon": {"optimizer": "adamw", "learning_rate": 0.01},
    "schedule: cosine to a tenth": {"schedule": "cosine", "min_learning_rate_ratio": 0.1},
    "schedule: constant": {"schedule": "constant"},
}
"""Possible changes by name: fields of the model and of the run. The GELU layer has as many parameters as the gated one.
AdamW alone has the best learning rate of 0.005, 0.01 and 0.02; that of the tables would be far too high for it."""

_NUM_BYTES, _HELD_OUT_BYTES = 1_000_000, 50_000
_STORED = files("course_lib.chapters.ch12_capstone.experiments") / "ablations.json"


def ablation_configuration(material: Material, name: str, *, seed: int = 0) -> TrainConfig:
    """The chapter's small run with one change, 200 steps of it.

    Raises ValueError for a name that is not in :data:`MENU`.
    """
    if name not in MENU:
        raise ValueError(f"name={name!r} is not on the menu; there are {', '.join(map(repr, MENU))}")
    fields = dict(MENU[name])
    # The same run at any COURSE_SCALE, since it is compared with stored ones.
    shape = ModelConfig(
        vocab_size=material.tokenizer.vocab_size, context_length=64, d_model=96, num_layers=2, num_heads=4
    )
    base = configuration(
        material,
        model=dataclasses.replace(shape, **fields.pop("model", {})),
        steps=200,
        batch_size=16,
        warmup_steps=10,
        threads=1,
        eval_every=0,
        sample_every=0,
        seed=seed,
    )
    return dataclasses.replace(base, **fields)


@cache
def material() -> Material:
    """The text and the tokenizer of all ablations, made once per session in a temporary folder."""
    folder = tempfile.mkdtemp(prefix="ablations-")
    return prepare(folder, _NUM_BYTES, _HELD_OUT_BYTES)


def measure(name: str, seeds: Sequence[int] = (0,)) -> pd.DataFrame:
    """Make the runs of one entry of the menu. Columns: change, seed, bits_per_byte (held-out text)."""
    rows = []
    for seed in progress(seeds, description=name, unit="run"):
        with tempfile.TemporaryDirectory() as folder:
            config = ablation_configuration(material(), name, seed=seed)
            result = run_anew(dataclasses.replace(config, directory=folder), progress=False)
        rows.append((name, seed, held_out_bits(result).iloc[-1]))
    return pd.DataFrame(rows, columns=["change", "seed", "bits_per_byte"])


def stored() -> pd.DataFrame:
    """The stored runs, of every entry of the menu with three seeds. Columns as those of :func:`measure`."""
    return pd.DataFrame(json.loads(_STORED.read_text(encoding="utf-8")))


def store(runs: pd.DataFrame, path: PathLike) -> None:
    """Write runs as :func:`stored` reads them."""
    rows = [json.dumps(row, ensure_ascii=False) for row in runs.round(5).to_dict("records")]
    with atomic_write(path) as file:
        file.write(("[\n" + ",\n".join(rows) + "\n]\n").encode())


def against_baseline(runs: pd.DataFrame) -> pd.DataFrame:
    """The effect of each change, the best first.

    Columns: change, runs, bits_per_byte (mean), difference (to the unchanged run's mean), standard_error (of the
    difference, from both spreads over seeds).
    """
    by_change = runs.groupby("change")["bits_per_byte"].agg(["count", "mean", "var"])
    base = by_change.loc[BASELINE]
    table = pd.DataFrame(
        {
            "runs": by_change["count"],
            "bits_per_byte": by_change["mean"],
            "difference": by_change["mean"] - base["mean"],
            "standard_error": (by_change["var"] / by_change["count"] + base["var"] / base["count"]) ** 0.5,
        }
    )
    table.loc[BASELINE, "standard_error"] = float("nan")
    return table.sort_values("bits_per_byte").reset_index()


if __name__ == "__main__":
    store(pd.concat([measure(name, seeds=(0, 1, 2)) for name in MENU]), str(_STORED))
