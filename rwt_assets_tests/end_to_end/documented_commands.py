"""The commands of a page, run in order as a reader runs them, and held to what the page shows.

What belongs here: how a page is read, run and compared. What does not: any page's own text.

A block marked `console` has commands after `$ ` and below each what it prints; a command with
nothing below it is not compared. A block marked `bash` is one script. `...` stands for any text
within a line and, as a line of its own, for any lines; ports, which differ where one is taken,
are not compared. An HTML comment before a block says what is special about it:

    <!-- run: stays up -->   goes on in a first terminal, once it has printed what is shown
    <!-- run: fails -->      ends with another status than 0
    <!-- run: Ctrl-C -->     needs no block: ends what stays up
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rwt_assets.embedded.processes import leftovers

PROJECT = Path(__file__).parents[2]
SECONDS = 300
BLOCK = re.compile(
    r"<!-- run: (?P<special>.+?) -->\n|^```(?P<kind>console|bash)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
STAYS_UP, FAILS, CTRL_C = "stays up", "fails", "Ctrl-C"
PORT = re.compile(r"(?<=127\.0\.0\.1:)\d+")


@dataclass(frozen=True, slots=True)
class Step:
    """A command of the page, and what it shows below; None is not compared."""

    command: str
    shown: str | None = None
    special: str = ""


def steps_of(page: str) -> Iterator[Step]:
    """The commands of a page in their order."""
    special = ""
    for block in BLOCK.finditer(page):
        if block["special"]:
            assert block["special"] in (STAYS_UP, FAILS, CTRL_C), block["special"]
            special = block["special"]
            if special != CTRL_C:
                continue
            yield Step("", special=CTRL_C)
        elif block["kind"] == "bash":
            yield Step(block["text"], special=special)
        else:
            for part in re.split(r"^\$ ", block["text"], flags=re.MULTILINE)[1:]:
                command, _, shown = part.partition("\n")
                yield Step(command, shown.rstrip("\n") or None, special)
        special = ""


def expression_of(shown: str) -> re.Pattern[str]:
    """What an output has to match to be the one that is shown."""
    lines = []
    for line in PORT.sub("...", shown).splitlines():
        if line.strip() == "...":
            lines.append(r"(?:.*\n)*?")
        else:
            parts = [re.escape(part) for part in line.rstrip().split("...")]
            lines.append(".*?".join(parts) + r"[ ]*\n")
    return re.compile("".join(lines))


def is_shown(printed: str, shown: str) -> bool:
    """Whether a whole output is the one that is shown."""
    return expression_of(shown).fullmatch(f"{printed.rstrip()}\n") is not None


class Reader:
    """Somebody who types the commands of a page, in a copy of the working tree."""

    def __init__(self, folder: Path) -> None:
        self.tree = (folder / "rwt_assets").resolve()
        self._log = folder / "first_terminal.log"
        self._staying: subprocess.Popen[bytes] | None = None
        _copy_working_tree(self.tree)
        # Those of the machine would have `rwt` work elsewhere, or end at once.
        ours = ("CI", "DAGSTER_HOME", "MAKE", "MFLAGS", "RWT_")
        self._environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(ours)},
            "COLUMNS": "80",
            # The environment has the package from the tree itself, and this comes first.
            "PYTHONPATH": str(self.tree),
            "MYPY_CACHE_DIR": str(PROJECT / ".mypy_cache"),
        }

    def follow(self, steps: Sequence[Step]) -> None:
        """Type all commands; the first that does not do what the page shows is an error."""
        for step in steps:
            if step.special == CTRL_C:
                self.end()
            elif step.special == STAYS_UP:
                self._begin(step)
            else:
                self._run(step)

    def _run(self, step: Step) -> None:
        done = subprocess.run(
            _typed(step.command),
            cwd=self.tree,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        told = f"$ {step.command}\n{done.stdout}status {done.returncode}"
        assert (done.returncode != 0) == (step.special == FAILS), told
        if step.shown is not None:
            assert is_shown(done.stdout, step.shown), f"{told}\nThe page shows:\n{step.shown}"

    def _begin(self, step: Step) -> None:
        assert self._staying is None, "something stays up already"
        assert step.shown, "what stays up has to show when it is ready"
        with self._log.open("wb") as log:
            self._staying = subprocess.Popen(
                _typed(step.command),
                cwd=self.tree,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # as a terminal does, so that Ctrl-C reaches all of it
            )
        deadline = time.monotonic() + SECONDS
        while not is_shown(printed := self._log.read_text(errors="replace"), step.shown):
            told = f"$ {step.command}\n{printed}\nThe page shows:\n{step.shown}"
            assert self._staying.poll() is None, f"it ended: {told}"
            assert time.monotonic() < deadline, told
            time.sleep(0.2)

    def end(self) -> None:
        """Ctrl-C to what stays up; nothing of it may be left."""
        if self._staying is None:
            return
        process, self._staying = self._staying, None
        os.killpg(process.pid, signal.SIGINT)
        process.wait(SECONDS)
        assert leftovers(self.tree / ".rwt") == []


def _typed(command: str) -> list[str]:
    return ["bash", "-euc", command]


def _copy_working_tree(target: Path) -> None:
    """What `git clone` would bring, as it stands here, and the environment of this tree."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    for name in filter(None, names):
        if (PROJECT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, target / name)
    # A clone is a repository, whose .gitignore linters keep to.
    subprocess.run(["git", "init", "--quiet", str(target)], check=True)  # noqa: S607
    (target / ".venv").symlink_to(PROJECT / ".venv")
    # `make` would bring the shared environment up to date, if that is older than these.
    for name in ("pyproject.toml", "uv.lock"):
        os.utime(target / name, (0, 0))
