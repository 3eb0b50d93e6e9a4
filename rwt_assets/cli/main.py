"""The command `rwt`.

    rwt demo      start everything on this machine, send a sample archive through, show it
    rwt up        start everything on this machine
    rwt feed infer, preview
                  a first declaration from an archive; what a feed would make of one
    rwt submit    upload archives
    rwt status    what is done, waits, failed or was forgotten
    rwt trace     the way of one archive, from its message to its objects
    rwt deliveries
                  what was delivered of one archive, now and before
    rwt verify    whether what was delivered lies as it was delivered
    rwt query     SQL over what was delivered
    rwt metrics   figures for Prometheus, and whether all is well
    rwt retry     have what failed tried again
    rwt quarantine list, replay
                  what was quarantined and why, and processed again
    rwt replay    have archives processed again
    rwt rollback  make a former delivery current again
    rwt collect   remove what no delivery needs any more
    rwt sweep     find archives that no message announced
    rwt dead-letters list, redrive
                  messages that were delivered too often
    rwt aws setup make buckets, queues and notifications where they are missing
    rwt doctor    try every connection, and say what to fix

What belongs here: what a person types and sees. What does not: work that a sensor or an asset
does too. All but `demo`, `up` and `feed` work on a deployment where DAGSTER_HOME is set, in the
environment or in `.env` (see `.env.example`), and on the stack of this machine otherwise.
"""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Annotated, Literal, NoReturn

import dagster as dg
import typer
from rich.table import Table

from rwt_assets.archive import nothing_reads
from rwt_assets.catalog import (
    ArchiveProgress,
    FeedCatalog,
    StageName,
    archive_progress,
    left_out_since,
    retry_failed,
)
from rwt_assets.catalog import sweep as sweep_bucket
from rwt_assets.cli.aws import aws_app, doctor
from rwt_assets.cli.collect import collect_command
from rwt_assets.cli.corrections import export_command, import_command
from rwt_assets.cli.dead_letters import dead_letters_app
from rwt_assets.cli.deliveries import deliveries_command, rollback_command
from rwt_assets.cli.feed import feed_app
from rwt_assets.cli.metrics import metrics_command
from rwt_assets.cli.quarantine import quarantine_app
from rwt_assets.cli.query import query_command
from rwt_assets.cli.replay import replay_command
from rwt_assets.cli.retire import retire_command
from rwt_assets.cli.status import status_command
from rwt_assets.cli.trace import trace_command
from rwt_assets.cli.verify import verify_command
from rwt_assets.definitions import declared_feeds
from rwt_assets.delivery import Result, delivered_instead, read_delivery, read_result, what_overtook
from rwt_assets.documents import archive_partition_key
from rwt_assets.embedded import stack as embedded
from rwt_assets.feed import Feed
from rwt_assets.graph import refuse_unloadable
from rwt_assets.quarantine import count_set_aside
from rwt_assets.resources import connect_objects
from rwt_assets.runtime import need, wants_json
from rwt_assets.storage import ObjectStore
from rwt_assets.terminal import (
    DEFAULT_STATE,
    FeedName,
    State,
    ToldGroup,
    check_loads,
    choose,
    choose_all,
    choose_for_file,
    console,
    enter,
    errors,
    errors_told,
    progress_bars,
    refuse_env_file_of_others,
    refuse_password,
    stop_with,
    tell,
)
from rwt_assets.text import command, visible

app = typer.Typer(
    cls=ToldGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help=(
        "ZIP archives from S3 to enriched Parquet, as Dagster assets.\n\n"
        "Start with `rwt demo`: it starts everything on this machine and sends an archive through. "
        "Commands work on the deployment of DAGSTER_HOME if that is set, in the environment or in "
        "`.env`, and on the stack of this machine otherwise. Each says more with `--help`."
    ),
    epilog=(
        "Exit status: 0 if all went well, 1 if something failed or was found wanting, 2 if the "
        "command line is wrong, 3 to 5 as `rwt submit --help` says. Data "
        "go to standard output, complaints to standard error; colours and progress bars appear on "
        "a terminal only. `--json` is there for scripts."
    ),
)
BEGIN, LOOK, MEND = "Begin", "Look", "Fix"
DECLARE, DEPLOY = "Declare a feed", "Deploy"

