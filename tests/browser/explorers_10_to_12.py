"""The explorers of chapters 10 to 12: cells, moves and expected descriptions."""

from collections.abc import Sequence

from course_lib.chapters.ch12_capstone.experiments.ablations import stored
from tests.browser.explorer_case import Case


def _timeline() -> Sequence[str]:
    """Weights, and AdamW's two moments, of 2 layers of width 128 and two tables of 4,000 words: 12 bytes per number."""
    hidden = 384  # 8/3 of 128, rounded up to a multiple of 64
    fixed = 12 * (2 * 4000 * 128 + 2 * (4 * 128**2 + 3 * 128 * hidden + 2 * 128) + 128) / 1e6
    return [f"Permanent: {fixed:,.0f} MB"]


def _shape() -> Sequence[str]:
    from course_lib.accounting import memory
    from course_lib.model import ModelConfig

    held = memory(ModelConfig(32_000, 128, 512, 4, 4), 1, "adamw", loss_chunk=256)
    return [f"{held / 1e6:,.0f} MB at the peak; the largest part is optimizer, {held.share('optimizer'):.0%}"]


def _ablation() -> Sequence[str]:
    runs = stored().set_index(["change", "seed"])["bits_per_byte"]
    change = "attention: one KV head (MQA)"
    difference = runs[change, 2] - runs["nothing changed"].mean()
    return [
        f"{change}, seed 2: {runs[change, 2]:.3f} bits per byte, {difference:+.3f} relative to the mean",
        f"the stored runs of this change have {runs[change].mean():.3f}",
    ]


def _calculator() -> Sequence[str]:
    # D 1,024, L 16, V 100,277, heads of 64, two query heads per KV head, feed-forward 3.5 D gated, head tied
    layer = 2 * 1024**2 + 2 * 1024 * 512 + 3 * 1024 * 3584 + 2 * 1024
    size = 100_277 * 1024 + 16 * layer + 1024
    cache = 2 * 16 * 8 * 64 * 2048 * 2
    # 2 operations forward and 4 backward for each number of a matrix; the table is used as the head
    products = 100_277 * 1024 + 16 * (layer - 2 * 1024)
    token = 6 * products + 12 * 16 * 1024 * 2048
    seconds = 100 * size * token / (989e12 * 0.45)
    return [
        f"{size / 1e6:.0f}M parameters",
        "16 query and 8 KV heads of 64; feed-forward 3,584",
        f"KV cache, bfloat16: {cache / 1e6:.0f} MB for a sequence of 2,048 tokens",
        f"{token / 1e9:.1f} GFLOP per token",
        f"{seconds / 86400:,.1f} days",
    ]


CASES = (
    Case(
        "loaders",
        "ch10.loader_explorer(data.loaders(), data.loaders())",
        (("batch", "ArrowRight"), ("context", "ArrowLeft"), ("pattern", "in order")),
        lambda: [
            "128 windows of 64 tokens, in order: one gather, mapped is fastest, 819 microseconds",
            "row by row, mapped again leaves the most in memory, 51 MB",
        ],
    ),
    Case(
        "step timeline",
        "ch10.timeline_explorer(step_memory.timeline_and_peak)",
        (("layers", "ArrowLeft"), ("batch", "ArrowLeft"), ("chunked", ""), ("vocabulary", "ArrowRight")),
        _timeline,
        exact=False,
    ),
    Case(
        "step memory",
        "ch10.step_memory_explorer(step_memory.parts)",
        (
            ("vocabulary", "ArrowRight"),
            ("chunked", ""),
            ("width", "ArrowRight"),
            ("layers", "ArrowLeft"),
            ("batch", "Home"),
            ("context", "ArrowLeft"),
        ),
        _shape,
    ),
    Case(
        "ablations",
        "ch12.ablation_explorer(ablations.stored(), data.stored_run, baseline=ablations.BASELINE, "
        "start='positions: none')",
        (("change", "attention: one KV head (MQA)"), ("seed", "End")),
        _ablation,
    ),
    Case(
        "resources",
        "ch11.resource_calculator()",
        (
            ("d_model", "ArrowRight"),
            ("num_layers", "ArrowRight"),
            ("vocab_size", "ArrowRight"),
            ("ffn", "gated, 3.5 D"),
            ("tied", ""),
            ("context", "ArrowRight"),
            ("batch", "ArrowLeft"),
            ("group", "ArrowRight"),
            ("precision", "bfloat16"),
            ("optimizer", "Muon"),
            ("loss_chunk", "1,024 rows at a time"),
            ("tokens", "ArrowRight"),
            ("device", "H100 (989 TFLOP/s)"),
            ("mfu", "ArrowRight"),
        ),
        _calculator,
    ),
)
