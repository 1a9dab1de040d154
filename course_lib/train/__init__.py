"""Training that survives anything: configuration, loop, checkpoints, several processes."""

from course_lib.train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from course_lib.train.config import TrainConfig
from course_lib.train.evaluation import evaluate
from course_lib.train.loop import Callback, TrainResult, TrainState, load_model, train
from course_lib.train.metrics import read_metrics
from course_lib.train.run_folder import check_sources, checkpoints, latest_checkpoint, read_run
from course_lib.train.step import DivergedError, LanguageModelLoss

__all__ = [
    "Callback",
    "Checkpoint",
    "DivergedError",
    "LanguageModelLoss",
    "TrainConfig",
    "TrainResult",
    "TrainState",
    "check_sources",
    "checkpoints",
    "evaluate",
    "latest_checkpoint",
    "load_checkpoint",
    "load_model",
    "read_metrics",
    "read_run",
    "save_checkpoint",
    "train",
]
