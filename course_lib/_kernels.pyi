"""Fused kernels on contiguous float32 in memory. Private: use ``course_lib.model.kernels``.

Memory is passed as addresses (``Tensor.data_ptr()``) and not checked: the caller is responsible for dtype and size.
Addresses come first, inputs before outputs; where there are more than three sizes and options, they are keywords.
``isa`` is one of ``available_isas()``, by default the last and fastest one: what the processor can run, up to the one
that the environment variable ``COURSE_CPU_CAPABILITY`` names (``avx512``, ``avx2`` or ``portable``; another value is an
ImportError). Calls release the interpreter lock.
"""

def available_isas() -> list[str]: ...
def rms_norm_forward(
    x: int,
    weight: int,
    y: int,
    inverse_rms: int,
    rows: int,
    width: int,
    eps: float,
    *,
    isa: str | None = None,
) -> None: ...
def rms_norm_backward(
    dy: int,
    x: int,
    weight: int,
    inverse_rms: int,
    dx: int,
    dweight: int,
    *,
    rows: int,
    width: int,
    isa: str | None = None,
) -> None: ...
def rotate(
    x: int,
    cos: int,
    sin: int,
    y: int,
    shape: tuple[int, int, int, int],  # batch, tokens, heads, pairs
    *,
    interleaved: bool,
    transposed: bool,
    isa: str | None = None,
) -> None: ...
def swiglu_forward(gate_up: int, y: int, *, rows: int, width: int, isa: str | None = None) -> None: ...
def swiglu_backward(
    dy: int, gate_up: int, dgate_up: int, *, rows: int, width: int, isa: str | None = None
) -> None: ...
def attention_forward(
    qkv: int,
    y: int,
    log_sums: int,
    *,
    batch: int,
    tokens: int,
    heads: int,
    kv_heads: int,
    width: int,
    scale: float,
    interleaved: bool,
    cos: int,
    sin: int,
    isa: str | None = None,
) -> None: ...
def attention_backward(
    dy: int,
    qkv: int,
    log_sums: int,
    dqkv: int,
    *,
    batch: int,
    tokens: int,
    heads: int,
    kv_heads: int,
    width: int,
    scale: float,
    interleaved: bool,
    cos: int,
    sin: int,
    isa: str | None = None,
) -> None: ...
def multiply_few_rows(
    x: int, weight: int, y: int, rows: int, width: int, outputs: int, *, isa: str | None = None
) -> None: ...
def multiply(
    a: tuple[int, int, int],  # address, row step, column step
    b: tuple[int, int, int],
    c: tuple[int, int],  # address, row step
    *,
    rows: int,
    depth: int,
    width: int,
    accumulate: bool = False,
    isa: str | None = None,
) -> None: ...

product_unit: int