SAMPLES = Path(__file__).parents[1] / "embedded" / "samples"
SAMPLE_OF = {
    "gtfs": SAMPLES / "cairns_gtfs.zip",
    "sec_filings": SAMPLES / "sample_2024q3.zip",
    "web_shop": SAMPLES / "web_shop_2025-12-31.zip",
}
LOOK_SECONDS = 0.5
SHOWN = 20
QUARANTINED, OVERTAKEN, STILL_WAITS = 3, 4, 5  # exit statuses of `submit --wait`
WORST = (0, QUARANTINED, OVERTAKEN, STILL_WAITS, 1)  # of several, the last
Archives = Annotated[
    list[Path], typer.Argument(metavar="FILE.zip...", exists=True, dir_okay=False, readable=True)
]


@app.command(rich_help_panel=BEGIN)
def demo(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="The archive to send; else the sample of the feed.", exists=True, dir_okay=False
        ),
    ] = None,
    state: State = DEFAULT_STATE,
    feed_name: FeedName = "",
    exit_after: Annotated[
        bool,
        typer.Option(
            "--exit", envvar="CI", help="End after the delivery; status 0 only if it reconciles."
        ),
    ] = False,
) -> None:
    """Start everything on this machine and send an archive through it.

    For example:

        rwt demo
        rwt demo --feed sec_filings
        rwt demo my_timetable.zip --exit

    With --exit, status 0 only if the delivery reconciles.
    """
    with errors_told(), _stopped_by_signals():
        need("local", "`rwt demo`", effect="Nothing was started.")
        refuse_env_file_of_others()  # Dagster reads it
        refuse_unloadable(effect="Nothing was started.")
        feeds = declared_feeds()
        file = file or _sample(feeds, feed_name)
        feed = choose_for_file(feeds, feed_name, file)
        with _stack(state, feeds) as stack:
            end = _follow(_upload(feed, file), stack.watch)
            result = None
            if end.stage == "delivered":
                result = read_result(connect_objects(feed), feed.target, _key(feed, file))
                _show_result(result, _arrived_at(feed, file))
            _show_addresses(stack, [feed])
            if exit_after:
                raise typer.Exit(0 if result is not None and result.reconciled else 1)
            _stay(stack)


@app.command(rich_help_panel=BEGIN)
def up(
    context: typer.Context,
    state: State = DEFAULT_STATE,
    endpoint: Annotated[
        str,
        typer.Option(
            envvar="RWT_ENDPOINT_URL",
            metavar="URL",
            help="S3 and SQS server that runs already; takes any credentials. None is started.",
        ),
    ] = "",
    storage: Annotated[
        str,
        typer.Option(
            envvar="RWT_STORAGE_URL",
            metavar="URL",
            help="PostgreSQL database for runs and events (postgresql://...); else SQLite. A URL "
            "with a password is taken from the variable alone.",
        ),
    ] = "",
) -> None:
    """Start everything on this machine: S3, SQS, webserver, daemon.

    For example:

        rwt up
        rwt up --state /var/lib/rwt --storage postgresql://rwt@localhost/rwt

    Status 1, with the reason and nothing started, if the definitions of the project do not load.
    """
    with errors_told(), _stopped_by_signals():
        refuse_password(context, "storage", storage)
        refuse_password(context, "endpoint", endpoint)
        refuse_env_file_of_others()  # Dagster reads it
        need("local", "`rwt up`", effect="Nothing was started.")
        refuse_unloadable(effect="Nothing was started.")
        feeds = declared_feeds()
        with _stack(state, feeds, endpoint, storage) as stack:
            _show_addresses(stack, feeds)
            _stay(stack)


