"""The pages in docs/reference and the rooms in docs/architecture.md, made from the code.

    .venv/bin/python -m rwt_assets_tests.reference_pages    writes them

What belongs here: making these pages. What does not: words about settings, commands and errors,
which stand where these are declared; a test says when a page is stale.
"""

import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from rwt_assets.feed import accounts, expectations, feed, named_enrichments
from rwt_assets.monitoring.metrics import FIGURES
from rwt_assets.runtime import errors
from rwt_assets.runtime.errors import RwtError
from rwt_assets.values.column_types import TYPES, WITH_DIGITS
from rwt_assets.values.notation import ValueSettings
from rwt_assets_tests.rooms_of_the_package import PAGE, page_with_rooms

PROJECT = Path(__file__).parents[1]
FOLDER = PROJECT / "docs" / "reference"
# In the order in which a declaration has them.
MODELS: tuple[type[BaseModel], ...] = (
    feed.Feed,
    feed.Source,
    feed.Target,
    accounts.Role,
    feed.MemberRule,
    feed.ColumnRule,
    named_enrichments.Crc32Of,
    named_enrichments.ParseDate,
    named_enrichments.Rename,
    named_enrichments.Cast,
    named_enrichments.Constant,
    named_enrichments.Lookup,
    named_enrichments.OwnFunction,
    feed.Dialect,
    feed.Evolution,
    feed.Tolerance,
    expectations.Control,
    expectations.ControlColumns,
    expectations.Check,
    expectations.Volume,
    feed.Limits,
    feed.Retirement,
)
BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "pattern": "matches `{}`",
}
MADE = "<!-- Made by rwt_assets_tests/reference_pages.py; change {} instead. -->\n\n"
FEED_HEAD = """# Settings of a feed

What may stand below `attributes:` in `rwt_assets/defs/<name>/defs.yaml`. A setting that is needed
has no default. Declared in [`feed.py`](../../rwt_assets/feed/feed.py).
"""
ERRORS_HEAD = """# Errors

What fails says what was wrong, where, what happened to the data and what to do next. The type
stands in the run's failure; all are in [`errors.py`](../../rwt_assets/runtime/errors.py).
*Tried again* says whether a run that failed with it is asked for again, up to `attempts` times; the
others would fail the same way.

| error | what it means | tried again |
|---|---|---|
"""


METRICS_HEAD = """# Metrics

What `rwt metrics` serves at `/metrics`, for Prometheus; how to use it is in
[how to operate it](../how-to/operate.md).
Declared in [`metrics.py`](../../rwt_assets/monitoring/metrics.py).

| metric | kind | labels | what it is |
|---|---|---|---|
"""


def feed_page() -> str:
    """Every setting of a feed."""
    schema = feed.Feed.model_json_schema()
    definitions = {"Feed": schema, **schema["$defs"]}
    parts = [MADE.format("rwt_assets/feed/feed.py"), FEED_HEAD]
    for model in MODELS:
        definition = definitions[model.__name__]
        parts.append(f"\n## {model.__name__}\n\n{inspect.getdoc(model)}\n\n")
        parts.append("| setting | value | default |\n|---|---|---|\n")
        required = set(definition.get("required", ()))
        parts += [
            f"| `{name}` | {_cell(_value(one))} | {_default(one, required=name in required)} |\n"
            for name, one in _shared_last(definition["properties"])
        ]
        if model is feed.ColumnRule:
            parts += ["\n| type | in Parquet | what it is |\n|---|---|---|\n", *_types()]
    return "".join(parts)


def _types() -> Iterator[str]:
    """What a column's `type` may be."""
    for one in TYPES.values():
        yield f"| `{one.name}` | `{one.arrow}` | {_cell(one.means)} |\n"
    for name, make in WITH_DIGITS.items():
        yield f"| `{name}(precision, scale)` | `{name}128` | {_cell(make(1, 0).means)} |\n"


def _shared_last(properties: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Settings in their order, those on how values are written at the end: several have them."""
    return sorted(properties.items(), key=lambda item: item[0] in ValueSettings.model_fields)


def _value(schema: dict[str, Any]) -> str:
    """What a setting takes, in words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if either := schema.get("anyOf", schema.get("oneOf")):
        kinds = [_value(one) for one in either if one.get("type") != "null"]
        return " or ".join(kinds)
    if allowed := schema.get("enum", [schema["const"]] if "const" in schema else []):
        return ", ".join(f"`{one}`" for one in allowed)
    if schema["type"] == "array":
        return f"list of {_value(schema['items'])}"
    if schema["type"] == "object":
        values = schema.get("additionalProperties") or {}
        values = values or next(iter(schema.get("patternProperties", {}).values()))
        return f"mapping of name to {_value(values)}"
    kind = {"string": "text", "boolean": "`true`, `false`"}.get(schema["type"], schema["type"])
    bounds = [words.format(schema[name]) for name, words in BOUNDS.items() if name in schema]
    return ", ".join([kind, *bounds])


def _default(schema: dict[str, Any], *, required: bool) -> str:
    if required:
        return "**needed**"
    default = schema.get("default")
    if default is None:
        # A factory of pydantic is not in the schema: the defaults of the model, or an empty one.
        return "its defaults" if "$ref" in schema else "none"
    return f"`{json.dumps(default)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def commands_page() -> str:
    """Every command with its options."""
    made = subprocess.run(
        [sys.executable, "-m", "typer", "rwt_assets.cli.main", "utils", "docs", "--name", "rwt"],
        capture_output=True,
        text=True,
        check=True,
        cwd=PROJECT,
    ).stdout
    made = made.replace(f"{PROJECT}/", "").replace("&#x27;", "'")
    made = made.removeprefix("# `rwt`\n\n").strip()
    return f"{MADE.format('rwt_assets/cli/')}# The command `rwt`\n\n{made}\n"


def errors_page() -> str:
    """Every error with what it means."""
    lines = [MADE.format("rwt_assets/runtime/errors.py"), ERRORS_HEAD]
    for depth, error in _tree(RwtError, 0):
        again = "no" if error.terminal else "yes"
        indent = "&nbsp;&nbsp;" * depth
        lines.append(f"| {indent}`{error.__name__}` | {inspect.getdoc(error)} | {again} |\n")
    return "".join(lines)


def metrics_page() -> str:
    """Every metric with what it is."""
    lines = [MADE.format("rwt_assets/monitoring/metrics.py"), METRICS_HEAD]
    for figure in FIGURES:
        labels = ", ".join(f"`{label}`" for label in figure.labels)
        lines.append(f"| `{figure.name}` | {figure.kind} | {labels} | {_cell(figure.told)} |\n")
    return "".join(lines)


def _tree(error: type[RwtError], depth: int) -> Iterator[tuple[int, type[RwtError]]]:
    # The base is none that anybody meets.
    if error is not RwtError:
        yield depth, error
    for below in error.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from _tree(below, depth + (error is not RwtError))


PAGES = {
    "feed.md": feed_page,
    "commands.md": commands_page,
    "errors.md": errors_page,
    "metrics.md": metrics_page,
}


def main() -> None:
    """Write all pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
    PAGE.write_text(page_with_rooms(), encoding="utf-8")


if __name__ == "__main__":
    main()
