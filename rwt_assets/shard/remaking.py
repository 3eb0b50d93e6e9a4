"""Shards that are not kept as CSV, made again from their archive.

What belongs here: finding the members and rows of the shards that are asked for. What does not:
splitting and enriching them (`one_pass.py`).
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

import pyarrow as pa
from pydantic import SecretStr

from rwt_assets.archive import Found, open_archive
from rwt_assets.documents import ArchiveManifest, Shard, ShardKey, enrichment_version, generation_of
from rwt_assets.feed import Feed, MemberRule
from rwt_assets.quarantine import Corrections, read_corrections
from rwt_assets.runtime import SPLIT_AGAIN, EncodingGuessError, ShardDamagedError
from rwt_assets.shard.member_rows import in_utf8
from rwt_assets.shard.one_pass import OnePass
from rwt_assets.shard.processing import OnePassRun, no_such_shard, read_manifest
from rwt_assets.storage import ObjectRanges, ObjectStore

Wanted = dict[str, dict[str | None, Shard]]  # by member and value


def remade_runs(
    store: ObjectStore,
    feed: Feed,
    partition_keys: Iterable[str],
    *,
    check: Callable[[MemberRule, pa.Table], None],
    password: SecretStr | None = None,
) -> Iterator[OnePassRun]:
    """The shards of these partitions, made again from their archives, member by member.

    Args:
        store: where archives and manifests lie.
        feed: the declaration.
        partition_keys: which shards.
        check: see `unpacking.OnePassWriter`.
        password: of encrypted members.

    Raises:
        ArchiveMissingError: the archive no longer has the content that the manifest is of.
        ShardDamagedError: a partition that the current manifest of its archive lacks, or a shard
            that the archive does not give any more as it is on record.
    """
    by_archive: dict[str, list[str]] = {}
    for key in partition_keys:
        by_archive.setdefault(ShardKey.parse(key).archive, []).append(key)
    for archive, keys in by_archive.items():
        manifest = read_manifest(store, feed.target, archive)
        corrections = read_corrections(store, feed.target, manifest.corrections)
        yield from _Remaking(store, feed, manifest, check, password, corrections).runs(keys)


@dataclass(frozen=True, slots=True)
class _Remaking:
    """Makes shards of one archive again."""

    store: ObjectStore
    feed: Feed
    manifest: ArchiveManifest
    check: Callable[[MemberRule, pa.Table], None]
    password: SecretStr | None
    corrections: Corrections

    def runs(self, partition_keys: Iterable[str]) -> Iterator[OnePassRun]:
        """The shards of these partitions."""
        manifest, wanted = self.manifest, _wanted(self.manifest, partition_keys)
        source = ObjectRanges.pinned(self.store, manifest.bucket, manifest.key, manifest.revision)
        with closing(open_archive(source, self.feed, self._where, self.password)) as entries:
            for found in entries:
                if found.rule is not None and found.member.name in wanted:
                    yield from self._member(found, found.rule, wanted.pop(found.member.name))
        for left in wanted.values():
            raise _not_as_recorded(manifest, *left.values())

    def _member(
        self, found: Found, rule: MemberRule, wanted: dict[str | None, Shard]
    ) -> Iterator[OnePassRun]:
        try:
            yield from self._remade(found, rule, wanted)
        except EncodingGuessError:  # before any shard
            yield from self._remade(found, in_utf8(rule), wanted)

    def _remade(
        self, found: Found, rule: MemberRule, wanted: dict[str | None, Shard]
    ) -> Iterator[OnePassRun]:
        member = found.member
        where = f"{self._where}, member {member.name!r}"
        one_pass = OnePass(
            rule,
            self.feed.limits,
            archive=self.manifest.key,
            member=member.name,
            where=where,
            check=lambda table: self.check(rule, table),
            keep_shards=False,
            only=wanted,
            case=self.feed.case,
            corrections=self.corrections.of(member.name),
        )
        for shard in one_pass.shards(found.chunks(where)):
            recorded = wanted.pop(shard.value, None)
            if recorded is None or shard.sum is None or shard.sum.checksum != recorded.checksum:
                raise _not_as_recorded(self.manifest, recorded)
            yield OnePassRun(
                store=self.store,
                target=self.feed.target,
                rule=rule,
                generation=generation_of(self.manifest, enrichment_version(self.feed)),
                partition_key=recorded.partition_key,
                first_row_line=one_pass.rows.first_row_line,
                shard=shard,
                checksum=recorded.checksum,
            )
        for left in wanted.values():
            raise _not_as_recorded(self.manifest, left)

    @property
    def _where(self) -> str:
        return f"s3://{self.manifest.bucket}/{self.manifest.key}"


def _wanted(manifest: ArchiveManifest, partition_keys: Iterable[str]) -> Wanted:
    shards = {shard.partition_key: shard for shard in manifest.shards}
    wanted: Wanted = {}
    for key in partition_keys:
        if key not in shards:
            raise no_such_shard(manifest, key)
        wanted.setdefault(shards[key].member, {})[shards[key].value] = shards[key]
    return wanted


def _not_as_recorded(manifest: ArchiveManifest, *shards: Shard | None) -> ShardDamagedError:
    named = next((shard.partition_key for shard in shards if shard is not None), "a shard")
    error = ShardDamagedError(
        "the archive, as it is read now, does not give this shard as it is on record",
        where=f"{named}, s3://{manifest.bucket}/{manifest.key}, revision {manifest.revision}",
        effect="The shard was not made again; what was delivered is as it was.",
        fix=f"The feed's declaration may have changed. {SPLIT_AGAIN}",
    )
    error.archive = manifest.key
    return error
