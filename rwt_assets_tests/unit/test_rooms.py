"""Rooms have doors; what points which way is held by `lint-imports` (pyproject.toml)."""

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import rwt_assets
from rwt_assets_tests.rooms_of_the_package import PAGE, contracts, floors

PACKAGE = Path(rwt_assets.__file__).parent
PROJECT = PACKAGE.parent
MODULES_AT_MOST = 16
# A dagster.yaml names modules of these, so each is loaded by itself; and each process loads those
# private parts of Dagster alone that it needs.
WITHOUT_DOORS = {"embedded", "cluster", "dagster_internals"}
ROOMS = sorted(
    path.parent.relative_to(PACKAGE).as_posix().replace("/", ".")
    for path in PACKAGE.rglob("__init__.py")
    if path.parent != PACKAGE and "defs" not in path.parts
)


def room_of(module):
    """The innermost room of a module, by its name without that of the package."""
    return max((one for one in ROOMS if f"{module}.".startswith(f"{one}.")), key=len, default="")


def names_and_modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        yield name.removesuffix(".__init__"), path


def past_the_door():
    """Imports of a module in another room, that should be of the room."""
    modules = {f"rwt_assets.{name}" for name, _ in names_and_modules()}
    for name, path in names_and_modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            imported = []
            if isinstance(node, ast.Import):
                imported = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                whole = [f"{node.module}.{alias.name}" for alias in node.names]
                imported = [node.module, *(modules & {*whole})]
            for one in imported:
                inside = one.removeprefix("rwt_assets.")
                room = room_of(inside) if one.startswith("rwt_assets.") else ""
                if room in {"", inside, room_of(name), *WITHOUT_DOORS} or name == "":
                    continue
                if not offered(room, inside):
                    yield f"{name} imports {one}"


def offered(room, module):
    """Whether the door of a room gives this module as a whole."""
    return module.removeprefix(f"{room}.") in import_module(f"rwt_assets.{room}").__all__


def test_another_room_is_entered_by_its_door():
    assert [*past_the_door()] == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_no_larger_than_one_can_take_in(room):
    files = [*(PACKAGE / room.replace(".", "/")).glob("*.py")]
    assert len([one for one in files if one.name != "__init__.py"]) <= MODULES_AT_MOST


@pytest.mark.parametrize("room", ROOMS)
def test_a_door_says_in_two_sentences_what_is_behind_it(room):
    door = import_module(f"rwt_assets.{room}")
    first, rest = door.__doc__.strip().split("\n\n", 1)
    assert first.endswith(".")
    assert rest.rstrip().endswith(".")


@pytest.mark.parametrize("room", sorted({*ROOMS} - WITHOUT_DOORS - {"orchestration"}))
def test_a_door_offers_what_is_there(room):
    door = import_module(f"rwt_assets.{room}")
    assert door.__all__
    assert [name for name in door.__all__ if not hasattr(door, name)] == []


def test_every_room_stands_on_a_floor():
    named = {
        room for name in ("floors", "orchestration") for floor in floors(name) for room in floor
    }
    assert {one.rpartition(".")[2] for one in ROOMS} - {"orchestration"} <= named


LOADS_ROOMS = """
import importlib, sys
for room in sys.argv[1:]:
    importlib.import_module(room)
    if loaded := {"dagster", "boto3"} & {*sys.modules}:
        sys.exit(f"{room} loads {', '.join(sorted(loaded))}")
"""


def load(*rooms):
    """What is said by a fresh process that loads the rooms one after the other."""
    command = [sys.executable, "-c", LOADS_ROOMS, *rooms]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.strip()


def test_a_room_without_dagster_loads_none():
    rooms = contracts()["pure"]["source_modules"]
    assert len(rooms) > 10
    assert load(*rooms) == (0, "")
    assert load(*rooms[:1], "rwt_assets.graph") == (1, "rwt_assets.graph loads dagster")


def calls_the_instance(node):
    """Whether this asks Dagster's instance for something: `instance.get_runs()` and the like."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    asked = node.func.value
    name = getattr(asked, "attr", getattr(asked, "id", ""))
    query = node.func.attr.startswith(("fetch_", "get_", "has_", "all_"))
    return name.lstrip("_") == "instance" and query


def imports_boto3(node):
    return isinstance(node, ast.Import) and "boto3" in [alias.name for alias in node.names]


@pytest.mark.parametrize(
    ("begin", "does"),
    [
        ("These modules query Dagster's instance: ", calls_the_instance),
        ("These modules import boto3: ", imports_boto3),
    ],
)
def test_the_page_names_the_modules_that_reach_outside(begin, does):
    said = PAGE.read_text(encoding="utf-8").split(begin)[1].split(".\n")[0].split(". ")[0]
    named = re.findall(r"`([\w/]+(?:/|\.py))`", said)
    found = [
        path.relative_to(PACKAGE).as_posix()
        for _, path in names_and_modules()
        if any(map(does, ast.walk(ast.parse(path.read_text(encoding="utf-8")))))
    ]
    assert [one for one in found if not one.startswith(tuple(named))] == []
    assert [one for one in named if not any(path.startswith(one) for path in found)] == []


def test_the_contracts_of_imports_are_looked_at_by_make_lint():
    assert "lint-imports" in (PROJECT / "Makefile").read_text().split("\nlint:")[1].split("\n\n")[0]
