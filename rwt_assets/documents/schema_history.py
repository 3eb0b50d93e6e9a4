"""The schemas that a feed's members had so far, and what an archive changes in them.

What belongs here: what is known, one small document a rule of the feed, and holding an
archive against it. What does not: how two schemas differ (`schemas.py`). Rule: Databricks
documentation, "Configure schema inference and evolution in Auto Loader" (the schema is kept
beside the data and each change of it is a new version).

Names of members often have dates, so schemas are known by *kind* (`schemas.kind_of`) within a
rule and not by member. A revision is compared with what was in force when it arrived: so
splitting it again tells the same again, and an old archive that is split late changes nothing.
Of two archives that are split at the same time only one may write its entry; then the next one
writes the other.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rwt_assets.documents.layout import Layout
from rwt_assets.documents.manifest import ArchiveManifest, MemberReport
from rwt_assets.documents.schemas import (
    Difference,
    MemberSchema,
    compare_schemas,
    kind_of,
    schema_of,
)
from rwt_assets.feed import Feed, MemberRule, Target
from rwt_assets.runtime import ArchiveMissingError
from rwt_assets.storage import ObjectStore

VERSIONS_KEPT: Final = 10
KINDS_KEPT: Final = 1_000
TRIES: Final = 5


class KnownSchema(BaseModel):
    """A schema, and the revision with which it came; "" if that archive was retired since."""

    # A later version may have written fields that this one does not know: it reads past them.
    model_config = ConfigDict(extra="ignore", frozen=True)

    definition: MemberSchema
    member: str
    archive: str
    revision: str
    arrived: datetime | None


class RuleSchemas(BaseModel):
    """The document of one rule: by kind of member its schemas, the newest last."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    rule: str
    kinds: dict[str, tuple[KnownSchema, ...]] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """How a member differs from `known`, the schema that was in force, or from its sibling.

    `sibling` is the other member of this archive; without one `known` is what it differs from.
    """

    member: str
    differences: Sequence[Difference]
    known: KnownSchema | None
    sibling: str = ""


@dataclass(frozen=True, slots=True)
class KindFinding:
    """What an archive has of one kind of member; `known` is None at first sight."""

    kind: str
    members: Sequence[str]
    known: KnownSchema | None
    changes: Sequence[SchemaChange]


@dataclass(frozen=True, slots=True)
class _Arrival:
    """The revision that is looked at, and when it was uploaded, if that is known."""

    archive: str
    revision: str
    at: datetime | None

    def precedes(self, known: KnownSchema) -> bool:
        """Whether it was uploaded before the revision with which a schema came."""
        return self.at is not None and known.arrived is not None and self.at < known.arrived

    def brought(self, known: KnownSchema) -> bool:
        """Whether a schema came with it."""
        return (self.archive, self.revision) == (known.archive, known.revision)


def record_schemas(
    store: ObjectStore, feed: Feed, manifest: ArchiveManifest, arrived: datetime | None
) -> tuple[KindFinding, ...]:
    """Hold an archive's members against the known schemas, and keep what is new.

    Members that were quarantined are compared too, as far as their columns are known, but what
    they have is not kept as known. At most one read and one write for each rule of the feed.

    Args:
        store: where the documents are.
        feed: whose rules and target.
        manifest: what the archive was split into.
        arrived: when the revision was uploaded, if that is known.

    Returns:
        A finding for each kind of member, in the order of the feed's rules.
    """
    arrival = _Arrival(manifest.key, manifest.revision, arrived)
    findings: list[KindFinding] = []
    for rule in feed.members:
        kinds: dict[str, list[MemberReport]] = {}
        for report in manifest.members:
            if report.columns and feed.rule_for(report.rule_name) is rule:
                kinds.setdefault(kind_of(report.name), []).append(report)
        if not kinds:
            continue
        key = Layout(feed.target.prefix).schemas(rule.patterns)
        before, etag = _read(store, feed.target.bucket, key, rule)
        known = dict(before.kinds)
        for kind, reports in kinds.items():
            schemas = {report.name: schema_of(report, rule) for report in reports}
            entries = known.get(kind, ())
            findings.append(_look(kind, schemas, _in_force(entries, arrival)))
            split = [report.name for report in reports if report.outcome == "split"]
            if split:
                # The last speaks for its siblings: names mostly rise with time.
                known[kind] = _with(entries, split[-1], schemas[split[-1]], arrival)
        after = RuleSchemas(rule=rule.patterns, kinds=_bounded(known, kinds))
        if after != before:
            body = after.model_dump_json(indent=1).encode()
            store.put_if(feed.target.bucket, key, body, etag=etag)
    return tuple(findings)