@app.command(rich_help_panel=BEGIN)
def submit(
    files: Archives,
    state: State = DEFAULT_STATE,
    feed_name: FeedName = "",
    wait: Annotated[
        bool,
        typer.Option(
            "--wait",
            help="Wait for each delivery; status 3 if all are delivered and something is "
            "quarantined, 1 if one fails, 4 if something else took the place of one.",
        ),
    ] = False,
    at_most: Annotated[
        float | None,
        typer.Option(
            "--at-most", metavar="SECONDS", min=0, help="With --wait: end after so long, status 5."
        ),
    ] = None,
) -> None:
    """Upload archives under the prefix of their feed, each by its file name.

    Without --feed it is the feed that names the most members of the archive.

    Exit status with --wait: 0 if everything is delivered and nothing is quarantined, 3 if all
    archives are delivered and rows or members are quarantined, 1 if an archive fails, 4 if a newer
    upload of its name or a rollback took the place of one, 5 if one is not delivered after
    --at-most. With nothing uploaded: status 1 if no feed reads a file of such a name or the
    definitions of the project do not load, 2 if two files would have the same key.

    For example:

        rwt submit monday.zip tuesday.zip
        rwt submit --wait monday.zip

    """
    with errors_told():
        here = enter(state)
        if here and not embedded.runs(state):
            stop_with("No stack runs here; start one with `rwt up`.", state)
        check_loads(state, here=here, effect="Nothing was uploaded.")
        feeds = declared_feeds()
        sent = [(choose_for_file(feeds, feed_name, file), file) for file in files]
        _refuse_equal_keys(sent)
        for feed, file in sent:
            if not feed.reads(feed.source.bucket, _key(feed, file)):
                raise nothing_reads(_address(feed, file), feeds)
        uploads: list[_Upload] = []
        for feed, file in sent:
            uploads.append(_upload(feed, file, follow=wait))
            console.print(f"{_address(feed, file)}  uploaded", markup=False)
        if wait:
            until = None if at_most is None else monotonic() + at_most
            ends = [_follow(one, lambda: sleep(LOOK_SECONDS), until) for one in uploads]
            raise typer.Exit(max((end.status for end in ends), key=WORST.index))


def _refuse_equal_keys(sent: Sequence[tuple[Feed, Path]]) -> None:
    """End with status 2 if one file would replace another: files are uploaded by their names."""
    first: dict[str, Path] = {}
    for feed, file in sent:
        address = _address(feed, file)
        if address in first:
            raise typer.BadParameter(
                visible(f"{first[address]} and {file} would both be {address}. ")
                + "Nothing was uploaded. "
                "Rename one of them, or submit one when the other is delivered."
            )
        first[address] = file


@app.command(rich_help_panel=MEND)
def sweep(
    state: State = DEFAULT_STATE,
    feed_name: FeedName = "",
    since: Annotated[
        datetime | None,
        typer.Option("--since", help="Only what was last modified since then (UTC)."),
    ] = None,
    start_after: Annotated[
        str, typer.Option("--start-after", help="Go on after this object key.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be recorded; record nothing.")
    ] = False,
) -> None:
    """Compare each bucket with the catalog and record what no message announced.

    For example:

        rwt sweep --dry-run
        rwt sweep --feed gtfs --since 2026-01-31

    """
    with errors_told():
        enter(state)
        done = "would be recorded" if dry_run else "recorded"
        with dg.DagsterInstance.get() as instance:
            for feed in choose_all(declared_feeds(), feed_name):
                report = sweep_bucket(
                    FeedCatalog(instance, feed),
                    connect_objects(feed),
                    start_after=start_after,
                    since=since.replace(tzinfo=UTC) if since is not None else None,
                    dry_run=dry_run,
                )
                for key in report.recorded:
                    console.print(f"{feed.name}: s3://{feed.source.bucket}/{key} {done}")
                console.print(
                    f"{feed.name}: {len(report.recorded)} archives {done}, "
                    f"{report.unchanged} were on record or older"
                )


