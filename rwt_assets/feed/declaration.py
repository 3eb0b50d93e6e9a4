"""A feed's declaration as the text of a `defs.yaml`, with comments.

What belongs here: safe quoting, names that a feed may have, the head that all declarations share,
the line of a setting.
What does not: what is in a declaration (`feed.py`) and how it is found (`inference.py`).
Dagster documentation: "Adding component definitions"; PyYAML documentation: "Scalars". Dagster's
templates (Jinja's `NativeTemplate`) would make a number of the text "2024" and a list of "[1]", so
the component has them filled only into texts that have one (`has_template`).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import yaml

from rwt_assets.text import is_visible

TYPE: Final = "rwt_assets.ZipFeed"
KEY_AT_MOST: Final = 120  # characters of a plain or quoted key; YAML allows 1024
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_TEMPLATE: Final = re.compile(r"\{[{%#]")
_NO_NAME: Final = re.compile("[^a-z0-9]+")


def feed_name(text: str) -> str:
    """A name that a feed may have, made from any text."""
    name = _NO_NAME.sub("_", text.lower()).strip("_")
    return name if name[:1].isalpha() else f"feed_{name}".rstrip("_")


def scalar(text: str) -> str:
    """A text as YAML, quoted where it has to be."""
    if _PLAIN.fullmatch(text) and yaml.safe_load(text) == text:
        return text
    shown = is_visible(text)  # else what nobody sees is written by its number, as the rest is
    dumped: str = yaml.safe_dump(text, default_style='"', allow_unicode=shown, width=1 << 30)
    return dumped.rstrip("\n")


def flow(values: Mapping[str, Any]) -> str:
    """Settings in one line."""
    return "{ " + ", ".join(f"{name}: {_value(value)}" for name, value in values.items()) + " }"


def has_template(text: str) -> bool:
    """Whether something is filled into a text of a declaration."""
    return _TEMPLATE.search(text) is not None


def stays_text(text: str) -> bool:
    """Whether a text may be a value of a declaration, and is then read as the same text."""
    return text != "" and not has_template(text)


def line_of(text: str, feed: str, setting: Sequence[str | int]) -> int:
    """The line of a setting in the text of a `defs.yaml`, which may declare several components.

    Args:
        text: of the file.
        feed: the feed's name.
        setting: names of settings and places in lists, from `attributes` on.

    Returns:
        The line, from 1, of the innermost setting on this way that is there; 0 if the feed is not.
    """
    documents = list(yaml.compose_all(text, yaml.SafeLoader))
    named = [one for one in documents if _way(one, ("attributes", "name"))[-1].value == feed]
    if not named:  # its name may be a template
        named = documents
    if len(named) != 1:
        return 0
    return _way(named[0], ("attributes", *setting))[-2].start_mark.line + 1


def _way(node: yaml.Node, setting: Sequence[str | int]) -> list[yaml.Node]:
    """The nodes on the way to a setting, as far as it is there: each name and its value."""
    way = [node, node]
    for name in setting:
        items = []
        if isinstance(node, yaml.MappingNode):
            items = [item for item in node.value if item[0].value == name]
        elif isinstance(node, yaml.SequenceNode) and isinstance(name, int):
            items = [(one, one) for one in node.value[name : name + 1]]
        if not items:
            break
        node = items[0][1]
        way += items[0]
    return way


def shown(text: str, limit: int = 60) -> str:
    """A text in a comment: one line, nothing that YAML would not take."""
    line = "".join(one if one.isprintable() else "?" for one in text)
    return line if len(line) <= limit else f"{line[: limit - 4]} ..."


def head(name: str, comment: str, password_variable: str = "") -> str:
    """The beginning of a declaration, up to the list of its members.

    Args:
        name: of the feed; prefixes and the queue are named after it.
        comment: what is told at the top, without the `#`.
        password_variable: name of the variable that has the password of encrypted members.
    """
    secret = f"\n    password_variable: {scalar(password_variable)}" if password_variable else ""
    told = "\n".join(f"# {line}".rstrip() for line in comment.splitlines())
    return f"""{told}
type: {TYPE}

attributes:
  name: {scalar(name)}
  # Archives are read from here. Each feed needs a prefix of its own, or a bucket.
  source:
    bucket: "{{{{ env('RWT_SOURCE_BUCKET', 'rwt-incoming') }}}}"
    prefix: {name}/
    queue: rwt-{name.replace("_", "-")}{secret}
  # Everything below this prefix belongs to the feed.
  target:
    bucket: "{{{{ env('RWT_TARGET_BUCKET', 'rwt-results') }}}}"
    prefix: rwt/{name}
  # The first rule that takes a member's name applies to it; other members are ignored.
  members:
"""


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return scalar(value) if isinstance(value, str) else str(value)
