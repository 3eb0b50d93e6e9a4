"""An enrichment of one's own; `docs/feeds.md` explains it."""

import pandas as pd


def with_tax(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(with_tax=frame["price"] * 1.2)
