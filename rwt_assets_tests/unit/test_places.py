"""Where an object lies is told by its key, whatever the names are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rwt_assets.documents.layout import NULL, Generation, Layout, Place
from rwt_assets.documents.partitions import ShardKey

NAMES = st.text(min_size=1, max_size=300) | st.sampled_from([NULL, "..", "a/b", "a=b", "a~~b", "~"])
SHARDS = st.builds(ShardKey, NAMES, NAMES, NAMES, st.none() | NAMES)
GENERATION = Generation("r1", "5" * 10, "e" * 10)
LAYOUT = Layout("rwt/shop")


@given(SHARDS)
def test_an_object_lies_below_a_folder_of_its_archive(shard):
    archive = shard.archive
    keys = {
        "enriched": LAYOUT.enriched(GENERATION, shard, "00000001"),
        "quarantine": LAYOUT.shard_quarantine(GENERATION, shard, "00000001"),
        "shards": LAYOUT.shard_part(GENERATION, shard, 0),
        "former": LAYOUT.former_delivery(archive, "00000001"),
    }
    for kind, key in keys.items():
        place = LAYOUT.place_of(key)
        assert place.kind == kind
        assert place.archive in LAYOUT.names_of(archive)
        assert place.folder in LAYOUT.folders(archive)
        assert any(key.startswith(one) for one in LAYOUT.kinds())
        if kind != "former":
            assert place.revision == LAYOUT.name_of_revision("r1")
            assert (place.generation, place.split) == (GENERATION.name, "5" * 10)
    folders = LAYOUT.generation_folders(GENERATION, archive)
    assert keys["enriched"].startswith(folders[0])
    assert keys["quarantine"].startswith(folders[1])


@given(SHARDS)
def test_so_does_one_of_the_layout_before_generations(shard):
    member = LAYOUT.old_enriched("r1", shard)
    folders = LAYOUT.old_folders(shard.archive, ["/".join(member.split("/")[:4]) + "/"])
    for kind, key in (
        ("enriched", member),
        ("quarantine", LAYOUT.old_shard_quarantine("r1", shard)),
    ):
        place = LAYOUT.place_of(key)
        assert (place.kind, place.revision, place.generation) == (kind, "r1", "")
        assert place.archive in LAYOUT.names_of(shard.archive)
        assert place.folder in folders
        assert place.split == "0"


@given(NAMES, NAMES)
def test_no_two_archives_share_a_name_in_keys_of_this_version(one, other):
    key = LAYOUT.manifest(one)
    assert (one == other) == (key == LAYOUT.manifest(other))


@pytest.mark.parametrize(
    "key",
    [
        "",
        "rwt/shop/",
        "rwt/shop/manifests/archive=a/manifest.json",
        "rwt/shop/deliveries/archive=a/delivery.json",
        "rwt/shop/schemas/rule=a/schemas.json",
        "rwt/shop/enriched/notes.txt",
        "rwt/shop/enriched/rwt_archive=a/notes.txt",
        "rwt/shop2/former/archive=a/00000001.json",
        "rwt/shop/former/00000001.json",
    ],
)
def test_other_objects_lie_nowhere(key):
    assert LAYOUT.place_of(key) is None


def test_a_place():
    assert LAYOUT.place_of("rwt/shop/former/archive=a.zip/00000001.json") == Place(
        "former", "a.zip", "rwt/shop/former/archive=a.zip/"
    )
