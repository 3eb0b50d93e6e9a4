"""In which Dagster project the feeds are declared: this one, or the one that installed us.

What belongs here: finding the project. What does not: loading it (`definitions.py`). Dagster
documentation: "Creating projects" (`tool.dg.project` in `pyproject.toml`).
"""

import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rwt_assets.runtime.errors import FeedError

PROJECT_VARIABLE: Final = "RWT_PROJECT"
SETTINGS: Final = "pyproject.toml"


@dataclass(frozen=True, slots=True)
class Project:
    """A Dagster project: its folder, and the module that has its definitions."""

    folder: Path
    definitions_module: str


def current_project() -> Project:
    """The project of RWT_PROJECT, else that around the working folder, else that around us.

    Raises:
        FeedError: there is none, or RWT_PROJECT names none.
    """
    named = os.environ.get(PROJECT_VARIABLE)
    for folder in [Path(named)] if named else _candidates():
        settings = _settings(folder)
        if settings is not None:
            module = settings.get("code_location_target_module")
            module = module or f"{settings['root_module']}.definitions"
            return Project(folder.resolve(), str(module))
    raise FeedError(
        "this is no Dagster project, so no feed is declared here",
        where=f"{PROJECT_VARIABLE}={named}" if named else str(Path.cwd()),
        effect="Nothing was done.",
        fix=(
            "Work in the folder of the project that has the feeds, or name it by "
            f"{PROJECT_VARIABLE}. `create-dagster project NAME` makes one."
        ),
    )


def _candidates() -> Iterator[Path]:
    here = Path.cwd()
    yield from (here, *here.parents)
    yield Path(__file__).parents[2]


def _settings(folder: Path) -> dict[str, str] | None:
    """What `tool.dg.project` says, if the folder is a project's."""
    try:
        declared = tomllib.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError):
        return None
    found = declared.get("tool", {}).get("dg", {}).get("project")
    return found if found and "root_module" in found else None
