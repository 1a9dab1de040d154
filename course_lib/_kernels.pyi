"""Fused kernels on contiguous float32 in memory. Private: use ``course_lib.model``.

Memory comes as addresses (``Tensor.data_ptr()``), unchecked: the caller answers for kind and size. ``isa`` is one of
``available_isas()``, by default the last, fastest one. Calls release the interpreter lock.
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
def swiglu_forward(count: int, gate: int, up: int, y: int, isa: str | None = None) -> None: ...
def swiglu_backward(
    count: int, dy: int, gate: int, up: int, dgate: int, dup: int, isa: str | None = None
) -> None: ...
def attention_forward(
    batch: int,
    tokens: int,
    heads: int,
    kv_heads: int,
    width: int,
    scale: float,
    q: int,
    k: int,
    v: int,
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
    dy: int,
    q: int,
    k: int,
    v: int,
    y: int,
    log_sums: int,
    dq: int,
    dk: int,
    dv: int,
    isa: str | None = None,
) -> None: ...
def multiply_few_rows(
    rows: int, width: int, outputs: int, x: int, w: int, y: int, isa: str | None = None
) -> None: ...
