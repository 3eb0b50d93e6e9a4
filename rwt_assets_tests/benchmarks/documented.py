"""The ratios that docs/performance.md tells, read from the page itself.

What belongs here: finding a figure in the page. What does not: the page's figures; there is no
second place for them, so nothing can differ from what the reader sees.
"""

from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
CPU_RATIO = "CPU, ours = 1"


def documented_ratio(text: str, script: str, form: str, column: str = CPU_RATIO) -> float:
    """How much more a script takes than ours in a form, by a table of the page.

    The form stands at the head of its table, as `make bench` prints it, or behind the script's
    name.

    Raises:
        LookupError: there is no such row, or more than one.
    """
    found = []
    head: list[str] = []
    for line in text.splitlines():
        if not line.startswith("|"):
            head = []
            continue
        cells = [cell.strip() for cell in line.strip("| \n").split("|")]
        if not head:
            head = [cell.strip() for cell in line.strip()[1:-1].split("|")]
        elif column in head and (
            cells[0] == f"{script}, {form}" or (cells[0] == script and head[0] == form)
        ):
            found.append(float(cells[head.index(column)]))
    if len(found) != 1:
        raise LookupError(f"{script}, {form}, {column}: {len(found)} times in {PAGE.name}")
    return found[0]
