"""Chapter 11: do the rules for a model's shape survive a small ablation at equal parameters?"""

from collections.abc import Sequence

import pandas as pd

from course_lib.accounting import parameters
from course_lib.lab.small_runs import Comparison, SmallRun, compare, small_config

SHAPES = {
    "base": ("", {}),
    "1 layer of 88": ("depth", {"num_layers": 1, "d_model": 88, "d_ff": 286}),
    "8 layers of 32": ("depth", {"num_layers": 8, "d_model": 32, "d_ff": 96}),
    "d_ff = 0.6 D": ("feed-forward", {"d_model": 96, "d_ff": 57}),
    "d_ff = 6.4 D": ("feed-forward", {"d_model": 48, "d_ff": 306}),
    "1 head of 64": ("heads", {"num_heads": 1}),
    "16 heads of 4": ("heads", {"num_heads": 16}),
}
"""By name: the rule that is broken, and fields of the small model. Parameters in layers are equal to within 0.1 %."""


def shapes() -> pd.DataFrame:
    """The shapes that are compared.

    Columns: shape, rule, D, L, D / L, d_ff / D, heads, head size, in layers (parameters), total (with the two tables).
    """
    rows = []
    for name, (rule, changes) in SHAPES.items():
        config = small_config(**changes)
        counted = parameters(config)
        rows.append(
            {
                "shape": name,
                "rule": rule,
                "D": config.d_model,
                "L": config.num_layers,
                "D / L": config.d_model / config.num_layers,
                "d_ff / D": config.ffn_width / config.d_model,
                "heads": config.num_heads,
                "head size": config.head_width,
                "in layers": counted["attention"] + counted["ffn"],
                "total": counted.total,
            }
        )
    return pd.DataFrame(rows)


def ablation(
    lrs: Sequence[float] = (0.006, 0.02), *, seeds: Sequence[int] = (0, 1, 2), steps: int = 80
) -> Comparison:
    """Train every shape at every learning rate: constant, AdamW, the same batches for the same seed.

    Labels: shape, lr.
    """
    cases = [
        ({"shape": name, "lr": lr}, SmallRun(config=small_config(**changes), lr=lr, steps=steps))
        for name, (_, changes) in SHAPES.items()
        for lr in lrs
    ]
    return compare(cases, seeds, description="shapes")
