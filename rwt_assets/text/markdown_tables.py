"""Texts and rows as Markdown tables, for what a person sees of an event.

What belongs here: how a value is shown, and that showing it fails nothing. What does not: which
values are shown (`report.py`, `quarantine.py`, the IO manager).
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from rwt_assets.text.foreign_text import NO_MARKDOWN, SafeMarkdown, visible
from rwt_assets.text.tracebacks import told, traceback_of

if TYPE_CHECKING:
    import pyarrow as pa

HEAD_ROWS: Final = 5
HEAD_COLUMNS: Final = 16
CELL_CHARACTERS: Final = 40
LOG: Final = logging.getLogger(__name__)


def decoration(make: Callable[..., SafeMarkdown], *given: Any) -> SafeMarkdown:
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
        return {"not_shown": str(_not_shown(error))}


def _not_shown(error: Exception) -> SafeMarkdown:
    LOG.error("something cannot be shown: %s", traceback_of(error))
    return SafeMarkdown.of("(cannot be shown: {})", told(error))


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> SafeMarkdown:
    """Rows as a Markdown table.

    Args:
        heads: names of the columns; numbers stand at the right under one that ends with a colon.
        rows: their cells, each of which is escaped if it is no `SafeMarkdown`.
    """
    names = _row([head.removesuffix(":") for head in heads])
    rule = "".join("---:|" if head.endswith(":") else "---|" for head in heads)
    return SafeMarkdown.lines([names, SafeMarkdown(f"|{rule}"), *map(_row, rows)])


def _row(cells: Sequence[object]) -> SafeMarkdown:
    made = [SafeMarkdown.of("{}", cell) if cell != "" else NO_MARKDOWN for cell in cells]
    return SafeMarkdown.of("| {} |", SafeMarkdown.lines(made, " | "))


def first_rows(table: "pa.Table") -> SafeMarkdown:
    """The first rows of a table, at most five, with at most sixteen columns and short cells.

    Columns that say where a row came from are the last ones, so they are the first to go.
    """
    head = table.slice(0, HEAD_ROWS)
    names = head.column_names[:HEAD_COLUMNS]
    columns = [[*map(_value, head.column(number))] for number in range(len(names))]
    rows = [[*map(_cell, row)] for row in zip(*columns, strict=True)]
    shown = markdown_table([f"{_cell(name)}" for name in names], rows)
    more = len(head.column_names) - len(names)
    return SafeMarkdown.of("{}\n\nand {} more columns", shown, more) if more else shown


def _value(scalar: Any) -> Any:
    import pyarrow as pa  # noqa: PLC0415 - chooses its memory when it is imported (memory.py)

    try:
        return scalar.as_py()
    except (ValueError, OverflowError, ArithmeticError):  # such as a day of the year 0
        try:
            return scalar.cast(pa.string()).as_py()
        except pa.ArrowException:
            return "?"


def _cell(value: Any) -> str:
    return "" if value is None else visible(value, CELL_CHARACTERS)
