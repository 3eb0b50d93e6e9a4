"""What the values of one column must be, as a feed declares it.

What belongs here: the declaration of a column, checked when it is loaded. What does not: the
settings on how values are written, which member rules have as well (`notation.py`), types
(`column_types.py`) and holding rows to the rule (`contract.py`).
"""

from datetime import date, time
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from rwt_assets.values.column_types import TYPE_SCHEMA, column_type, notation_of, typed_bound
from rwt_assets.values.notation import ValueSettings
from rwt_assets.values.patterns import check_pattern


def _column_type(name: str) -> str:
    return column_type(name).name


def _as_text(value: Any) -> Any:
    # YAML makes a date of what looks like one.
    return value.isoformat() if isinstance(value, date | time) else value


Bound = Annotated[int | float | str | None, BeforeValidator(_as_text)]


class ColumnRule(ValueSettings):
    """What the values of one column must be.

    An empty field is null, and so are `null_values`. By default, numbers are written as programs
    write them (-1234.5, 1e3), a date as 2024-02-29 or 20240229, a time as 10:30:59, a timestamp as
    ISO 8601 has it, down to microseconds. What a type cannot keep is quarantined: an integer
    beyond 64 bits, a number beyond the range of a double or with more digits than it keeps (unless
    `lossy`), more digits than a `decimal(precision, scale)` has. `minimum` and `maximum` are
    inclusive and of the column's own type; a date in them is written as ISO 8601 has it. `allowed`
    and `pattern` (RE2, a whole match) hold for the text of the field.

    The other settings say how values are written. What a column leaves out is as its member rule
    has it: `null_values` are words that stand for null; `trim` takes white space off both ends
    first; `thousands_mark` is checked to be between groups of three digits, and if it is a point
    then `decimal_mark` is a comma, unless it is declared; `formats` are those of Python's
    `strptime`, or `iso`, and a text to which they give different values is quarantined as
    ambiguous; `timezone` (IANA, UTC by default) holds where no zone is written; `true_values` and
    `false_values` hold in any case of their letters (`true`, `1`, `false`, `0` by default).
    """

    type: Annotated[str, AfterValidator(_column_type), WithJsonSchema(TYPE_SCHEMA)] = "string"
    nullable: bool = True
    minimum: Bound = None
    maximum: Bound = None
    allowed: tuple[str, ...] | None = None
    pattern: Annotated[str, AfterValidator(check_pattern)] | None = None
    lossy: bool = False

    @property
    def kind(self) -> str:
        """The type without its digits."""
        return column_type(self.type).kind

    @property
    def written(self) -> tuple[tuple[str, Any], ...]:
        """The settings of how values are written that the column has itself."""
        return (*super().written, *([("lossy", True)] if self.lossy else []))

    @field_validator("minimum", "maximum")  # of the fields, so that their lines are named
    @classmethod
    def _bound_fits(cls, bound: Bound, given: ValidationInfo) -> Bound:
        if bound is not None and (name := given.data.get("type")) is not None:
            typed_bound(name, bound, str(given.field_name))
        return bound

    @model_validator(mode="after")
    def _settings_fit(self) -> Self:
        notation_of(self.kind, dict(self.written))
        least, greatest = self.bounds
        if least is not None and greatest is not None and least > greatest:
            msg = f"minimum {self.minimum} is above maximum {self.maximum}"
            raise ValueError(msg)
        return self

    @property
    def bounds(self) -> tuple[Any, Any]:
        """`minimum` and `maximum` as values of the column's type; None if there is none."""
        least, greatest = (
            None if value is None else typed_bound(self.type, value, which)
            for which, value in (("minimum", self.minimum), ("maximum", self.maximum))
        )
        return least, greatest
