"""Which archives have something in quarantine, and having them processed again.

What belongs here: finding them in the catalog, and asking for them again. What does not:
counting what was quarantined (`quarantine.py`) and the runs (`dispatch.py`).

A replay is the whole way again from the split of the same revision, whatever was quarantined.
Enriching again would be enough for rows that broke the contract, but what is fixed may be the
dialect, the split column or a limit as well, and one way that is always right is better than
two of which one is sometimes wrong. It is put on record as an observation of
`archive_manifest` (Dagster documentation: "Asset observations"), from which `progress.locate`
sees that a split is needed; so it is bounded, tried and shown as every other step.

Finding costs one snapshot of the catalog, as `rwt status` does. Two documents are read of each
archive that has something quarantined; of one that was not delivered, also the footers of its
Parquet objects. No quarantine is read.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from rwt_assets.catalog import FeedCatalog, available_capacity, is_failed
from rwt_assets.delivery import read_delivery, stored_parquet, take_account
from rwt_assets.documents import (
    Delivery,
    archive_partition_key,
    enrichment_version,
    generation_of,
    parse_archive_partition_key,
)
from rwt_assets.feed import Target
from rwt_assets.quarantine import SetAside, count_set_aside
from rwt_assets.runtime import ArchiveMissingError, DocumentDamagedError, map_ahead
from rwt_assets.shard import read_manifest
from rwt_assets.status import ArchiveFacts, Stage, Step, locate
from rwt_assets.storage import ObjectStore

WORKERS = 8


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An archive with something quarantined, and the objects in which that lies."""

    facts: ArchiveFacts
    found: SetAside
    keys: tuple[str, ...]

    @property
    def delivered(self) -> bool:
        """Whether a delivery names what was quarantined; it does not if it was refused."""
        return self.facts.delivered


@dataclass(slots=True)
class Asked:
    """What a replay did, by archive (partition keys).

    `again` is asked for now; `before` was asked for earlier and has not begun; `left` is in
    work, or its newest revision is not split yet; `rolled_back` is of a revision whose ZIP was
    replaced; `no_room` has to wait for the next time, since as many archives are in work as the
    feed allows.
    """

    again: dict[str, SetAside] = field(default_factory=dict)
    before: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    rolled_back: list[str] = field(default_factory=list)
    no_room: list[str] = field(default_factory=list)

    @property
    def all(self) -> set[str]:
        """Every archive that has something quarantined."""
        return {*self.again, *self.before, *self.left, *self.rolled_back, *self.no_room}


def count_quarantined(catalog: FeedCatalog) -> int:
    """How many archives have something quarantined, as far as the catalog alone says."""
    newest = [one.delivery if one.delivered else one.manifest for one in catalog.facts()]
    return sum(event is not None and event.set_aside > 0 for event in newest)


def find_quarantined(
    catalog: FeedCatalog, store: ObjectStore, *, archives: Collection[str] = (), rule: str = ""
) -> Iterator[Quarantined]:
    """The archives with something quarantined, in the order of their arrival.

    Args:
        catalog: of the feed.
        store: where its documents lie.
        archives: object keys; all if empty.
        rule: only with something that this rule quarantined.
    """
    wanted = {archive_partition_key(archive) for archive in archives}
    candidates = [
        one
        for one in sorted(catalog.facts(), key=_arrival)
        if _may_have(one) and (not wanted or one.partition_key in wanted)
    ]
    found = map_ahead(
        lambda one: _look_into(catalog, store, one), candidates, workers=WORKERS, ahead=WORKERS
    )
    yield from (one for one in found if one.found.anything and one.found.of_rule(rule))


def ask_again(
    catalog: FeedCatalog, store: ObjectStore, *, archives: Collection[str] = (), rule: str = ""
) -> Asked:
    """Have archives with something quarantined processed again, as many as there is room for.

    Asking twice asks once. Arguments are those of `find_quarantined`.
    """
    room = available_capacity(catalog)
    asked = Asked()
    for one in find_quarantined(catalog, store, archives=archives, rule=rule):
        key, newest = one.facts.partition_key, one.facts.arrived
        if one.facts.rolled_back and locate(one.facts).open_need is None:
            asked.rolled_back.append(key)
            continue
        at_rest = locate(one.facts).stage is Stage.DELIVERED or is_failed(catalog, one.facts)
        if newest is None or one.found.revision != newest.revision:
            asked.left.append(key)
        elif at_rest and len(asked.again) >= room:
            asked.no_room.append(key)
        elif at_rest:
            catalog.ask_replay(key, newest.revision)
            asked.again[key] = one.found
        elif one.facts.replay_asked and one.facts.running is None:
            asked.before.append(key)
        else:
            asked.left.append(key)
    return asked


