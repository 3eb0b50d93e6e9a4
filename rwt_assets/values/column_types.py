"""The types that a column may have, one entry each.

What belongs here: for each type, what it is in Arrow, how texts become values of it, how its bounds
are read, which settings it has use for and how it is inferred. What does not: which rows break the
contract (`contract.py`) and which of the readings is proposed (`table_profile.py`). Everything that
knows types goes by `TYPES`: a new type is a new entry.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from functools import cache
from math import ceil, floor, isfinite
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rwt_assets.values import calendar_texts, number_texts, readings
from rwt_assets.values.calendar_texts import ISO, TIMESTAMP, calendar_format
from rwt_assets.values.notation import Notation
from rwt_assets.values.number_texts import INT64, MOST_DIGITS, Faults
from rwt_assets.values.readings import Inferred

Read = Callable[[Any, Notation], tuple[Any, Faults]]
Bound = Callable[[Any, str], Any]
MARKED: Final = frozenset({"decimal_mark", "thousands_mark"})
LEAST, GREATEST = "minimum", "maximum"
DIGITS: Final = re.compile(r"([a-z]+)\( *([0-9]{1,3}) *, *([0-9]{1,3}) *\)")


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A type of columns.

    Attributes:
        name: in declarations.
        arrow: what its values are in Arrow and Parquet.
        read: texts (null or not empty) as values, null where a text is none, and the faults that
            have words of their own; total, and value by value.
        bound: a declared `minimum` or `maximum` as a Python value of the type, or None if the type
            has no bounds. It raises `ValueError` for what is none.
        means: what it is, for the reference.
        settings: those of `ValueSettings` that make a difference to it, and `lossy`.
        infer: how it is found out from texts; None for a type that is declared alone.
        fine: whether its values hardly repeat, so that nobody splits by them.
    """

    name: str
    arrow: pa.DataType
    read: Read
    bound: Bound | None
    means: str
    settings: frozenset[str] = frozenset()
    infer: Inferred | None = None
    fine: bool = False

    @property
    def kind(self) -> str:
        """The name without precision and scale."""
        return self.name.partition("(")[0]


def _text(texts: Any, _: Notation) -> tuple[Any, Faults]:
    return texts, ()


def _integers(texts: Any, notation: Notation) -> tuple[Any, Faults]:
    return number_texts.integers(texts, notation.marks)


def _numbers(texts: Any, notation: Notation) -> tuple[Any, Faults]:
    return number_texts.numbers(texts, notation.marks, lossy=notation.lossy)


def _booleans(texts: Any, notation: Notation) -> tuple[Any, Faults]:
    lower = pc.utf8_lower(texts)
    true, false = (
        pc.is_in(lower, value_set=pc.utf8_lower(pa.array(words, pa.string())))
        for words in (notation.true_values, notation.false_values)
    )
    return pc.if_else(pc.or_(true, false), true, pa.scalar(None, pa.bool_())), ()


def _dates(texts: Any, notation: Notation) -> tuple[Any, Faults]:
    return calendar_texts.dates(texts, notation.formats)


def _times(texts: Any, notation: Notation) -> tuple[Any, Faults]:
    return calendar_texts.times(texts, notation.formats)


def _timestamps(texts: Any, notation: Notation) -> tuple[Any, Faults]:
    return calendar_texts.timestamps(texts, notation.formats, notation.timezone)


def _number_bound(value: Any) -> Decimal:
    """A bound as it is written, which a float is not."""
    try:
        number = Decimal(repr(value) if isinstance(value, float) else str(value))
    except InvalidOperation:
        number = Decimal("nan")
    if isinstance(value, bool | date | time) or not number.is_finite():
        raise ValueError(f"{value!r} is no number")
    return number


def _integer_bound(value: Any, which: str) -> int:
    number = _number_bound(value)
    if not INT64.start - 1 < number < INT64.stop:
        raise ValueError(f"{value} {number_texts.BEYOND_INT64}")
    return ceil(number) if which == LEAST else floor(number)


def _double_bound(value: Any, _: str) -> float:
    number = float(_number_bound(value))
    if not isfinite(number):
        raise ValueError(f"{value} {number_texts.BEYOND_DOUBLE}")
    return number


