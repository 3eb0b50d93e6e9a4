"""The recipes of docs/reading.md give the delivered rows, whatever else lies in the bucket.

Against a real endpoint. DuckDB's own S3 client is an extension that it would download; here it
reads by Arrow's.
"""

import ast
import csv
import json
import zipfile
from collections import Counter
from io import BytesIO, StringIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rwt_assets import read_delivery
from rwt_assets.aws.provisioning import provision
from rwt_assets.catalog.standing import archive_progress
from rwt_assets.documents.partitions import archive_partition_key
from rwt_assets.feed.feed import ColumnRule, Feed, Tolerance
from rwt_assets_tests.archives import make_zip, timetable
from rwt_assets_tests.documented_examples import EXAMPLES, load_example
from rwt_assets_tests.endpoint.delivered_archive import KEY
from rwt_assets_tests.endpoint.recipes import RECIPES, Partner, Recipes, reading

pytestmark = [
    pytest.mark.endpoint,
    # boto3 keeps connections open for the next call and has no moment to close them.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
BUCKET = "rwt-results"
TIMES = "stop_times.txt"
LONG = "ü" * 150  # 900 bytes as part of a key
UGLY = Feed.model_validate(
    {
        "name": "ugly",
        "source": {"bucket": "rwt-incoming", "prefix": "ugly/", "queue": "rwt-ugly"},
        "target": {"bucket": BUCKET, "prefix": "rwt/ugly"},
        "members": [
            {
                "include": ["things.csv"],
                "split_by": "kind",
                "key_column": "archive",
                "columns": {
                    "archive": {},
                    "member": {},
                    "revision": {"type": "integer"},
                    "kind": {},
                    "amount": {"type": "integer"},
                    "never": {"type": "date"},
                },
            }
        ],
    }
)
HEADER = "archive,member,revision,kind,amount,never,nothing"
FIRST = [
    HEADER,
    "mine,board,7,x,1,,",
    "yours,crew,8,,2,,",
    f"theirs,staff,9,{LONG},3,,",
    "mine,board,10,a/b=c d%2F+ü,,,",
]
LATER = [
    f"{HEADER},colour",
    "ours,board,11,x,5,,,red",
    "ours,,12,,6,,,",
]


@pytest.fixture
def rows_by(endpoint):
    """What some objects hold, by the name of each recipe."""
    recipes = Recipes(endpoint.endpoint_url)

    def read(uris, of=_found):
        return {recipe: of(recipes.rows(recipe, uris)) for recipe in RECIPES}

    return read


@pytest.fixture
def partner(instance, feed, provisioned, s3):
    return Partner(instance, feed, s3)


def _times(body):
    """The stop times of an archive as they were sent."""
    with zipfile.ZipFile(BytesIO(body)) as archive:
        text = archive.read(TIMES).decode()
    return Counter((one["trip_id"], int(one["stop_sequence"])) for one in _records(text))


def _records(text):
    return list(csv.DictReader(StringIO(text)))


def _found(rows):
    return Counter((row["trip_id"], row["stop_sequence"]) for row in rows)


def _by_every_recipe(rows):
    return dict.fromkeys(RECIPES, rows)


def test_the_recipes_need_boto3_and_json_and_nothing_of_this_package():
    source = ast.parse((EXAMPLES / "reading.py").read_text(encoding="utf-8"))
    names = {one.module for one in ast.walk(source) if isinstance(one, ast.ImportFrom)}
    names |= {
        name.name for one in ast.walk(source) if isinstance(one, ast.Import) for name in one.names
    }
    assert "boto3" in names
    assert not [name for name in names if name.startswith("rwt_assets")]


def test_of_an_archive_that_was_sent_again_the_newest_rows_are_read(partner, rows_by):
    bodies = [
        timetable(trips=3, stops=2),
        timetable(trips=5, stops=4, name="N"),
        timetable(trips=2, stops=1, name="X"),
    ]
    for body in bodies:
        partner.upload(KEY, body)
        assert rows_by(partner.objects(TIMES, KEY)) == _by_every_recipe(_times(body))
    other = timetable(trips=4, stops=2, name="O")
    partner.upload("gtfs/other.zip", other)
    expected = _times(bodies[-1]) + _times(other)
    assert rows_by(partner.objects(TIMES)) == _by_every_recipe(expected)


def _write_strays(s3, document, prefix):
    """Objects as refused and former passes leave them, in the old layout and the new one."""
    body = _parquet(pa.table({"trip_id": ["STRAY"], "stop_id": ["S0"], "stop_sequence": [0]}))
    below, archive = f"{prefix}/enriched", "archive=gtfs%2Fa.zip"
    former = f"revision={'0' * 32}"
    for revision in (f"revision={document['revision']}", former):
        generation = f"rwt_{archive}/rwt_{revision}/rwt_generation=0123456789-abcdef0123"
        for folder in (
            f"{below}/member={TIMES}/{archive}/{revision}/stop_sequence=77",
            f"{below}/{generation}/rwt_member={TIMES}/stop_sequence=0",
        ):
            s3.put_object(Bucket=BUCKET, Key=f"{folder}/rows.parquet", Body=body)
    for one in document["objects"]:
        beside = f"{one['key'].rpartition('/')[0]}/stray.parquet"
        s3.put_object(Bucket=BUCKET, Key=beside, Body=body)
    stray = f"{below}/member={TIMES}/{archive}/{former}/stop_sequence=77/rows.parquet"
    _write_document(s3, f"{prefix}/deliveries/{archive}/former/delivery.json", [(TIMES, stray)])


def _write_document(s3, key, objects):
    named = [{"member": member, "key": name} for member, name in objects]
    body = json.dumps({"key": "by hand", "objects": named}).encode()
    s3.put_object(Bucket=BUCKET, Key=key, Body=body)


def _parquet(table):
    body = BytesIO()
    pq.write_table(table, body)
    return body.getvalue()


def test_objects_that_no_delivery_names_are_not_read(partner, rows_by, s3):
    body = timetable(trips=3, stops=2)
    partner.upload(KEY, body)
    _write_strays(s3, partner.document(KEY), partner.feed.target.prefix)
    assert rows_by(partner.objects(TIMES, KEY)) == _by_every_recipe(_times(body))
    assert rows_by(partner.objects(TIMES)) == _by_every_recipe(_times(body))


def test_a_replay_that_is_refused_changes_no_row(partner, rows_by):
    body = timetable(trips=3, stops=2)
    partner.upload(KEY, body)
    before = partner.document(KEY)

    first, *others = partner.feed.members
    columns = {**first.columns, "trip_id": ColumnRule(nullable=False, pattern="T[01]")}
    partner.feed = partner.feed.model_copy(
        update={
            "members": (first.model_copy(update={"columns": columns}), *others),
            "tolerance": Tolerance(rows=0),
        }
    )
    partner.catalog.ask_replay(archive_partition_key(KEY), before["revision"])
    partner.process(expect_failure=True)

    progress = archive_progress(partner.catalog, archive_partition_key(KEY))
    assert progress.stage == "failed"
    assert "2 of 8 rows" in progress.reason
    assert partner.document(KEY)["delivered_at"] == before["delivered_at"]
    assert rows_by(partner.objects(TIMES, KEY)) == _by_every_recipe(_times(body))


def test_the_package_reads_a_delivery_as_the_page_shows(partner, s3):
    body = timetable(trips=3, stops=2)
    partner.upload(KEY, body)
    _write_strays(s3, partner.document(KEY), partner.feed.target.prefix)
    stops, times = load_example("reading_with_rwt_assets").stops_and_times()
    assert len(stops) == 2
    assert times.column_names == ["trip_id", "stop_id"]
    assert times.num_rows == 6
    assert _found(read_delivery(KEY, TIMES).to_dict("records")) == _times(body)


@pytest.fixture
def ugly(instance, provisioned, s3, sqs):
    provision(UGLY, s3=s3, sqs=sqs)
    return Partner(instance, UGLY, s3)


def _sent(lines):
    """These rows as they must be read: what is declared has its type, and null where empty."""
    declared = UGLY.members[0].columns
    convert = {name: int if rule.type == "integer" else str for name, rule in declared.items()}
    return [
        {"colour": None}
        | {
            name: (convert[name](text) if text else None) if name in declared else text
            for name, text in record.items()
        }
        for record in _records("\n".join(lines))
    ]


def _as_sent(rows):
    added = {"crc32", "_archive", "_member", "_row"}
    found = [
        {"colour": None} | {name: row[name] for name in row if name not in added} for row in rows
    ]
    return sorted(found, key=lambda row: row["revision"])


def test_no_column_of_a_sender_is_taken_for_a_folder_and_none_is_lost(ugly, rows_by):
    ugly.upload("ugly/first.zip", make_zip({"things.csv": "\n".join(FIRST)}))
    assert ugly.document("ugly/first.zip")["rows_quarantined"] == 0
    first = ugly.objects("things.csv", "ugly/first.zip")
    assert rows_by(first, _as_sent) == _by_every_recipe(_sent(FIRST))

    ugly.upload("ugly/later.zip", make_zip({"things.csv": "\n".join(LATER)}))
    both = ugly.objects("things.csv")
    assert rows_by(both, _as_sent) == _by_every_recipe(_sent(FIRST) + _sent(LATER))
    archives = {"ugly/first.zip": 4, "ugly/later.zip": 2}
    of_archives = rows_by(both, lambda rows: Counter(row["_archive"] for row in rows))
    assert of_archives == _by_every_recipe(archives)


def test_schemas_that_differ_are_unified(provisioned, rows_by, s3):
    tables = [
        pa.table({"n": [1], "text": pa.nulls(1), "never": pa.nulls(1)}),
        pa.table({"n": [2], "text": ["two"], "never": pa.nulls(1)}),
        pa.table({"n": pa.array([], pa.int64()), "text": pa.nulls(0), "never": pa.nulls(0)}),
        pa.table({"never": pa.nulls(1), "price": [0.5], "n": [3]}),
    ]
    names = [f"made/{number}.parquet" for number in range(len(tables))]
    for name, table in zip(names, tables, strict=True):
        s3.put_object(Bucket=BUCKET, Key=name, Body=_parquet(table))
    objects = [("rows.csv", name) for name in names]
    _write_document(s3, "made/deliveries/archive=by%20hand/delivery.json", objects)

    found = rows_by(reading.delivered(BUCKET, "made", "rows.csv", "by hand"), list)
    assert found == _by_every_recipe(
        [
            {"n": 1, "text": None, "never": None, "price": None},
            {"n": 2, "text": "two", "never": None, "price": None},
            {"n": 3, "text": None, "never": None, "price": 0.5},
        ]
    )


def test_an_archive_with_a_long_key_is_found(ugly):
    key = f"ugly/{LONG}.zip"
    ugly.upload(key, make_zip({"things.csv": "\n".join(FIRST)}))
    ugly.upload("ugly/later.zip", make_zip({"things.csv": "\n".join(LATER)}))
    (document,) = reading.deliveries(BUCKET, UGLY.target.prefix, key)
    assert document["key"] == key
    assert len(ugly.objects("things.csv", key)) == len(FIRST) - 1


def test_an_archive_that_was_never_delivered_is_an_error_and_a_feed_without_any_is_empty(ugly, s3):
    with pytest.raises(s3.exceptions.ClientError, match="NoSuchKey"):
        ugly.objects("things.csv", "ugly/first.zip")
    assert ugly.objects("things.csv") == []


def test_the_list_for_athena_has_what_is_delivered(ugly, s3):
    ugly.upload("ugly/first.zip", make_zip({"things.csv": "\n".join(FIRST)}))
    uris = ugly.objects("things.csv")
    reading.list_for_athena(uris, BUCKET, "tables/things/files.txt")
    listed = s3.get_object(Bucket=BUCKET, Key="tables/things/files.txt")["Body"].read().decode()
    assert listed.split("\n") == uris
    assert len(uris) == len(FIRST) - 1
    for uri in uris:
        s3.head_object(Bucket=BUCKET, Key=uri.removeprefix(f"s3://{BUCKET}/"))
