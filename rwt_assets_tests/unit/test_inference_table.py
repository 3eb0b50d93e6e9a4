"""docs/inference.md has what the three say of the shipped samples now."""

from rwt_assets_tests.benchmarks.inference_table import PAGE, SAMPLES, SHIPPED, compare, written


def test_the_page_has_what_is_found_in_the_shipped_samples():
    text = PAGE.read_text(encoding="utf-8")
    rows = "".join(map(str, compare(SAMPLES)))
    assert rows.count("\n") > 50
    assert written(text, SHIPPED, rows) == text
