"""The configuration of a training run: one typed dataclass, read from TOML and written to it."""

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import tomli_w

from course_lib.checks import check_number, check_positive
from course_lib.errors import FormatError
from course_lib.files import PathLike, atomic_write, check_input_file
from course_lib.model import ModelConfig

Schedule = Literal["cosine", "linear", "wsd", "inverse_sqrt", "constant"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that determines a run. In TOML: these keys, and a table ``[model]`` with those of ModelConfig.

    Paths are relative to the current folder. Keys whose value is ``None`` are left out of the TOML;
    :func:`~course_lib.train.write_template` writes a file to start from.

    Args:
        model: the model's shape.
        train_tokens: token file to train on (``course tokenizer encode`` writes one).
        valid_tokens: token file to evaluate on; None: no evaluation.
        tokenizer: the tokenizer.json that made both, for samples and bits per byte; it is copied into ``directory``.
        directory: folder for checkpoints, metrics and a copy of the configuration.
        steps: number of updates of the weights.
        batch_size: sequences per update, over all processes.
        accumulate: number of parts in which each process computes its share of a batch, one after the other, to save
            memory. The number of processes times ``accumulate`` divides ``batch_size``; the losses depend on neither.
        context_length: tokens per sequence; None: as many as the model allows.
        seed: random seed of the first weights, the order of the data, and the samples.
        optimizer: "adamw", or "muon" for the hidden matrices with AdamW for the rest.
        learning_rate: peak learning rate of AdamW.
        muon_learning_rate: peak learning rate of Muon; None: the same as AdamW's.
        min_learning_rate_ratio: final learning rate, as a fraction of the peak (LLaMA: 0.1).
        schedule: how the learning rate falls after the warm-up: "cosine", "linear", "wsd", "inverse_sqrt" or
            "constant"; see :mod:`course_lib.optim.schedules`.
        warmup_steps: updates until the peak learning rate.
        betas: AdamW's decay rates (LLaMA: 0.9, 0.95).
        weight_decay: decoupled weight decay of matrices; gains do not decay.
        clip_norm: largest norm of all gradients together; 0: do not clip.
        z_loss: weight of the penalty on log Z; see :func:`course_lib.loss.cross_entropy`.
        loss_chunk: rows of logits in memory at a time; see :func:`course_lib.loss.linear_cross_entropy`.
        precision: precision of matrix products: "float32", "bfloat16", "float16", or "auto": bfloat16 on a GPU that
            has it, float16 on other GPUs, float32 on a CPU.
        device: "cpu", "cuda", "mps", or "auto", which takes a GPU if there is one.
        threads: threads of torch on the CPU; 0: torch decides. Small models run fastest on one.
        log_every: updates between two lines of metrics.
        eval_every: updates between two evaluations; 0: at the end only.
        eval_batches: batches of ``batch_size`` sequences per evaluation, from the start of ``valid_tokens``.
        sample_every: updates between two sampled texts, which need ``tokenizer``; 0: none.
        sample_prompt: beginning of the sampled texts.
        sample_tokens: number of tokens that are sampled.
        checkpoint_every: updates between two checkpoints; 0: at the end only.
        keep_checkpoints: number of checkpoints to keep, the newest.
        tensorboard: also write TensorBoard's files, if it is installed.

    Raises:
        TypeError: a value of the wrong type.
        ValueError: a value out of range, or one that does not fit the others.
    """

    model: ModelConfig
    train_tokens: str
    valid_tokens: str | None = None
    tokenizer: str | None = None
    directory: str = "run"
    steps: int = 1000
    batch_size: int = 32
    accumulate: int = 1
    context_length: int | None = None
    seed: int = 0
    optimizer: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 1e-3
    muon_learning_rate: float | None = None
    min_learning_rate_ratio: float = 0.1
    schedule: Schedule = "cosine"
    warmup_steps: int = 100
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.1
    clip_norm: float = 1.0
    z_loss: float = 0.0
    loss_chunk: int = 1024
    precision: Precision = "auto"
    device: str = "auto"
    threads: int = 0
    log_every: int = 10
    eval_every: int = 0
    eval_batches: int = 20
    sample_every: int = 0
    sample_prompt: str = "Once upon a time"
    sample_tokens: int = 100
    checkpoint_every: int = 200
    keep_checkpoints: int = 3
    tensorboard: bool = True

    def __post_init__(self) -> None:
        for field, hint in _hints(TrainConfig).items():
            _check_type(field, getattr(self, field), hint)
        for field in ("train_tokens", "valid_tokens", "tokenizer", "directory"):
            if "\0" in (getattr(self, field) or ""):
                raise ValueError(
                    f"{field} holds a NUL character, which no file name may: {getattr(self, field)!r}"
                )
        positive = ("steps", "batch_size", "accumulate", "loss_chunk", "log_every", "eval_batches", "sample_tokens",
                    "keep_checkpoints")  # fmt: skip
        for name in positive:
            check_positive(name, getattr(self, name))
        not_negative = ("seed", "warmup_steps", "weight_decay", "clip_norm", "z_loss", "threads", "eval_every",
                        "sample_every", "checkpoint_every")  # fmt: skip
        for name in not_negative:
            check_number(name, getattr(self, name), least=0)
        check_number("learning_rate", self.learning_rate, above=0)
        if self.muon_learning_rate is not None:
            check_number("muon_learning_rate", self.muon_learning_rate, above=0)
        check_number("min_learning_rate_ratio", self.min_learning_rate_ratio, least=0, most=1)
        if self.batch_size % self.accumulate:
            raise ValueError(f"accumulate must divide batch_size = {self.batch_size}, not {self.accumulate}")
        if self.warmup_steps > self.steps:
            raise ValueError(f"warmup_steps must be at most steps = {self.steps}, not {self.warmup_steps}")
        check_positive("context_length", self.sequence_length)
        if self.sequence_length > self.model.context_length:
            raise ValueError(
                f"context_length must be at most model.context_length = {self.model.context_length}, "
                f"not {self.context_length}"
            )
        if self.sample_every and self.tokenizer is None:
            raise ValueError("sample_every needs a tokenizer, which turns the sample into text")

    @property
    def sequence_length(self) -> int:
        """Tokens per sequence: ``context_length``, else the model's."""
        return self.model.context_length if self.context_length is None else self.context_length

    @classmethod
    def from_toml(cls, path: PathLike) -> Self:
        """Read a configuration.

        Raises:
            FormatError: not TOML, an unknown key (the message names the nearest valid one), a missing key, or a value
                that is not allowed.
            FileNotFoundError: there is no such file.
        """
        path = check_input_file(path)
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise FormatError(path, "", f"not TOML: {error}") from error
        try:
            return cls.from_dict(table)
        except (TypeError, ValueError) as error:
            raise FormatError(path, "", str(error)) from error

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Self:
        """Build a configuration from plain values, as TOML and JSON hold them.

        Raises:
            TypeError: a value of the wrong type.
            ValueError: an unknown or missing key, or a value that is not allowed.
        """
        values = dict(table)
        _check_names(cls, values, "")
        if not isinstance(values.get("model"), Mapping):
            raise TypeError("a table [model] is needed: the shape of the model")
        if isinstance(values.get("betas"), list):
            values["betas"] = tuple(values["betas"])
        made: Self = _build(cls, values, "")
        return made

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for TOML and JSON; keys whose value is ``None`` are left out."""
        plain: dict[str, Any] = _without_none(dataclasses.asdict(self))
        plain["betas"] = list(self.betas)
        plain["model"] = plain.pop("model")  # a table comes last in TOML
        return plain

    def to_toml(self, path: PathLike | None = None) -> str:
        """The configuration as TOML text; with ``path``, also written there (atomically)."""
        text = tomli_w.dumps(self.to_dict())
        if path is not None:
            with atomic_write(path) as file:
                file.write(text.encode())
        return text


def _check_names(kind: type[Any], values: Mapping[str, Any], prefix: str) -> None:
    """Raise ValueError, with a suggestion, for a key that ``kind`` does not have."""
    known = _hints(kind)
    for name in values:
        if name not in known:
            by_initials = [one for one in known if name == "".join(word[0] for word in one.split("_"))]  # lr
            near = by_initials or difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            meant = f"; did you mean {prefix}{near[0]}?" if near else f"; known are {', '.join(known)}"
            raise ValueError(f"unknown key {prefix}{name}{meant}")


def _build(kind: type[Any], values: Mapping[str, Any], prefix: str) -> Any:
    """``kind(**values)`` after checking names and types, with messages that suggest what was meant."""
    hints = _hints(kind)
    _check_names(kind, values, prefix)
    for field in dataclasses.fields(kind):
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and field.name not in values:
            raise ValueError(f"the key {prefix}{field.name} is missing")
    built = {}
    for name, value in values.items():
        nested = _dataclass_in(hints[name])
        if nested is not None and isinstance(value, Mapping):
            value = _build(nested, value, f"{prefix}{name}.")
        _check_type(f"{prefix}{name}", value, hints[name])
        built[name] = value
    return kind(**built)


def _dataclass_in(hint: Any) -> type[Any] | None:
    """The dataclass that a table becomes where ``hint`` is expected, if there is one."""
    members = typing.get_args(hint) or (hint,)
    return next((m for m in members if isinstance(m, type) and dataclasses.is_dataclass(m)), None)


def _hints(kind: type[Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _check_type(name: str, value: object, hint: Any) -> None:
    if not _fits(value, hint):
        raise TypeError(f"{name} must be {_called(hint)}, not {value!r}")


def _fits(value: object, hint: Any) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or hint is None or hint is type(None):
        return hint is Any or value is None
    if origin in (types.UnionType, typing.Union):
        return any(_fits(value, member) for member in arguments)
    if origin is Literal:
        return value in arguments
    if origin is tuple:
        return isinstance(value, tuple) and len(value) == len(arguments) and all(map(_fits, value, arguments))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin or hint)


def _called(hint: Any) -> str:
    """A type as error messages name it."""
    if typing.get_origin(hint) is Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(hint)))
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        members = [member for member in typing.get_args(hint) if member is not type(None)]
        return " or ".join(map(_called, members))
    if typing.get_origin(hint) is tuple:
        return f"{len(typing.get_args(hint))} numbers"
    names = {int: "an integer", float: "a number", str: "a str", bool: "true or false"}
    return names.get(hint, getattr(hint, "__name__", str(hint)))


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_none(member) for name, member in value.items() if member is not None}
    return value
