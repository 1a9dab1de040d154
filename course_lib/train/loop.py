"""The training loop."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from course_lib.data import BatchStream, TokenFile, num_windows
from course_lib.errors import FormatError, NonFiniteGradientError
from course_lib.files import hold_folder
from course_lib.files import progress as progress_bar
from course_lib.model import TransformerLM
from course_lib.optim import clip_grad_norm
from course_lib.tokenizer import Tokenizer
from course_lib.train.checkpoint import load_checkpoint, save_checkpoint
from course_lib.train.config import TrainConfig
from course_lib.train.evaluation import byte_lengths, evaluate
from course_lib.train.loading import new_model
from course_lib.train.metrics import MetricsWriter, Record
from course_lib.train.optimizers import RunOptimizer
from course_lib.train.processes import Processes, processes
from course_lib.train.resources import check_memory
from course_lib.train.run_folder import (
    check_continuation,
    check_sources,
    checkpoint_path,
    checkpoints,
    read_run,
    tidy,
    write_config,
)
from course_lib.train.training_loss import DivergedError, LanguageModelLoss, choose_precision, first_nonfinite


@dataclass
class TrainState:
    """The state that a callback receives after an update.

    ``step``: updates so far. ``loss``: mean over the batch before the update, in nats. ``gradient_norm``: before
    clipping. ``model``: its parameters' ``grad`` are those of this update, after clipping. ``record``: the entry for
    the metrics at this step, with ``valid_loss`` and ``sample`` if there are any.
    """

    step: int
    loss: float
    learning_rate: float
    gradient_norm: float
    model: TransformerLM
    record: Record


@dataclass
class TrainResult:
    """The result of a run: the trained ``model``, the ``records`` of its metrics, and its last ``checkpoint``."""

    model: TransformerLM
    config: TrainConfig
    checkpoint: Path
    records: list[Record] = field(default_factory=list)

    @property
    def losses(self) -> dict[int, float]:
        """The training losses that were logged, by step."""
        return {record["step"]: record["loss"] for record in self.records if "loss" in record}

    @property
    def valid_loss(self) -> float | None:
        """The last loss on the validation tokens, if it was measured."""
        found = [record["valid_loss"] for record in self.records if "valid_loss" in record]
        return found[-1] if found else None


Callback = Callable[[TrainState], object]


def train(
    config: TrainConfig, *, callbacks: Sequence[Callback] = (), resume: bool = False, progress: bool = True
) -> TrainResult:
    """Train a language model as configured; under ``torchrun``, on all its processes together.

    ``config.toml``, ``metrics.jsonl`` and ``checkpoints/`` are written to the folder ``config.directory``. If a run is
    killed at any moment, the same call with ``resume=True`` continues from the newest checkpoint and arrives at the
    same losses: bit for bit, on the same machine with the same numbers of threads and processes.

    Args:
        config: the run.
        callbacks: called after each update, on the first process only.
        resume: continue the run in ``config.directory``; from the beginning if it has no checkpoint yet.
        progress: show a progress bar.

    Returns:
        The trained model and its metrics.

    Raises:
        BlockingIOError: another process trains in this directory.
        ConnectionError: ``torchrun`` was killed; its processes end instead of training on unnoticed.
        DivergedError: the loss or a gradient became NaN or infinite; names the step and the layer.
        FileExistsError: the directory holds a run and ``resume`` is false.
        FormatError: a token file, tokenizer or checkpoint is damaged, or they do not belong together.
        MemoryError: a step cannot fit into memory.
        ValueError: the configuration does not fit the files, the processes or the checkpoint, or the run would destroy
            a file that it reads.
    """
    with contextlib.ExitStack() as stack:
        among = stack.enter_context(processes(config.device))
        stack.enter_context(_threads(config.threads))
        run = _Run(config, among, stack, resume=resume)
        return run.go(callbacks, progress=progress and among.is_first)


class _Run:
    """A run in progress. ``stack`` closes its files when it is over."""

    def __init__(
        self, config: TrainConfig, among: Processes, stack: contextlib.ExitStack, *, resume: bool
    ) -> None:
        self.config, self.among = config, among
        parts = among.world_size * config.accumulate
        if config.batch_size % parts:
            raise ValueError(
                f"batch_size = {config.batch_size} must be a multiple of {among.world_size} processes times "
                f"accumulate = {config.accumulate}"
            )
        self.micro_batch = config.batch_size // parts
        check_sources(config)
        self._open_files()
        check_memory(config, among)
        start = self._prepare_folder(stack, resume=resume)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.model = new_model(config.model).to(among.device)
        precision = choose_precision(config.precision, among.device)
        self.loss = LanguageModelLoss(
            self.model, chunk_size=config.loss_chunk, z_loss=config.z_loss, precision=precision
        )
        self.parallel = among.wrap(self.loss)
        self.optimizer = RunOptimizer(self.model, config)
        self.scaler = torch.amp.GradScaler(among.device.type, enabled=precision == torch.float16)
        self.step, self.seconds = 0, 0.0
        if start is not None:
            self._load(start)
        self.metrics: MetricsWriter | None = None
        if among.is_first:
            folder = Path(config.directory)
            board = folder / "tensorboard" if config.tensorboard else None
            writer = MetricsWriter(folder / "metrics.jsonl", resume_at=self.step, tensorboard=board)
            self.metrics = stack.enter_context(writer)

    # --- before the first step ---------------------------------------------------------------------------------------

    def _open_files(self) -> None:
        config, among = self.config, self.among
        self.tokenizer = Tokenizer.load(config.tokenizer) if config.tokenizer is not None else None
        self.tokens = self._open_tokens(config.train_tokens)
        self.valid = self._open_tokens(config.valid_tokens) if config.valid_tokens is not None else None
        self.stream = BatchStream(
            self.tokens,
            self.micro_batch,
            config.sequence_length,
            seed=config.seed,
            rank=among.rank,
            world_size=among.world_size,
            device=among.device,
        )
        if self.valid is not None:
            num_windows(self.valid, config.sequence_length)  # raises ValueError unless there is at least one
            self.valid.expect(tokenizer_sha256=self.tokens.tokenizer_sha256, named=config.train_tokens)
        self.lengths, self.prompt = None, list[int]()
        if self.tokenizer is not None:
            self.lengths = byte_lengths(self.tokenizer)
            if config.sample_every:
                self.prompt = self._encode_prompt(self.tokenizer)

    def _encode_prompt(self, tokenizer: Tokenizer) -> list[int]:
        prompt = tokenizer.encode(self.config.sample_prompt)
        if not 0 < len(prompt) < self.config.model.context_length:
            raise ValueError(
                f"sample_prompt must have at least one token and fewer than {self.config.model.context_length}, the "
                f"model's context, not {len(prompt)}"
            )
        return prompt

    def _open_tokens(self, path: str) -> TokenFile:
        tokens = TokenFile.open(path)
        if tokens.vocab_size > self.config.model.vocab_size:
            raise ValueError(
                f"model.vocab_size must be at least {tokens.vocab_size}, that of {path}, "
                f"not {self.config.model.vocab_size}"
            )
        if self.tokenizer is not None:
            tokens.expect(tokenizer_sha256=self.tokenizer.sha256(), named=str(self.config.tokenizer))
        return tokens

    def _prepare_folder(self, stack: contextlib.ExitStack, *, resume: bool) -> Path | None:
        """Prepare the folder and return the checkpoint to start from, if any."""
        config, folder = self.config, Path(self.config.directory)
        if self.among.is_first:
            (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
            stack.enter_context(hold_folder(folder))
        self.among.wait()
        found = checkpoints(folder)
        if found and not resume:
            raise FileExistsError(
                f"{folder} holds a run ({found[-1].name}): resume it or choose another directory"
            )
        if found:
            extra = read_run(found[-1])
            check_continuation(found[-1], extra["config"], config)
            if extra["tokens_sha256"] != self.tokens.sha256:
                raise ValueError(f"{found[-1]} is from a run on other tokens than {config.train_tokens}")
        self.among.wait()
        if self.among.is_first:
            tidy(folder, config.keep_checkpoints)
            write_config(config)
        self.among.wait()
        return found[-1] if found else None

    def _load(self, path: Path) -> None:
        checkpoint = load_checkpoint(path, self.model, self.optimizer)
        extra = checkpoint.extra
        try:
            self.stream.load_state_dict(extra["stream"])
        except (TypeError, ValueError) as error:
            raise FormatError(path, "extra.stream", str(error)) from error
        self.scaler.load_state_dict(extra["scaler"])
        self.step, self.seconds = checkpoint.step, extra["seconds"]

    # --- the steps ---------------------------------------------------------------------------------------------------

    def go(self, callbacks: Sequence[Callback], *, progress: bool) -> TrainResult:
        config = self.config
        self._started = time.perf_counter() - self.seconds
        with progress_bar(description="training", total=config.steps, enabled=progress) as bar:
            bar.update(self.step)
            while self.step < config.steps:
                self.among.check_launcher()
                state = self._update()
                self._look(state.record)
                if self.metrics is not None and len(state.record) > 1:
                    self.metrics.write(state.record)
                if self.among.is_first:
                    for callback in callbacks:
                        callback(state)
                if self._due(config.checkpoint_every):
                    self._save()
                bar.update()
        records = self.metrics.records if self.metrics is not None else []
        return TrainResult(self.model, config, checkpoint_path(config.directory, self.step), records)

    def _update(self) -> TrainState:
        """One update of the weights."""
        config = self.config
        learning_rate = self.optimizer.set_learning_rates(self.step)
        self.optimizer.zero_grad()
        loss, batches, waited = self._gradients()
        mean = float(self.among.mean(loss))
        if not math.isfinite(mean):
            layer = first_nonfinite(self.model, batches, self.loss)
            raise DivergedError(self.step + 1, layer or "the loss", f"the loss is {mean}, first")
        norm = self._clip()
        self.optimizer.step(self.scaler)
        self.step += 1
        record: Record = {"step": self.step}
        if self.step == 1 or self._due(config.log_every):
            record |= {
                "loss": mean,
                "learning_rate": learning_rate,
                "gradient_norm": norm,
                "tokens": self.step * config.batch_size * config.sequence_length,
                "epoch": self.stream.epoch,
                "seconds": time.perf_counter() - self._started,
                "input_seconds": waited,
            }
        return TrainState(self.step, mean, learning_rate, norm, self.model, record)

    def _gradients(self) -> tuple[Tensor, list[tuple[Tensor, Tensor]], float]:
        """Accumulate the gradients of a batch, part by part; return its loss, its parts, and the time to load them."""
        parts = self.config.accumulate
        total = torch.zeros((), dtype=torch.float32, device=self.among.device)
        batches, waited = [], 0.0
        for part in range(parts):
            asked = time.perf_counter()
            batches.append(next(self.stream))
            waited += time.perf_counter() - asked
            # The processes exchange gradients once, after the last part.
            alone: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
            if part < parts - 1 and isinstance(self.parallel, DistributedDataParallel):
                alone = self.parallel.no_sync()
            with alone:
                loss = self.parallel(*batches[-1]) / parts
                self.scaler.scale(loss).backward()
            total += loss.detach()
        return total, batches, waited

    def _clip(self) -> float:
        """Undo the scaling of the gradients and clip them; return their norm before clipping."""
        for optimizer in self.optimizer.optimizers.values():
            self.scaler.unscale_(optimizer)
        try:
            return float(clip_grad_norm(self.optimizer.groups, self.config.clip_norm or math.inf))
        except NonFiniteGradientError as error:
            if self.scaler.is_enabled():
                return math.inf  # an overflow of float16: the scaler leaves this update out and scales less
            raise DivergedError(self.step + 1, str(error.parameter), "the gradient is not finite") from error

    def _due(self, every: int) -> bool:
        """Whether something that is done every ``every`` updates, and at the end, is due now."""
        return self.step == self.config.steps or (every > 0 and self.step % every == 0)

    def _look(self, record: Record) -> None:
        """Evaluate and draw a sample if they are due."""
        config = self.config
        self.loss.eval()
        if self.valid is not None and self._due(config.eval_every):
            record |= evaluate(
                self.loss,
                self.valid,
                batch_size=self.micro_batch,
                context_length=config.sequence_length,
                max_batches=config.eval_batches * (config.batch_size // self.micro_batch),
                lengths=self.lengths,
                among=self.among,
            )
        if self.tokenizer is not None and config.sample_every and self._due(config.sample_every):
            record["sample"] = self._sample(self.tokenizer) if self.among.is_first else ""
        self.loss.train()

    def _sample(self, tokenizer: Tokenizer) -> str:
        length = min(self.config.sample_tokens, self.config.model.context_length - len(self.prompt))
        ids = self.model.generate(
            self.prompt, length, temperature=0.8, seed=self.step, allowed_ids=tokenizer.vocab
        )
        return tokenizer.decode(ids.tolist())

    def _save(self) -> None:
        if self.among.is_first:
            extra = {
                "config": self.config.to_dict(),
                "tokens_sha256": self.tokens.sha256,
                "tokenizer_sha256": self.tokens.tokenizer_sha256,
                "stream": self.stream.state_dict(),
                "scaler": self.scaler.state_dict(),
                "seconds": time.perf_counter() - self._started,
            }
            path = checkpoint_path(self.config.directory, self.step)
            save_checkpoint(path, self.model, self.optimizer, step=self.step, extra=extra)
            tidy(self.config.directory, self.config.keep_checkpoints)
        self.among.wait()


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    if count:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
