from rwt_assets.delivery.reconciliation import Account
from rwt_assets.documents.layout import Generation
from rwt_assets.documents.manifest import ArchiveManifest, EnrichedObject, MemberReport


def account(read, enriched, missing=()):
    members = [MemberReport(name=name, outcome="split", rows_read=n) for name, n in read.items()]
    objects = [
        EnrichedObject(
            partition_key=f"a.zip|{name}",
            member=name,
            split_by=None,
            value=None,
            key=name,
            rows=rows,
            bytes=1,
            rows_quarantined=quarantined,
            quarantine_key=None,
        )
        for name, rows, quarantined in enriched
    ]
    manifest = ArchiveManifest(
        feed="shop",
        bucket="incoming",
        key="a.zip",
        revision="r1",
        version_id=None,
        members=tuple(members),
        shards=(),
        quarantine_keys=(),
    )
    return Account(manifest, Generation("r1", "s"), objects, missing)


def test_an_account_reconciles_if_every_member_does():
    both = account({"a": 3, "b": 2}, [("a", 2, 0), ("a", 0, 1), ("b", 2, 0)])
    assert both.reconciled
    assert both.members_verified == 2


def test_rows_that_are_lost_in_one_member_and_doubled_in_another_do_not_cancel():
    crossed = account({"a": 3, "b": 2}, [("a", 2, 0), ("b", 3, 0)])
    assert crossed.rows_enriched == crossed.manifest.rows_read
    assert crossed.members_off == ["a", "b"]
    assert not crossed.reconciled


def test_a_missing_shard_of_no_rows_is_missed_too():
    assert not account({"a": 0}, [], missing=["a.zip|a"]).reconciled
