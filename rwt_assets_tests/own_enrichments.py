"""Enrichments as a person would write them, good and bad, for tests."""

import logging

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


def note_for_ink(frame):
    """A note that most rows do not have: in a shard without ink it has no type of its own."""
    return frame.assign(note=[None if one != "ink" else "dark" for one in frame["item"]])


def score_for_ink(table):
    scores = [7 if one.as_py() == "ink" else None for one in table["item"]]
    kind = None if any(scores) else pa.null()
    return table.append_column("score", pa.array(scores, kind))


def forget_price(table):
    return table.set_column(
        table.column_names.index("price"), "price", pa.nulls(table.num_rows, pa.null())
    )


def shout_twice(table):
    return table.append_column("ITEM", table["item"])


def by_kind(frame):
    """A score whose type depends on the rows, as that of a function which looks things up may."""
    return _scored(frame, frame["kind"].iloc[0])


def _scored(frame, kind):
    scores = {"whole": ("Score", 7, "int64"), "half": ("Score", 0.5, "float64")}
    name, score, dtype = scores.get(kind, ("Score", None, "object"))
    return frame.assign(**{name: pd.Series([score] * len(frame), dtype=dtype)})


def by_kind_arrow(table):
    """The same over Arrow."""
    kinds = {"whole": ([7], pa.int64()), "half": ([0.5], pa.float32())}
    (score,), kind = kinds.get(table["kind"][0].as_py(), ([None], pa.null()))
    return table.append_column("Score", pa.array([score] * table.num_rows, kind))


def fail_with_the_value(frame):
    """As a bug does: the partner's value is in the exception, and in what it came from."""
    text = _all_of(frame)
    try:
        [].index(text)
    except ValueError as error:
        error.add_note(f"noted: {text}")
        raise ValueError(f"no such item:\n{text}") from error


def fail_while_failing(frame):
    """Two of them, of which the second was not raised from the first."""
    text = _all_of(frame)
    try:
        int(text)
    except ValueError:
        raise RuntimeError("a plain text") from ExceptionGroup(text, [ValueError(text)])


class Untellable(Exception):  # noqa: N818 - a name that acts is the point
    def __str__(self):
        raise ValueError(self.args[0])


Untellable.__name__ = Untellable.__qualname__ = "Un\x1b]0;t\x07tellable"


def fail_without_a_text(frame):
    raise Untellable(_all_of(frame))


def log_and_warn(frame):
    """Nothing fails, but everything is said."""
    for text in frame["item"]:
        logging.getLogger("own").warning(text)
        logging.getLogger("own").warning("%s", text)
    return frame


def _all_of(frame):
    return " ".join(str(one) for one in frame["item"])