@app.command(rich_help_panel=MEND)
def retry(
    keys: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY]...", help="Object keys of failed archives; without: all."),
    ] = None,
    state: State = DEFAULT_STATE,
    feed_name: FeedName = "",
) -> None:
    """Have what failed for good tried again, as if it had never been tried.

    For example:

        rwt retry
        rwt retry gtfs/monday.zip

    Status 1 if one of the archives named has not failed.
    """
    with errors_told():
        enter(state)
        wanted = None if keys is None else {archive_partition_key(key) for key in keys}
        retried: list[str] = []
        with dg.DagsterInstance.get() as instance:
            for feed in choose_all(declared_feeds(), feed_name):
                retried += retry_failed(FeedCatalog(instance, feed), wanted)
        for partition_key in retried:
            console.print(f"{partition_key}: is tried again", markup=False)
        missing = sorted((wanted or set()) - set(retried))
        for partition_key in missing:
            errors.print(f"{partition_key}: no archive that failed", style="red", markup=False)
        if not retried and not missing:
            console.print("Nothing has failed.")
        raise typer.Exit(1 if missing else 0)


@dataclass(frozen=True, slots=True)
class _Upload:
    """An archive that was uploaded.

    `failed` is the arrival of the same name that had failed or was left out before, 0 if none.
    """

    feed: Feed
    file: Path
    key: str
    revision: str
    failed: int = 0


@dataclass(frozen=True, slots=True)
class _End:
    """Where an archive ended. `quarantined` says what is quarantined of it, "" if nothing."""

    stage: StageName | Literal["overtaken", "waiting"]
    quarantined: str = ""

    @property
    def status(self) -> int:
        """The exit status that says it."""
        if self.stage == "delivered":
            return QUARANTINED if self.quarantined else 0
        return {"overtaken": OVERTAKEN, "waiting": STILL_WAITS}.get(self.stage, 1)


def _upload(feed: Feed, file: Path, *, follow: bool = True) -> _Upload:
    """Upload an archive; `follow` says whether its way is followed."""
    store, key, failed = connect_objects(feed), _key(feed, file), 0
    if follow:
        with dg.DagsterInstance.get() as instance:
            failed = _arrival_left_out(FeedCatalog(instance, feed), key)
    with file.open("rb") as body:
        store.put(feed.source.bucket, key, body)
    return _Upload(feed, file, key, store.head(feed.source.bucket, key).etag, failed)


def _arrival_left_out(catalog: FeedCatalog, key: str) -> int:
    """The storage id of the archive's newest arrival if it failed or is left out; else 0."""
    partition = archive_partition_key(key)
    if left_out_since(catalog, partition) is None:
        return 0
    return catalog.arrivals_of([partition])[partition].storage_id


def _follow(upload: _Upload, meanwhile: Callable[[], None], until: float | None = None) -> _End:
    """Show how an archive goes through, until it is delivered or has failed.

    It ends as well if something else took its place, or when the monotonic clock is `until`.
    """
    feed, name = upload.feed, upload.file.name
    began = monotonic()
    quarantined = told = overtaken = ""
    store = connect_objects(feed)
    with (
        dg.DagsterInstance.get() as instance,
        progress_bars(console, "{task.fields[told]}") as bars,
    ):
        catalog = FeedCatalog(instance, feed)
        bar = bars.add_task(name, total=None, told="uploaded")
        while True:
            progress, overtaken = _look_at(upload, catalog, store)
            if overtaken:
                break
            line = _tell(progress)
            if line != told:
                completed, total = _steps(progress)
                bars.update(bar, told=line, total=total, completed=completed)
                told = line
                if progress.stage == "delivered":
                    quarantined = _tell_quarantined(feed, upload.key)
                    line = f"{line}; {quarantined}" if quarantined else line
                if not console.is_terminal:
                    seconds = f"{monotonic() - began:5.1f} s  "
                    console.print(f"{seconds}{name}: {line}", markup=False, soft_wrap=True)
            over = until is not None and monotonic() >= until
            if progress.stage in ("delivered", "failed") or over:
                break
            meanwhile()
    if quarantined and console.is_terminal:
        console.print(f"{name}: {line}", markup=False, soft_wrap=True)
    if not overtaken and progress.stage == "delivered":
        return _End("delivered", quarantined)
    return _end_of(upload, progress, overtaken)


