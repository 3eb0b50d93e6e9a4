"""The names of all objects that the pipeline writes.

What belongs here: names. What does not: the objects. Folders are Hive-style, as Athena and Spark
have them (Amazon Athena User Guide: "Partition your data"), under names that no sender uses for a
column. A key has at most 1,024 bytes (Amazon S3 User Guide: "Naming Amazon S3 objects").

    <prefix>/enriched|quarantine|shards/rwt_archive=A/rwt_revision=R/rwt_generation=G/...
    <prefix>/manifests/archive=A/manifest.json     what the newest split consists of
    <prefix>/deliveries/archive=A/delivery.json    the one switch: what consumers read
    <prefix>/former/archive=A/...json              documents of former deliveries
    <prefix>/corrections/archive=A/revision=R/...csv  rows that a person has corrected

Everything of an archive lies below a few folders of its own, so it can be found and removed as a
whole: `rwt retire` and `rwt collect` go by the table `FOLDERS`. Versions before generations had the
member first and no generation; see `old_folders`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final
from urllib.parse import quote

from rwt_assets.documents.partitions import ShardKey

NULL: Final = "__HIVE_DEFAULT_PARTITION__"
SEGMENT_BYTES: Final = 160
OLD_SEGMENT_BYTES: Final = 200  # of documents, and of versions before generations
_HASH_CHARACTERS: Final = 24
_DIGEST_CHARACTERS: Final = 10
_CHECKSUM_CHARACTERS: Final = 8
_CUT: Final = "~~"  # begins the hash of a name that was too long
_LOOKS_CUT: Final = re.compile(f"{_CUT}[0-9a-f]{{{_HASH_CHARACTERS}}}$")
_SHAPE: Final = ("rwt_archive", "rwt_revision", "rwt_generation")
_OLD_SHAPE: Final = ("archive", "revision")


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder below the prefix in which the objects of archives lie.

    Attributes:
        shape: names of the folders in it; the first has the archive.
        old_shape: the same as versions before generations had it; () if they had none.
        enriched: enriching writes to it, so it has folders of generations with an enrichment.
        named: documents name its objects. If not, an object is needed as long as a document names
            another one of the same generation.
    """

    shape: tuple[str, ...] = _SHAPE
    old_shape: tuple[str, ...] = ()
    enriched: bool = False
    named: bool = True


FOLDERS: Final[Mapping[str, Folder]] = {
    "enriched": Folder(old_shape=("member", *_OLD_SHAPE), enriched=True),
    "quarantine": Folder(old_shape=_OLD_SHAPE, enriched=True),
    "shards": Folder(old_shape=_OLD_SHAPE),
    "former": Folder(("archive",)),
    "corrections": Folder(_OLD_SHAPE),
}


@dataclass(frozen=True, slots=True)
class Generation:
    """One content of an archive, processed in one way; see `generations.py`.

    Attributes:
        revision: of the archive.
        split_id: of the manifest; "" for what versions before generations wrote.
        enrichment: digest of the enrichment version; "" for what splitting writes.
    """

    revision: str
    split_id: str
    enrichment: str = ""

    @property
    def name(self) -> str:
        """Its name in keys and commands, such as `4f2a9c01d7-88b1c0ffee`."""
        split = self.split_id or "0"
        return f"{split}-{self.enrichment}" if self.enrichment else split

    def enriched_by(self, enrichment_version: str) -> "Generation":
        """The generation of the shards of this split, enriched by this version."""
        return Generation(self.revision, self.split_id, digest(enrichment_version))


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object of an archive lies. Names are as they stand in keys.

    Attributes:
        kind: one of `FOLDERS`.
        archive: one of `Layout.names_of` an archive.
        folder: of the archive, within its kind (and its member, in the layout before generations).
        revision: "" for documents of former deliveries.
        generation: "" for what versions before generations wrote.
    """

    kind: str
    archive: str
    folder: str
    revision: str = ""
    generation: str = ""

    @property
    def split(self) -> str:
        """The split that the object belongs to, as a generation's name begins."""
        return self.generation.partition("-")[0] or "0"

    @property
    def is_named(self) -> bool:
        """Whether documents name the object (`Folder.named`)."""
        return FOLDERS[self.kind].named


