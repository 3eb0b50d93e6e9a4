"""`rwt feed`: what a person sees, without a stack, S3 or DAGSTER_HOME."""

import json
import os
from io import BytesIO
from zipfile import ZipFile

import pytest
import yaml
from dagster.components.testing import create_defs_folder_sandbox
from typer.testing import CliRunner

from rwt_assets.authoring.preview import preview_archive
from rwt_assets.cli import feed as commands
from rwt_assets.cli.main import app
from rwt_assets.component import ZipFeed
from rwt_assets.feed.feed import Feed
from rwt_assets_tests.archives import CAIRNS, make_zip
from rwt_assets_tests.declared import declared_feed
from rwt_assets_tests.filings import SAMPLE, filings_archive
from rwt_assets_tests.odd_archives import Entry
from rwt_assets_tests.odd_archives import archive as odd_archive
from rwt_assets_tests.web_shop import SAMPLE as WEB_SHOP

STOPS = "stop_id,stop_lat,stop_lon\nS1,1,2\n,3,4\nS2,95,4\nS3,[bold]x,4\n"

SESAME = "open up"
VARIABLE = "SHOP_PASSWORD"


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """Neither a deployment nor a stack."""
    before = dict(os.environ)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    os.environ.clear()
    os.environ.update(before)


