"""What the values of a row must be, and what becomes of rows that are not.

What belongs here: text to typed columns, and the reason where that fails. What does not:
rows that are no rows (`splitting.py`) and finding rows that repeat (`uniqueness.py`). Rule:
Databricks documentation, "Configure schema inference and evolution in Auto Loader", for
columns and values that are not declared. Works on whole columns.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from json import dumps
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rwt_assets.contract.enrichment import added_names
from rwt_assets.feed import MemberRule
from rwt_assets.member import SHOWN_BYTES
from rwt_assets.runtime import ArchiveSchemaError, MemberHeaderError, MemberSchemaError, RwtError
from rwt_assets.values import (
    NONE_REJECTED,
    NOT_NULL,
    REJECTED_VALUES,
    RESCUED,
    ColumnRule,
    Fault,
    Notation,
    RejectedValues,
    SeenKeys,
    arrow_type,
    in_order,
    is_ours,
    notation_of,
    read_texts,
    rejected_by,
    row_keys,
    whole_match,
)

UNIQUE: Final = "unique"
TEXT_BYTES: Final = "rwt.text_bytes"  # up to how many bytes the text of a record is whole
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
        pa.field("lines", pa.int64()),
    ],
    metadata={TEXT_BYTES: str(SHOWN_BYTES)},
)


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """Something quarantined: a row, or a member as a whole (then `row` is None).

    `line` is the physical line in the member (header = 1), `row` the ordinal of the record
    (first below the header = 1), `rows` how many rows the entry stands for, `text` the raw
    record, `lines` how many physical lines it has, if that is known.
    """

    member: str
    line: int | None
    row: int | None
    rows: int
    rule: str
    reason: str
    text: str
    lines: int | None = None


@dataclass(frozen=True, slots=True)
class ContractResult:
    """Rows that keep the contract, typed, with their ordinals; and the others."""

    valid: pa.Table
    row_numbers: np.ndarray
    rejected: RejectedValues


def check_columns(columns: Sequence[str], rule: MemberRule, *, where: str) -> None:
    """Hold the columns of a member to what its rule relies on and its evolution allows.

    Args:
        columns: their names, each once.
        rule: the member's rule.
        where: archive, member and line.

    Raises:
        ArchiveSchemaError: columns are new or missing for which the archive fails.
        MemberHeaderError: a column that is needed is missing, or all of several that are declared,
            or one is there that we add.
        MemberSchemaError: columns are new or missing for which the member is quarantined.
    """
    evolution = rule.evolution
    found = f"it has {', '.join(map(repr, columns))}"
    new, missing = new_columns(columns, rule), [n for n in rule.columns if n not in columns]
    needed = [name for name in rule.required_columns if name not in columns]
    taken = [name for name in columns if name in added_names(rescues=evolution.rescues)]
    ours = [name for name in columns if is_ours(name)]
    verdicts: list[tuple[bool, type[RwtError], str]] = [
        (bool(missing) and evolution.missing_columns == "fail", ArchiveSchemaError, "missing"),
        (bool(new) and evolution.new_columns == "fail", ArchiveSchemaError, "new"),
        (bool(needed), MemberHeaderError, "needed"),
        (1 < len(rule.columns) == len(missing), MemberHeaderError, "none"),
        (bool(taken), MemberHeaderError, "taken"),
        (bool(ours), MemberHeaderError, "ours"),
        (bool(missing) and evolution.missing_columns == "quarantine", MemberSchemaError, "missing"),
        (bool(new) and evolution.new_columns == "quarantine", MemberSchemaError, "new"),
    ]
    says = {
        "missing": f"{_named(missing)} missing; {found}",
        "new": f"{_named(new)} not declared by the feed",
        "needed": f"{_named(needed)} missing; {found}",
        "none": f"none of the declared columns {', '.join(map(repr, missing))} is there; {found}",
        "taken": f"{_named(taken)} one that enrichment adds; {found}",
        "ours": f"{_named(ours)} named like a folder of the results; {found}",
    }
    for broken, error, what in verdicts:
        if broken:
            raise error(says[what], where=where, effect=_EFFECTS[error], fix=_FIXES[what])


def new_columns(columns: Sequence[str], rule: MemberRule) -> list[str]:
    """The columns that a rule which declares columns does not declare."""
    return [name for name in columns if name not in rule.columns] if rule.columns else []


_EFFECTS: Final[dict[type[RwtError], str]] = {
    ArchiveSchemaError: "Nothing of the archive is delivered.",
    MemberHeaderError: "The whole member was quarantined; the others were processed.",
    MemberSchemaError: "The whole member was quarantined; the others were processed.",
}
_FIXES: Final = {
    "missing": "Ask the sender, or set evolution.missing_columns of the feed.",
    "new": "Declare it in the feed's columns, or set evolution.new_columns.",
    "needed": "Ask the sender, or fix the feed's split_by, key_column, unique or columns.",
    "none": "Ask the sender, or fix delimiter, header or skip_lines of the dialect, or columns.",
    "taken": "Ask the sender to give the column another name.",
    "ours": "Ask the sender to give the column another name.",
}


def _named(columns: Sequence[str]) -> str:
    names = ", ".join(map(repr, columns))
    return f"the column {names} is" if len(columns) == 1 else f"the columns {names} are"


class ShardContract:
    """The contract of one shard, whose parts are held to it in their order.

    Where the rule has `unique`, the values of those columns are kept from part to part; see
    `uniqueness.py` for what that costs.

    Args:
        rule: the member's rule.
        where: archive and member, named in errors.
    """

    def __init__(self, rule: MemberRule, *, where: str = "") -> None:
        self._rule = rule
        self._where = where
        self._seen = SeenKeys()
        self._readings = {name: _reading(rule, name) for name in rule.columns}

    def apply(
        self, table: pa.Table, row_numbers: np.ndarray, *, within: Any = None
    ) -> ContractResult:
        """Give declared columns their types; quarantined rows that do not fit.

        Args:
            table: text columns. In a declared column an empty field is null; other columns
                stay as they are, unless the rule's evolution rescues or ignores them.
            row_numbers: the rows' ordinals in the member.
            within: what tells shards apart if the rows are of several; rows that repeat are
                looked for within each.

        Returns:
            The typed table (columns as in the member, then declared ones it lacks, as nulls,
            then `_rescued` if the evolution rescues), the ordinals of its rows, and the
            rejected rows with the first rule that each breaks.

        Raises:
            MemberHeaderError: the member lacks a declared column that may not be null.
            ArchiveSchemaError: a value does not fit, and the evolution fails the archive.
        """
        self._check(table.column_names)
        typed, faults = self._typed(table, row_numbers)
        bad = np.zeros(table.num_rows, np.bool_)
        for fault in faults:
            bad |= fault.mask
        rejected = rejected_by(faults, table, row_numbers, bad) if faults else NONE_REJECTED
        if faults:
            typed = typed.filter(pa.array(~bad))
        if not self._rule.unique:
            return ContractResult(typed, row_numbers[~bad] if faults else row_numbers, rejected)
        kept = np.flatnonzero(~bad)
        own = [typed.column(name).combine_chunks() for name in self._rule.unique]
        shard = [] if within is None else [within.take(pa.array(kept))]
        keys = row_keys([*shard, *own])
        first = self._seen.first_rows(keys, row_numbers[kept])
        again = np.flatnonzero(first >= 0)
        if len(again):
            repeated = self._repeated(row_numbers[kept[again]], first[again])
            rejected = in_order(rejected, repeated)
        return ContractResult(
            typed.filter(pa.array(first < 0)), row_numbers[kept[first < 0]], rejected
        )

    def _check(self, columns: Sequence[str]) -> None:
        # The splitter checked this; the feed may have changed since.
        rule, problem = self._rule, ""
        for name in (*rule.columns, *rule.unique):
            if name not in columns and name in rule.required_columns:
                problem = f"lacks the column {name!r}; it has {', '.join(columns)}"
        if RESCUED in columns and rule.evolution.rescues:
            problem = f"has a column {RESCUED!r}, which is one that we add"
        if problem:
            raise MemberHeaderError(
                f"the member {problem}",
                where=self._where,
                effect="The shard was not enriched.",
                fix="Fix the feed's columns, or ask the sender.",
            )

    def _typed(self, table: pa.Table, row_numbers: np.ndarray) -> tuple[pa.Table, list[Fault]]:
        """All columns with their types, and the rules that rows break."""
        evolution, faults = self._rule.evolution, list[Fault]()
        new = {*new_columns(table.column_names, self._rule)}
        columns: dict[str, Any] = {}
        rescued: dict[str, Any] = {}
        for name in table.column_names:
            column = table.column(name)
            column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
            if name in self._rule.columns:
                declared = self._rule.columns[name]
                value, broken = _typed(column, name, self._readings[name])
                conflicts = [one for one in broken if one.rule != NOT_NULL]
                if conflicts and evolution.type_conflicts == "fail":
                    raise self._conflict(conflicts, column, row_numbers)
                if conflicts and evolution.type_conflicts == "rescue" and declared.nullable:
                    unfit = pa.array(np.logical_or.reduce([one.mask for one in conflicts]))
                    rescued[name] = pc.if_else(unfit, column, None)
                    value, broken = pc.if_else(unfit, None, value), []
                columns[name] = value
                faults += broken
            elif name in new and evolution.new_columns == "rescue":
                rescued[name] = pc.if_else(pc.not_equal(column, ""), column, None)
            elif name not in new or evolution.new_columns != "ignore":
                columns[name] = column
        for name, declared in self._rule.columns.items():
            if name not in columns:
                columns[name] = pa.nulls(table.num_rows, arrow_type(declared.type))
        if evolution.rescues:
            columns[RESCUED] = json_objects(rescued, table.num_rows)
        return pa.table(columns), faults

    def _conflict(
        self, conflicts: list[Fault], column: Any, row_numbers: np.ndarray
    ) -> ArchiveSchemaError:
        """The error of the first row whose value does not fit."""
        index = min(int(np.flatnonzero(one.mask)[0]) for one in conflicts)
        fault = next(one for one in conflicts if one.mask[index])
        return ArchiveSchemaError(
            f"the column {fault.column!r} has a value that breaks the contract: "
            f"{fault.reasons(column.slice(index, 1))[0].as_py()}",
            where=", ".join(filter(None, [self._where, f"row {row_numbers[index]}"])),
            effect="Nothing of the archive is delivered.",
            fix="Ask the sender, or set evolution.type_conflicts of the feed.",
        )

    def _repeated(self, row_numbers: np.ndarray, first: np.ndarray) -> RejectedValues:
        told = f"{', '.join(self._rule.unique)}: the same as in row "
        before = pa.array(first, pa.int64()).cast(pa.string())
        columns = [
            pa.array(row_numbers, pa.int64()),
            pa.repeat(UNIQUE, len(row_numbers)),
            pc.binary_join_element_wise(told, before, ""),
        ]
        return RejectedValues(pa.table(columns, schema=REJECTED_VALUES))


def fitting(texts: Any, rule: ColumnRule, notation: Notation | None = None) -> np.ndarray:
    """Which of these texts keep the rule of their column."""
    notation = notation or notation_of(rule.kind, dict(rule.written))
    fit = np.ones(len(texts), np.bool_)
    for fault in _typed(texts, "", _Reading(rule, notation))[1]:
        fit &= ~fault.mask
    return fit


def json_objects(columns: Mapping[str, Any], rows: int) -> Any:
    """For each row a JSON object of the columns that have a text there; null without any."""
    # Arrow's null_handling="skip" drops rows in which all are null: nulls are made "" here.
    pieces = [
        pc.fill_null(
            pc.binary_join_element_wise(f",{dumps(name, ensure_ascii=False)}:", _quoted(texts), ""),
            "",
        )
        for name, texts in columns.items()
    ]
    if not pieces:
        return pa.nulls(rows, pa.string())
    joined = pc.binary_join_element_wise(*pieces, "")
    whole = pc.binary_join_element_wise(pc.binary_replace_slice(joined, 0, 1, "{"), "}", "")
    return pc.if_else(pc.equal(joined, ""), None, whole)


def _quoted(texts: Any) -> Any:
    """Texts as JSON strings (RFC 8259, section 7)."""
    texts = pc.replace_substring(texts, "\\", "\\\\")
    texts = pc.replace_substring(texts, '"', '\\"')
    if pc.any(pc.match_substring_regex(texts, r"[\x00-\x1f]")).as_py():
        for code in range(32):
            texts = pc.replace_substring(texts, chr(code), dumps(chr(code))[1:-1])
    return pc.binary_join_element_wise('"', texts, '"', "")


def count_by_rule(entries: Iterable[QuarantineEntry]) -> dict[str, int]:
    """How many rows were quarantined by each rule."""
    counts: dict[str, int] = {}
    for entry in entries:
        if entry.rows:
            counts[entry.rule] = counts.get(entry.rule, 0) + entry.rows
    return counts


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
            "lines": entry.lines,
        }
        for entry in entries
    ]
    return pa.Table.from_pylist(rows, QUARANTINE_SCHEMA)


@dataclass(frozen=True, slots=True)
class _Reading:
    """How a declared column is read: its rule, and how its values are written."""

    rule: ColumnRule
    notation: Notation


def _reading(rule: MemberRule, column: str) -> _Reading:
    return _Reading(rule.columns[column], rule.notation(column))


def _typed(column: Any, name: str, reading: _Reading) -> tuple[Any, list[Fault]]:
    """A column with its type, and for each broken rule a mask of the rows that break it."""
    rule, faults = reading.rule, list[Fault]()

    def fault(what: str, ok: Any, words: str) -> None:
        mask = ~np.asarray(pc.fill_null(ok, fill_value=True))
        if mask.any():
            faults.append(Fault(name, what, mask, words))

    present, text = _present(column, reading.notation)
    if not rule.nullable:
        fault(NOT_NULL, present, "is empty" if not reading.notation.null_values else "is null")
    if rule.allowed is not None:
        allowed = pa.array(rule.allowed, pa.string())
        within = pc.if_else(pc.is_null(text), None, pc.is_in(text, value_set=allowed))
        fault("allowed", within, f"is none of {', '.join(rule.allowed)}")
    if rule.pattern is not None:
        fault("pattern", whole_match(text, rule.pattern), f"does not match {rule.pattern}")
    value, unread = read_texts(text, rule.type, reading.notation)
    faults += [Fault(name, rule.kind, mask, words) for mask, words in unread]
    least, greatest = rule.bounds
    if least is not None:
        enough = pc.greater_equal(value, pa.scalar(least, value.type))
        fault("minimum", enough, f"is less than {_shown(rule.minimum)}")
    if greatest is not None:
        enough = pc.less_equal(value, pa.scalar(greatest, value.type))
        fault("maximum", enough, f"is more than {_shown(rule.maximum)}")
    return value, faults


def _present(column: Any, notation: Notation) -> tuple[Any, Any]:
    """Which rows have a value, and its text, null for the others."""
    if notation.trim:
        column = pc.utf8_trim_whitespace(column)
    present = pc.not_equal(column, "")
    if present.null_count:
        present = pc.fill_null(present, fill_value=False)
    if notation.null_values:
        words = pa.array(notation.null_values, pa.string())
        present = pc.and_not(present, pc.is_in(column, value_set=words))
    if pc.all(present).as_py() in (True, None):
        return present, column
    return present, pc.if_else(present, column, None)


def _shown(bound: Any) -> str:
    return f"{bound:g}" if isinstance(bound, float) else str(bound)