def _decimal_bound(precision: int, scale: int) -> Bound:
    def bound(value: Any, _: str) -> Decimal:
        made, faults = number_texts.decimals(
            pa.array([f"{_number_bound(value):f}"]), number_texts.Marks(), precision, scale
        )
        if made[0].as_py() is None:
            words = next((words for mask, words in faults if mask[0]), "does not fit")
            raise ValueError(f"{value} {words}")
        found: Decimal = made[0].as_py()
        return found

    return bound


def _calendar_bound(read: Read, what: str) -> Bound:
    def bound(value: Any, _: str) -> Any:
        is_stamp = isinstance(value, datetime)
        if what == "date" and is_stamp and value.time() == time() and value.tzinfo is None:
            value = value.date()
        if what == "timestamp" and isinstance(value, date) and not is_stamp:
            value = datetime(value.year, value.month, value.day, tzinfo=UTC)
        text = value.isoformat() if isinstance(value, date | time) else str(value)
        if what == "timestamp" and len(text) == 10:  # noqa: PLR2004 - a day begins at midnight
            text += "T00:00"
        made = read(pa.array([text or None], pa.string()), Notation())[0]
        if made[0].as_py() is None:
            raise ValueError(f"{value!r} is no {what} as ISO 8601 has it")
        return made[0].as_py()

    return bound


def _decimal(precision: int, scale: int) -> ColumnType:
    def read(texts: Any, notation: Notation) -> tuple[Any, Faults]:
        return number_texts.decimals(texts, notation.marks, precision, scale)

    return ColumnType(
        f"decimal({precision}, {scale})",
        pa.decimal128(precision, scale),
        read,
        _decimal_bound(precision, scale),
        "an exact number of so many digits, of which `scale` come after the decimal mark",
        MARKED,
        fine=True,
    )


TYPES: Final[Mapping[str, ColumnType]] = {
    one.name: one
    for one in (
        ColumnType("string", pa.string(), _text, None, "the text as it stands"),
        ColumnType(
            "integer",
            pa.int64(),
            _integers,
            _integer_bound,
            "a whole number of 64 bits",
            frozenset({"thousands_mark"}),
            readings.INTEGER,
        ),
        ColumnType(
            "number",
            pa.float64(),
            _numbers,
            _double_bound,
            "a double",
            MARKED | {"lossy"},
            readings.NUMBER,
            fine=True,
        ),
        ColumnType(
            "boolean",
            pa.bool_(),
            _booleans,
            None,
            "true or false",
            frozenset({"true_values", "false_values"}),
            readings.BOOLEAN,
        ),
        ColumnType(
            "date",
            pa.date32(),
            _dates,
            _calendar_bound(_dates, "date"),
            "a day, 2024-02-29",
            frozenset({"formats"}),
            readings.DATE,
        ),
        ColumnType(
            "time",
            pa.time64("us"),
            _times,
            _calendar_bound(_times, "time"),
            "a time of a day, 10:30:59",
            frozenset({"formats"}),
        ),
        ColumnType(
            "timestamp",
            pa.timestamp("us", tz="UTC"),
            _timestamps,
            _calendar_bound(_timestamps, "timestamp"),
            "an instant in UTC",
            frozenset({"formats", "timezone"}),
            readings.TIMESTAMP,
            fine=True,
        ),
    )
}
# Types that are declared with their digits, as `decimal(12, 2)`.
WITH_DIGITS: Final[Mapping[str, Callable[[int, int], ColumnType]]] = {"decimal": _decimal}
TYPE_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [
        {"enum": [*TYPES]},
        *({"type": "string", "pattern": rf"^{name}\([0-9, ]+\)$"} for name in WITH_DIGITS),
    ]
}
_KINDS: Final = (*TYPES.values(), *(one(1, 0) for one in WITH_DIGITS.values()))
# Types to which a setting makes a difference; those of a rule hold where they do.
_SETTING_OF: Final[Mapping[str, frozenset[str]]] = {
    name: frozenset(one.kind for one in _KINDS if name in one.settings)
    for name in frozenset().union(*(one.settings for one in _KINDS))
}
NAMES: Final = (*TYPES, *(f"{name}(precision, scale)" for name in WITH_DIGITS))


