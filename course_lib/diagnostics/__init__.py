"""Measurements taken during training: norms, activations, spectra, the path of training, saved memory."""

from course_lib.diagnostics.activations import activation_stats, attention_logit_max
from course_lib.diagnostics.hooks import watch_modules
from course_lib.diagnostics.memory import saved_bytes
from course_lib.diagnostics.norms import Snapshot, gradient_norms, layer_of, snapshot, update_norms
from course_lib.diagnostics.spectra import condition_number, effective_rank, singular_values
from course_lib.diagnostics.timeline import memory_timeline
from course_lib.diagnostics.traffic import moved_bytes
from course_lib.diagnostics.trajectory import Projection, loss_on_plane, trajectory_projection

__all__ = [
    "Projection",
    "Snapshot",
    "activation_stats",
    "attention_logit_max",
    "condition_number",
    "effective_rank",
    "gradient_norms",
    "layer_of",
    "loss_on_plane",
    "memory_timeline",
    "moved_bytes",
    "saved_bytes",
    "singular_values",
    "snapshot",
    "trajectory_projection",
    "update_norms",
    "watch_modules",
]
