"""Training that survives interruptions: configuration, loop, checkpoints, several processes."""

from course_lib.train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from course_lib.train.config import TrainConfig
from course_lib.train.evaluation import evaluate
from course_lib.train.loading import Continuation, Run, load_model, load_run
from course_lib.train.loop import Callback, TrainResult, TrainState, train
from course_lib.train.metrics import read_metrics
from course_lib.train.resources import account
from course_lib.train.run_folder import check_sources, checkpoints, latest_checkpoint, read_run
from course_lib.train.template import write_template
from course_lib.train.training_loss import DivergedError, LanguageModelLoss

__all__ = [
    "Callback",
    "Checkpoint",
    "Continuation",
    "DivergedError",
    "LanguageModelLoss",
    "Run",
    "TrainConfig",
    "TrainResult",
    "TrainState",
    "account",
    "check_sources",
    "checkpoints",
    "evaluate",
    "latest_checkpoint",
    "load_checkpoint",
    "load_model",
    "load_run",
    "read_metrics",
    "read_run",
    "save_checkpoint",
    "train",
    "write_template",
]
