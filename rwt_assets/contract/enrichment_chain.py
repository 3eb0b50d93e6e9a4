"""Named enrichments applied to rows, one after the other.

What belongs here: what each does to a batch, and holding a person's own function to what it may
do. What does not: their declarations (`named_enrichments.py`).
"""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from rwt_assets.contract.enrichment import crc32_of
from rwt_assets.feed import (
    KEPT,
    Constant,
    Crc32Of,
    Enrichment,
    Lookup,
    OwnFunction,
    ParseDate,
    Rename,
    function_at,
)
from rwt_assets.runtime import EnrichmentError
from rwt_assets.text import told
from rwt_assets.values import FOLDER_KEYS, Notation, arrow_type, read_texts


class EnrichmentChain:
    """The enrichments of a rule, applied to one batch of a member or shard after the other.

    Args:
        enrichments: in their order.
        where: archive and member, named in errors.
    """

    def __init__(self, enrichments: Sequence[Enrichment], *, where: str) -> None:
        self._enrichments = tuple(enrichments)
        self._where = where
        self._schema: pa.Schema | None = None
        self._left_out: set[str] = set()  # of a batch: columns without a type

    def apply(self, table: pa.Table) -> pa.Table:
        """The table with what the enrichments make of it; the same table if there are none.

        Raises:
            EnrichmentError: one of them fails, or does what it may not.
        """
        if not self._enrichments:
            return table
        result = table
        self._left_out = set()
        for one in self._enrichments:
            try:
                result = (
                    self._own(one, result) if isinstance(one, OwnFunction) else _do(one, result)
                )
            except EnrichmentError:
                raise
            except Exception as error:
                raise self._error(one, f"raised {told(error)}") from error
            self._check_names(one, result.column_names)
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
        return self._with_types(one, table, made)

    def _check_names(self, one: Enrichment, names: Sequence[str]) -> None:
        """Raise if readers could not tell the columns apart."""
        first: dict[str, str] = {name: f"{name}, a folder of the results" for name in FOLDER_KEYS}
        for name in names:
            if name.casefold() in first:
                raise self._error(
                    one,
                    f"gave a column {name!r} beside {first[name.casefold()]!r}: names must differ "
                    "by more than their case",
                )
            first[name.casefold()] = name

    def _with_types(self, one: OwnFunction, before: pa.Table, made: pa.Table) -> pa.Table:
        """What a function made, whose columns have the same types whatever rows it was given.

        A column that is null in every row has no type of its own. It gets the declared one, or
        that which it had before. Else it is left out, so that readers take it to be null, with the
        type that it has in other objects of the member.
        """
        for place, name in reversed([*enumerate(made.column_names)]):
            column, wanted = made.column(place), None
            if name in one.columns:
                wanted = arrow_type(one.columns[name])
            elif pa.types.is_null(column.type) and name in before.column_names:
                wanted = before.schema.field(name).type
            elif pa.types.is_null(column.type):
                made = made.remove_column(place)
                self._left_out.add(name)
            if wanted is not None and column.type != wanted:
                try:
                    made = made.set_column(place, name, column.cast(wanted))
                except pa.ArrowException as error:
                    raise self._error(
                        one, f"gave the column {name!r} as {column.type}, not {wanted}: {error}"
                    ) from error
        return made

    def _same_schema(self, table: pa.Table) -> pa.Table:
        """Batches of a member go into one file, so the first one decides on the columns."""
        if self._schema is None:
            self._schema = table.schema
        if table.schema == self._schema:
            return table
        missing = set(self._schema.names) ^ set(table.column_names)
        others = missing - self._left_out or set(table.column_names) - set(self._schema.names)
        try:
            if others:
                _refuse_others()
            return _with_nulls(table, self._schema).cast(self._schema)
        except (KeyError, ValueError, pa.ArrowException) as error:
            told = "; ".join(f"{field.name}: {field.type}" for field in table.schema)
            before = "; ".join(f"{field.name}: {field.type}" for field in self._schema)
            raise self._error(
                self._enrichments[-1],
                f"gave other columns than for the rows before ({told}, not {before}); the types of "
                "columns that it makes may be declared (columns)",
            ) from error

    def _error(self, one: Enrichment, problem: str) -> EnrichmentError:
        return EnrichmentError(
            f"the enrichment {one.use} {problem}",
            where=self._where,
            effect="Nothing of the member was delivered; what was delivered before is as it was.",
            fix="Fix the function or the feed's enrichments, then run `rwt retry`.",
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
    return table.set_column(place, one.column, _cast(column, one.type))


def _refuse_others() -> None:
    raise ValueError("there are other columns")


def _with_nulls(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with all columns of a schema, in their order; what it lacks is null."""
    columns = [
        table.column(field.name)
        if field.name in table.column_names
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema.names)


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


def _cast(column: Any, kind: str) -> Any:
    """Values of another type, each by itself; null where a value cannot be one of it.

    A text is read as the contract reads it. A number with a fraction is no integer, and an integer
    that a double cannot keep is no number.
    """
    wanted, own = arrow_type(kind), column.type
    if own == wanted:
        return column
    if pa.types.is_dictionary(own):
        return _cast(column.cast(own.value_type), kind)
    if pa.types.is_boolean(own) or kind == "string":
        return column.cast(wanted)
    if pa.types.is_floating(own) and kind == "integer":
        inside = pc.and_(pc.greater_equal(column, -(2.0**63)), pc.less(column, 2.0**63))
        whole = pc.and_(inside, pc.equal(pc.floor(column), column))
        return pc.if_else(whole, column, None).cast(wanted)
    texts = column.cast(pa.string())
    if pa.types.is_decimal(own):
        texts = pc.replace_substring_regex(texts, "[.]0*$", "")
    present = pc.if_else(pc.equal(texts, ""), None, texts)
    return read_texts(present, kind, Notation())[0]
