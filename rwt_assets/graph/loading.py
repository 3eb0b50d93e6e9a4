"""Whether Dagster can load the project's definitions, and why not.

What belongs here: trying it in this process, asking a webserver that has tried, and the reason as
a sentence. What does not: the definitions (`definitions.py`) and who is told (`commands/`,
`stack.py`). Dagster documentation: "Code locations", "GraphQL API".

A code server starts and answers whatever its definitions are: without this, everything looks well
and nothing is ever taken in.
"""

import json
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rwt_assets.dagster_internals.loading import (
    loadable_targets_from_python_module,
    repository_def_from_target_def,
)
from rwt_assets.runtime import CodeLocationError, RwtError, current_project

ANSWER_SECONDS: Final = 10.0
REASON_LINES: Final = 6
LOCATIONS: Final = """
{ workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError {
  __typename ... on PythonError { message errorChain { isExplicitLink error { message } } } } } }
  ... on PythonError { message } } }
"""


def refuse_unloadable(*, effect: str = "Nothing was done.") -> None:
    """Load the definitions of the current project as a code server does.

    Args:
        effect: what became of what was asked for, if they do not load.

    Raises:
        CodeLocationError: they do not load, with the reason.
        FeedError: there is no project here.
    """
    module = current_project().definitions_module
    try:
        for target in loadable_targets_from_python_module(module, str(Path.cwd())):
            definitions = repository_def_from_target_def(target.target_definition)
            if definitions is not None:
                definitions.validate_loadable()
    except Exception as error:  # the project's own code may raise anything
        raise _unloadable(module, _reason_of(error), effect) from error


def refuse_unloaded(webserver: str, *, effect: str = "Nothing was done.") -> None:
    """Ask a webserver whether the code locations of its workspace are loaded.

    Args:
        webserver: its address.
        effect: what became of what was asked for, if one is not.

    Raises:
        CodeLocationError: one is not, with the reason.
        OSError, HTTPException, ValueError: the webserver does not answer, or not as one.
    """
    for name, reason in unloaded(webserver):
        raise _unloadable(name, reason, effect)


def unloaded(webserver: str) -> Iterator[tuple[str, str]]:
    """The code locations that a webserver could not load, each with the reason.

    Raises:
        OSError, HTTPException, ValueError: the webserver does not answer, or not as one.
    """
    request = urllib.request.Request(  # noqa: S310 - the address is a person's
        f"{webserver}/graphql",
        data=json.dumps({"query": LOCATIONS}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310
        document = json.load(answer)
    try:
        workspace = document["data"]["workspaceOrError"]
        if "locationEntries" not in workspace:
            yield "the workspace", _shortened(str(workspace.get("message", "")))
        for entry in workspace.get("locationEntries", ()):
            state = entry["locationOrLoadError"] or {"__typename": "", "message": "no answer yet"}
            if state["__typename"] != "RepositoryLocation":
                yield entry["name"], _told([state["message"], *_causes(state)])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("the answer is not that of a webserver of Dagster") from error


def _causes(state: Mapping[str, Any]) -> Iterator[str]:
    """The messages of the errors that an error was raised from, as GraphQL has them."""
    for one in state.get("errorChain") or ():
        if not one["isExplicitLink"]:
            return
        yield one["error"]["message"]


def _unloadable(what: str, reason: str, effect: str) -> CodeLocationError:
    return CodeLocationError(
        f"the definitions of the project do not load: {reason}",
        where=what,
        effect=f"{effect} While they do not load, no archive is taken in or processed.",
        fix="Fix what is named; `dg check defs` shows the whole error.",
    )


def _reason_of(error: BaseException) -> str:
    """Our own error of the chain if there is one, else the one that began it."""
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__) is not None and cause not in chain:
        chain.append(cause)
    own = next((one for one in chain if isinstance(one, RwtError)), None)
    if own is not None:
        return _shortened(str(own))
    return _told([f"{type(one).__name__}: {one}" for one in chain])


def _told(messages: Sequence[str]) -> str:
    """The innermost of several errors that says something."""
    own = [one for one in messages if "rwt_assets.runtime.errors." in one]
    said = own or [one for one in messages if one.strip()] or ["no reason was given"]
    return _shortened(said[-1])


def _shortened(text: str) -> str:
    lines = [line.rstrip() for line in text.strip().splitlines() if line.strip()]
    more = ["..."] if len(lines) > REASON_LINES else []
    return "\n".join([*lines[:REASON_LINES], *more]) or "no reason was given"
