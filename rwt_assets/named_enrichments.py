"""What a feed has done to the rows that keep its contract: functions by name, in order.

What belongs here: the built-in functions, a person's own, and what they may do. What does not:
the columns that every row gets (`enrichment.py`) and setting rows aside, which is the
contract's (`contract.py`): a value that must convert is declared with its type or pattern there.

An enrichment sees some rows of a member at a time, whichever they are, so what it makes of a row
must not depend on the others. It may add, change and remove columns, but neither rows nor the
columns that say where a row came from: every row that was read is accounted for.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from functools import cache
from importlib import import_module
from typing import Annotated, Any, Final, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator

from rwt_assets.enrichment import ADDED, RESCUED, crc32_of
from rwt_assets.errors import EnrichmentError

BUILT_IN: Final = ("crc32", "parse_date", "rename", "cast", "constant", "lookup")
OWN: Final = "own"
KEPT: Final = (*ADDED, RESCUED)
CONSTANT_TYPES: Final = {bool: "boolean", int: "integer", float: "number", str: "string"}
CAST_TYPES: Final = {"string": pa.string(), "integer": pa.int64(), "number": pa.float64()}


def _new_column(name: str) -> str:
    if name in KEPT:
        msg = f"{name!r} is a column that every row gets; choose another name"
        raise ValueError(msg)
    return name


class _Enrichment(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Making(_Enrichment):
    """Makes the column `to`, in the place of one of that name."""

    to: str = Field(min_length=1)

    @field_validator("to")
    @classmethod
    def _is_free(cls, name: str) -> str:
        return _new_column(name)


class Crc32Of(_Making):
    """CRC-32 of a column's UTF-8 bytes (uint32; null for null), beside that of the key column."""

    use: Literal["crc32"]
    column: str


class ParseDate(_Making):
    """The date that a text names in a format of Python's `strptime`; null where it names none.

    The text stays in its own column, so nothing is lost; a row that must have a date is declared
    in the contract, by `pattern`.
    """

    use: Literal["parse_date"]
    column: str
    format: str = Field(min_length=1)


class Rename(_Making):
    """Gives a column another name."""

    use: Literal["rename"]
    column: str


class Cast(_Enrichment):
    """Gives a column another type, null where the value has none of it.

    What must convert is declared with its `type` in the contract, which sets the others aside.
    """

    use: Literal["cast"]
    column: str
    type: Literal["string", "integer", "number"]


class Constant(_Making):
    """The same value in every row; its type is that of the value."""

    use: Literal["constant"]
    value: bool | int | float | str


class Lookup(_Making):
    """The text that stands for a column's value in `table`, else `default`, for null too."""

    use: Literal["lookup"]
    column: str
    table: dict[str, str]
    default: str | None = None


class OwnFunction(_Enrichment):
    """A function of one's own, `package.module.function`: from a DataFrame to a DataFrame.

    With `frame: arrow` it is from a `pyarrow.Table` to one, which costs no conversion. `version`
    is changed by whoever changes what the function does: shards of the version before are stale.
    """

    use: str
    frame: Literal["pandas", "arrow"] = "pandas"
    version: str = "1"

    @field_validator("use")
    @classmethod
    def _is_there(cls, path: str) -> str:
        function_at(path)
        return path


def _kind(value: Any) -> str:
    name = value.get("use") if isinstance(value, dict) else getattr(value, "use", None)
    return name if name in BUILT_IN else OWN


Enrichment = Annotated[
    Annotated[Crc32Of, Tag("crc32")]
    | Annotated[ParseDate, Tag("parse_date")]
    | Annotated[Rename, Tag("rename")]
    | Annotated[Cast, Tag("cast")]
    | Annotated[Constant, Tag("constant")]
    | Annotated[Lookup, Tag("lookup")]
    | Annotated[OwnFunction, Tag(OWN)],
    Discriminator(_kind),
]


