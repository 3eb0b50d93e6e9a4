"""By which names `rwt query` knows the members of a feed, and under which schema it reads them.

What belongs here: names and schemas. What does not: running a statement (`delivered.py`).

A table's name follows from the name of its member and from nothing else, so it never comes to mean
another member. Where two members would have one name, that name is no table.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pyarrow as pa

DIGEST_CHARACTERS: Final = 6


def quoted(name: str) -> str:
    """A name as SQL takes it, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


def table_name(member: str) -> str:
    """The table of a member: its path without the suffix, as SQL takes it unquoted."""
    path = PurePosixPath(member)
    return _plain("_".join([*path.parent.parts, path.stem or member]))


def full_table_name(member: str) -> str:
    """The name that a member's table always has, whatever other members there are."""
    digest = sha256(member.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST_CHARACTERS]
    return f"{table_name(member)}_{digest}"


def table_names(members: Iterable[str]) -> dict[str, str]:
    """The name of each member's table: the short one where it is no other member's."""
    distinct = [*dict.fromkeys(members)]
    counts = Counter(map(table_name, distinct))
    return {
        one: table_name(one) if counts[table_name(one)] == 1 else full_table_name(one)
        for one in distinct
    }


def further_names(members: Iterable[str]) -> dict[str, str]:
    """Names by which members may be called, too: each is that of one member, and no table's.

    They are the full name, and the name of the file without its folders as long as no other
    member has it.
    """
    distinct = [*dict.fromkeys(members)]
    taken = {*table_names(distinct).values()}
    names = {full_table_name(one): one for one in distinct}
    short = Counter(_plain(PurePosixPath(one).stem or one) for one in distinct)
    names |= {
        name: one for one in distinct if short[name := _plain(PurePosixPath(one).stem or one)] == 1
    }
    return {name: one for name, one in names.items() if name not in taken}


def unified_schema(schemas: Sequence["pa.Schema"]) -> "pa.Schema":
    """One schema for objects of a member: every column of any, in the order of their appearance.

    A column has the type that holds all its values; text, if there is no other. Columns that
    `merged_columns` takes for one have one type.
    """
    import pyarrow as pa  # noqa: PLC0415 - chooses its memory when it is imported (memory.py)

    types: dict[bytes, pa.DataType] = {}
    names: dict[str, bytes] = {}
    for field in (field for schema in dict.fromkeys(schemas) for field in schema):
        key = names.setdefault(field.name, _sql_key(field.name))
        types[key] = _common(types.get(key, field.type), field.type)
    return pa.schema({name: types[key] for name, key in names.items()})


def merged_columns(names: Iterable[str]) -> dict[str, list[str]]:
    """Columns that SQL does not tell apart, by the first of them: they are one to a reader.

    Args:
        names: of all objects of a member; in each object such names are there once.
    """
    same: dict[bytes, list[str]] = {}
    for name in names:
        same.setdefault(_sql_key(name), []).append(name)
    return {own[0]: own for own in same.values()}


def _common(one: "pa.DataType", other: "pa.DataType") -> "pa.DataType":
    import pyarrow as pa  # noqa: PLC0415 - likewise

    if one == other:
        return one
    fields = [pa.schema([("column", kind)]) for kind in (one, other)]
    try:
        return pa.unify_schemas(fields, promote_options="permissive").field(0).type
    except pa.ArrowException:
        return pa.string()


def _sql_key(name: str) -> bytes:
    """DuckDB compares names without regard to the case of ASCII letters, and of no others."""
    return name.encode("utf-8", "surrogatepass").lower()


def _plain(text: str) -> str:
    composed = unicodedata.normalize("NFC", text)  # a Mac writes an accent as a character
    name = re.sub(r"\W+", "_", composed, flags=re.ASCII).strip("_").lower()
    return f"_{name}" if not name or name[0].isdigit() else name
