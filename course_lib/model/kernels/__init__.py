"""The compiled kernels of csrc/kernels, one file per kernel, each with the plain operations it falls back to.

Written as torch operations, a norm, a rotation or a gate reads and writes its input several times; on a processor,
moving bytes takes the time, not the arithmetic. The kernels make one pass forward and one backward, take any strides,
and have derivatives of any order (by formulas from the second on).

Every function here takes tensors and decides by itself whether the compiled kernel may run: :mod:`.eligibility` says
where a kernel may stand in for torch at all, and each file adds the sizes for which its own kernel is the faster one.
Elsewhere the plain operations run, with the same result up to rounding. Layers call and do not ask.
"""

from course_lib.model.kernels.attention import attention, projected_attention, torch_attention
from course_lib.model.kernels.product import product
from course_lib.model.kernels.rms_norm import rms_norm
from course_lib.model.kernels.rotate import rotate
from course_lib.model.kernels.swiglu import swiglu

__all__ = ["attention", "product", "projected_attention", "rms_norm", "rotate", "swiglu", "torch_attention"]
