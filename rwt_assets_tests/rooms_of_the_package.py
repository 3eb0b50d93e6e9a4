"""What docs/architecture.md shows of the code.

The rooms of the package are made from contracts and doors, the table of Dagster's private parts
from the docstrings and imports of their room.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]
PAGE = PROJECT / "docs" / "architecture.md"
BEGIN = "<!-- Made by rwt_assets_tests/reference_pages.py from pyproject.toml and the doors. -->\n"
END = "<!-- End of what is made. -->\n"
PRIVATE_PARTS = PROJECT / "rwt_assets" / "dagster_internals"
PRIVATE_BEGIN = (
    "<!-- Made by rwt_assets_tests/reference_pages.py from rwt_assets/dagster_internals. -->\n"
)
PRIVATE_END = "<!-- End of the private parts. -->\n"


def contracts() -> dict[str, dict[str, Any]]:
    """The import contracts of pyproject.toml by their ids."""
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return {contract["id"]: contract for contract in declared["contracts"]}


def floors(contract: str) -> list[list[str]]:
    """The rooms of each floor, from top to bottom."""
    return [layer.split(" | ") for layer in contracts()[contract]["layers"]]


def first_sentence(room: str) -> str:
    """What the door of a room says first; of a single module, its docstring."""
    path = PROJECT / "rwt_assets" / room.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    said = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    assert said, f"{room} has no docstring"
    return " ".join(said.partition("\n\n")[0].split())


def picture() -> Iterator[str]:
    """The floors as a drawing."""
    above = floors("floors")
    inner = floors("orchestration")
    yield "```"
    for number, rooms in zip(range(len(above), 0, -1), above, strict=True):
        yield f"{number:>3}  {'   '.join(rooms)}"
        if "orchestration" in rooms:
            yield f"     orchestration: {' -> '.join(' | '.join(layer) for layer in inner)}"
    yield "```"


def table() -> Iterator[str]:
    """Each room with what is in it, from bottom to top."""
    pure = {one.removeprefix("rwt_assets.") for one in contracts()["pure"]["source_modules"]}
    yield "| floor | room | what is in it | without Dagster and boto3 |"
    yield "|---|---|---|---|"
    inner = [f"orchestration.{one}" for layer in floors("orchestration") for one in layer]
    for number, rooms in enumerate(reversed(floors("floors")), 1):
        for room in rooms:
            for one in (room, *(inner if room == "orchestration" else ())):
                mark = "yes" if one in pure else ""
                yield f"| {number} | `{one}` | {first_sentence(one)} | {mark} |"


def rooms_section() -> str:
    """The part of docs/architecture.md that is made."""
    return "\n".join([*picture(), "", *table(), ""])


def private_parts() -> Iterator[tuple[str, str, str, str]]:
    """Each private part of Dagster: the module of ours that has it, where it is, what and why."""
    for path in sorted(PRIVATE_PARTS.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        said = " ".join((ast.get_docstring(tree) or "").split())
        reasons = dict(re.findall(r"- `(\w+)`: (.+?)\.(?= - `|$)", said))
        imported = {
            alias.name: node.module or ""
            for node in tree.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        if {*imported} != {*reasons}:
            raise ValueError(f"{path.name}: reasons of {sorted({*imported} ^ {*reasons})}")
        for name, reason in reasons.items():
            yield path.name, imported[name], name, reason


def private_section() -> str:
    """The table of Dagster's private parts."""
    rows = [
        f"| `{module}` | `{where}.{name}` | {reason} |"
        for module, where, name, reason in private_parts()
    ]
    return "\n".join(["| module | what it imports | why |", "|---|---|---|", *rows, ""])


def page_with_rooms() -> str:
    """docs/architecture.md with the parts that are made made again."""
    text = PAGE.read_text(encoding="utf-8")
    text = _replaced(text, BEGIN, rooms_section(), END)
    return _replaced(text, PRIVATE_BEGIN, private_section(), PRIVATE_END)


def _replaced(text: str, begin: str, made: str, end: str) -> str:
    before, rest = text.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n{made}\n{end}{after}"