def rwt(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture
def faulty(tmp_path):
    file = tmp_path / "faulty.zip"
    file.write_bytes(make_zip({"stops.txt": STOPS, "calendar.txt": "day\nmon\n", "a.md": "x"}))
    return file


def test_a_preview_of_a_good_archive_ends_with_status_0():
    result = rwt("feed", "preview", CAIRNS)
    assert result.exit_code == 0, result.output
    assert "All 62,365 rows would be delivered." in result.output
    assert "split by stop_sequence: 1 (1,339)" in result.output
    assert "42 more, 24,403 rows" in result.output


def test_a_preview_of_a_faulty_archive_tells_rows_members_and_reasons(faulty):
    result = rwt("feed", "preview", faulty)
    assert result.exit_code == 1
    for line in (
        "stop_id: not null, rows: 1",
        "stops.txt, line 3, row 2: stop_id is empty",
        "stop_lat: number, rows: 1",
        "stops.txt, line 5, row 4: '[bold]x' is no number",
        "      S3,[bold]x,4",
        "  the column 'service_id' is missing; it has 'day'",
        "Would be quarantined: 3 of 4 rows, and whole members: 1. The others would be delivered.",
    ):
        assert line in result.output
    assert "no rule of the feed takes it" in " ".join(result.output.replace("│", "").split())


def test_a_preview_as_json_has_everything(faulty):
    result = rwt("feed", "preview", faulty, "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told["everything_delivered"] is False
    stops, calendar, notes = told["members"]
    assert [one["outcome"] for one in (stops, calendar, notes)] == ["taken", "broken", "ignored"]
    assert [(one["rule"], one["rows"]) for one in stops["problems"]] == [
        ("stop_id: not null", 1),
        ("stop_lat: maximum", 1),
        ("stop_lat: number", 1),
    ]
    assert stops["problems"][0]["examples"][0]["text"] == ",3,4"
    assert stops["dialect"]["delimiter"] == ","


def test_an_archive_that_would_fail_ends_with_status_1(tmp_path):
    file = tmp_path / "a.zip"
    file.write_bytes(b"hello")
    result = rwt("feed", "preview", file, "--feed", "gtfs")
    assert result.exit_code == 1
    assert "It would not be delivered" in result.output
    assert "All" not in result.output


def test_of_several_feeds_the_one_that_names_most_is_taken_and_told(monkeypatch, faulty):
    gtfs = declared_feed()
    less = gtfs.model_copy(update={"name": "less", "members": gtfs.members[:1]})
    monkeypatch.setattr(commands, "declared_feeds", lambda: (less, gtfs))
    result = rwt("feed", "preview", faulty)
    assert "Read as feed gtfs, one of 2, which takes members: 2" in " ".join(result.output.split())
    assert "as feed less" in rwt("feed", "preview", faulty, "--feed", "less").output
    unknown = rwt("feed", "preview", faulty, "--feed", "nope")
    assert unknown.exit_code == 1
    assert "declared are: less, gtfs" in unknown.output


def test_where_it_cannot_be_told_for_which_feed_an_archive_is_what_to_type_is_told(tmp_path):
    file = tmp_path / "a.zip"
    file.write_bytes(make_zip({"a.md": "x"}))
    result = rwt("feed", "preview", file)
    assert result.exit_code == 1
    told = " ".join(result.output.split())
    assert "it cannot be told which feed is meant" in told
    assert "gtfs takes 0 members; sec_filings takes 0 members; web_shop takes 0 members" in told
    assert "Name it: --feed gtfs or --feed sec_filings or --feed web_shop." in told
    file.write_bytes(b"hello")
    assert "no readable ZIP archive" in " ".join(rwt("feed", "preview", file).output.split())


@pytest.mark.parametrize(
    ("sample", "feed"), [(CAIRNS, "gtfs"), (SAMPLE, "sec_filings"), (WEB_SHOP, "web_shop")]
)
def test_the_samples_are_known_as_those_of_their_feeds(sample, feed):
    result = rwt("feed", "preview", sample, "--json")
    assert json.loads(result.stdout)["feed"] == feed


def test_the_made_sample_has_two_rows_to_set_aside_and_is_as_it_is_made():
    told = json.loads(rwt("feed", "preview", SAMPLE, "--json").stdout)
    found = {
        (one["name"], each["rule"]): each["examples"][0]["reason"]
        for one in told["members"]
        for each in one["problems"]
    }
    assert found == {
        ("num.txt", "ddate: date"): "'20240931' is no date",
        ("pre.txt", "ragged_row"): "10 fields expected, 7 found",
    }
    assert told["failure"] == ""
    with ZipFile(SAMPLE) as kept, ZipFile(BytesIO(filings_archive())) as made:
        assert kept.namelist() == made.namelist()
        assert all(kept.read(name) == made.read(name) for name in made.namelist())


def test_a_declaration_goes_to_stdout_alone_so_that_it_can_be_piped():
    result = rwt("feed", "infer", CAIRNS)
    assert result.exit_code == 0, result.output
    declaration = yaml.safe_load(result.stdout)
    assert Feed.model_validate(declaration["attributes"]).name == "cairns_gtfs"
    assert "Tables: 8, with 62,365 rows; rules: 8; other members: 0" in result.stderr


def test_a_declaration_that_was_written_is_a_feed_of_dagster(tmp_path):
    members = {
        "a_1.csv": "id;day;{{ x }}\n1;2024-01-01;x\n2;2024-01-02;y\n",
        "[b].csv": "1,2024\nx,1\n,\n",
        "7": "None,id\n0.5,1\n",
    }
    sample = tmp_path / "2024 sample.v2.zip"
    sample.write_bytes(make_zip(members))
    with create_defs_folder_sandbox() as sandbox:
        path = sandbox.defs_folder_path / "own" / "defs.yaml"
        result = rwt("feed", "infer", sample, "--output", path)
        assert result.exit_code == 0, result.output
        with sandbox.build_component_tree() as tree:
            (component,) = tree.get_all_components(of_type=ZipFeed)
    feed = component.feed
    assert feed.name == "feed_2024_sample"
    assert all(feed.rule_for(name) is not None for name in members)
    assert preview_archive(sample, feed).everything_delivered
    assert feed.source.bucket == "rwt-incoming"


def test_the_password_of_a_sample_is_read_from_the_variable_that_is_named(tmp_path, monkeypatch):
    sample, arguments = tmp_path / "a.zip", ("--password-variable", VARIABLE)
    sample.write_bytes(odd_archive([Entry("a.csv", b"id,name\n1,x\n", password=SESAME)]))
    unset = rwt("feed", "infer", sample, *arguments)
    assert unset.exit_code == 1
    assert "SHOP_PASSWORD is not set" in unset.output
    assert rwt("feed", "infer", sample, "--password-variable", "no name").exit_code == 2
    monkeypatch.setenv(VARIABLE, SESAME)
    result = rwt("feed", "infer", sample, *arguments)
    assert result.exit_code == 0, result.output
    source = yaml.safe_load(result.stdout)["attributes"]["source"]
    assert source["password_variable"] == VARIABLE
    assert SESAME not in result.output


def test_what_is_set_aside_of_the_sample_whatever_is_declared_is_told(tmp_path):
    sample = tmp_path / "a.zip"
    rows = "".join(f"{n},x\n" for n in range(30))
    sample.write_bytes(make_zip({"a.csv": f"id,name\n{rows}31\n"}))
    result = rwt("feed", "infer", sample)
    assert result.exit_code == 0
    assert "Of the sample itself would be quarantined: 1 rows, and whole members: 0" in (
        result.stderr
    )


def test_a_declaration_that_is_there_is_left_as_it_is(tmp_path):
    output = tmp_path / "defs.yaml"
    output.write_text("mine")
    result = rwt("feed", "infer", CAIRNS, "--output", output)
    assert result.exit_code == 1
    assert "was left as it is" in " ".join(result.output.split())
    assert output.read_text() == "mine"


def test_a_name_that_no_feed_may_have_is_refused():
    result = rwt("feed", "infer", CAIRNS, "--name", "My Feed")
    assert result.exit_code == 2
    assert "is no name of a feed" in " ".join(result.output.replace("│", "").split())


def test_an_archive_without_tables_gives_no_declaration(tmp_path):
    sample = tmp_path / "a.zip"
    sample.write_bytes(make_zip({"picture.png": b"\x89PNG\x00"}))
    result = rwt("feed", "infer", sample, "--output", tmp_path / "defs.yaml")
    assert result.exit_code == 1
    assert "no member of the archive reads as a table" in " ".join(result.output.split())
    assert not (tmp_path / "defs.yaml").exists()
