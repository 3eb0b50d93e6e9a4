"""Where a setting stands in the text of a declaration."""

import pytest

from rwt_assets.feed.declaration import line_of

TEXT = """# a comment
type: rwt_assets.ZipFeed

attributes:
  name: sales
  target: {bucket: lake, prefix: rwt/sales}
  source:
    # another
    bucket: drop
    prefix: >-
      sales/
  members:
    - include: ["*.csv"]
    - include:
        - "*.txt"
"""


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        (("name",), 5),
        (("target", "prefix"), 6),
        (("source",), 7),
        (("source", "prefix"), 10),
        (("source", "queue"), 7),
        (("members", 1), 14),
        (("members", 1, "include", 0), 15),
        (("members", 7), 12),
        ((), 4),
    ],
)
def test_the_line_of_a_setting_or_of_what_it_is_missing_in(setting, line):
    assert line_of(TEXT, "sales", setting) == line


def test_one_of_several_feeds_in_a_file_is_told_by_its_name():
    both = f"{TEXT}---\n{TEXT.replace('sales', 'stock')}"
    assert line_of(both, "stock", ("source", "prefix")) == len(TEXT.splitlines()) + 11
    assert line_of(both, "other", ("source", "prefix")) == 0


def test_the_only_feed_of_a_file_may_have_a_template_for_its_name():
    text = TEXT.replace("name: sales", "name: \"{{ env('NAME') }}\"")
    assert line_of(text, "sales", ("source", "prefix")) == 10


@pytest.mark.parametrize("text", ["", "a list: [1]\n", "- 1\n"])
def test_what_declares_no_feed_has_no_surprise(text):
    assert line_of(text, "sales", ("source", "prefix")) <= 1
