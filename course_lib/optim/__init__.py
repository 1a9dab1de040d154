"""Optimizers, gradient clipping and learning-rate schedules from scratch.

The classes are ``torch.optim.Optimizer``s that update many tensors at once. What one step does to one tensor is written
out in ``course_lib.optim.reference``, to be read. Nothing here knows the model.
"""

from course_lib.optim import reference
from course_lib.optim.adam import Adam, AdamW
from course_lib.optim.clip import clip_grad_norm
from course_lib.optim.groups import param_groups
from course_lib.optim.muon import Muon
from course_lib.optim.newton_schulz import MUON_COEFFICIENTS, newton_schulz, update_scale
from course_lib.optim.schedules import cosine, inverse_sqrt, linear, wsd
from course_lib.optim.sgd import SGD

__all__ = [
    "MUON_COEFFICIENTS",
    "SGD",
    "Adam",
    "AdamW",
    "Muon",
    "clip_grad_norm",
    "cosine",
    "inverse_sqrt",
    "linear",
    "newton_schulz",
    "param_groups",
    "reference",
    "update_scale",
    "wsd",
]
