"""`docs/servers.md` shows exactly the differences that the tests expect."""

import re
from pathlib import Path

import pytest

from rwt_assets_tests.contract.differences import DIFFERENCES, SERVERS, contract_of, difference_at

pytestmark = pytest.mark.endpoint

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "servers.md"
AS_AWS = "as AWS"


def row(contract):
    """The row of a contract as it has to stand in the page."""
    known = [difference_at(server, contract) for server in SERVERS]
    (touches,) = {one.touches for one in known if one}
    does = [one.does if one else AS_AWS for one in known]
    return f"| {' | '.join([contract, *does, touches])} |"


@pytest.fixture(scope="module")
def rows():
    """The rows of the page's table of differences, without its head."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    head = lines.index(f"| contract | {' | '.join(SERVERS)} | what of ours it touches |")
    table = lines[head + 2 :]
    return table[: next(at for at, line in enumerate([*table, ""]) if not line.startswith("|"))]


@pytest.mark.parametrize("contract", sorted({one.contract for one in DIFFERENCES}))
def test_every_difference_has_its_row_in_the_page(rows, contract):
    assert row(contract) in rows


def test_every_row_of_the_page_is_a_difference(rows):
    assert sorted(rows) == sorted({row(one.contract) for one in DIFFERENCES})


def test_reliability_lists_the_same_differences():
    text = (PAGE.parent / "reliability.md").read_text(encoding="utf-8")
    listed = re.findall(r"^- (.+)$", text[text.index("## Local servers") :], flags=re.MULTILINE)
    assert sorted(listed) == sorted(f"{one.contract}: {one.does}" for one in DIFFERENCES)


def test_every_difference_is_that_of_one_test_on_one_server():
    tests = [
        contract_of(name)
        for module in HERE.glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)\(", module.read_text(), flags=re.MULTILINE)
    ]
    named = [(one.server, one.contract) for one in DIFFERENCES]
    assert len(set(named)) == len(named)
    assert {server for server, _ in named} <= set(SERVERS)
    assert all(tests.count(contract) == 1 for _, contract in named)
