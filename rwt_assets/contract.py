"""What the values of a row must be, and what becomes of rows that are not.

What belongs here: text to typed columns, and the reason where that fails. What does not:
rows that are no rows (`splitting.py`). Works on whole columns; only rejected rows are
looked at one by one.
"""

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import StringIO
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from rwt_assets.errors import MemberHeaderError
from rwt_assets.feed import ColumnRule, ColumnType, MemberRule

ARROW_TYPES: Final[dict[ColumnType, pa.DataType]] = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
}
PATTERNS: Final[dict[ColumnType, str]] = {
    "integer": r"^[+-]?[0-9]{1,18}$",
    "number": r"^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]{1,3})?$",
    "boolean": r"^(?i:true|false|1|0)$",
    "date": r"^[0-9]{4}(-[0-9]{2}-[0-9]{2}|[0-9]{4})$",
}
QUARANTINE_SCHEMA: Final = pa.schema(
    [
        pa.field("archive", pa.string(), nullable=False),
        pa.field("revision", pa.string(), nullable=False),
        pa.field("member", pa.string(), nullable=False),
        pa.field("line", pa.int64()),
        pa.field("row", pa.int64()),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """Something set aside: a row, or a member as a whole (then `row` is None).

    `line` is the physical line in the member (header = 1), `row` the ordinal of the record
    (first below the header = 1), `rows` how many rows the entry stands for, `text` the raw
    record.
    """

    member: str
    line: int | None
    row: int | None
    rows: int
    rule: str
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class RejectedValue:
    """A row that breaks the contract: its ordinal, the first rule it breaks, and its text."""

    row: int
    rule: str
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class ContractResult:
    """Rows that keep the contract, typed, with their ordinals; and the others."""

    valid: pa.Table
    row_numbers: np.ndarray
    rejected: tuple[RejectedValue, ...]


def parse_shard(data: bytes) -> pa.Table:
    """Read a part of a shard as text: every field as it stands, header from the first line."""
    with arrow_csv.open_csv(
        pa.BufferReader(data[: max(data.find(b"\n") + 1, 1)]), parse_options=_PARSE
    ) as header:
        names = header.schema.names
    return arrow_csv.read_csv(
        pa.BufferReader(data),
        read_options=arrow_csv.ReadOptions(use_threads=False, block_size=max(len(data), 1 << 16)),
        parse_options=_PARSE,
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
        ),
    )


_PARSE: Final = arrow_csv.ParseOptions(newlines_in_values=True)


def apply_contract(table: pa.Table, row_numbers: np.ndarray, rule: MemberRule) -> ContractResult:
    """Give declared columns their types; set aside rows that do not fit.

    Args:
        table: text columns. In a declared column an empty field is null; other columns stay
            as they are.
        row_numbers: the rows' ordinals in the member.
        rule: the member's rule.

    Returns:
        The typed table (columns as in the member, then declared ones it lacks, as nulls), the
        ordinals of its rows, and the rejected rows with the first rule that each breaks.

    Raises:
        MemberHeaderError: the member lacks a declared column that may not be null.
    """
    lacking = [n for n, c in rule.columns.items() if n not in table.column_names and not c.nullable]
    if lacking:
        raise MemberHeaderError(
            f"the member lacks the column {lacking[0]!r}; it has {', '.join(table.column_names)}",
            fate="The shard was not enriched.",
            remedy="Mend the feed's columns, or ask the sender.",
        )
    broken: list[tuple[str, np.ndarray, Callable[[Any], str]]] = []
    columns: dict[str, Any] = {}
    for name in table.column_names:
        column = table.column(name)
        column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
        if name in rule.columns:
            columns[name], faults = _typed(column, name, rule.columns[name])
            broken += faults
        else:
            columns[name] = column
    for name, declared in rule.columns.items():
        if name not in columns:
            columns[name] = pa.nulls(table.num_rows, ARROW_TYPES[declared.type])
    typed = pa.table(columns)
    if not broken:
        return ContractResult(typed, row_numbers, ())
    bad = np.logical_or.reduce([mask for _, mask, _ in broken])
    return ContractResult(
        typed.filter(pa.array(~bad)), row_numbers[~bad], _rejected(table, row_numbers, broken, bad)
    )


def quarantine_table(
    entries: Iterable[QuarantineEntry], *, archive: str, revision: str
) -> pa.Table:
    """Entries as a table of `QUARANTINE_SCHEMA`."""
    rows = [
        {
            "archive": archive,
            "revision": revision,
            "member": entry.member,
            "line": entry.line,
            "row": entry.row,
            "rows": entry.rows,
            "rule": entry.rule,
            "reason": entry.reason,
            "text": entry.text,
        }
        for entry in entries
    ]
    return pa.Table.from_pylist(rows, QUARANTINE_SCHEMA)


def _typed(
    column: Any, name: str, rule: ColumnRule
) -> tuple[Any, list[tuple[str, np.ndarray, Callable[[Any], str]]]]:
    """A column with its type, and for each broken rule a mask of the rows that break it."""
    faults: list[tuple[str, np.ndarray, Callable[[Any], str]]] = []

    def fault(what: str, ok: Any, reason: Callable[[Any], str]) -> None:
        mask = ~np.asarray(pc.fill_null(ok, fill_value=True))
        if mask.any():
            faults.append((f"{name}: {what}", mask, reason))

    present = pc.not_equal(column, "")
    text = column if pc.all(present).as_py() in (True, None) else pc.if_else(present, column, None)
    if not rule.nullable:
        fault("not null", present, lambda _: f"{name} is empty")
    if rule.allowed is not None:
        allowed = pa.array(rule.allowed, pa.string())
        within = pc.if_else(pc.is_null(text), None, pc.is_in(text, value_set=allowed))
        fault("allowed", within, lambda v: f"{v!r} is none of {', '.join(rule.allowed or ())}")
    if rule.pattern is not None:
        matches = pc.match_substring_regex(text, f"^(?:{rule.pattern})$")
        fault("pattern", matches, lambda v: f"{v!r} does not match {rule.pattern}")
    if rule.type == "string":
        return text, faults
    fits = pc.match_substring_regex(text, PATTERNS[rule.type])
    value, parsed = _cast(text, fits, rule.type)
    fault(rule.type, parsed, lambda v: f"{v!r} is no {rule.type}")
    if rule.minimum is not None:
        enough = pc.greater_equal(value, rule.minimum)
        fault("minimum", enough, lambda v: f"{v} is less than {rule.minimum:g}")
    if rule.maximum is not None:
        fault(
            "maximum",
            pc.less_equal(value, rule.maximum),
            lambda v: f"{v} is more than {rule.maximum:g}",
        )
    return value, faults


def _cast(text: Any, fits: Any, kind: ColumnType) -> tuple[Any, Any]:
    """Values where the text fits its type, null elsewhere; and whether each present one fits."""
    candidate = pc.if_else(pc.fill_null(fits, fill_value=False), text, None)
    if kind == "boolean":
        lower = pc.utf8_lower(candidate)
        value = pc.if_else(
            pc.is_null(lower), None, pc.is_in(lower, value_set=pa.array(["true", "1"]))
        )
        return value, fits
    if kind == "date":
        digits = pc.replace_substring(candidate, "-", "")
        stamps = pc.strptime(digits, format="%Y%m%d", unit="s", error_is_null=True)
        # strptime lets 30 February roll over; what does not come back the same was no date.
        same = pc.equal(pc.strftime(stamps, format="%Y%m%d"), digits)
        value = pc.if_else(pc.fill_null(same, fill_value=False), stamps, None).cast(pa.date32())
        return value, pc.and_(fits, pc.or_(pc.is_null(text), pc.is_valid(value)))
    unsigned = pc.replace_substring_regex(candidate, r"^[+]", "")
    return unsigned.cast(ARROW_TYPES[kind]), fits


def _rejected(
    table: pa.Table,
    row_numbers: np.ndarray,
    broken: list[tuple[str, np.ndarray, Callable[[Any], str]]],
    bad: np.ndarray,
) -> tuple[RejectedValue, ...]:
    rejected: list[RejectedValue] = []
    for index in np.flatnonzero(bad).tolist():
        record = {name: table.column(name)[index].as_py() for name in table.column_names}
        label, _, reason = next(fault for fault in broken if fault[1][index])
        line = StringIO()
        csv.writer(line, lineterminator="").writerow(record.values())
        value = record[label.rpartition(": ")[0]]
        rejected.append(
            RejectedValue(int(row_numbers[index]), label, reason(value), line.getvalue())
        )
    return tuple(rejected)