Outcome = Literal["again", "before", "in work", "no room", "unknown"]


def ask_whole_way(catalog: FeedCatalog, archives: Iterable[str]) -> dict[str, Outcome]:
    """Have archives processed again from their split, whatever lies in quarantine.

    Args:
        catalog: of the feed.
        archives: object keys.

    Returns:
        By archive: it is asked for now or was before, it is in work, there is no room for it (see
        `Asked`), or it is not in the catalog.
    """
    snapshot, room = catalog.snapshot(), available_capacity(catalog)
    outcomes: dict[str, Outcome] = {}
    for archive in archives:
        key = archive_partition_key(archive)
        facts = snapshot.others.get(key) or snapshot.at_rest.get(key)
        if facts is None or facts.arrived is None:
            outcomes[archive] = "unknown"
        elif facts.replay_asked and facts.running is None:
            outcomes[archive] = "before"
        elif locate(facts).stage is not Stage.DELIVERED and not is_failed(catalog, facts):
            outcomes[archive] = "in work"
        elif not room:
            outcomes[archive] = "no room"
        else:
            catalog.ask_replay(key, facts.arrived.revision)
            outcomes[archive], room = "again", room - 1
    return outcomes


def rolled_back_to(catalog: FeedCatalog, archive: str) -> str:
    """The revision to which a person rolled an archive back, if it is not the newest; else "".

    Nothing of it can be processed again: its ZIP was replaced.
    """
    snapshot, key = catalog.snapshot(), archive_partition_key(archive)
    facts = snapshot.others.get(key) or snapshot.at_rest.get(key)
    if facts is None or facts.delivery is None or not facts.rolled_back:
        return ""
    return facts.delivery.revision


def _arrival(facts: ArchiveFacts) -> int:
    return facts.arrived.storage_id if facts.arrived is not None else 0


def _may_have(facts: ArchiveFacts) -> bool:
    """Whether its documents are worth reading; a delivery's event has its counts."""
    if facts.delivery is not None and facts.delivered:
        return facts.delivery.set_aside > 0
    if facts.manifest is None:
        return False
    need = locate(facts).need
    to_deliver = facts.running is Stage.DELIVERING or (need and need.step is Step.DELIVER)
    return facts.manifest.set_aside > 0 or bool(to_deliver)


def _delivery(store: ObjectStore, target: Target, archive: str) -> Delivery | None:
    """The document in place; one that is gone or damaged (`rwt verify` tells it) is none."""
    try:
        return read_delivery(store, target, archive)
    except (ArchiveMissingError, DocumentDamagedError):
        return None


def _look_into(catalog: FeedCatalog, store: ObjectStore, facts: ArchiveFacts) -> Quarantined:
    """Count what was quarantined, by the delivery where there is one, else by what is there."""
    feed, archive = catalog.feed, parse_archive_partition_key(facts.partition_key)
    delivery = _delivery(store, feed.target, archive) if facts.delivered else None
    if delivery is not None and delivery.members:
        found = count_set_aside(delivery, delivery.objects)
        return Quarantined(facts, found, delivery.quarantine_keys)
    manifest = read_manifest(store, feed.target, archive)
    if delivery is not None and delivery.revision == manifest.revision:
        found = count_set_aside(manifest, delivery.objects)
        return Quarantined(facts, found, delivery.quarantine_keys)
    # It may have been made before the declaration was fixed: so by the version that made it.
    made_by = catalog.enriched_by(manifest.shards[0].partition_key) if manifest.shards else ""
    generation = generation_of(manifest, made_by or enrichment_version(feed))
    account = take_account(manifest, generation, partial(stored_parquet, store, feed.target))
    return Quarantined(facts, account.set_aside, account.quarantine_keys)