def forget_archive(store: ObjectStore, target: Target, archive: str, *, others: bool) -> None:
    """Take an archive out of what is known of schemas.

    Args:
        store: where the documents are.
        target: of the feed.
        archive: object key.
        others: whether the feed has other archives. Then a schema that came with this one stays,
            without archive, revision and member; otherwise the documents are removed.
    """
    for head in [*store.list(target.bucket, Layout(target.prefix).schemas_folder())]:
        if not others:
            store.delete(target.bucket, [head.key])
            continue
        for _ in range(TRIES):
            try:
                body, etag = store.read_tagged(target.bucket, head.key)
                before = RuleSchemas.model_validate_json(body)
            except (ArchiveMissingError, ValidationError):
                break
            after = _without(before, archive)
            written = after.model_dump_json(indent=1).encode()
            if after == before or store.put_if(target.bucket, head.key, written, etag=etag):
                break


def _without(schemas: RuleSchemas, archive: str) -> RuleSchemas:
    """The same schemas, of which none says that it came with this archive."""
    unnamed = {"archive": "", "revision": "", "member": ""}
    kinds = {
        kind: tuple(
            one.model_copy(update=unnamed) if one.archive == archive else one for one in entries
        )
        for kind, entries in schemas.kinds.items()
    }
    return schemas.model_copy(update={"kinds": kinds})


def _look(kind: str, schemas: dict[str, MemberSchema], known: KnownSchema | None) -> KindFinding:
    """How the members of one kind differ from what is known, or else from the first of them."""
    first = next(iter(schemas))
    changes: list[SchemaChange] = []
    for member, schema in schemas.items():
        against = known.definition if known else schemas[first]
        if differences := compare_schemas(against, schema):
            changes.append(SchemaChange(member, differences, known, "" if known else first))
    return KindFinding(kind, list(schemas), known, changes)


def _in_force(entries: Sequence[KnownSchema], arrival: _Arrival) -> KnownSchema | None:
    """The schema that was known when a revision arrived."""
    for place, one in enumerate(entries):
        if arrival.brought(one):
            return entries[place - 1] if place else None
    earlier = [one for one in entries if not arrival.precedes(one)]
    return earlier[-1] if earlier else next(iter(entries), None)


def _with(
    entries: tuple[KnownSchema, ...], member: str, schema: MemberSchema, arrival: _Arrival
) -> tuple[KnownSchema, ...]:
    """The entries, and the schema of a member as the newest if it is another one."""
    newest = entries[-1] if entries else None
    if any(map(arrival.brought, entries)):
        return entries
    if newest is not None and (newest.definition == schema or arrival.precedes(newest)):
        return entries
    entry = KnownSchema(
        definition=schema,
        member=member,
        archive=arrival.archive,
        revision=arrival.revision,
        arrived=arrival.at,
    )
    return (*entries, entry)[-VERSIONS_KEPT:]


def _bounded(
    kinds: dict[str, tuple[KnownSchema, ...]], present: Container[str]
) -> dict[str, tuple[KnownSchema, ...]]:
    """At most `KINDS_KEPT`: first to go are those that came first and are not in the archive."""
    if len(kinds) <= KINDS_KEPT:
        return kinds
    in_order = sorted(kinds, key=lambda kind: kind in present)
    return {kind: kinds[kind] for kind in in_order[-KINDS_KEPT:]}


def _read(store: ObjectStore, bucket: str, key: str, rule: MemberRule) -> tuple[RuleSchemas, str]:
    """What is known under a rule, and the document's ETag; nothing where none can be read."""
    etag = ""
    try:
        body, etag = store.read_tagged(bucket, key)
        return RuleSchemas.model_validate_json(body), etag
    except (ArchiveMissingError, ValidationError):
        return RuleSchemas(rule=rule.patterns), etag