@cache
def function_at(path: str) -> Callable[[Any], Any]:
    """The function of a dotted path.

    Raises:
        ValueError: no such module, or nothing in it that can be called.
    """
    module, _, name = path.rpartition(".")
    if not module:
        msg = f"{path!r} is neither {', '.join(BUILT_IN)} nor a dotted path to a function"
        raise ValueError(msg)
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        msg = f"there is no function {path!r}: {error}"
        raise ValueError(msg) from error
    if not callable(found):
        msg = f"{path!r} is {type(found).__name__}, no function"
        raise ValueError(msg)  # noqa: TRY004 - pydantic takes it for a fault of the declaration
    function: Callable[[Any], Any] = found
    return function


def check_columns_known(enrichments: Sequence[Enrichment], columns: Sequence[str]) -> None:
    """Hold enrichments to the columns that there are when each comes; own functions may add some.

    Raises:
        ValueError: one uses a column that is not there, or makes one that is.
    """
    there = {*columns}
    for one in enrichments:
        if isinstance(one, OwnFunction):
            return
        used = getattr(one, "column", None)
        if used is not None and used not in there and used not in ADDED:
            msg = (
                f"{one.use} uses the unknown column {used!r}; there are: {', '.join(sorted(there))}"
            )
            raise ValueError(msg)
        if isinstance(one, Rename):
            if one.column in KEPT:
                msg = f"rename: {one.column!r} is a column that every row keeps"
                raise ValueError(msg)
            there.discard(one.column)
        if isinstance(one, _Making):
            there.add(one.to)


def sources_of(enrichments: Sequence[Enrichment], columns: Sequence[str]) -> dict[str, str]:
    """From which column of the member each column came, as far as the names tell.

    Args:
        enrichments: of the member's rule.
        columns: of the result.
    """
    sources = {name: name for name in columns}
    for one in enrichments:
        if isinstance(one, Crc32Of | ParseDate | Rename | Lookup):
            sources[one.to] = sources.get(one.column, one.column)
        elif isinstance(one, Constant):
            sources.pop(one.to, None)
    return {name: source for name, source in sources.items() if name in columns}


def types_after(enrichments: Sequence[Enrichment], types: Mapping[str, str]) -> dict[str, str]:
    """What is known of the columns' types after the enrichments, from what was before."""
    known = dict(types)
    for one in enrichments:
        if isinstance(one, Rename) and one.column in known:
            known = {one.to if name == one.column else name: t for name, t in known.items()}
        elif isinstance(one, Cast):
            known[one.column] = one.type
        elif isinstance(one, Constant):
            known[one.to] = CONSTANT_TYPES[type(one.value)]
        elif isinstance(one, Crc32Of | ParseDate | Lookup):
            made = {"crc32": "uint32", "parse_date": "date", "lookup": "string"}
            known[one.to] = made[one.use]
    return known


