"""`rwt retire`: old archives out of the catalog.

What belongs here: the command. What does not: which archives are old and how they go
(`retirement.py`).
"""

import json
from typing import Annotated, Any

import dagster as dg
import typer

from rwt_assets.catalog import FeedCatalog
from rwt_assets.definitions import declared_feeds
from rwt_assets.resources import connect_objects
from rwt_assets.retention import find_old, parse_age, retire
from rwt_assets.terminal import (
    DEFAULT_STATE,
    FeedName,
    State,
    choose_all,
    console,
    enter,
    errors_told,
)


def retire_command(  # noqa: PLR0913, PLR0917 - one for each option
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="AGE", help="Such as 30d, 12h or 8w.")
    ],
    keep_data: Annotated[
        bool, typer.Option("--keep-data", help="Leave what was written; only the catalog forgets.")
    ] = False,
    state: State = DEFAULT_STATE,
    feed_name: FeedName = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say which archives would go; touch nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object at the end.")] = False,
) -> None:
    """Take archives out of the catalog that were delivered long ago, with their results.

    The partner's ZIP stays. Archives that wait or failed stay, too. It may be stopped at any
    time; the next time finishes what it left.

    For example:

        rwt retire --older-than 30d --dry-run
        rwt retire --older-than 12w --keep-data
    """
    with errors_told():
        enter(state)
        age = parse_age(older_than)
        told: dict[str, list[dict[str, Any]]] = {}
        with dg.DagsterInstance.get() as instance:
            for feed in choose_all(declared_feeds(), feed_name):
                catalog = FeedCatalog(instance, feed)
                old = find_old(catalog, age)
                own = told.setdefault(feed.name, [])
                if dry_run:
                    for facts in old:
                        own.append({"archive": facts.partition_key, "shards": len(facts.shards)})
                        if not as_json:
                            console.print(f"Would retire {facts.partition_key}", markup=False)
                    continue
                done = retire(catalog, connect_objects(feed), old, keep_data=keep_data)
                for number, one in enumerate(done, 1):
                    own.append(
                        {
                            "archive": one.partition_key,
                            "shards": one.shards,
                            "objects": one.objects,
                            "left": one.left,
                        }
                    )
                    if not as_json:
                        console.print(f"{number} of {len(old)}: {one}", markup=False)
        if as_json:
            console.print_json(json.dumps(told))
            return
        count = sum(map(len, told.values()))
        would = "would be retired" if dry_run else "done"
        console.print(f"{count} archives delivered more than {older_than} ago: {would}.")
