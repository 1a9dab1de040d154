"""A finished run is loaded with its tokenizer and continues texts; its resources are counted."""

import dataclasses
from pathlib import Path

import pytest

from course_lib.accounting import report
from course_lib.errors import FormatError
from course_lib.tokenizer import Tokenizer, train_bpe
from course_lib.train import account, checkpoints, load_run, train
from tests.train.conftest import Corpus


def test_a_run_continues_a_text(corpus: Corpus, tmp_path: Path) -> None:
    own = str(corpus.folder / "tokenizer.json")
    train(corpus.config(tmp_path / "run", steps=2, tokenizer=own), progress=False)
    run = load_run(tmp_path / "run")
    assert run.checkpoint == checkpoints(tmp_path / "run")[-1] and not run.model.training
    made = run.continue_text("Once upon a time", 7, seed=3)
    assert (
        made == run.continue_text("Once upon a time", 7, seed=3) != run.continue_text("Once upon a time", 7)
    )
    tokenizer = Tokenizer.load(own)
    prompt = tokenizer.encode("Once upon a time")
    ids = run.model.generate(prompt, 7, temperature=0.8, stop_ids=[256], seed=3, allowed_ids=tokenizer.vocab)
    assert made.text == tokenizer.decode(ids) and made.text.startswith("Once upon a time")
    assert (made.prompt_tokens, made.new_tokens) == (len(prompt), len(ids) - len(prompt))
    filled = run.continue_text("Once upon a time", 10_000, temperature=0)
    assert filled.prompt_tokens + filled.new_tokens <= run.config.model.context_length
    with pytest.raises(ValueError, match="the prompt is empty"):
        run.continue_text("")
    with pytest.raises(ValueError, match="the model sees 32"):
        run.continue_text("long " * 50)


def test_a_run_without_a_tokenizer_needs_the_one_that_made_its_tokens(
    corpus: Corpus, finished: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="step_00000020 has no tokenizer: name one"):
        load_run(finished)
    assert load_run(finished, str(corpus.folder / "tokenizer.json")).continue_text("The", 2).new_tokens <= 2
    train_bpe(corpus.folder / "valid.txt", 290).save(tmp_path / "other.json")
    with pytest.raises(FormatError, match=r"another tokenizer than .*other\.json"):
        load_run(finished, str(tmp_path / "other.json"))
    with pytest.raises(FileNotFoundError, match="holds no checkpoint"):
        load_run(tmp_path)


def test_the_resources_of_a_run_are_those_of_its_model_at_its_batch(corpus: Corpus, tmp_path: Path) -> None:
    config = corpus.config(tmp_path, accumulate=2)
    options = {"flops_per_second": 1e12, "mfu": 0.5}
    expected = report(config.model, 4, loss_chunk=1024, tokens=20 * 8 * 32, **options)
    assert account(config, **options) == expected
    longer = account(dataclasses.replace(config, steps=40), batch=3, **options)
    assert longer["training_seconds"] == pytest.approx(2 * expected["training_seconds"])
    assert longer["kv_cache_bytes"] == report(config.model, 3)["kv_cache_bytes"]