@dataclass(frozen=True, slots=True)
class Layout:
    """Names below the prefix of a feed's target; archives are given by their object key."""

    prefix: str

    def shard_part(self, generation: Generation, shard: ShardKey, index: int) -> str:
        """One CSV part of a shard."""
        return f"{self.shard_folder('shards', generation, shard)}part-{index:05d}.csv"

    def part_row_numbers(self, generation: Generation, shard: ShardKey, index: int) -> str:
        """Row numbers of one part of a large shard."""
        return f"{self.shard_folder('shards', generation, shard)}part-{index:05d}.i64"

    def row_numbers(self, generation: Generation, archive: str, member: str, index: int) -> str:
        """Row numbers of shards that follow one another, as little-endian int64."""
        folder = self.shard_folder("shards", generation, ShardKey(archive, member))
        return f"{folder}row-numbers-{index:05d}.i64"

    def enriched(self, generation: Generation, shard: ShardKey, checksum: str) -> str:
        """The Parquet of a shard whose CSV has this checksum."""
        return f"{self.shard_folder('enriched', generation, shard)}rows-{_short(checksum)}.parquet"

    def member_quarantine(self, generation: Generation, archive: str, checksum: str) -> str:
        """What was quarantined when an archive was split; the checksum is of the object."""
        folder = self._generation("quarantine", generation, archive)
        return f"{folder}split-{_short(checksum)}.parquet"

    def shard_quarantine(self, generation: Generation, shard: ShardKey, checksum: str) -> str:
        """What was quarantined of a shard whose CSV has this checksum."""
        folder = self.shard_folder("quarantine", generation, shard)
        return f"{folder}contract-{_short(checksum)}.parquet"

    def folders(self, archive: str) -> list[str]:
        """Below which lies everything of an archive but its documents, of all generations."""
        return [self._folder(kind, archive) for kind in FOLDERS]

    def manifest(self, archive: str) -> str:
        """What the newest split revision of an archive consists of."""
        return f"{self.prefix}/manifests/archive={_old_segment(archive)}/manifest.json"

    def schemas(self, rule: str) -> str:
        """The schemas that the members of one rule had so far; a rule is given by its patterns."""
        return f"{self.schemas_folder()}rule={_old_segment(rule)}/schemas.json"

    def schemas_folder(self) -> str:
        """Below which lie the schemas of all rules."""
        return f"{self.prefix}/schemas/"

    def delivery(self, archive: str) -> str:
        """What consumers of an archive read first."""
        return f"{self.prefix}/deliveries/archive={_old_segment(archive)}/delivery.json"

    def deliveries(self) -> str:
        """Below which lie the documents of all deliveries."""
        return f"{self.prefix}/deliveries/"

    def former_delivery(self, archive: str, checksum: str) -> str:
        """A copy of a delivery's document, made before another took its place."""
        return f"{self.former_folder(archive)}{_short(checksum)}.json"

    def former_folder(self, archive: str) -> str:
        """Below which lie the documents of an archive's former deliveries."""
        return self._folder("former", archive)

    def corrections(self, archive: str, revision: str, number: int) -> str:
        """Rows of a revision that a person has corrected; numbers count from 1."""
        return f"{self.corrections_folder(archive, revision)}{number:06d}.csv"

    def corrections_folder(self, archive: str, revision: str) -> str:
        """Below which lie the corrected rows of a revision."""
        return f"{self._folder('corrections', archive)}revision={_segment(revision)}/"

    def old_enriched(self, revision: str, shard: ShardKey) -> str:
        """The Parquet of a shard as versions before generations named it."""
        return (
            f"{self.prefix}/enriched/member={_old_segment(shard.member)}/"
            f"archive={_old_segment(shard.archive)}/revision={_old_segment(revision)}/"
            f"{_split(shard, OLD_SEGMENT_BYTES)}rows.parquet"
        )

    def old_shard_quarantine(self, revision: str, shard: ShardKey) -> str:
        """What was quarantined of a shard as versions before generations named it."""
        return (
            f"{self.prefix}/quarantine/archive={_old_segment(shard.archive)}/"
            f"revision={_old_segment(revision)}/member={_old_segment(shard.member)}/"
            f"{_split(shard, OLD_SEGMENT_BYTES)}contract.parquet"
        )

    def old_folders(self, archive: str, folders: Iterable[str]) -> list[str]:
        """Below which versions before generations wrote what they made of an archive.

        Args:
            archive: its object key.
            folders: those that lie directly below `enriched/`; one for each member was theirs.
        """
        own = f"archive={_old_segment(archive)}/"
        members = [one for one in folders if one.startswith(self.old_members())]
        return [
            *(f"{member}{own}" for member in members),
            f"{self.prefix}/quarantine/{own}",
            f"{self.prefix}/shards/{own}",
        ]

    def enriched_folder(self) -> str:
        """Below which lies the Parquet of all archives."""
        return f"{self.prefix}/enriched/"

    def old_members(self) -> str:
        """What the folders begin with that versions before generations made for members."""
        return f"{self.prefix}/enriched/member="

    def kinds(self) -> list[str]:
        """The folders below which lie all objects that `place_of` knows."""
        return [f"{self.prefix}/{kind}/" for kind in FOLDERS]

    def generation_folders(self, generation: Generation, archive: str) -> list[str]:
        """Below which lies what enriching writes of one generation of an archive."""
        enriched = [kind for kind, folder in FOLDERS.items() if folder.enriched]
        return [self._generation(kind, generation, archive) for kind in enriched]

    def names_of(self, archive: str) -> set[str]:
        """How an archive is written in keys of objects, and in those of documents and before."""
        return {_segment(archive), _old_segment(archive)}

    def name_of_revision(self, revision: str) -> str:
        """How a revision is written in keys."""
        return _segment(revision)

    def place_of(self, key: str) -> Place | None:
        """Where an object of an archive lies, by its key; None if it is none.

        Documents of manifests, current deliveries and schemas are none.
        """
        start = f"{self.prefix}/"
        if not key.startswith(start):
            return None
        kind, *folders = key[len(start) :].split("/")[:-1] or [""]
        if kind not in FOLDERS:
            return None
        for shape in (FOLDERS[kind].shape, FOLDERS[kind].old_shape):
            named = [one.partition("=") for one in folders[: len(shape)]]
            if shape and tuple(name for name, _, _ in named) == shape:
                values = {name.removeprefix("rwt_"): value for name, _, value in named}
                depth = 1 + list(values).index("archive")
                return Place(
                    kind=kind,
                    archive=values["archive"],
                    folder=f"{start}{'/'.join([kind, *folders[:depth]])}/",
                    revision=values.get("revision", ""),
                    generation=values.get("generation", ""),
                )
        return None

    def shard_folder(self, kind: str, generation: Generation, shard: ShardKey) -> str:
        """Below which lies what one of `FOLDERS` has of a shard, in one generation."""
        folder = self._generation(kind, generation, shard.archive)
        return f"{folder}rwt_member={_segment(shard.member)}/{_split(shard)}"

    def _folder(self, kind: str, archive: str) -> str:
        first = FOLDERS[kind].shape[0]
        name = _segment(archive) if first == _SHAPE[0] else _old_segment(archive)
        return f"{self.prefix}/{kind}/{first}={name}/"

    def _generation(self, kind: str, generation: Generation, archive: str) -> str:
        return (
            f"{self._folder(kind, archive)}"
            f"rwt_revision={_segment(generation.revision)}/rwt_generation={generation.name}/"
        )


