"""The ratio that the guard holds ours to is the one that a reader of the page sees."""

import pytest

from rwt_assets_tests.benchmarks.documented import PAGE, documented_ratio

HEAD = "| wall s | CPU s | wall, ours = 1 | CPU, ours = 1 |\n|---|---:|---:|---:|---:|\n"
TWO_TABLES = (
    f"| shards kept {HEAD}| rwt_assets | 5.0 | 6.0 | 1.00 | 1.00 |\n"
    "| pandas | 20.0 | 24.0 | 4.00 | 4.50 |\n"
    "| pandas, pyarrow | 10.0 | 12.0 | 2.00 | 2.00 |\n\n"
    f"text\n\n| direct {HEAD}| pandas | 9.0 | 9.0 | 3.00 | 3.25 |\n"
)


def test_the_page_tells_how_much_more_pandas_takes():
    assert documented_ratio(PAGE.read_text(), "pandas", "shards kept") > 1


def test_a_ratio_is_read_from_the_table_of_its_form():
    assert documented_ratio(TWO_TABLES, "pandas", "shards kept") == 4.5
    assert documented_ratio(TWO_TABLES, "pandas", "direct") == 3.25


def test_a_ratio_is_read_from_a_table_of_both_forms():
    table = f"| {HEAD}| pandas, shards kept | 20.4 | 18.9 | 3.65 | 3.06 |\n"
    assert documented_ratio(table, "pandas", "shards kept") == 3.06


@pytest.mark.parametrize(
    "text", ["", TWO_TABLES.replace("| pandas |", "| other |"), f"{TWO_TABLES}\n\n{TWO_TABLES}"]
)
def test_a_page_without_the_ratio_or_with_two_is_no_silent_pass(text):
    with pytest.raises(LookupError):
        documented_ratio(text, "pandas", "shards kept")
