"""A Dagster project in a folder with one feed, whose declaration can change while a stack runs.

What belongs here: making the project, and replacing the declaration. What does not: the stack
(`running_stack.py`) and what is declared (`readers.py`, `soak_feed.py`).
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml

from rwt_assets.embedded.server import local_environment
from rwt_assets.runtime.project import PROJECT_VARIABLE

MODULE = "own_feed"
DEFINITIONS = """
from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    loaded = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
    return dg.Definitions.merge(loaded, dg.Definitions(executor=dg.in_process_executor))
"""
PROJECT = f"""
[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "{MODULE}"
"""


class OwnProject:
    """A Dagster project in a folder, with one feed.

    Args:
        folder: of the project; it is made.
        attributes: of the feed.
    """

    def __init__(self, folder: Path, attributes: dict[str, Any]) -> None:
        self.folder = folder.resolve()
        package = self.folder / MODULE
        self._declared = package / "defs" / attributes["name"] / "defs.yaml"
        self._declared.parent.mkdir(parents=True)
        (self.folder / "pyproject.toml").write_text(PROJECT)
        (package / "__init__.py").touch()
        (package / "definitions.py").write_text(DEFINITIONS)
        self.declare(attributes)

    def declare(self, attributes: dict[str, Any]) -> None:
        """Replace the declaration; runs that start from now on go by it."""
        declared = {"type": "rwt_assets.ZipFeed", "attributes": attributes}
        text = yaml.safe_dump(declared, sort_keys=False)  # their order is part of versions
        new = self._declared.with_suffix(".new")
        new.write_text(text)
        new.replace(self._declared)

    @property
    def variables(self) -> dict[str, str]:
        """What leads a process to the project."""
        path = [str(self.folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {PROJECT_VARIABLE: str(self.folder), "PYTHONPATH": os.pathsep.join(path)}

    @contextmanager
    def entered(self, endpoint: str) -> Iterator[None]:
        """This process as a consumer of the project has it."""
        environment = local_environment(endpoint, os.environ) | self.variables
        with patch.dict(os.environ, environment), patch.object(sys, "path", self._path()):
            try:
                yield
            finally:
                for name in [name for name in sys.modules if name.partition(".")[0] == MODULE]:
                    del sys.modules[name]

    def _path(self) -> list[str]:
        return [str(self.folder), *sys.path]
