"""The names of all objects that the pipeline writes.

What belongs here: names. What does not: the objects. Hive-style folders, so that DuckDB,
Polars, Athena and Spark read them as partitions (Amazon Athena User Guide: "Partition your
data"). A key has at most 1,024 bytes (Amazon S3 User Guide: "Naming Amazon S3 objects").
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final
from urllib.parse import quote

from rwt_assets.partitions import ShardKey

NULL: Final = "__HIVE_DEFAULT_PARTITION__"
SEGMENT_BYTES: Final = 200
_HASH_CHARACTERS: Final = 24


@dataclass(frozen=True, slots=True)
class Layout:
    """Names below the prefix of a feed's target; archives are given by their object key."""

    prefix: str

    def shard_part(self, revision: str, shard: ShardKey, index: int) -> str:
        """One CSV part of a shard."""
        return f"{self._member('shards', revision, shard)}part-{index:05d}.csv"

    def part_row_numbers(self, revision: str, shard: ShardKey, index: int) -> str:
        """Row numbers of one part of a large shard."""
        return f"{self._member('shards', revision, shard)}part-{index:05d}.i64"

    def row_numbers(self, archive: str, revision: str, member: str, index: int) -> str:
        """Row numbers of shards that follow one another, as little-endian int64."""
        folder = self._member("shards", revision, ShardKey(archive, member))
        return f"{folder}row-numbers-{index:05d}.i64"

    def enriched(self, revision: str, shard: ShardKey) -> str:
        """The Parquet of a shard. The member comes first, since it decides on the columns."""
        return (
            f"{self.prefix}/enriched/member={_segment(shard.member)}/"
            f"archive={_segment(shard.archive)}/revision={_segment(revision)}/"
            f"{_split(shard)}rows.parquet"
        )

    def member_quarantine(self, archive: str, revision: str) -> str:
        """What was set aside when an archive was split."""
        return f"{self._revision('quarantine', archive, revision)}split.parquet"

    def shard_quarantine(self, revision: str, shard: ShardKey) -> str:
        """What was set aside when a shard was held to the contract."""
        return f"{self._member('quarantine', revision, shard)}contract.parquet"

    def folders(self, archive: str, members: Iterable[str]) -> list[str]:
        """Below which lies what was written of an archive's members, whatever the revision."""
        own = f"archive={_segment(archive)}/"
        return [
            *(f"{self.prefix}/enriched/member={_segment(member)}/{own}" for member in members),
            f"{self.prefix}/quarantine/{own}",
            f"{self.prefix}/shards/{own}",
        ]

    def manifest(self, archive: str) -> str:
        """What the newest split revision of an archive consists of."""
        return f"{self.prefix}/manifests/archive={_segment(archive)}/manifest.json"

    def schemas(self, rule: str) -> str:
        """The schemas that the members of one rule had so far; a rule is given by its patterns."""
        return f"{self.prefix}/schemas/rule={_segment(rule)}/schemas.json"

    def delivery(self, archive: str) -> str:
        """What consumers of an archive read first."""
        return f"{self.prefix}/deliveries/archive={_segment(archive)}/delivery.json"

    def deliveries(self) -> str:
        """Below which lie the documents of all deliveries."""
        return f"{self.prefix}/deliveries/"

    def _revision(self, kind: str, archive: str, revision: str) -> str:
        return f"{self.prefix}/{kind}/archive={_segment(archive)}/revision={_segment(revision)}/"

    def _member(self, kind: str, revision: str, shard: ShardKey) -> str:
        folder = self._revision(kind, shard.archive, revision)
        return f"{folder}member={_segment(shard.member)}/{_split(shard)}"


def _split(shard: ShardKey) -> str:
    if shard.split_by is None:
        return ""
    value = NULL if shard.value is None else _segment(shard.value)
    return f"{_segment(shard.split_by)}={value}/"


def _segment(text: str) -> str:
    """A text as part of a key: distinct texts stay distinct, however long they are."""
    quoted = quote(text, safe="", errors="surrogatepass")
    if text == NULL:
        return quoted.replace("_", "%5F")
    if len(quoted) <= SEGMENT_BYTES:
        return quoted
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_CHARACTERS]
    cut = quoted[: SEGMENT_BYTES - _HASH_CHARACTERS - 1].rpartition("%")[0] or quoted[:1]
    return f"{cut}~~{digest}"