class NamedEnrichments:
    """The enrichments of a rule, applied to one batch of a member or shard after the other.

    Args:
        enrichments: in their order.
        where: archive and member, named in errors.
    """

    def __init__(self, enrichments: Sequence[Enrichment], *, where: str) -> None:
        self._enrichments = tuple(enrichments)
        self._where = where
        self._schema: pa.Schema | None = None

    def apply(self, table: pa.Table) -> pa.Table:
        """The table with what the enrichments make of it; the same table if there are none.

        Raises:
            EnrichmentError: one of them fails, or does what it may not.
        """
        if not self._enrichments:
            return table
        result = table
        for one in self._enrichments:
            try:
                result = (
                    self._own(one, result) if isinstance(one, OwnFunction) else _do(one, result)
                )
            except EnrichmentError:
                raise
            except Exception as error:
                raise self._error(one, f"raised {type(error).__name__}: {error}") from error
        return self._same_schema(result)

    def _own(self, one: OwnFunction, table: pa.Table) -> pa.Table:
        given = table if one.frame == "arrow" else table.to_pandas(types_mapper=pd.ArrowDtype)
        made = function_at(one.use)(given)
        wanted = pa.Table if one.frame == "arrow" else pd.DataFrame
        if not isinstance(made, wanted):
            raise self._error(one, f"returned {type(made).__name__}, not {wanted.__name__}")
        if isinstance(made, pd.DataFrame):
            made = pa.Table.from_pandas(made, preserve_index=False).replace_schema_metadata(None)
        if made.num_rows != table.num_rows:
            raise self._error(
                one, f"made {made.num_rows} rows of {table.num_rows}; each row stays one row"
            )
        for name in KEPT:
            if name in table.column_names and (
                name not in made.column_names or not made.column(name).equals(table.column(name))
            ):
                raise self._error(one, f"changed the column {name!r} or the order of the rows")
        return made

    def _same_schema(self, table: pa.Table) -> pa.Table:
        """Batches of a member go into one file, so the first one decides on the columns."""
        if self._schema is None:
            self._schema = table.schema
        if table.schema == self._schema:
            return table
        try:
            return table.select(self._schema.names).cast(self._schema)
        except (KeyError, ValueError, pa.ArrowException) as error:
            told = "; ".join(f"{field.name}: {field.type}" for field in table.schema)
            before = "; ".join(f"{field.name}: {field.type}" for field in self._schema)
            raise self._error(
                self._enrichments[-1],
                f"gave other columns than for the rows before ({told}, not {before})",
            ) from error

    def _error(self, one: Enrichment, problem: str) -> EnrichmentError:
        return EnrichmentError(
            f"the enrichment {one.use} {problem}",
            where=self._where,
            fate="Nothing of the member was delivered; what was delivered before is as it was.",
            remedy="Mend the function or the feed's enrichments, then run `rwt retry`.",
        )


def _do(one: Enrichment, table: pa.Table) -> pa.Table:
    """A built-in enrichment."""
    if isinstance(one, OwnFunction):
        msg = f"{one.use} is no built-in enrichment"
        raise TypeError(msg)
    if isinstance(one, Constant):
        return _with(table, one.to, pa.repeat(pa.scalar(one.value), table.num_rows))
    column = table.column(one.column).combine_chunks()
    if isinstance(one, Crc32Of):
        return _with(table, one.to, crc32_of(column))
    if isinstance(one, ParseDate):
        return _with(table, one.to, _by_value(column, _dates(one.format), pa.date32()))
    if isinstance(one, Lookup):
        found = _by_value(column, one.table.get, pa.string())
        return _with(table, one.to, found if one.default is None else found.fill_null(one.default))
    if isinstance(one, Rename):
        names = [one.to if name == one.column else name for name in table.column_names]
        return table.rename_columns(names)
    place = table.column_names.index(one.column)
    return table.set_column(place, one.column, _cast(column, CAST_TYPES[one.type]))


def _with(table: pa.Table, name: str, column: Any) -> pa.Table:
    """The table with a column, in the place of one of that name or before those all rows get."""
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), name, column)
    place = min(table.column_names.index(kept) for kept in KEPT if kept in table.column_names)
    return table.add_column(place, name, column)


def _by_value(column: Any, function: Callable[[str], Any], kind: pa.DataType) -> Any:
    """A function of a column's text, called once for each different one; null for null."""
    texts = column if pa.types.is_string(column.type) else column.cast(pa.string())
    coded = texts.dictionary_encode()
    made = pa.array([function(text) for text in coded.dictionary.to_pylist()], kind)
    return pc.take(made, coded.indices)


def _dates(pattern: str) -> Callable[[str], date | None]:
    def parse(text: str) -> date | None:
        try:
            return datetime.strptime(text, pattern).date()  # noqa: DTZ007 - a date has no zone
        except ValueError:
            return None

    return parse


def _cast(column: Any, kind: pa.DataType) -> Any:
    """Values of another type; null where a value cannot be one of it."""
    if kind == pa.string():
        return column.cast(kind)
    try:
        return column.cast(kind)
    except pa.ArrowInvalid:
        # Some do not convert: found out value by value, which is slow and rare.
        return _by_value(column, lambda text: _number(text, kind), kind)


def _number(text: str, kind: pa.DataType) -> Any:
    try:
        return pa.scalar(text).cast(kind).as_py()
    except pa.ArrowInvalid:
        return None
