"""What `dg scaffold defs rwt_assets.ZipFeed NAME` writes.

What belongs here: the scaffolder, and the declaration it writes without a sample. What does not:
the component (`component.py`), the head of every declaration (`declaration.py`) and a declaration
made from a sample (`inference.py`). Dagster documentation: "Creating and registering a
component", "Customizing scaffolding behavior".
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import dagster as dg
from pydantic import BaseModel, Field

from rwt_assets.authoring import Sample, infer_feed
from rwt_assets.feed import TYPE, feed_name, head
from rwt_assets.runtime import FeedError, RwtError

COMMENT = """\
What this feed takes and what becomes of it. It works as it stands: every CSV of an archive is
kept whole, as text. Every attribute is explained in rwt_assets/feed/feed.py; `rwt feed preview`
shows what the feed makes of an archive, `rwt feed infer` writes a first declaration from one."""
MEMBERS = """\
    # One rule for each kind of member, tried from the top. Patterns match the whole name.
    - include: ["*.csv", "*.txt"]
      # One shard for each value of this column; without it the member is one shard.
      # split_by: day
      # The column whose CRC-32 is added; without it the member's first.
      # key_column: id
      # Rows that break these are quarantined, with the reason. Other columns are kept as text.
      # columns:
      #   id: { nullable: false }
      #   day: { type: date, nullable: false }
      #   price: { type: number, minimum: 0 }
  # What may be quarantined before the delivery fails; without it, anything.
  # tolerance: { ratio: 0.01 }
"""


class ZipFeedParams(BaseModel):
    """What may be said when a feed is scaffolded."""

    sample: str = Field(default="", description="An archive from which a declaration is made.")


class ZipFeedScaffolder(dg.Scaffolder[ZipFeedParams]):
    """Writes the `defs.yaml` of a feed that is named after its folder."""

    @classmethod
    def get_scaffold_params(cls) -> type[ZipFeedParams]:
        """What `dg` makes options of."""
        return ZipFeedParams

    def scaffold(self, request: dg.ScaffoldRequest[ZipFeedParams]) -> None:
        """Write the declaration.

        Raises:
            FeedError: it was asked for as Python, or there is no such sample.
            ArchiveError: the sample is no archive, or has no table.
            ClickException: the same on a command line, which shows its message alone.
        """
        path = request.target_path
        with _told(), _nothing_left_of(path):
            if request.scaffold_format != "yaml":
                raise FeedError(
                    "a feed is declared in YAML",
                    where=str(path),
                    effect="Nothing was written.",
                    fix="Leave out --format python.",
                )
            name = feed_name(path.parent.name if request.append else path.name)
            text = _declared(name, request.params.sample)
        text = text.replace(f"\ntype: {TYPE}\n", f"\ntype: {request.type_name}\n", 1)
        if request.append:
            with path.open("a", encoding="utf-8") as file:
                file.write(f"---\n{text}")
        else:
            (path / "defs.yaml").write_text(text, encoding="utf-8")


def scaffolded(name: str) -> str:
    """A declaration that works as it stands, to be filled in."""
    return head(name, COMMENT) + MEMBERS


def _declared(name: str, sample: str) -> str:
    if not sample:
        return scaffolded(name)
    try:
        return infer_feed(Sample(Path(sample), name)).text
    except OSError as error:
        raise FeedError(
            f"the sample cannot be read: {error}",
            where=sample,
            effect="Nothing was written.",
            fix="Give the path of an archive to --sample.",
        ) from error


@contextmanager
def _told() -> Iterator[None]:
    """Under `dg`, an error without a traceback: Click shows the message and ends with status 1."""
    try:
        yield
    except RwtError as error:
        if click.get_current_context(silent=True) is None:
            raise
        raise click.ClickException(str(error)) from error


@contextmanager
def _nothing_left_of(folder: Path) -> Iterator[None]:
    """Dagster makes the folder first; one that stays empty would be in the way next time."""
    try:
        yield
    except RwtError:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        raise
