"""Which feed is meant is told by what is known, and never guessed."""

import pytest

from rwt_assets.archive.feed_choice import feed_for_archive, feed_for_key
from rwt_assets.feed.feed import Feed
from rwt_assets.runtime.errors import FeedError
from rwt_assets_tests.archives import make_zip


def feed(name, *include, bucket="incoming"):
    return Feed.model_validate(
        {
            "name": name,
            "source": {"bucket": bucket, "queue": name, "prefix": f"{name}/"},
            "target": {"bucket": "out", "prefix": name},
            "members": [{"include": [pattern]} for pattern in include],
        }
    )


SALES = feed("sales", "sales_*.csv", "stock.csv")
TIMES = feed("times", "stops.csv", "*.csv")
ALL = feed("all", "*")


@pytest.fixture
def file(tmp_path):
    def make(*members):
        path = tmp_path / "a.zip"
        path.write_bytes(make_zip(dict.fromkeys(members, "a\n1\n")))
        return path

    return make


@pytest.mark.parametrize(
    ("members", "feeds", "chosen"),
    [
        (["x.txt"], [SALES], SALES),
        (["sales_1.csv", "stock.csv", "x.csv", "y.csv"], [TIMES, ALL, SALES], SALES),
        (["sales_1.csv", "stock.csv", "stops.csv"], [TIMES, SALES], SALES),
        (["stops.csv", "stops_2.csv"], [SALES, ALL, TIMES], TIMES),
        (["x.csv"], [SALES, TIMES], TIMES),
        (["x.md"], [SALES, TIMES, ALL], ALL),
    ],
)
def test_the_feed_that_names_the_most_members_is_meant(file, members, feeds, chosen):
    assert feed_for_archive(file(*members), feeds) is chosen


@pytest.mark.parametrize(
    "pattern", ["*", "*.csv", "*.[ct]sv", "*.csv.gz", "*/*.csv", "?*.csv", "**"]
)
def test_a_pattern_that_takes_all_of_a_suffix_names_nothing(file, pattern):
    both = [feed("vague", pattern), SALES]
    members = ["x.csv", "y.tsv", "d/z.csv", "z.csv.gz", "stock.csv"]
    assert feed_for_archive(file(*members), both) is SALES


@pytest.mark.parametrize("pattern", ["*_x.csv", "x*", "d/*.csv", "[ab]x.*"])
def test_a_pattern_that_says_more_names(file, pattern):
    both = [ALL, feed("exact", pattern)]
    assert feed_for_archive(file("a_x.csv", "x.csv", "d/y.csv", "bx.csv"), both) is both[1]


@pytest.mark.parametrize(
    ("members", "feeds", "told"),
    [
        (["x.csv"], [TIMES, ALL], "times takes 1 members; all takes 1 members"),
        (["stops.csv", "stock.csv"], [TIMES, SALES], "times takes 2 members; sales takes 1"),
        (["x.md"], [TIMES, SALES], "times takes 0 members; sales takes 0 members"),
        (["x.md"], [], "no feed is declared"),
    ],
)
def test_where_it_could_be_either_all_are_listed(file, members, feeds, told):
    with pytest.raises(FeedError) as caught:
        feed_for_archive(file(*members), feeds)
    assert told in str(caught.value)
    assert all(f"--feed {one.name}" in str(caught.value) for one in feeds)


def test_what_is_no_archive_is_told_as_such_once(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"hello")
    with pytest.raises(FeedError) as caught:
        feed_for_archive(tmp_path / "a.zip", [SALES, TIMES])
    assert str(caught.value).count("no readable ZIP archive") == 1


def test_a_key_belongs_to_the_feed_that_reads_it():
    assert feed_for_key("times/a.zip", [SALES, TIMES]) is TIMES
    assert feed_for_key("elsewhere/a.zip", [SALES]) is SALES
    for key, feeds in (
        ("elsewhere/a.zip", [SALES, TIMES]),
        ("times/a.txt", [SALES, TIMES]),
        ("sales/a.zip", [SALES, feed("sales", "*", bucket="other")]),
    ):
        with pytest.raises(FeedError, match="it cannot be told which feed"):
            feed_for_key(key, feeds)
