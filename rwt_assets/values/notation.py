"""How the values of a column are written: words for null, marks, formats, zone.

What belongs here: these settings, which a feed has for a column and for a rule, and what they come
to for one column. What does not: reading values by them (`column_types.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from rwt_assets.values.calendar_texts import ISO, TIMESTAMP, UTC, calendar_format
from rwt_assets.values.local_times import check_zone
from rwt_assets.values.number_texts import Marks

TRUE_VALUES: Final = ("true", "1")
FALSE_VALUES: Final = ("false", "0")
# Types to which a setting makes a difference; those of a rule hold where they do.
SETTING_OF: Final[Mapping[str, frozenset[str]]] = {
    "decimal_mark": frozenset({"number", "decimal"}),
    "thousands_mark": frozenset({"integer", "number", "decimal"}),
    "formats": frozenset({"date", "time", "timestamp"}),
    "timezone": frozenset({"timestamp"}),
    "true_values": frozenset({"boolean"}),
    "false_values": frozenset({"boolean"}),
    "lossy": frozenset({"number"}),
}


def _mark(value: str) -> str:
    if len(value) == 1 and not value.isalnum() and value not in "+-\r\n\0":
        return value
    msg = f"{value!r} is no mark between digits: one character, no letter, digit or sign"
    raise ValueError(msg)


def _formats(values: tuple[str, ...]) -> tuple[str, ...]:
    for one in values:
        calendar_format(one)
    return values


def _words(values: tuple[str, ...]) -> tuple[str, ...]:
    if any(not one for one in values):
        raise ValueError("an empty text is no word: an empty field is null in any case")
    return values


Mark = Annotated[str, AfterValidator(_mark)]
Words = Annotated[tuple[str, ...], AfterValidator(_words)]


class ValueSettings(BaseModel):
    """How values are written; what a column does not say is as its rule has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    null_values: Words | None = None
    trim: bool | None = None
    decimal_mark: Mark | None = None
    thousands_mark: Mark | None = None
    formats: Annotated[tuple[str, ...], AfterValidator(_formats)] | None = None
    timezone: Annotated[str, AfterValidator(check_zone)] | None = None
    true_values: Words | None = Field(default=None, min_length=1)
    false_values: Words | None = Field(default=None, min_length=1)

    @property
    def written(self) -> tuple[tuple[str, Any], ...]:
        """The settings that are given, by which what they come to is remembered."""
        given = (name for name in _NAMES if name in self.model_fields_set)
        values = ((name, getattr(self, name)) for name in given)
        return tuple((name, value) for name, value in values if value is not None)


_NAMES: Final = tuple(ValueSettings.model_fields)


@dataclass(frozen=True)
class Notation:
    """What the settings of a rule and a column come to for that column."""

    null_values: tuple[str, ...] = ()
    trim: bool = False
    decimal_mark: str | None = None
    thousands_mark: str = ""
    formats: tuple[str, ...] = ()
    timezone: str = UTC
    true_values: tuple[str, ...] = TRUE_VALUES
    false_values: tuple[str, ...] = FALSE_VALUES
    lossy: bool = False

    @cached_property
    def marks(self) -> Marks:
        """A thousands mark that is a point leaves the comma for the decimal mark."""
        usual = "," if self.thousands_mark == "." else "."
        return Marks(self.decimal_mark or usual, self.thousands_mark)


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
        if kind not in SETTING_OF.get(name, {kind}):
            known = ", ".join(sorted(SETTING_OF[name]))
            raise ValueError(f"{name} needs a column of type {known}, not {kind}")
    inherited = {n: v for n, v in (rule or {}).items() if kind in SETTING_OF.get(n, {kind})}
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
    if kind in SETTING_OF["decimal_mark"] and found.marks.decimal == found.marks.thousands:
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
