"""Columns in the catalog: what a feed declares, and which column a Parquet column came from.

What belongs here: schemas and lineage of columns as Dagster shows them. What does not: the
columns themselves (`contract.py`, `enrichment.py`). Dagster documentation: "Column-level
lineage", "Table metadata".
"""

from collections.abc import Sequence

import dagster as dg

from rwt_assets.feed import Feed, MemberRule, sources_of, types_after
from rwt_assets.text import visible
from rwt_assets.values import ADDED, ARCHIVE, CRC32, MEMBER, RESCUED, ROW

ADDED_COLUMNS = {
    CRC32: ("uint32", "CRC-32 of the key column's UTF-8 bytes; null for a null key."),
    ARCHIVE: ("string", "Object key of the archive."),
    MEMBER: ("string", "Name of the member."),
    ROW: ("int64", "Ordinal of the row in its member, from 1, header excluded."),
}
RESCUED_COLUMN = ("string", "JSON object of columns and texts that the feed's evolution rescued.")


def csv_schema(feed: Feed) -> dg.TableSchema:
    """The columns that the feed's rules name, as text, as they are in CSV shards."""
    return _schema(feed, typed=False, added=False)


def enriched_schema(feed: Feed) -> dg.TableSchema:
    """The columns that the feed's rules declare, with their types, and those that are added."""
    return _schema(feed, typed=True, added=True)


def column_lineage(
    columns: Sequence[str], rule: MemberRule, csv_shard: dg.AssetKey
) -> dg.TableColumnLineage:
    """From which column of a CSV shard, which is a column of its member, each column came.

    Args:
        columns: names in the Parquet. Those that say where a row came from have no source.
        rule: the one under which the member falls.
        csv_shard: key of that asset.
    """
    own = [name for name in columns if name not in (*ADDED, RESCUED)]
    sources = sources_of(rule.enrichments, own)
    if own:
        sources[CRC32] = rule.key_column or sources.get(own[0], own[0])
    return dg.TableColumnLineage(
        {
            visible(column): [dg.TableColumnDep(asset_key=csv_shard, column_name=visible(source))]
            for column, source in sources.items()
        }
    )


def _schema(feed: Feed, *, typed: bool, added: bool) -> dg.TableSchema:
    kinds: dict[str, list[str]] = {}
    members: dict[str, list[str]] = {}
    required: dict[str, bool] = {}
    for rule in feed.members:
        types = {name: _type(rule, name, typed=typed) for name in _named(rule)}
        for name, kind in (types_after(rule.enrichments, types) if added else types).items():
            found = kinds.setdefault(name, [])
            if kind not in found:
                found.append(kind)
            members.setdefault(name, []).append(rule.patterns)
            declared = rule.columns.get(name)
            must = declared is not None and not declared.nullable
            required[name] = required.get(name, True) and must
    columns = [
        dg.TableColumn(
            name=name,
            type=" or ".join(kinds[name]),
            description=f"Of {'; '.join(members[name])}.",
            constraints=dg.TableColumnConstraints(nullable=not required[name]),
        )
        for name in kinds
    ]
    if added:
        more = dict(ADDED_COLUMNS)
        if any(rule.evolution.rescues for rule in feed.members):
            more = {RESCUED: RESCUED_COLUMN, **more}
        columns += [
            dg.TableColumn(name=name, type=kind, description=told)
            for name, (kind, told) in more.items()
        ]
    return dg.TableSchema(columns=columns)


def _named(rule: MemberRule) -> dict[str, None]:
    known = [*rule.columns, rule.split_by, rule.key_column, *rule.unique]
    return dict.fromkeys(name for name in known if name is not None)


def _type(rule: MemberRule, name: str, *, typed: bool) -> str:
    declared = rule.columns.get(name)
    return declared.type if typed and declared is not None else "string"
