"""What belongs to another account: how it is named, and which store is asked for which key."""

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rwt_assets.feed.accounts import (
    Access,
    QueueAddress,
    Role,
    accesses,
    may_be_one_queue,
    parse_queue,
    session_name,
)
from rwt_assets.feed.feed import Feed
from rwt_assets.resources.routed_objects import RoutedObjects
from rwt_assets.testing import InMemoryObjects

ROLE = "arn:aws:iam::210987654321:role/partner/drop"
DECLARED = {
    "name": "city_bus",
    "source": {"bucket": "incoming", "queue": "bus", "prefix": "bus/"},
    "target": {"bucket": "lake", "prefix": "rwt/bus"},
    "members": [{"include": ["*.csv"]}],
}


def feed(source=(), target=()):
    places = {"source": dict(source), "target": dict(target)}
    return Feed.model_validate(
        DECLARED | {name: DECLARED[name] | more for name, more in places.items()}
    )


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("bus", QueueAddress("bus")),
        (
            "arn:aws:sqs:eu-central-1:210987654321:bus",
            QueueAddress("bus", "210987654321", "eu-central-1"),
        ),
        (
            "arn:aws-cn:sqs:cn-north-1:210987654321:bus",
            QueueAddress("bus", "210987654321", "cn-north-1"),
        ),
        (
            "https://sqs.eu-central-1.amazonaws.com/210987654321/bus",
            QueueAddress("bus", "210987654321", "eu-central-1"),
        ),
        (
            "https://eu-west-1.queue.amazonaws.com/210987654321/bus",
            QueueAddress("bus", "210987654321", "eu-west-1"),
        ),
        (
            "https://sqs.cn-north-1.amazonaws.com.cn/210987654321/bus",
            QueueAddress("bus", "210987654321", "cn-north-1"),
        ),
        ("https://queue.amazonaws.com/210987654321/bus", QueueAddress("bus", "210987654321")),
        ("http://127.0.0.1:4566/000000000000/bus", QueueAddress("bus", "000000000000")),
    ],
)
def test_a_queue_may_be_named_in_three_ways(text, address):
    source = feed({"queue": text}).source
    assert parse_queue(source.queue) == address
    assert source.queue_account == address.account
    letters = parse_queue(source.dead_letter_queue)
    assert letters == QueueAddress(f"{address.name}-dead-letters", address.account, address.region)


@pytest.mark.parametrize(
    "text",
    [
        "arn:aws:sns:eu-central-1:210987654321:bus",
        "arn:aws:sqs:eu-central-1:bus",
        "arn:aws:sqs:eu-central-1:2109:bus",
        "https://sqs.eu-central-1.amazonaws.com/bus",
        "https://sqs.eu-central-1.amazonaws.com/210987654321/bus?Action=DeleteQueue",
        "file:///210987654321/bus",
        "",
    ],
)
def test_what_begins_as_an_address_and_is_none_is_refused(text):
    with pytest.raises(ValidationError, match="queue"):
        feed({"queue": text})


@given(st.text() | st.text().map("arn:aws:sqs:".__add__) | st.text().map("https://".__add__))
def test_every_text_is_a_queue_or_is_refused_with_the_reason(text):
    if text.startswith("arn:") or "://" in text:
        with pytest.raises(ValueError, match=r"is no (ARN|URL) of a queue"):
            parse_queue(text)
    else:
        assert parse_queue(text) == QueueAddress(text)


def test_two_texts_may_mean_one_queue_unless_account_or_region_differ():
    arn = "arn:aws:sqs:eu-central-1:210987654321:bus"
    assert may_be_one_queue("bus", arn)
    assert may_be_one_queue(arn, "http://127.0.0.1:4566/210987654321/bus")
    assert not may_be_one_queue("bus", arn.replace(":bus", ":tram"))
    assert not may_be_one_queue(arn, arn.replace("2109", "3109"))
    assert not may_be_one_queue(arn, arn.replace("central", "west"))


@pytest.mark.parametrize("name", ["a", "city_bus", "a" * 100])
def test_the_session_of_a_role_is_named_after_the_feed_as_sts_allows(name):
    assert re.fullmatch(r"[\w+=,.@-]{2,64}", session_name(name))
    assert session_name(name).startswith(f"rwt-{name[:60]}")


def test_a_feed_that_sets_none_of_it_is_reached_as_before():
    assert accesses(feed()) == ()


def test_each_side_that_is_reached_in_its_own_way_is_named():
    role = Role(arn=ROLE, external_id_variable="PARTNER_ID")
    both = feed({"role": role.model_dump()}, {"role": {"arn": ROLE}})
    assert accesses(both) == (
        Access("incoming", "bus/", "rwt-city_bus", role),
        Access("lake", "rwt/bus/", "rwt-city_bus", Role(arn=ROLE)),
    )
    within, around = feed({"prefix": "bus/in/"}), feed({"prefix": "bus/", "role": {"arn": ROLE}})
    ways = accesses(around, within)
    assert [(one.prefix, one.role is None) for one in ways] == [("bus/in/", True), ("bus/", False)]
    paid = Access("incoming", "bus/", "rwt-city_bus", requester_pays=True)
    assert accesses(feed({"requester_pays": True})) == (paid,)


@pytest.mark.parametrize(
    "role",
    [
        {"arn": "drop"},
        {"arn": "arn:aws:iam::210987654321:user/drop"},
        {"arn": ROLE, "external_id": "agreed"},
        {"arn": ROLE, "external_id_variable": "NOT A NAME"},
    ],
)
def test_a_role_that_cannot_be_is_refused_and_no_declaration_has_the_external_id(role):
    with pytest.raises(ValidationError, match="role"):
        feed({"role": role})


def test_the_declaration_in_the_guide_is_one():
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "aws.md").read_text()
    (text,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    declared = feed(yaml.safe_load(text)["source"])
    assert declared.source.role.external_id_variable == "PARTNER_EXTERNAL_ID"
    for named in re.findall(r"`((?:arn:aws:sqs:|https://sqs)[^`]*)`", page):
        assert feed({"queue": named}).source.queue_account == "210987654321"


def test_each_key_goes_to_the_store_by_which_it_is_reached():
    plain, partner = InMemoryObjects(), InMemoryObjects()
    store = RoutedObjects(plain, [(Access("shared", "in/", "rwt-a"), partner)])
    for key in ("in/a.zip", "out/b", "in/c.zip"):
        store.put("shared", key, key.encode())
    store.put("other", "in/a.zip", b"d")
    assert [one.key for one in partner.list("shared", "")] == ["in/a.zip", "in/c.zip"]
    assert [one.key for one in plain.list("shared", "")] == ["out/b"]
    assert plain.read("other", "in/a.zip") == b"d"
    assert [one.key for one in store.list("shared", "in/")] == ["in/a.zip", "in/c.zip"]
    assert [*store.folders("shared", "in/")] == []
    head = store.head("shared", "in/a.zip")
    assert store.read("shared", "in/a.zip", 3, etag=head.etag) == b"a.zip"
    assert store.read_tagged("shared", "in/a.zip") == (b"in/a.zip", head.etag)
    assert store.tail("shared", "in/a.zip", 3) == (b"zip", 8)
    assert b"".join(store.stream("shared", "in/a.zip", 0, 4)) == b"in/a"
    assert not store.put_if("shared", "in/a.zip", b"e", etag="")
    store.delete("shared", ["in/c.zip", "out/b"])
    assert store.delete_if("shared", "in/a.zip", etag=head.etag)
    assert [*partner.list("shared", ""), *plain.list("shared", "")] == []
