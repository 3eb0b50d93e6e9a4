"""Texts and rows as Markdown tables, for what a person sees of an event.

What belongs here: how a value is shown, and that showing it fails nothing. What does not: which
values are shown (`delivery_report.py`, `quarantine.py`, the IO manager).
"""

import logging
from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa

HEAD_ROWS: Final = 5
HEAD_COLUMNS: Final = 16
CELL_CHARACTERS: Final = 40


NOT_SHOWN: Final = "(cannot be shown: {})"
LOG: Final = logging.getLogger(__name__)


def decoration(make: Callable[..., str], *given: Any) -> str:
    """What a function makes of what is given to be shown; if it fails, a text that says so.

    Data that were processed are kept and delivered whatever becomes of what is shown of them, so
    every report, head and table goes through here.
    """
    try:
        return make(*given)
    except Exception as error:  # noqa: BLE001 - whatever it is, data do not fail with it
        return _not_shown(error)


def decorations(make: Callable[..., dict[str, Any]], *given: Any) -> dict[str, Any]:
    """The same of several things by name."""
    try:
        return make(*given)
    except Exception as error:  # noqa: BLE001 - likewise
        return {"not_shown": _not_shown(error)}


def _not_shown(error: Exception) -> str:
    LOG.error("something cannot be shown", exc_info=error)
    return NOT_SHOWN.format(in_table(f"{type(error).__name__}: {error}"))


def in_table(text: str) -> str:
    """A text as a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")


def first_rows(table: pa.Table) -> str:
    """The first rows of a table, at most five, with at most sixteen columns and short cells.

    Columns that say where a row came from are the last ones, so they are the first to go.
    """
    head = table.slice(0, HEAD_ROWS)
    names = head.column_names[:HEAD_COLUMNS]
    lines = [
        f"| {' | '.join(in_table(name) for name in names)} |",
        f"|{'---|' * len(names)}",
    ]
    columns = [[*map(_value, head.column(number))] for number in range(len(names))]
    lines += [f"| {' | '.join(map(_cell, row))} |" for row in zip(*columns, strict=True)]
    more = len(head.column_names) - len(names)
    return "\n".join(lines) + (f"\n\nand {more} more columns" if more else "")


def _value(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError, ArithmeticError):  # such as a day of the year 0
        try:
            return scalar.cast(pa.string()).as_py()
        except pa.ArrowException:
            return "?"


def _cell(value: Any) -> str:
    text = "" if value is None else in_table(str(value).replace("\r", " "))
    return text if len(text) <= CELL_CHARACTERS else f"{text[: CELL_CHARACTERS - 1]}…"
