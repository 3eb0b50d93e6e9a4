"""Rejected rows are given out, corrected, and taken back."""

import csv
from io import StringIO

import dagster as dg
import pytest
from typer.testing import CliRunner

from rwt_assets.cli import app
from rwt_assets.commands import corrections
from rwt_assets.correcting import export_rows, find_rejected
from rwt_assets.correction_file import read_file
from rwt_assets.errors import ArchiveMissingError
from rwt_assets.records import CUT, SHOWN_BYTES
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.assets.conftest import Shop, stored_shop

BAD = "item,day,price\npen,2026-01-01,1.50\n=pen(),2026-01-01,-2\nink,2026-01-02\n,x,y\n"
ARCHIVE = "shop/a.zip"


@pytest.fixture
def shop():
    with stored_shop() as shop:
        yield shop


def exported(shop, **chosen):
    file = StringIO(newline="")
    done = export_rows(
        shop.catalog,
        shop.objects,
        find_rejected(shop.catalog, shop.objects, ARCHIVE),
        file,
        **chosen,
    )
    return done, file.getvalue()


def table(text):
    return list(csv.DictReader(StringIO(text, newline="")))


def test_rejected_rows_are_given_out_with_their_fields_or_their_text(shop):
    shop.deliver("a.zip", make_zip({"sales.csv": BAD}))
    done, text = exported(shop)
    assert (done.rows, done.fixed, done.members) == (3, 0, ())
    revision = shop.delivery(ARCHIVE).revision
    rows = {one["rwt_row"]: one for one in table(text)}
    assert rows["2"] == {
        "rwt_archive": ARCHIVE,
        "rwt_revision": revision,
        "rwt_member": "sales.csv",
        "rwt_row": "2",
        "rwt_line": "3",
        "rwt_rule": "price: minimum",
        "rwt_reason": "'-2 is less than 0",
        "rwt_text": "",
        "item": "'=pen()",
        "day": "2026-01-01",
        "price": "'-2",
    }
    ragged = rows["3"]
    assert (ragged["rwt_rule"], ragged["rwt_text"]) == ("ragged_row", "ink,2026-01-02")
    assert (ragged["item"], ragged["day"], ragged["price"]) == ("", "", "")
    assert (rows["4"]["rwt_text"], rows["4"]["day"], rows["4"]["price"]) == ("", "x", "y")


def test_members_with_other_columns_stand_in_one_file(shop):
    others = "price,shelf\n1\n"
    shop.deliver("a.zip", make_zip({"sales.csv": BAD, "stock.csv": others}))
    _, text = exported(shop)
    header = table(text)[0].keys()
    assert [name for name in header if not name.startswith("rwt_")] == [
        "item", "day", "price", "shelf",
    ]  # fmt: skip
    assert {one["rwt_member"] for one in table(exported(shop, member="st*.csv")[1])} == {
        "stock.csv"
    }
    ruled = table(exported(shop, rule="price: *")[1])
    assert [one["rwt_row"] for one in ruled] == ["2"]


def test_what_is_too_long_to_be_kept_is_marked_as_cut(shop):
    long = "x" * SHOWN_BYTES
    shop.deliver("a.zip", make_zip({"sales.csv": f"item,day,price\n{long},2026-01-01,-1\n"}))
    done, text = exported(shop)
    assert (done.rows, done.fixed) == (1, 1)
    (row,) = read_file(text.encode(), "rows.csv")
    assert row.text == long + CUT
    assert set(row.fields.values()) == {""}


def test_members_that_were_quarantined_whole_are_named(shop):
    archive = make_zip({"sales.csv": BAD, "sales2.csv": "nothing\nhere\n"})
    shop.deliver("a.zip", archive)
    done, text = exported(shop)
    assert done.members == ("sales2.csv",)
    assert {one["rwt_member"] for one in table(text)} == {"sales.csv"}


def test_of_what_has_nothing_in_quarantine_nothing_is_given_out(shop):
    shop.deliver("a.zip", make_zip({"sales.csv": "item,day,price\npen,2026-01-01,1\n"}))
    with pytest.raises(ArchiveMissingError, match="nothing of this archive is quarantined"):
        find_rejected(shop.catalog, shop.objects, ARCHIVE)


@pytest.fixture
def deployment(tmp_path, monkeypatch):
    """A shop whose feed the command finds, on a deployment whose store is in memory."""
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with dg.DagsterInstance.get() as instance, stored_shop(instance) as shop:
        monkeypatch.setattr(corrections, "connect_objects", lambda: shop.objects)
        monkeypatch.setattr(corrections, "declared_feeds", lambda: [shop.feed])
        yield shop


def rwt(*arguments, status=0):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == status, result.output
    return result


def test_the_command_writes_a_file_or_standard_output(deployment: Shop, tmp_path):
    deployment.deliver("a.zip", make_zip({"sales.csv": BAD, "sales2.csv": "nothing\nhere\n"}))
    result = rwt("quarantine", "export", ARCHIVE, "--output", "rows.csv")
    assert result.stdout == ""
    assert "3 rejected rows written to rows.csv." in result.stderr
    assert "sales2.csv was quarantined whole: it has no rows here." in result.stderr
    body = (tmp_path / "rows.csv").read_bytes()
    assert body.startswith(b"\xef\xbb\xbfrwt_archive,")
    result = rwt("quarantine", "export", ARCHIVE, "--rule", "ragged_row")
    (row,) = read_file(result.stdout_bytes, "stdout")
    assert (row.member, row.row, row.text) == ("sales.csv", 3, "ink,2026-01-02")
    refused = rwt("quarantine", "export", "shop/b.zip", status=1)
    assert "nothing of this archive is quarantined" in refused.output
