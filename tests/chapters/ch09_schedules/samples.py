"""Made-up results that the chapter's pictures and explorers draw."""

import pandas as pd

SHAPES = ("constant", "WSD")
FLOORS = {"bigram": 3.5}


def factors() -> pd.DataFrame:
    rows = [
        (shape, step, 1.0 - 0.01 * step * place) for place, shape in enumerate(SHAPES) for step in range(30)
    ]
    return pd.DataFrame(rows, columns=["shape", "step", "factor"])


def curves() -> pd.DataFrame:
    rows = [
        (shape, lr, seed, step, 3.0 + place + lr + seed)
        for place, shape in enumerate(SHAPES)
        for lr in (0.1, 0.2)
        for seed in (0, 1)
        for step in (5.0, 15.0, 25.0)
    ]
    return pd.DataFrame(rows, columns=["shape", "lr", "seed", "step", "bits"])


def finals() -> pd.DataFrame:
    return curves().groupby(["shape", "lr", "seed"], sort=False)["bits"].last().reset_index()
