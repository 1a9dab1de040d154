"""Resources (资源计算) from the shape of a model alone: parameters, operations, bytes and seconds."""

from course_lib.accounting.breakdown import Breakdown
from course_lib.accounting.counts import Flops, flops, parameters, training_time
from course_lib.accounting.known import KNOWN_MODELS, KnownModel
from course_lib.accounting.memory import activation_bytes, kv_cache_bytes, memory
from course_lib.accounting.report import report

__all__ = [
    "KNOWN_MODELS",
    "Breakdown",
    "Flops",
    "KnownModel",
    "activation_bytes",
    "flops",
    "kv_cache_bytes",
    "memory",
    "parameters",
    "report",
    "training_time",
]
