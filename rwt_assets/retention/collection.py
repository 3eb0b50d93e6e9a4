"""What no delivery needs any more: found and removed, archive by archive.

What belongs here: which objects go, and the order in which they do. What does not: archives that
leave the catalog (`retirement.py`) and when it is done (`collection.py`, `rwt collect`).

Kept are the objects of the current delivery, of former ones for the feed's `keep_former_hours`, of
the newest split, and whatever was written a short while ago; with them what lies in a folder whose
objects no document names (`Folder.named`), if it is of the same generation. An archive that is not
in the catalog keeps everything: it was retired with its data.

A run or a person may switch to another delivery at any time, so the order matters. Objects are
listed before documents are read: what is written later was not listed. The document of a former
delivery is removed before its objects, and `delivery.json` is read again in between. Who makes
a former delivery current looks for its document after the switch (`rollback.py`): so either
that document is gone and the switch is taken back, or this sees another `delivery.json` and
leaves everything. A run that delivers a split of long ago looks for its objects after its switch,
and this looks for runs before each request that removes something. Cut short at any point, it goes
on the next time.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Final

from rwt_assets.delivery import named_keys
from rwt_assets.documents import (
    ArchiveManifest,
    Delivery,
    Layout,
    Place,
    enrichment_version,
    generation_of,
    parse_archive_partition_key,
)
from rwt_assets.feed import Feed
from rwt_assets.runtime import ArchiveMissingError, DocumentDamagedError
from rwt_assets.status import ArchiveFacts, locate
from rwt_assets.storage import ObjectHead, ObjectStore

if TYPE_CHECKING:
    from rwt_assets.catalog import FeedCatalog

YOUNG_AT_LEAST: Final = timedelta(hours=1)
AT_ONCE: Final = 1_000  # keys that one request removes
IN_WORK: Final = "a run is at work on it, or is about to be"
MEANWHILE: Final = "something happened to it meanwhile"


@dataclass(frozen=True, slots=True)
class Collected:
    """What went of one archive (or would go); `left` says why it was left as it is."""

    archive: str
    objects: int = 0
    bytes: int = 0
    left: str = ""

    def __str__(self) -> str:
        if self.left:
            return f"left {self.archive}: {self.left}"
        return f"{self.archive}: {self.objects:,} objects, {self.bytes:,} bytes"


@dataclass(slots=True)
class _Found:
    """What lies below the folders of one archive, without the objects themselves.

    `splits` and `ways` (of enriching) are pairs of a revision and a part of the generation's name;
    `corrected` are revisions of which rows were corrected.
    """

    splits: set[tuple[str, str]] = field(default_factory=set)
    ways: set[tuple[str, str]] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    corrected: set[str] = field(default_factory=set)
    former: bool = False

    def add(self, place: Place) -> None:
        self.folders.add(place.folder)
        if place.kind == "former":
            self.former = True
            return
        if place.kind == "corrections":
            self.corrected.add(place.revision)
            return
        self.splits.add((place.revision, place.split))
        if place.kind == "enriched" or "-" in place.generation:
            self.ways.add((place.revision, place.generation))

    def may_have_more(self, revision: str) -> bool:
        """Whether anything but the newest split (of this revision) may lie here."""
        split = {one for one, _ in self.splits}
        more = len(self.splits) > 1 or len(self.ways) > 1 or bool(self.corrected - {revision})
        return self.former or more or split != {revision}


@dataclass(frozen=True, slots=True)
class _Documents:
    """The two documents of an archive with their ETags; None and "" where there is none."""

    manifest: ArchiveManifest | None
    delivery: Delivery | None
    etags: tuple[str, str]


def collect(
    catalog: "FeedCatalog",
    store: ObjectStore,
    archives: Collection[str] = (),
    *,
    now: datetime,
    dry_run: bool = False,
) -> Iterator[Collected]:
    """Remove what no delivery of a feed needs any more.

    All objects of the feed are listed once. Documents are read only of archives with more than one
    generation.

    Args:
        catalog: of the feed.
        store: where its objects lie.
        archives: object keys of the only archives that are looked at; all without any.
        now: what ages are counted to, by the clock of the store (`ObjectStore.now`).
        dry_run: remove nothing.

    Yields:
        Archives of which something goes, and those that were left although something may go, with
        the reason; those in work only if they were named.

    Raises:
        ArchiveMissingError: one of `archives` is not in the catalog.
    """
    facts = {parse_archive_partition_key(one.partition_key): one for one in catalog.facts()}
    if unknown := sorted(set(archives) - facts.keys()):
        raise ArchiveMissingError(
            "the archive is not in the catalog",
            where=unknown[0],
            effect="Nothing was removed.",
            fix="What archives leave behind that were retired with their data is theirs.",
        )
    wanted = {archive: facts[archive] for archive in archives or facts}
    layout = Layout(catalog.feed.target.prefix)
    for archive, found in _look(store, catalog.feed, wanted, every=not archives).items():
        one = wanted[archive]
        revision = layout.name_of_revision(one.manifest.revision) if one.manifest else ""
        if not found.may_have_more(revision):
            continue
        if _may_be_in_work(catalog, one):
            if archives:
                yield Collected(archive, left=IN_WORK)
            continue
        collector = _Collector(catalog, store, one, sorted(found.folders), now)
        result = collector.collect(dry_run=dry_run)
        if result.objects or result.left:
            yield result


def _look(
    store: ObjectStore, feed: Feed, archives: Iterable[str], *, every: bool
) -> dict[str, _Found]:
    """Which generations of these archives there are; `every` says that they are all of the feed."""
    layout, bucket = Layout(feed.target.prefix), feed.target.bucket
    places = layout.kinds()
    if not every:
        members = list(store.folders(bucket, layout.old_members()))
        places = [
            folder
            for archive in archives
            for folder in (*layout.folders(archive), *layout.old_folders(archive, members))
        ]
    named = {name: archive for archive in archives for name in layout.names_of(archive)}
    found: dict[str, _Found] = {}
    for folder in places:
        for head in store.list(bucket, folder):
            place = layout.place_of(head.key)
            if place is not None and place.archive in named:
                found.setdefault(named[place.archive], _Found()).add(place)
    return found


def _may_be_in_work(catalog: "FeedCatalog", facts: ArchiveFacts) -> bool:
    """Whether a run is at work on an archive, or dispatch may ask for one at any moment."""
    if facts.running is not None:
        return True
    need = locate(facts).need
    return need is not None and not catalog.attempts(facts.partition_key, need).exhausted(
        catalog.feed.attempts
    )


class _Collector:
    """Collection of one archive.

    Args:
        catalog: of the feed.
        store: where objects lie.
        facts: what the catalog says of the archive; they were read before anything else.
        folders: below which its objects lie.
        now: what ages are counted to.
    """

    def __init__(
        self,
        catalog: "FeedCatalog",
        store: ObjectStore,
        facts: ArchiveFacts,
        folders: Sequence[str],
        now: datetime,
    ) -> None:
        self._catalog, self._store, self._facts, self._folders = catalog, store, facts, folders
        self._feed, self._now = catalog.feed, now
        self._bucket = catalog.feed.target.bucket
        self._layout = Layout(catalog.feed.target.prefix)
        self._archive = parse_archive_partition_key(facts.partition_key)

    def collect(self, *, dry_run: bool) -> Collected:
        """Remove what is not needed, or only count it."""
        listed = [one for folder in self._folders for one in self._store.list(self._bucket, folder)]
        try:
            documents = self._read_documents()
        except DocumentDamagedError as error:
            return Collected(self._archive, left=f"a document of it cannot be read: {error.where}")
        if documents.delivery is None and (
            documents.manifest is None or self._facts.delivery is not None
        ):
            return Collected(self._archive, left="it has no delivery.json to go by")
        try:
            is_needed = self._needed(documents, self._of_former(listed))
        except DocumentDamagedError as error:
            return Collected(
                self._archive,
                left=f"the document of a former delivery cannot be read: {error.where}",
            )
        gone = [one for one in listed if not self._is_young(one) and not is_needed(one.key)]
        if gone and not dry_run and not self._remove(gone, documents.etags):
            return Collected(self._archive, left=MEANWHILE)
        return Collected(self._archive, len(gone), sum(one.size for one in gone))

    def _needed(self, documents: _Documents, of_former: set[str]) -> Callable[[str], bool]:
        """Says of a key whether a document needs it."""
        keys = set(of_former)
        if documents.delivery is not None:
            keys |= named_keys(documents.delivery)
            keys.add(documents.delivery.corrections)
        manifest = documents.manifest
        in_work: tuple[str, ...] = ()
        before_generations = ""
        if manifest is not None:
            keys |= _keys_of(manifest)
            generation = generation_of(manifest, enrichment_version(self._feed))
            in_work = (
                *self._layout.generation_folders(generation, self._archive),
                self._layout.corrections_folder(self._archive, manifest.revision),
            )
            if not manifest.split_id:
                before_generations = self._layout.name_of_revision(manifest.revision)

        @cache
        def generations() -> set[tuple[str, str]]:
            places = filter(None, map(self._layout.place_of, keys))
            return {(place.revision, place.generation) for place in places}

        def is_needed(key: str) -> bool:
            if key in keys or key.startswith(in_work):
                return True
            place = self._layout.place_of(key)
            if place is None:
                return False
            if not place.is_named:
                return (place.revision, place.generation) in generations()
            old = bool(before_generations) and not place.generation
            return old and place.revision == before_generations

        return is_needed

    def _of_former(self, listed: Sequence[ObjectHead]) -> set[str]:
        """What is kept for the former deliveries that may become current again.

        How many they are does not matter. Since when they are former is what the store says: the
        clocks of machines differ.
        """
        keys: set[str] = set()
        folder = self._layout.former_folder(self._archive)
        for head in listed:
            if head.key.startswith(folder) and self._is_young(head):
                body, _ = self._read(head.key)
                if body is not None:
                    document = Delivery.from_body(body, where=self._where(head.key))
                    keys |= named_keys(document) | {document.corrections}
        return keys

    def _is_young(self, head: ObjectHead) -> bool:
        """Whether a run may be at work on an object, whatever the documents say."""
        kept = max(timedelta(hours=self._feed.keep_former_hours), YOUNG_AT_LEAST)
        return self._now - head.last_modified < kept

    def _remove(self, gone: Sequence[ObjectHead], etags: tuple[str, str]) -> bool:
        """Remove documents of former deliveries, then objects, while nothing changes."""
        folder = self._layout.former_folder(self._archive)
        former = [one.key for one in gone if one.key.startswith(folder)]
        objects = [one.key for one in gone if not one.key.startswith(folder)]
        for keys in (former, objects):
            for start in range(0, len(keys), AT_ONCE):
                if not self._catalog.is_untouched(self._facts) or self._etags() != etags:
                    return False
                self._store.delete(self._bucket, keys[start : start + AT_ONCE])
        return True

    def _etags(self) -> tuple[str, str]:
        return (
            self._etag(self._layout.manifest(self._archive)),
            self._etag(self._layout.delivery(self._archive)),
        )

    def _etag(self, key: str) -> str:
        try:
            return self._store.head(self._bucket, key).etag
        except ArchiveMissingError:
            return ""

    def _read_documents(self) -> _Documents:
        places = self._layout.manifest(self._archive), self._layout.delivery(self._archive)
        (manifest, manifest_etag), (delivery, delivery_etag) = map(self._read, places)
        where = [*map(self._where, places)]
        return _Documents(
            None if manifest is None else ArchiveManifest.from_body(manifest, where=where[0]),
            None if delivery is None else Delivery.from_body(delivery, where=where[1]),
            (manifest_etag, delivery_etag),
        )

    def _where(self, key: str) -> str:
        return f"s3://{self._bucket}/{key}"

    def _read(self, key: str) -> tuple[bytes | None, str]:
        try:
            return self._store.read_tagged(self._bucket, key)
        except ArchiveMissingError:
            return None, ""


def _keys_of(manifest: ArchiveManifest) -> set[str]:
    """The keys of all objects that a manifest names."""
    parts = [part for shard in manifest.shards for part in shard.parts]
    named = [key for part in parts for key in (part.key, part.row_numbers_key) if key is not None]
    return {*named, *manifest.quarantine_keys}
