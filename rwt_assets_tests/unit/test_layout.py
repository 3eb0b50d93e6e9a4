from hypothesis import given
from hypothesis import strategies as st

from rwt_assets.documents.layout import NULL, Generation, Layout
from rwt_assets.documents.partitions import ShardKey

NAMES = st.text(st.characters(), min_size=1, max_size=30) | st.sampled_from([NULL, "..", "a/b"])
KEYS = st.builds(ShardKey, NAMES, NAMES, NAMES, st.none() | NAMES)
LAYOUT = Layout("rwt/gtfs")
MADE = Generation("abc", "0123456789").enriched_by("1-abc")
CRC = "00c0ffee"


def test_names_are_hive_style_and_say_how_the_object_was_made():
    key = ShardKey("gtfs/a.zip", "stop_times.txt", "stop_sequence", "7")
    folders = (
        "rwt_archive=gtfs%2Fa.zip/rwt_revision=abc/rwt_generation=0123456789-5ebbff0de4/"
        "rwt_member=stop_times.txt/stop_sequence=7"
    )
    assert MADE.name == "0123456789-5ebbff0de4"
    assert LAYOUT.enriched(MADE, key, CRC) == f"rwt/gtfs/enriched/{folders}/rows-{CRC}.parquet"
    assert LAYOUT.shard_quarantine(MADE, key, CRC) == (
        f"rwt/gtfs/quarantine/{folders}/contract-{CRC}.parquet"
    )
    assert LAYOUT.shard_part(Generation("abc", "0123456789"), key, 3) == (
        "rwt/gtfs/shards/rwt_archive=gtfs%2Fa.zip/rwt_revision=abc/rwt_generation=0123456789/"
        "rwt_member=stop_times.txt/stop_sequence=7/part-00003.csv"
    )


def test_everything_of_an_archive_lies_below_its_folders():
    key = ShardKey("gtfs/a.zip", "stop_times.txt", "stop_sequence", "7")
    folders = tuple(LAYOUT.folders("gtfs/a.zip"))
    made = [
        LAYOUT.enriched(MADE, key, CRC),
        LAYOUT.shard_part(MADE, key, 0),
        LAYOUT.part_row_numbers(MADE, key, 0),
        LAYOUT.row_numbers(MADE, "gtfs/a.zip", "stop_times.txt", 0),
        LAYOUT.member_quarantine(MADE, "gtfs/a.zip", CRC),
        LAYOUT.shard_quarantine(MADE, key, CRC),
        LAYOUT.former_delivery("gtfs/a.zip", CRC),
    ]
    assert all(one.startswith(folders) for one in made)
    other = tuple(LAYOUT.folders("gtfs/a.zip.zip"))
    assert not any(one.startswith(other) for one in made)


@given(KEYS, st.sampled_from(["", "0123456789"]), st.sampled_from(["1", "2"]))
def test_what_may_change_the_bytes_of_an_object_changes_its_name(key, split_id, version):
    names = {
        LAYOUT.enriched(Generation(revision, split, digest), key, checksum)
        for revision in ("abc", "abd")
        for split in (split_id, "9876543210")
        for digest in (version, "3")
        for checksum in (CRC, f"{CRC}-{CRC}")
    }
    assert len(names) == 16


def test_a_null_is_told_from_the_text_that_hive_uses_for_it():
    null, text = (ShardKey("a", "m", "c", value) for value in (None, NULL))
    assert f"c={NULL}/" in LAYOUT.enriched(MADE, null, CRC)
    assert LAYOUT.enriched(MADE, null, CRC) != LAYOUT.enriched(MADE, text, CRC)


@given(KEYS, KEYS)
def test_different_shards_have_different_names(one, other):
    same = LAYOUT.enriched(MADE, one, CRC) == LAYOUT.enriched(MADE, other, CRC)
    assert (one == other) == same


def test_a_value_that_looks_like_a_cut_one_has_a_name_of_its_own():
    cut = LAYOUT.enriched(MADE, ShardKey("a", "m", "c", "v" * 500), CRC)
    segment = cut.split("c=")[1].split("/")[0]
    assert "~~" in segment
    assert LAYOUT.enriched(MADE, ShardKey("a", "m", "c", segment), CRC) != cut


@given(NAMES)
def test_no_name_climbs_out_of_its_folder(name):
    key = LAYOUT.enriched(MADE, ShardKey(name, name, name, name), CRC)
    assert key.startswith("rwt/gtfs/enriched/rwt_archive=")
    assert key.count("/") == 8
    assert not {".", ".."} & set(key.split("/"))


@given(st.text(min_size=1, max_size=1024))
def test_keys_of_any_length_fit_into_s3(name):
    layout = Layout("p" * 100)
    key = ShardKey(name, name, name[:40], name)
    made = Generation("r" * 64, "0" * 10, "1" * 10)
    assert len(layout.enriched(made, key, CRC).encode("utf-8")) <= 1024
    assert len(layout.shard_quarantine(made, key, CRC).encode("utf-8")) <= 1024
    assert len(layout.part_row_numbers(made, key, 99_999).encode("utf-8")) <= 1024
