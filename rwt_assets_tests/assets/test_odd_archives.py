"""Odd archives all the way: nested, encrypted, broken, with names that mean harm."""

from contextlib import ExitStack
from io import BytesIO

import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr

from rwt_assets.catalog.intake import sweep
from rwt_assets.catalog.standing import take_standing
from rwt_assets.component import build_feed_definitions
from rwt_assets.delivery.consumption import read_delivery, read_result
from rwt_assets.resources.secrets import EnvironmentSecretsResource, SecretsResource, read_secret
from rwt_assets_tests.assets.conftest import FEED, Shop
from rwt_assets_tests.odd_archives import STORED, Entry, archive

pytestmark = pytest.mark.mostly_long(one_in=1)

GOOD = b"item,day,price\npen,2026-01-01,1.50\n"
ONE_SALE = Entry("sales.csv", GOOD)
WORD = "Xyzzy-9000-plugh"
VARIABLE = "RWT_ARCHIVE_PASSWORD"
LOCKED = FEED.model_copy(
    update={"source": FEED.source.model_copy(update={"password_variable": VARIABLE})}
)
IN_ANY_FOLDER = FEED.model_copy(
    update={"members": tuple(one.model_copy(update={"match": "name"}) for one in FEED.members)}
)
STRICT = FEED.model_copy(update={"broken_members": "fail"})


class KnownSecrets(SecretsResource):
    """Knows one password, which is not in its configuration."""

    def read(self, variable: str | None) -> SecretStr | None:
        return read_secret({VARIABLE: WORD}, variable)


@pytest.fixture
def open_shop():
    with ExitStack() as opened:

        def open_it(feed=FEED, secrets=None):
            shop = opened.enter_context(Shop(feed=feed, secrets=secrets))
            shop.definitions = build_feed_definitions(
                feed, object_store=shop.store, queue_client=shop.client, secrets=secrets
            )
            return shop

        yield open_it


def rows_of(shop, archive_key):
    result = read_result(shop.objects, shop.feed.target, archive_key)
    assert result.reconciled
    return {member.member: member.rows_enriched for member in result.members}


def quarantine(shop, archive_key):
    delivery = read_delivery(shop.objects, shop.feed.target, archive_key)
    bodies = [shop.objects.read("results", key) for key in delivery.quarantine_keys]
    return {
        row["member"]: (row["rule"], row["reason"])
        for body in bodies
        for row in pq.read_table(BytesIO(body)).to_pylist()
    }


@pytest.mark.parametrize("method", [STORED, 8])
def test_an_archive_within_is_delivered(open_shop, method):
    shop = open_shop()
    shop.feed.rule_for("sales.csv")
    inner = archive([Entry("sales.csv", GOOD), Entry("readme.md", b"x")])
    key = shop.deliver("a.zip", archive([Entry("in.zip", inner, method), ONE_SALE]))
    assert rows_of(shop, key) == {"in.zip/sales.csv": 1, "sales.csv": 1}


def test_a_broken_archive_within_is_set_aside_and_the_others_go_through(open_shop):
    shop = open_shop()
    key = shop.deliver("a.zip", archive([Entry("in.zip", b"no zip"), ONE_SALE]))
    rule, reason = quarantine(shop, key)["in.zip"]
    assert rule == "MemberCorruptError"
    assert "'in.zip' within cannot be read" in reason
    assert rows_of(shop, key)["sales.csv"] == 1


@pytest.mark.parametrize("aes", [0, 3])
def test_an_encrypted_archive_is_delivered_and_its_password_is_told_to_nobody(
    open_shop, aes, capfd, caplog
):
    shop = open_shop(LOCKED, KnownSecrets())
    locked = Entry("sales.csv", GOOD, password=WORD, aes=aes)
    damaged = Entry("sales2.csv", GOOD, password=WORD, aes=aes, size=9)
    key = shop.deliver("a.zip", archive([locked, damaged]))
    assert rows_of(shop, key)["sales.csv"] == 1
    assert quarantine(shop, key)["sales2.csv"][0] == "MemberCorruptError"
    told = [str(record) for record in shop.instance.all_logs(_last_run(shop))]
    told += [str(run) for run in shop.instance.get_runs()]
    told += [repr(content) for content in shop.objects.contents.values() if content[:2] != b"PK"]
    told += [*capfd.readouterr(), caplog.text, repr(KnownSecrets()), repr(shop.definitions)]
    assert not [text for text in told if WORD in text]


