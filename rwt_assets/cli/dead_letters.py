"""`rwt dead-letters`: what was delivered too often, and back into the queue with it."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Annotated

import typer

from rwt_assets.definitions import declared_feeds
from rwt_assets.feed import Feed
from rwt_assets.operations import DeadLetter, list_dead_letters, redrive
from rwt_assets.resources import connect_queue
from rwt_assets.terminal import (
    DEFAULT_STATE,
    FeedName,
    State,
    choose_all,
    console,
    enter,
    errors_told,
)

dead_letters_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Messages that were delivered too often to be tried again.",
)
TO_TAKE = "it would be taken now: `rwt dead-letters redrive`"


@dead_letters_app.command("list")
def show(
    state: State = DEFAULT_STATE,
    feed_name: FeedName = "",
    at_most: Annotated[int, typer.Option("--at-most", help="How many to look at.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show what is in the dead-letter queues and why. It stays there.

    For example:

        rwt dead-letters list
        rwt dead-letters list --json
    """
    with errors_told():
        enter(state)
        found = {
            feeds[0].source.dead_letter_queue: list_dead_letters(
                connect_queue(), feeds, at_most=at_most
            )
            for feeds in _by_queue(feed_name)
        }
        if as_json:
            letters = {name: [asdict(one) for one in own] for name, own in found.items()}
            console.print_json(json.dumps(letters, default=str))
            return
        for name, own in found.items():
            console.print(f"{name}: {len(own)} messages", markup=False)
            for letter in own:
                _show(letter)


@dead_letters_app.command("redrive")
def put_back(
    message_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[MESSAGE_ID]...", help="Which; without: all.")
    ] = None,
    state: State = DEFAULT_STATE,
    feed_name: FeedName = "",
) -> None:
    """Put dead letters back into their queue, all or chosen ones.

    For example:

        rwt dead-letters redrive
        rwt dead-letters redrive 0d2c6f5e-5d53-4f0b-8d0e-0c1f5b5a7f11
    """
    with errors_told():
        enter(state)
        for feeds in _by_queue(feed_name):
            source = feeds[0].source
            moved = redrive(
                connect_queue(),
                feeds,
                message_ids=message_ids or (),
                told=lambda message_id: console.print(f"{message_id} put back", markup=False),
            )
            if moved is None:
                console.print(f"SQS moves {source.dead_letter_queue} back to {source.queue}.")
            else:
                console.print(f"{source.queue}: {moved} messages put back")


def _by_queue(feed_name: str) -> list[Sequence[Feed]]:
    """Feeds that share a queue, together; those of the named feed's queue, if one is named."""
    feeds = sorted(declared_feeds(), key=lambda feed: (feed.source.queue, feed.name))
    queues = {feed.source.queue for feed in choose_all(feeds, feed_name)}
    groups = groupby(feeds, key=lambda feed: feed.source.queue)
    return [tuple(group) for queue, group in groups if queue in queues]


def _show(letter: DeadLetter) -> None:
    sent = "" if letter.sent_at is None else f", sent {letter.sent_at:%Y-%m-%d %H:%M:%S} UTC"
    console.print(f"  {letter.message_id}{sent}, delivered {letter.receive_count} times")
    console.print(f"    {letter.reason or TO_TAKE}", markup=False)
    what = ", ".join(letter.objects) or letter.begins
    console.print(f"    {what}", markup=False)