def _steps(progress: ArchiveProgress) -> tuple[int, int | None]:
    """How many steps are done, of how many: the shards, and the delivery, which ends it."""
    found = progress.shards_found
    done = progress.shards_done + (progress.stage == "delivered")
    return done, found + 1 if found else None


def _look_at(
    upload: _Upload, catalog: FeedCatalog, store: ObjectStore
) -> tuple[ArchiveProgress, str]:
    """How far an upload has come, and what took its place."""
    progress = archive_progress(catalog, archive_partition_key(upload.key))
    left = upload.failed and _arrival_left_out(catalog, upload.key) == upload.failed
    place = store, upload.feed, upload.key, upload.revision
    if progress.revision != upload.revision or left:
        return ArchiveProgress("unknown"), what_overtook(*place)
    return progress, delivered_instead(*place) if progress.stage == "delivered" else ""


def _end_of(upload: _Upload, progress: ArchiveProgress, overtaken: str) -> _End:
    """Tell why an upload that was waited for is not what is delivered."""
    name, see = upload.file.name, command("rwt trace", upload.key)
    stage: StageName | Literal["overtaken", "waiting"] = "waiting"
    if overtaken:
        stage, told = "overtaken", f"is not what is delivered: {overtaken}. See `{see}`."
    elif progress.stage == "failed":
        stage, told = "failed", f"was not delivered: {progress.reason}"
    else:
        told = f"is not delivered yet: {_tell(progress)}. It goes on; see `{see}`."
    errors.print(f"{name} {told}", style="red", markup=False, soft_wrap=True)
    return _End(stage)


def _tell_quarantined(feed: Feed, key: str) -> str:
    """How many rows and members of a delivered archive are quarantined, and how to see them."""
    store = connect_objects(feed)
    delivery = read_delivery(store, feed.target, key)
    found = count_set_aside(delivery, delivery.objects)
    counts = [(found.rows, "row"), (found.members, "member")]
    parts = [f"{count:,} {what}{'s' * (count != 1)}" for count, what in counts if count]
    if not parts:
        return ""
    return f"{' and '.join(parts)} quarantined: {command('rwt quarantine list --archive', key)}"


def _tell(progress: ArchiveProgress) -> str:
    shards = f"{progress.shards_done} of {progress.shards_found} shards"
    return {
        "unknown": "uploaded, not yet noticed",
        "arrived": "noticed, waits to be split",
        "splitting": "being split",
        "enriching": f"being enriched, {shards}",
        "delivering": f"being reconciled, {shards}",
        "delivered": f"delivered, {shards}",
        "failed": "failed",
    }[progress.stage]


def _arrived_at(feed: Feed, file: Path) -> datetime | None:
    with dg.DagsterInstance.get() as instance:
        revision = FeedCatalog(instance, feed).latest_revision(_key(feed, file))
    return revision.event_time if revision is not None else None


def _show_result(result: Result, arrived_at: datetime | None) -> None:
    delivery = result.delivery
    table = Table(title=f"s3://{delivery.bucket}/{delivery.key}")
    table.add_column("member", no_wrap=True)
    for name in ("shards", "rows in", "enriched", "quarantined", "bytes"):
        table.add_column(name, justify="right")
    for one in result.members:
        numbers = (one.shards, one.rows_read, one.rows_enriched, one.rows_quarantined, one.bytes)
        table.add_row(one.member, *(f"{number:,}" for number in numbers))
    totals = [
        sum(getattr(one, name) for one in result.members)
        for name in ("shards", "rows_read", "rows_enriched", "rows_quarantined", "bytes")
    ]
    table.add_section()
    table.add_row("all", *(f"{number:,}" for number in totals), style="bold")
    console.print(table)
    waited = (delivery.delivered_at - arrived_at).total_seconds() if arrived_at else None
    seconds = "" if waited is None else f" {waited:.1f} s from upload to delivery."
    verdict = "Reconciled" if result.reconciled else "DOES NOT RECONCILE"
    console.print(
        f"{verdict}: {totals[1]:,} rows in = {totals[2]:,} enriched + {totals[3]:,} quarantined, "
        f"counted in the Parquet objects.{seconds}"
    )


