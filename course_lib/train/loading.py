"""Models for training and from finished runs, with the configuration and tokenizer that belong to them."""

from dataclasses import dataclass
from pathlib import Path

import torch

from course_lib.errors import FormatError
from course_lib.files import PathLike
from course_lib.model import ModelConfig, TransformerLM
from course_lib.tokenizer import Tokenizer
from course_lib.train.checkpoint import load_checkpoint
from course_lib.train.config import TrainConfig
from course_lib.train.run_folder import latest_checkpoint, read_run

_END = "<|endoftext|>"


@dataclass(frozen=True)
class Continuation:
    """A prompt with what a model added to it: the whole ``text``, and how many tokens each part has."""

    text: str
    prompt_tokens: int
    new_tokens: int


@dataclass(frozen=True)
class Run:
    """A trained ``model`` with its ``config``, the ``tokenizer`` of its text, and the ``checkpoint`` it came from."""

    model: TransformerLM
    config: TrainConfig
    tokenizer: Tokenizer
    checkpoint: Path

    def continue_text(
        self,
        prompt: str,
        max_new_tokens: int = 200,
        *,
        temperature: float = 0.8,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
    ) -> Continuation:
        """Continue ``prompt`` up to the end of a document, the model's context, or ``max_new_tokens``.

        The other arguments are those of :meth:`TransformerLM.generate <course_lib.model.TransformerLM.generate>`.

        Raises ValueError for a prompt that has no token or fills the model's context, and as ``generate``.
        """
        ids = self.tokenizer.encode(prompt)
        if not ids:
            raise ValueError("the prompt is empty")
        context = self.config.model.context_length
        if len(ids) >= context:
            raise ValueError(f"the prompt has {len(ids)} tokens; the model sees {context}")
        specials = self.tokenizer.special_token_ids
        made = self.model.generate(
            ids,
            min(max_new_tokens, context - len(ids)),
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            stop_ids=[specials[_END]] if _END in specials else [],
            seed=seed,
            allowed_ids=self.tokenizer.vocab,
        ).tolist()
        return Continuation(self.tokenizer.decode(made), len(ids), len(made) - len(ids))


def load_run(path: PathLike, tokenizer: str | None = None, device: str | torch.device = "cpu") -> Run:
    """Load a run from its folder, or from one of its checkpoints.

    Args:
        path: a run's folder (its newest checkpoint is taken) or a checkpoint.
        tokenizer: as :meth:`Tokenizer.open <course_lib.tokenizer.Tokenizer.open>` takes it; None: the copy in the
            run's folder, else the one that its configuration names.
        device: where the model goes.

    Raises:
        FileNotFoundError: there is no checkpoint, or no such tokenizer.
        FormatError: the checkpoint or tokenizer is damaged, or they do not belong together.
        ValueError: the run has no tokenizer and none is named.
    """
    model, config = load_model(path, device)
    checkpoint = latest_checkpoint(path)
    own = checkpoint.parents[1] / "tokenizer.json"
    named = tokenizer or (str(own) if own.is_file() else config.tokenizer)
    if named is None:
        raise ValueError(f"the run of {checkpoint} has no tokenizer: name one")
    loaded = Tokenizer.open(named)
    if loaded.sha256() != read_run(checkpoint)["tokenizer_sha256"]:
        raise FormatError(checkpoint, "", f"was trained on tokens of another tokenizer than {named}")
    return Run(model, config, loaded, checkpoint)


def load_model(path: PathLike, device: str | torch.device = "cpu") -> tuple[TransformerLM, TrainConfig]:
    """The model of a checkpoint, or of the newest one in a run's folder, ready for use, and the run's configuration.

    Raises:
        FileNotFoundError: there is no checkpoint.
        FormatError: it is damaged, or was not written by :func:`~course_lib.train.train`.
    """
    folder = latest_checkpoint(path)
    try:
        config = TrainConfig.from_dict(read_run(folder)["config"])
    except (TypeError, ValueError) as error:
        raise FormatError(folder, "extra.config", str(error)) from error
    model = new_model(config.model)
    load_checkpoint(folder, model)
    return model.to(device).eval(), config


def new_model(config: ModelConfig) -> TransformerLM:
    """A model in float32 on the CPU, whatever torch's defaults are: its first weights are the same everywhere."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.device("cpu"):
            return TransformerLM(config)
    finally:
        torch.set_default_dtype(before)
