from hypothesis import given
from hypothesis import strategies as st

from rwt_assets.layout import NULL, Layout
from rwt_assets.partitions import ShardKey

NAMES = st.text(st.characters(), min_size=1, max_size=30) | st.sampled_from([NULL, "..", "a/b"])
KEYS = st.builds(ShardKey, NAMES, NAMES, NAMES, st.none() | NAMES)
LAYOUT = Layout("rwt/gtfs")


def test_names_are_hive_style():
    key = ShardKey("gtfs/a.zip", "stop_times.txt", "stop_sequence", "7")
    assert LAYOUT.enriched("abc", key) == (
        "rwt/gtfs/enriched/member=stop_times.txt/archive=gtfs%2Fa.zip/revision=abc/"
        "stop_sequence=7/rows.parquet"
    )
    assert LAYOUT.shard_part("abc", key, 3) == (
        "rwt/gtfs/shards/archive=gtfs%2Fa.zip/revision=abc/member=stop_times.txt/"
        "stop_sequence=7/part-00003.csv"
    )


def test_a_null_is_told_from_the_text_that_hive_uses_for_it():
    null, text = (ShardKey("a", "m", "c", value) for value in (None, NULL))
    assert f"c={NULL}/" in LAYOUT.enriched("r", null)
    assert LAYOUT.enriched("r", null) != LAYOUT.enriched("r", text)


@given(KEYS, KEYS)
def test_different_shards_have_different_names(one, other):
    assert (one == other) == (LAYOUT.enriched("r", one) == LAYOUT.enriched("r", other))


@given(NAMES)
def test_no_name_climbs_out_of_its_folder(name):
    key = LAYOUT.enriched("r", ShardKey(name, name, name, name))
    assert key.startswith("rwt/gtfs/enriched/member=")
    assert key.count("/") == 7
    assert not {".", ".."} & set(key.split("/"))


@given(st.text(min_size=1, max_size=1024))
def test_keys_of_any_length_fit_into_s3(name):
    layout = Layout("p" * 100)
    key = ShardKey(name, name, name[:40], name)
    assert len(layout.enriched("r" * 64, key).encode("utf-8")) <= 1024
    assert len(layout.shard_part("r" * 64, key, 99_999).encode("utf-8")) <= 1024