def digest(text: str) -> str:
    """A text as ten hexadecimal digits."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARACTERS]


def _short(checksum: str) -> str:
    """A CRC-32 as it is; the checksums of several parts as one of the same length."""
    return checksum if len(checksum) <= _CHECKSUM_CHARACTERS else digest(checksum)


def _split(shard: ShardKey, at_most: int = SEGMENT_BYTES) -> str:
    if shard.split_by is None:
        return ""
    value = NULL if shard.value is None else _segment(shard.value, at_most)
    return f"{_segment(shard.split_by, at_most)}={value}/"


def _old_segment(text: str) -> str:
    return _segment(text, OLD_SEGMENT_BYTES)


def _segment(text: str, at_most: int = SEGMENT_BYTES) -> str:
    """A text as part of a key: distinct texts stay distinct, however long they are."""
    quoted = quote(text, safe="", errors="surrogatepass")
    if text == NULL:
        return quoted.replace("_", "%5F")
    if _LOOKS_CUT.search(quoted):
        quoted = quoted.replace("~", "%7E")
    if len(quoted) <= at_most:
        return quoted
    shortened = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_CHARACTERS]
    cut = quoted[: at_most - _HASH_CHARACTERS - 1].rpartition("%")[0] or quoted[:1]
    return f"{cut}{_CUT}{shortened}"
