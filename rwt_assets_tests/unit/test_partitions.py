import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rwt_assets.documents.partitions import (
    ShardKey,
    archive_partition_key,
    parse_archive_partition_key,
    shard_partition_prefix,
)
from rwt_assets.runtime.errors import PartitionKeyError

ANY_TEXT = st.text(st.characters(), min_size=1, max_size=40) | st.text(
    "./|%= \\\n\té…a", min_size=1
)
COLUMNS = ANY_TEXT
VALUES = st.none() | st.text(max_size=20) | st.text("./|%= \ud800", max_size=8)
SHARD_KEYS = st.builds(ShardKey, ANY_TEXT, ANY_TEXT) | st.builds(
    ShardKey, ANY_TEXT, ANY_TEXT, COLUMNS, VALUES
)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (ShardKey("gtfs/a b.zip", "stops.txt"), "gtfs/a b.zip|stops.txt"),
        (ShardKey("a.zip", "x.txt", "day", "2024-01-01"), "a.zip|x.txt|day=2024-01-01"),
        (ShardKey("a.zip", "x.txt", "day", ""), "a.zip|x.txt|day="),
        (ShardKey("a.zip", "x.txt", "day", None), "a.zip|x.txt|day"),
        (ShardKey("Zürich/日本.zip", "ü.csv", "a=b", "50%"), "Zürich/日本.zip|ü.csv|a%3Db=50%25"),
        (ShardKey("a...b.zip", "..", "c", "x|y\n"), "a.%2E%2Eb.zip|.%2E|c=x%7Cy%0A"),
    ],
)
def test_keys_are_readable(key, text):
    assert key.partition_key == text
    assert ShardKey.parse(text) == key


@given(SHARD_KEYS)
def test_shard_keys_come_back(key):
    assert ShardKey.parse(key.partition_key) == key


@given(SHARD_KEYS, SHARD_KEYS)
def test_different_shards_have_different_keys(one, other):
    assert (one == other) == (one.partition_key == other.partition_key)


@given(ANY_TEXT)
def test_archive_keys_come_back(object_key):
    assert parse_archive_partition_key(archive_partition_key(object_key)) == object_key


@given(SHARD_KEYS, ANY_TEXT)
def test_the_prefix_finds_the_shards_of_one_archive_only(key, archive):
    found = key.partition_key.startswith(shard_partition_prefix(archive))
    assert found == (key.archive == archive)


@given(st.lists(SHARD_KEYS, min_size=1, max_size=5, unique=True))
def test_dagster_takes_every_key(keys):
    with dg.DagsterInstance.ephemeral() as instance:
        texts = [key.partition_key for key in keys]
        instance.add_dynamic_partitions("shards", texts)
        assert list(instance.get_dynamic_partitions("shards")) == texts


@pytest.mark.parametrize("text", ["", "a", "a|b|c|d", "a|b|c=%zz", "a|b%", "a%7c|b", "a|%41"])
def test_what_is_no_key_is_refused(text):
    with pytest.raises(PartitionKeyError, match="is no partition key"):
        ShardKey.parse(text)


def test_an_archive_key_has_one_form():
    with pytest.raises(PartitionKeyError, match="canonical"):
        parse_archive_partition_key("a%41")
