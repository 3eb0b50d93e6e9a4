"""Private parts that a command loads to find out whether a code server can load the project.

- `loadable_targets_from_python_module`: the definitions that a code server finds in a module; the
  public check takes a `Definitions` object.
- `repository_def_from_target_def`: the same definitions as one object, which can be validated.
"""

from dagster._core.definitions.reconstruct import repository_def_from_target_def
from dagster._core.workspace.autodiscovery import loadable_targets_from_python_module

__all__ = ["loadable_targets_from_python_module", "repository_def_from_target_def"]
