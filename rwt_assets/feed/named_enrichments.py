"""What a feed has done to the rows that keep its contract: functions by name, in order.

What belongs here: their declarations, built in or a person's own. What does not: applying them
(`enrichment_chain.py`), the columns that every row gets (`enrichment.py`) and quarantining rows,
which is the contract's (`contract.py`): a value that must convert is declared with its type or
pattern there.

An enrichment sees some rows of a member at a time, whichever they are, so what it makes of a row
must not depend on the others. It may add, change and remove columns, but neither rows nor the
columns that say where a row came from: every row that was read is accounted for.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator

from rwt_assets.values import ADDED, FOLDER_KEYS, RESCUED

BUILT_IN: Final = ("crc32", "parse_date", "rename", "cast", "constant", "lookup")
OWN: Final = "own"
KEPT: Final = (*ADDED, RESCUED)
MadeType = Literal["string", "integer", "number", "boolean", "date", "timestamp"]
CONSTANT_TYPES: Final = {bool: "boolean", int: "integer", float: "number", str: "string"}


def _new_column(name: str) -> str:
    if name.casefold() in (*KEPT, *FOLDER_KEYS):
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
    """Gives a column another type, null where the value has none of it, each value by itself.

    A text is read as the contract reads it without settings; 1.5 is no integer, and an integer
    that a double cannot keep is no number. What must convert is declared with its `type` in the
    contract, which quarantines the other rows.
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
    is changed by anyone who changes what the function does: shards of the version before are stale.
    `columns` are the types of columns that it makes: what it returns is given these types. A column
    that is null in every row has no type of its own, so one that may be is declared here.
    """

    use: str
    frame: Literal["pandas", "arrow"] = "pandas"
    version: str = "1"
    columns: dict[str, MadeType] = Field(default_factory=dict)

    @field_validator("columns")
    @classmethod
    def _are_free(cls, columns: dict[str, MadeType]) -> dict[str, MadeType]:
        for name in columns:
            _new_column(name)
        return columns

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
        elif isinstance(one, OwnFunction):
            known.update(one.columns)
        elif isinstance(one, Crc32Of | ParseDate | Lookup):
            made = {"crc32": "uint32", "parse_date": "date", "lookup": "string"}
            known[one.to] = made[one.use]
    return known
