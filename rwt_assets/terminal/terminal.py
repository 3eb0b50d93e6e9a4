"""The two streams that commands write to: nothing foreign acts there.

What belongs here: a console on which texts are texts, and the columns of progress bars. What does
not: what is written (the modules beside this one). Rich documentation: "Console API", "Progress
Display", "Console Markup". `test_ways_out.py` holds that commands write in no other way.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from json import dumps, loads
from textwrap import indent
from typing import Any, Final, TextIO

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.highlighter import JSONHighlighter
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TimeElapsedColumn,
)
from rich.segment import Segment
from rich.text import Text

from rwt_assets.text import is_visible, visible, visible_lines

CELL_AT_MOST: Final = 500
COLUMN_AT_LEAST: Final = 8  # characters, of what is longer
COMMAND: Final = "rwt "


class Screen(Console):
    """A console that shows every text as it is: markup is off and controls are written out.

    A text is one line, whatever is in it, and so is a cell of a table.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    def print(self, *objects: Any, soft_wrap: bool | None = None, **settings: Any) -> None:
        """Write texts or anything else of rich; a line with a command to copy is not broken."""
        if soft_wrap is None:
            soft_wrap = any(isinstance(one, str) and COMMAND in one for one in objects)
        super().print(*objects, soft_wrap=soft_wrap, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        """A text as rich shows it; rich asks for every text here, of cells and titles too."""
        settings |= {"markup": False, "emoji": False, "highlight": False}
        return super().render_str(visible(text), **settings)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """What is written of anything that rich can show, such as a `Text`: the last sieve."""
        for one in super().render(renderable, options):
            fit = one.control or is_visible(one.text)
            yield one if fit else Segment(visible_lines(one.text), one.style)

    def print_lines(self, text: str, *, style: str = "") -> None:
        """Write a text of ours that has several lines; those after the first are indented.

        What others wrote may be quoted in it, and no line of theirs stands where ours begin.
        """
        first, *others = visible_lines(text).split("\n")
        for line in (first, *(f"    {one}" for one in others)):
            self.print(line, style=style)

    def print_json(self, json: str | None = None, **_settings: Any) -> None:
        r"""Write a JSON document; what cannot be seen is in it as `\u` and four digits."""
        self._print_json(dumps(loads(json or "null"), indent=2, ensure_ascii=False))

    def print_json_items(self, items: Iterable[Any]) -> None:
        """Write an array in JSON as its items come: the whole of it is never in memory."""
        before = "[\n"
        for item in items:
            body = dumps(item, indent=2, ensure_ascii=False)
            self._print_json(before + indent(body, "  "), end="")
            before = ",\n"
        self._print_json("[]" if before == "[\n" else "\n]")

    def _print_json(self, text: str, end: str = "\n") -> None:
        if not is_visible(text):
            text = "".join(one if is_visible(one) else dumps(one)[1:-1] for one in text)
        self.print(JSONHighlighter()(Text(text)), soft_wrap=True, end=end)

    def columns_that_fit(self, columns: Iterable[Sequence[str]]) -> int:
        """How many columns a table has room for if none is narrower than it has to be to be read.

        Args:
            columns: the texts of each.
        """
        left, fit = self.width - 1, 0
        for texts in columns:
            left -= 3 + min(COLUMN_AT_LEAST, max(map(cell_len, texts), default=0))
            fit += left >= 0
        return max(fit, 1)

    @contextmanager
    def data(self) -> Iterator[TextIO]:
        """A file for data: a program gets them as they are, a terminal what can be shown."""
        if sys.stdout.isatty():
            body = StringIO(newline="")
            yield body
            sys.stdout.write(visible_lines(body.getvalue()))
        else:
            sys.stdout.reconfigure(encoding="utf-8", newline="")  # type: ignore[union-attr]
            yield sys.stdout
        sys.stdout.flush()

    def write(self, text: str) -> None:
        """Write data in the same way."""
        with self.data() as file:
            file.write(text)


class Words(ProgressColumn):
    """A column of a progress bar with a text in it.

    Args:
        template: filled from the task, as in `{task.completed} of {task.total} archives`.
    """

    def __init__(self, template: str = "{task.description}") -> None:
        self._template = template
        super().__init__()

    def render(self, task: Task) -> Text:
        """The text for a task."""
        return Text(visible(self._template.format(task=task), CELL_AT_MOST), justify="left")


def progress_bars(
    screen: Screen, *columns: str | ProgressColumn, shown: bool = True, transient: bool = False
) -> Progress:
    """Bars on a screen, each with the name of its task before and these columns after it."""
    after = [Words(one) if isinstance(one, str) else one for one in columns]
    own = (SpinnerColumn(), Words(), BarColumn(), *after, TimeElapsedColumn())
    return Progress(*own, console=screen, disable=not shown, transient=transient)
