"""How the commands of a page are read and what passes for the output that it shows."""

import pytest

from rwt_assets_tests.end_to_end.documented_commands import (
    CTRL_C,
    STAYS_UP,
    Step,
    is_shown,
    steps_of,
)

PAGE = """
<!-- run: stays up -->
```console
$ make up
Started.
```

```bash
echo a
echo b
```

```yaml
not: run
```

```console
$ one
$ two
first line

last line
```
<!-- run: Ctrl-C -->
"""


def test_commands_are_read_in_order_with_what_is_shown():
    assert list(steps_of(PAGE)) == [
        Step("make up", "Started.", STAYS_UP),
        Step("echo a\necho b\n"),
        Step("one"),
        Step("two", "first line\n\nlast line"),
        Step("", special=CTRL_C),
    ]


def test_a_special_that_nobody_knows_is_no_silent_pass():
    with pytest.raises(AssertionError, match="flies"):
        list(steps_of("<!-- run: flies -->\n"))


@pytest.mark.parametrize(
    "shown",
    [
        "a 1.5 s\nb\nc",
        "a ... s\nb\nc",
        "...\nc",
        "a ...\n...",
        "...",
        "...\na 1.5 s\n...\nb\nc\n...",
    ],
)
def test_dots_stand_for_text_of_a_line_and_for_lines(shown):
    assert is_shown("a 1.5 s  \nb\nc\n", shown)


@pytest.mark.parametrize("shown", ["a ... s", "a ...\nc", "b\nc", "...\nd", "... s\n...\nb", "a"])
def test_what_differs_is_told(shown):
    assert not is_shown("a 1.5 s\nb\nc\n", shown)


def test_ports_are_not_compared():
    assert is_shown("at http://127.0.0.1:39027/runs", "at http://127.0.0.1:3000/runs")
    assert not is_shown("at http://127.0.0.2:39027/runs", "at http://127.0.0.1:3000/runs")
