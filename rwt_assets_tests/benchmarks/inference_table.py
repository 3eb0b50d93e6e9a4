"""What `rwt feed infer` says of each column beside what DuckDB and pandas infer; docs/inference.md.

    python -m rwt_assets_tests.benchmarks.inference_table [--page] [FOLDER ...]

prints the rows of the table, of the shipped samples if no folder is named; with `--page` it writes
them into the page instead, those of the shipped samples and those of the folders.

What belongs here: making the table. What does not: why the three differ, which the page says.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import BadZipFile, ZipFile

import duckdb
import pandas as pd

from rwt_assets.authoring.inference import TABLE_SUFFIXES as SUFFIXES
from rwt_assets.authoring.inference import Inference, Sample, infer_feed
from rwt_assets.feed.declaration import flow
from rwt_assets.feed.feed import MemberRule
from rwt_assets.runtime.errors import RwtError

SAMPLES = Path(__file__).parents[2] / "rwt_assets" / "embedded" / "samples"


PAGE = Path(__file__).parents[2] / "docs" / "inference.md"
SHIPPED, OTHERS = "## The shipped samples", "## Other files"
HEAD = "| file | column | rwt feed infer | DuckDB | pandas |"


@dataclass(frozen=True, slots=True)
class Compared:
    """A member, and for each of its columns what the three say."""

    name: str
    columns: tuple[tuple[str, str, str, str], ...]
    note: str = ""

    def __str__(self) -> str:
        cells = self.columns or ((self.note, "", "", ""),)
        return "".join(f"| {' | '.join(map(_cell, [self.name, *one]))} |\n" for one in cells)


def compare(folder: Path) -> Iterator[Compared]:
    """Every CSV below a folder, and every one in an archive there, in the order of their names."""
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.suffix.lower() == ".zip":
            yield from _archive(file, name)
        elif file.suffix.lower() in (".csv", ".tsv"):
            with TemporaryDirectory() as made:
                archive = Path(made) / "sample.zip"
                with ZipFile(archive, "w") as body:
                    body.write(file, file.name)
                for one in _archive(archive, name):
                    yield replace(one, name=name)


def _archive(archive: Path, name: str) -> Iterator[Compared]:
    try:
        inferred = infer_feed(Sample(archive, "sample"))
    except RwtError as error:
        yield Compared(name, (), f"No declaration: {error.what}.")
        return
    taken = {one.name for one in inferred.sample.members}
    with TemporaryDirectory() as folder:
        file = Path(folder) / "member.csv"
        try:
            with ZipFile(archive) as body:
                for entry in body.infolist():
                    if entry.filename in taken and entry.filename.lower().endswith(SUFFIXES):
                        file.write_bytes(body.read(entry))
                        yield _member(f"{name}: {entry.filename}", entry.filename, inferred, file)
        except (BadZipFile, RuntimeError, NotImplementedError) as error:
            yield Compared(name, (), f"Python's zipfile: {error}.")


def _member(title: str, member: str, inferred: Inference, file: Path) -> Compared:
    rule = inferred.feed.rule_for(member)
    (found,) = [one for one in inferred.sample.members if one.name == member]
    if rule is None or found.outcome != "taken":
        return Compared(title, (), f"Not taken: {found.reason}.")
    ours = [(one.name, _said(rule, one.name)) for one in found.columns]
    by_duckdb, by_pandas = _by_duckdb(file), _by_pandas(file)
    rows = []
    for place in range(max(len(ours), len(by_duckdb), len(by_pandas))):
        cells = [
            one[place] if place < len(one) else ("", "") for one in (ours, by_duckdb, by_pandas)
        ]
        name = cells[0][0] or cells[1][0] or cells[2][0]
        rows.append((name, *(kind for _, kind in cells)))
    return Compared(title, tuple(rows))


def _said(rule: MemberRule, column: str) -> str:
    """The declaration of a column as `rwt feed infer` writes it."""
    if column not in rule.columns:
        return "string"
    told = rule.columns[column].model_dump(mode="json", exclude_defaults=True)
    kind = str(told.pop("type", "string"))
    told.pop("nullable", None)
    return f"{kind} `{flow(told)}`" if told else kind


def _by_duckdb(file: Path) -> list[tuple[str, str]]:
    with duckdb.connect() as connection:
        try:
            found = connection.sql(f"from read_csv('{file}', sample_size=-1)")
            return [(one, str(kind)) for one, kind in zip(found.columns, found.types, strict=True)]
        except duckdb.Error as error:
            return [("", f"error: {type(error).__name__}")]


def _by_pandas(file: Path) -> list[tuple[str, str]]:
    try:
        found = pd.read_csv(file, low_memory=False)
    except (ValueError, pd.errors.ParserError) as error:
        return [("", f"error: {type(error).__name__}")]
    return [(str(name), str(kind)) for name, kind in found.dtypes.items()]


def written(text: str, heading: str, rows: str) -> str:
    """The page with other rows in the table below a heading.

    Raises:
        ValueError: there is no such heading, or no table below it.
    """
    above, below = text.index(f"{heading}\n"), f"{HEAD}\n|---|---|---|---|---|\n"
    begin = text.index(below, above) + len(below)
    end = begin
    while text.startswith("|", end):
        end = text.index("\n", end) + 1
    return text[:begin] + rows + text[end:]


def main() -> None:
    """Print the rows of the folders that are named, or write them into the page."""
    folders = [*map(Path, sys.argv[1:])]
    if folders[:1] != [Path("--page")]:
        for folder in folders or [SAMPLES]:
            for one in compare(folder):
                print(one, end="")
        return
    text = written(PAGE.read_text(encoding="utf-8"), SHIPPED, "".join(map(str, compare(SAMPLES))))
    if folders[1:]:
        rows = "".join(str(one) for folder in folders[1:] for one in compare(folder))
        text = written(text, OTHERS, rows)
    PAGE.write_text(text, encoding="utf-8")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    main()