def _sample(feeds: Sequence[Feed], name: str) -> Path:
    """What `demo` sends if no archive is named."""
    if not name:
        return SAMPLE_OF["gtfs"]
    feed = choose(feeds, name)
    if feed.name not in SAMPLE_OF:
        stop_with(f"The feed {name} has no sample: `rwt demo FILE.zip --feed {name}`.", None)
    return SAMPLE_OF[feed.name]


def _show_addresses(stack: embedded.EmbeddedStack, feeds: Sequence[Feed]) -> None:
    if wants_json():
        tell(f"S3 and SQS are at {stack.endpoint_url}; logs are in {stack.state / 'logs'}")
        return
    console.print()
    table = Table.grid(padding=(0, 2))
    table.add_row("Dagster UI", f"{stack.ui_url}/asset-groups")
    table.add_row("S3 and SQS", stack.endpoint_url)
    for feed in feeds:
        table.add_row("archives go to", f"s3://{feed.source.bucket}/{feed.source.prefix}")
        table.add_row("results lie in", f"s3://{feed.target.bucket}/{feed.target.prefix}/")
    table.add_row("logs", str(stack.state / "logs"))
    console.print(table)


@contextmanager
def _stack(
    state: Path, feeds: Sequence[Feed], endpoint: str = "", storage: str = ""
) -> Iterator[embedded.EmbeddedStack]:
    tell(f"Starting {'' if endpoint else 'S3, SQS, '}webserver and daemon ...")
    stack = embedded.EmbeddedStack(state, tuple(feeds), tell, endpoint=endpoint, storage=storage)
    try:
        with stack:
            tell(f"Started; the UI is at {stack.ui_url}")
            try:
                yield stack
            finally:
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_IGN)
                tell(f"Stopping; everything is kept in {stack.state}")
    finally:
        tell("Stopped.")


def _stay(stack: embedded.EmbeddedStack) -> None:
    if not wants_json():
        console.print()
        console.print("Ctrl-C stops everything; the next start finds it all again.")
    while True:
        stack.watch()


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """End in order on Ctrl-C, on SIGTERM and when the terminal is closed."""

    def interrupt(_number: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _key(feed: Feed, file: Path) -> str:
    return f"{feed.source.prefix}{file.name}"


def _address(feed: Feed, file: Path) -> str:
    return f"s3://{feed.source.bucket}/{_key(feed, file)}"


app.command("status", rich_help_panel=LOOK)(status_command)
app.command("trace", rich_help_panel=LOOK)(trace_command)
app.command("deliveries", rich_help_panel=LOOK)(deliveries_command)
app.command("verify", rich_help_panel=LOOK)(verify_command)
app.command("query", rich_help_panel=LOOK)(query_command)
app.command("metrics", rich_help_panel=LOOK)(metrics_command)
quarantine_app.command("export")(export_command)
quarantine_app.command("import")(import_command)
app.add_typer(quarantine_app, name="quarantine", rich_help_panel=LOOK)
app.add_typer(dead_letters_app, name="dead-letters", rich_help_panel=MEND)
app.command("replay", rich_help_panel=MEND)(replay_command)
app.command("rollback", rich_help_panel=MEND)(rollback_command)
app.command("collect", rich_help_panel=MEND)(collect_command)
app.command("retire", rich_help_panel=MEND)(retire_command)
app.add_typer(feed_app, name="feed", rich_help_panel=DECLARE)
app.add_typer(aws_app, name="aws", rich_help_panel=DEPLOY)
app.command("doctor", rich_help_panel=DEPLOY)(doctor)