def test_an_encrypted_member_without_the_password_says_what_to_set(open_shop, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    shop = open_shop(LOCKED)
    key = shop.deliver("a.zip", archive([Entry("items.csv", GOOD, password=WORD), ONE_SALE]))
    rule, reason = quarantine(shop, key)["items.csv"]
    assert rule == "MemberPasswordError"
    assert "source.password_variable" in reason
    assert rows_of(shop, key)["sales.csv"] == 1


def test_the_password_is_read_from_the_environment_when_it_is_needed(open_shop, monkeypatch):
    shop = open_shop(LOCKED)
    monkeypatch.setenv(VARIABLE, WORD)
    key = shop.deliver("a.zip", archive([Entry("sales.csv", GOOD, password=WORD, aes=1)]))
    assert rows_of(shop, key) == {"sales.csv": 1}


def test_an_empty_variable_is_no_password(monkeypatch):
    monkeypatch.setenv(VARIABLE, "")
    assert EnvironmentSecretsResource().read(VARIABLE) is None
    assert EnvironmentSecretsResource().read(None) is None


def test_a_broken_member_fails_the_archive_where_the_feed_says_so(open_shop):
    body = archive([ONE_SALE, Entry("sales2.csv", GOOD * 3, crc=1)])
    shop = open_shop(STRICT)
    shop.drop("a.zip", body)
    sweep(shop.catalog, shop.objects)
    results = shop.dispatch(expect_failure=True)
    assert [result.success for result in results] == [False], "it was tried again"
    (failed,) = take_standing(shop.catalog).failed
    assert "'sales2.csv' is corrupt" in failed.reason
    assert "broken_members of the feed is 'fail'" in failed.reason
    left = [key for bucket, key in shop.objects.contents if bucket == "results"]
    assert not [key for key in left if "sales2" in key or "manifest" in key]


def test_a_broken_archive_within_fails_the_archive_too(open_shop):
    shop = open_shop(STRICT)
    shop.drop("a.zip", archive([ONE_SALE, Entry("in.zip", b"no zip")]))
    sweep(shop.catalog, shop.objects)
    assert [result.success for result in shop.dispatch(expect_failure=True)] == [False]


def test_nothing_of_a_broken_member_is_left_where_it_is_set_aside(open_shop):
    shop = open_shop()
    days = b"".join(b"pen,2026-01-%02d,1\n" % (number % 3 + 1) for number in range(3000))
    broken = Entry("sales2.csv", b"item,day,price\n" + days, crc=1)
    key = shop.deliver("a.zip", archive([broken, ONE_SALE]))
    left = [key for bucket, key in shop.objects.contents if bucket == "results"]
    assert not [key for key in left if "member=sales2" in key]
    assert quarantine(shop, key)["sales2.csv"][0] == "MemberCorruptError"


def test_two_members_of_the_same_name_are_both_delivered(open_shop):
    shop = open_shop()
    again = Entry("sales.csv", GOOD + b"ink,2026-01-02,2\n")
    key = shop.deliver("a.zip", archive([ONE_SALE, again]))
    assert rows_of(shop, key) == {"sales.csv": 1, "sales.csv~2": 2}


@pytest.mark.parametrize(
    "name",
    [
        "../../../../etc/sales.csv",
        "/etc/sales.csv",
        "C:/sales.csv",
        "a/../../b.csv",
        "...csv",
        "s3://other/bucket.csv",
        "%2e%2e%2fa.csv",
        "a|b=c.csv",
        "x" * 900 + ".csv",
        "\u202egpj.csv",
    ],
)
def test_no_name_leaves_its_place(open_shop, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shop = open_shop(IN_ANY_FOLDER)
    key = shop.deliver(
        "a.zip", archive([Entry(name, GOOD), Entry("in.zip", archive([Entry(name, GOOD)]))])
    )
    assert sum(rows_of(shop, key).values()) == 2
    keys = [own for bucket, own in shop.objects.contents if bucket == "results"]
    assert all(own.startswith("rwt/shop/") for own in keys)
    assert not [own for own in keys if {"", ".", ".."} & set(own.split("/"))]
    assert max(map(len, keys)) <= 1024
    assert list(tmp_path.iterdir()) == []


def test_what_systems_leave_is_reported_as_ignored(open_shop):
    shop = open_shop()
    body = archive([ONE_SALE, Entry("__MACOSX/._sales.csv", b"x"), Entry("f/", b"")])
    shop.deliver("a.zip", body)
    (manifest,) = [
        body for (_, key), body in shop.objects.contents.items() if key.endswith("manifest.json")
    ]
    assert b"__MACOSX has no data" in manifest
    assert b"a folder" in manifest


def _last_run(shop):
    return shop.instance.get_runs(limit=1)[0].run_id
