"""Many partitions are removed as one by one, and no others."""

import dagster as dg
import pytest

from rwt_assets import partition_batches
from rwt_assets.partition_batches import remove_partitions


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
