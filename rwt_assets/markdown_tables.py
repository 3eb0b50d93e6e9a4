"""Texts and rows as Markdown tables, for what a person sees of an event.

What belongs here: how a value is shown. What does not: which values are (`delivery_report.py`,
`quarantine.py`, the IO manager).
"""

from typing import Any, Final

import pyarrow as pa

HEAD_ROWS: Final = 5
HEAD_COLUMNS: Final = 16
CELL_CHARACTERS: Final = 40


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
    columns = [head.column(number).to_pylist() for number in range(len(names))]
    lines += [f"| {' | '.join(map(_cell, row))} |" for row in zip(*columns, strict=True)]
    more = len(head.column_names) - len(names)
    return "\n".join(lines) + (f"\n\nand {more} more columns" if more else "")


def _cell(value: Any) -> str:
    text = "" if value is None else in_table(str(value).replace("\r", " "))
    return text if len(text) <= CELL_CHARACTERS else f"{text[: CELL_CHARACTERS - 1]}…"
