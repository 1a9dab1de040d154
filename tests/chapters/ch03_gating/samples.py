"""Made-up results that the chapter's pictures and explorers draw."""

import numpy as np
import pandas as pd


def curves(*names: str) -> pd.DataFrame:
    z = np.linspace(-4, 4, 81)
    frames = [
        pd.DataFrame({"activation": name, "z": z, "value": np.maximum(z, 0), "slope": 1.0 * (z > 0)})
        for name in names
    ]
    return pd.concat(frames)
