"""Chapter 1: a tokenizer judged by a model: bits per byte after equal compute, for vocabularies of different size.

The experiments are declared here and become part of the chapter with their points; until then ``REFERENCE`` of the
package does not hold them, since a chapter must not name runs that are not there.
"""

from pathlib import Path

from course_lib import accounting
from course_lib.lab.reference_runs import Experiment, product
from course_lib.lab.run_texts import BYTES, run_text
from course_lib.lab.small_runs import linear_to_zero, novels_run, small_config, train_small

_FOLDER = Path(__file__).parents[1] / "reference"

VOCAB_SIZES = (BYTES, 1_024, 4_096, 16_384)
TEXTS = ("novels_en", "classics_zh")

BATCH_SIZE = 8


def equal_compute_steps(vocab_size: int, byte_steps: int) -> int:
    """Steps of a model with ``vocab_size`` that cost as many FLOPs as ``byte_steps`` of the one that reads bytes.

    All but the vocabulary is equal: the head makes a step with a large vocabulary dearer, so that there are fewer.
    """
    budget = byte_steps * accounting.flops(small_config()).total
    return max(1, round(budget / accounting.flops(small_config(vocab_size=vocab_size)).total))


def size_run(*, seed: int, text: str, vocab_size: int, lr: float, byte_steps: int) -> dict[str, float]:
    """Train the smallest model on a text in tokens of a BPE with ``vocab_size`` entries, at equal compute.

    Returns bits (per byte, held out), steps, bytes_per_token (held out), bytes_read (millions of bytes of training text
    in the batches) and parameters (millions).
    """
    steps = equal_compute_steps(vocab_size, byte_steps)
    config = small_config(vocab_size=vocab_size)
    settings = novels_run(
        steps, lr=lr, config=config, text=text, batch_size=BATCH_SIZE, schedule=linear_to_zero(steps)
    )
    trained = train_small(settings, seed=seed)
    held_out = run_text(text, vocab_size)
    ratio = held_out.held_out_bytes / len(held_out.held_out)
    return {
        "bits": trained.bits_per_byte,
        "steps": float(steps),
        "bytes_per_token": ratio,
        "bytes_read": steps * BATCH_SIZE * config.context_length * ratio / 1e6,
        "parameters": accounting.parameters(config).total / 1e6,
    }


SIZES = Experiment(
    chapter=1,
    name="sizes",
    question="Which vocabulary size leaves the fewest bits per byte after equal compute?",
    run=size_run,
    grid=product(
        text=[*TEXTS],
        vocab_size=[*VOCAB_SIZES],
        lr=[0.002, 0.004, 0.008, 0.016, 0.032],
    ),
    seeds=(0, 1, 2, 3),
    scientific=["text", "vocab_size"],
    nuisance=["lr"],
    fixed={"byte_steps": 1200},
    folder=_FOLDER,
    seconds=17,
)

SIZES_LONGER = Experiment(
    chapter=1,
    name="sizes_longer",
    question="Does a larger vocabulary gain when there is four times the compute?",
    run=size_run,
    grid=product(
        text=[*TEXTS],
        vocab_size=[*VOCAB_SIZES],
        lr=[0.002, 0.004, 0.008, 0.016],
    ),
    seeds=(0, 1, 2),
    scientific=["text", "vocab_size"],
    nuisance=["lr"],
    fixed={"byte_steps": 4800},
    folder=_FOLDER,
    seconds=66,
)
