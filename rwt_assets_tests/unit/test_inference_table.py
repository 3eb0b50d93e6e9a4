"""docs/inference.md has what the three say of the shipped samples now."""

from rwt_assets_tests.benchmarks.inference_table import SAMPLES, compare
from rwt_assets_tests.documented_examples import EXAMPLES

PAGE = EXAMPLES.parent / "inference.md"


def test_the_page_has_what_is_found_in_the_shipped_samples():
    text = PAGE.read_text(encoding="utf-8")
    _, _, after = text.partition("## The shipped samples")
    shown, _, _ = after.partition("## Other files")
    made = "".join(map(str, compare(SAMPLES)))
    rows = [line for line in shown.splitlines() if line.startswith("|")][2:]
    assert rows == made.splitlines()
