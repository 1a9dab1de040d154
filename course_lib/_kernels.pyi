"""Fused kernels on contiguous float32 in memory. Private: use ``course_lib.model``.

Memory comes as addresses (``Tensor.data_ptr()``), unchecked: the caller answers for kind and size. ``isa`` is one of
``available_isas()``, by default the last, fastest one: what the processor can run, up to the one that the environment
variable ``COURSE_CPU_CAPABILITY`` names (``avx512``, ``avx2`` or ``portable``; another value is an ImportError). Calls
release the interpreter lock.
"""

def available_isas() -> list[str]: ...
def rms_norm_forward(
    rows: int,
    width: int,
    eps: float,
    x: int,
    weight: int,
    y: int,
    inverse_rms: int,
    isa: str | None = None,
) -> None: ...
def rms_norm_backward(
    rows: int,
    width: int,
    dy: int,
    x: int,
    weight: int,
    inverse_rms: int,
    dx: int,
    dweight: int,
    isa: str | None = None,
) -> None: ...
def rotate(
    batch: int,
    tokens: int,
    heads: int,
    pairs: int,
    interleaved: bool,
    transposed: bool,
    x: int,
    cos: int,
    sin: int,
    y: int,
    isa: str | None = None,
) -> None: ...
def swiglu_forward(rows: int, width: int, gate_up: int, y: int, isa: str | None = None) -> None: ...
def swiglu_backward(
    rows: int, width: int, dy: int, gate_up: int, dgate_up: int, isa: str | None = None
) -> None: ...
def attention_forward(
    batch: int,
    tokens: int,
    heads: int,
    kv_heads: int,
    width: int,
    scale: float,
    interleaved: bool,
    cos: int,
    sin: int,
    qkv: int,
    y: int,
    log_sums: int,
    isa: str | None = None,
) -> None: ...
def attention_backward(
    batch: int,
    tokens: int,
    heads: int,
    kv_heads: int,
    width: int,
    scale: float,
    interleaved: bool,
    cos: int,
    sin: int,
    dy: int,
    qkv: int,
    log_sums: int,
    dqkv: int,
    isa: str | None = None,
) -> None: ...
def multiply_few_rows(
    rows: int, width: int, outputs: int, x: int, w: int, y: int, isa: str | None = None
) -> None: ...
def multiply(
    rows: int,
    depth: int,
    width: int,
    a: int,
    a_row_step: int,
    a_column_step: int,
    b: int,
    b_row_step: int,
    b_column_step: int,
    c: int,
    c_step: int,
    accumulate: bool = False,
    isa: str | None = None,
) -> None: ...

product_unit: int
