"""Enrichments as a person would write them, good and bad, for tests."""

import pandas as pd
import pyarrow as pa

NO_FUNCTION = 3


def with_tax(frame):
    return frame.assign(with_tax=frame["price"] * 1.2)


def shouted(table):
    return table.append_column("loud", pa.array([str(one).upper() for one in table["item"]]))


def drop_a_row(frame):
    return frame.iloc[1:]


def turn_around(frame):
    return frame.iloc[::-1].reset_index(drop=True)


def fail(frame):
    raise KeyError("tax")


def nothing(frame):
    return None


def price_by_chance(frame):
    kind = "int64[pyarrow]" if (frame["price"] > 5).any() else "string[pyarrow]"
    return frame.assign(odd=pd.Series(["7"] * len(frame), dtype="string[pyarrow]").astype(kind))


def fail_for_ink(frame):
    if (frame["item"] == "ink").any():
        raise ValueError("there is ink")
    return frame.assign(dear=frame["price"] * 2)