@cache
def column_type(name: str) -> ColumnType:
    """A type by its name in a declaration.

    Raises:
        ValueError: there is none of this name.
    """
    if name in TYPES:
        return TYPES[name]
    found = DIGITS.fullmatch(name)
    if found is None or found[1] not in WITH_DIGITS:
        raise ValueError(f"{name!r} is no type of columns; there are: {', '.join(NAMES)}")
    precision, scale = int(found[2]), int(found[3])
    if not (1 <= precision <= MOST_DIGITS and scale <= precision):
        raise ValueError(f"{name}: it has 1 to {MOST_DIGITS} digits, scale among them")
    return WITH_DIGITS[found[1]](precision, scale)


@cache
def typed_bound(name: str, value: Any, which: str) -> Any:
    """A declared `minimum` or `maximum` (`which`) as a value of the type of this name.

    Raises:
        ValueError: the type has no bounds, or the value is none of the type.
    """
    found = column_type(name)
    if found.bound is None:
        with_bounds = ", ".join(one.kind for one in _KINDS if one.bound is not None)
        raise ValueError(f"{which} needs a column of type {with_bounds}, not {name}")
    return found.bound(value, which)


def arrow_type(name: str) -> pa.DataType:
    """What values of a type are in Arrow."""
    return column_type(name).arrow


def read_texts(texts: Any, kind: str, notation: Notation) -> tuple[Any, Faults]:
    """Texts (null or not empty) as values, and for every text that is none the reason.

    Args:
        texts: an Arrow array of texts.
        kind: name of the type.
        notation: how they are written.

    Returns:
        Values, null where there is none, and for each reason the rows that it holds for, as words
        that follow the text. It never raises, and each value depends on its own text alone.
    """
    found = column_type(kind)
    value, faults = found.read(texts, notation)
    if value.null_count == texts.null_count:
        return value, ()
    unfit = np.asarray(pc.and_(pc.is_valid(texts), pc.is_null(value)))
    said = [(mask & unfit, words) for mask, words in faults]
    return value, [one for one in said if one[0].any()] + [(unfit, f"is no {found.kind}")]


def notation_of(
    kind: str, column: Mapping[str, Any], rule: Mapping[str, Any] | None = None
) -> Notation:
    """How the values of a column are written.

    Args:
        kind: name of its type. Of the formats of its rule, those hold that give this type.
        column: its settings, as far as they are given.
        rule: those of its rule.

    Raises:
        ValueError: they contradict each other, or the column has one that its type has no use for.
    """
    for name in column:
        if kind not in _SETTING_OF.get(name, {kind}):
            known = ", ".join(sorted(_SETTING_OF[name]))
            raise ValueError(f"{name} needs a column of type {known}, not {kind}")
    inherited = {n: v for n, v in (rule or {}).items() if kind in _SETTING_OF.get(n, {kind})}
    if "formats" in inherited:
        formats = inherited.pop("formats")
        own = tuple(one for one in formats if calendar_format(one).gives in (kind, ISO))
        inherited |= {"formats": own} if own else {}
    for one in column.get("formats", ()):
        gives = calendar_format(one).gives
        # A day alone is midnight where the column says so itself.
        if gives not in (kind, ISO) and (kind, gives) != (TIMESTAMP, "date"):
            raise ValueError(f"the format {one!r} gives a {gives}, and the column is a {kind}")
    found = Notation(**{**inherited, **column})
    if kind in _SETTING_OF["decimal_mark"] and found.marks.decimal == found.marks.thousands:
        mark = found.marks.decimal
        raise ValueError(f"decimal_mark and thousands_mark are both {mark!r}")
    both = {one.lower() for one in found.true_values} & {one.lower() for one in found.false_values}
    if both:
        raise ValueError(f"{', '.join(sorted(both))!r}: among true_values and false_values")
    return found


@cache
def known_notation(
    kind: str, column: tuple[tuple[str, Any], ...], rule: tuple[tuple[str, Any], ...]
) -> Notation:
    """The same, remembered: thousands of shards of one rule ask for it."""
    return notation_of(kind, dict(column), dict(rule))
