"""The rooms of the package, as docs/architecture.md shows them: made from contracts and doors."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]
PAGE = PROJECT / "docs" / "architecture.md"
BEGIN = "<!-- Made by rwt_assets_tests/reference_pages.py from pyproject.toml and the doors. -->\n"
END = "<!-- End of what is made. -->\n"


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


def page_with_rooms() -> str:
    """docs/architecture.md with that part made anew."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{rooms_section()}\n{END}{after}"
