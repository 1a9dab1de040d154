"""Made-up results that the chapter's pictures and explorers draw."""

import pandas as pd


def directions() -> pd.DataFrame:
    rows = [
        {
            "optimizer": optimizer,
            "seed": seed,
            "step": step,
            "layer": layer,
            "matrix": matrix,
            "direction": direction,
            "condition": 10.0 * (1 + place + step),
            "effective_rank": 0.5,
            "norm": 2.0,
        }
        for place, optimizer in enumerate(("AdamW", "Muon"))
        for seed in (0, 1)
        for step in (0, 10)
        for layer in (0, 1)
        for matrix in ("q_proj", "w1")
        for direction in ("gradient", "momentum", "update")
    ]
    return pd.DataFrame(rows)
