"""The extras of this package: what is installed for those alone who need it.

What belongs here: which packages an extra brings (`pyproject.toml` has their versions), and what is
said where one is missing. What does not: what they are used for. They are imported where they are
used, inside `from_extra`. Python Packaging User Guide: "Dependency specifiers" (extras).
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Final, Literal

from rwt_assets.runtime.errors import MissingExtraError

Extra = Literal["cluster", "kubernetes", "local", "metrics", "postgresql", "query", "zip"]
# Of those with the same package, the first is the one that is named.
MODULES: Final[Mapping[Extra, tuple[str, ...]]] = {
    "postgresql": ("dagster_postgres",),
    "cluster": ("dagster_celery", "dagster_postgres", "redis"),
    "kubernetes": ("dagster_k8s",),
    "local": ("ministack", "psutil"),
    "metrics": ("prometheus_client",),
    "query": ("duckdb",),
    "zip": ("backports.zstd", "cryptography", "inflate64"),
}
NOTHING_DONE: Final = "Nothing was done."


@contextmanager
def from_extra(extra: Extra, what: str, *, effect: str = NOTHING_DONE) -> Iterator[None]:
    """Around an import of what an extra brings.

    Args:
        extra: its name.
        what: what needs it, such as "`rwt query`".
        effect: what became of what was asked for.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        yield
    except ImportError as error:
        missing = _module_of(extra, error)
        if missing is None:
            raise
        raise _missing(extra, missing, what, effect) from error


def need(extra: Extra, what: str, *, effect: str = NOTHING_DONE) -> None:
    """Raise unless all that an extra brings is installed; nothing is imported.

    Args and errors are those of `from_extra`.
    """
    for module in MODULES[extra]:
        with from_extra(extra, what, effect=effect):
            if find_spec(module) is None:
                raise ModuleNotFoundError(name=module)


def missing_extra(error: BaseException) -> MissingExtraError | None:
    """The sentence for an error that comes of a missing extra, no matter who imported; else None.

    Dagster imports by itself what a `dagster.yaml` names, such as `dagster_postgres`.
    """
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        if isinstance(one, ImportError):
            for extra in MODULES:
                missing = _module_of(extra, one)
                if missing is not None:
                    return _missing(extra, missing, "`rwt`", "It did not come to its end.")
        one = one.__cause__ or one.__context__
    return None


def _module_of(extra: Extra, error: ImportError) -> str | None:
    """The module of an extra for whose lack an import failed."""
    for module in MODULES[extra]:
        # `backports` is a folder of several distributions: it may be there without `zstd`.
        within = module.startswith(f"{error.name}.")
        if within or (isinstance(error, ModuleNotFoundError) and error.name == module):
            return module
    return None


def _missing(extra: Extra, module: str, what: str, effect: str) -> MissingExtraError:
    return MissingExtraError(
        f"{what} needs the Python package {module}, which is not installed",
        where=sys.prefix,
        effect=effect,
        fix=f"Install it: pip install 'rwt_assets[{extra}]'.",
    )
