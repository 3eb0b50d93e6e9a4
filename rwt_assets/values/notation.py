"""How the values of a column are written: words for null, marks, formats, zone.

What belongs here: these settings, which a feed has for a column and for a rule. What does not:
which of them a type has use for, and reading values by them (`column_types.py`).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from rwt_assets.values.calendar_texts import UTC, calendar_format
from rwt_assets.values.local_times import check_zone
from rwt_assets.values.number_texts import Marks

TRUE_VALUES: Final = ("true", "1")
FALSE_VALUES: Final = ("false", "0")


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
