"""Many partitions are added and removed as one by one, and no others."""

import dagster as dg
import pytest
from sqlalchemy.exc import IntegrityError

from rwt_assets.graph import partition_batches
from rwt_assets.graph.partition_batches import add_partitions, remove_partitions


@pytest.mark.parametrize("batch", [1, 7, 500])
def test_exactly_these_keys_are_removed_from_exactly_this_set(monkeypatch, batch):
    monkeypatch.setattr(partition_batches, "BATCH", batch)
    keys = [f"a.zip|m.csv|v={n}" for n in range(40)]
    with dg.instance_for_test() as instance:
        for name in ("one", "other"):
            instance.add_dynamic_partitions(name, keys)
        remove_partitions(instance, "one", [*keys[5:30], "a key that is not there"])
        remove_partitions(instance, "one", [])
        assert list(instance.get_dynamic_partitions("one")) == [*keys[:5], *keys[30:]]
        assert list(instance.get_dynamic_partitions("other")) == keys
        instance.add_dynamic_partitions("one", keys[5:6])
        assert instance.has_dynamic_partition("one", keys[5])


def test_another_storage_is_asked_key_by_key(monkeypatch):
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions("one", ["a", "b", "c"])
        monkeypatch.setattr(partition_batches, "SqlEventLogStorage", type("Other", (), {}))
        remove_partitions(instance, "one", ["a", "c"])
        assert list(instance.get_dynamic_partitions("one")) == ["b"]


@pytest.mark.parametrize("together", [1, 2, 500])
def test_keys_that_are_there_are_no_error(monkeypatch, together):
    monkeypatch.setattr(partition_batches, "ADDED_TOGETHER", together)
    with dg.instance_for_test() as instance:
        add_partitions(instance, "one", ["a", "b"])
        add_partitions(instance, "one", iter(["b", "c", "d"]))
        add_partitions(instance, "one", [])
        assert list(instance.get_dynamic_partitions("one")) == ["a", "b", "c", "d"]


class OtherIsQuicker:
    """An instance to which another process adds a key between the question and the answer."""

    def __init__(self, instance, times):
        self.instance = instance
        self.times = times

    def add_dynamic_partitions(self, name, keys):
        storage = self.instance.event_log_storage
        if self.times:
            self.times -= 1
            columns = partition_batches.DynamicPartitionsTable.c
            with storage.index_connection() as connection:
                rows = [
                    {columns.partitions_def_name.name: name, columns.partition.name: keys[-1]}
                ] * 2
                connection.execute(partition_batches.DynamicPartitionsTable.insert(), rows[:1])
                connection.execute(partition_batches.DynamicPartitionsTable.insert(), rows[1:])
        self.instance.add_dynamic_partitions(name, keys)


def test_a_key_that_another_process_adds_at_the_same_time_is_no_error():
    with dg.instance_for_test() as instance:
        add_partitions(OtherIsQuicker(instance, 1), "one", ["a", "b", "c"])
        assert sorted(instance.get_dynamic_partitions("one")) == ["a", "b", "c"]


def test_what_fails_each_time_is_an_error():
    with dg.instance_for_test() as instance, pytest.raises(IntegrityError):
        add_partitions(OtherIsQuicker(instance, 100), "one", ["a"])
