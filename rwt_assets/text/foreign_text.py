"""Foreign text, made fit for where it goes: a screen or log, Markdown, a command, a spreadsheet.

Foreign is what others write: cells, names of members, object keys, messages of a queue, and texts
of exceptions that quote them. What belongs here: one function for each way out, and the type that
says a text is fit for Markdown. What does not: what is shown (`commands/`, `report.py`).
Rules: ECMA-48 (control functions); Unicode Standard Annex 9 (bidirectional controls); CommonMark
Spec 0.31, "Backslash escapes", "Code spans"; GitHub Flavored Markdown Spec, "Tables", "Autolinks";
GNU Bash Manual, "ANSI-C Quoting"; OWASP, "CSV Injection".
"""

import re
from shlex import quote
from typing import TYPE_CHECKING, Final
from urllib.parse import quote as quote_address

if TYPE_CHECKING:
    from collections.abc import Iterable

SHOWN_AT_MOST: Final = 8_000  # characters of one text
MARKDOWN_AT_MOST: Final = 2_000
CUT: Final = "…"

# Control characters, surrogates, separators of lines and paragraphs, format characters (directions,
# zero width, tags); then what is a letter or a mark and still cannot be seen.
_CONTROLS: Final = r"\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029"
_FORMATS: Final = (
    r"\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u202a-\u202e"
    r"\u2060-\u206f\ufeff\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
)
_UNSEEN: Final = (
    r"\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0\U000e0000-\U000e0fff"
)
_INVISIBLE: Final = re.compile(f"[{_CONTROLS}{_FORMATS}{_UNSEEN}]")
_INVISIBLE_IN_LINES: Final = re.compile(rf"(?!\n){_INVISIBLE.pattern}")

# An address that a renderer makes a link of without being asked to.
_AUTOLINK: Final = re.compile(r"(?:https?|ftp|mailto|xmpp):|www\.|\S@\S", re.IGNORECASE)
_MARKDOWN: Final = re.compile(r"[\\`*\[\]<>|~&$]|(?<![^\W_])_|_(?![^\W_])")
# Of a line: an item of a list, a rule, a heading, the line below a heading or a table's names.
_AT_START: Final = re.compile(
    r"[-+](?=\s|$)|-(?=[-\s]*$)|=(?==*\s*$)|#(?=#{0,5}(?:\s|$))|:(?=-*:?\s*$)|\d{1,9}(?=[.)](?:\s|$))"
)
_OWN_CODE: Final = re.compile(r"(?<!`)`(?!`)([^`|]+)(?<!`)`(?!`)")

_ADDRESS: Final = "/?=&%+-._~"
# Where a spreadsheet finds a formula: also by characters of full width and by small ones.
_SIGNS: Final = "=+\\-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b"
# What it, or a program on the way to it, may take away before that; tabs and ends of lines divide.
_BEFORE: Final = (
    "['\"\\x00-\\x08\\x0b\\x0c\\x0e-\\x20\\x7f-\xa0\xad\u1680\u180e\u2000-\u200f\u2028-\u202f"
    "\u205f-\u206f\u3000\ufeff]*"
)
# What is put before it, in the words of `re` and of RE2. A spreadsheet may split at `;` or tabs and
# take our quotes for text: then a cell begins within ours, too.
FORMULAS: Final = (
    (rf"\A({_BEFORE}[{_SIGNS}\t\r\n])", r"'\1"),
    (rf"([;\t\r\n])({_BEFORE}[{_SIGNS}])", r"\1'\2"),
)
_ESCAPED: Final = (
    (rf"\A'({_BEFORE}[{_SIGNS}\t\r\n])", r"\1"),
    (rf"([;\t\r\n]\"*)'({_BEFORE}[{_SIGNS}])", r"\1\2"),  # quotes: as it once was written
)


def visible(text: object, at_most: int = SHOWN_AT_MOST) -> str:
    r"""A text as one line for a screen, a log or a tag: nothing in it acts, nothing is hidden.

    Args:
        text: whatever is shown; of an exception or another object it is `str` of it.
        at_most: so many characters are kept; 0 for all.

    Returns:
        The text with `\x1b`, `\n`, `\u202e` and the like in place of such characters.
    """
    return _INVISIBLE.sub(_written_out, _cut(str(text), at_most))


def visible_lines(text: object) -> str:
    """The same for a text of ours that has several lines, such as a traceback."""
    return _INVISIBLE_IN_LINES.sub(_written_out, str(text).replace("\r\n", "\n"))


def is_visible(text: str) -> bool:
    """Whether a text of one or several lines is fit for a screen as it is."""
    return _INVISIBLE_IN_LINES.search(text) is None


def _written_out(found: re.Match[str]) -> str:
    return ascii(found.group())[1:-1]


def _cut(text: str, at_most: int) -> str:
    return text if not at_most or len(text) <= at_most else text[: at_most - 1] + CUT


class SafeMarkdown(str):
    """Markdown in which every foreign text shows as it is: it is no link, image, HTML or table.

    Made by the functions of this module alone; what puts Markdown on record takes nothing else.
    """

    __slots__ = ()

    @classmethod
    def of(cls, template: str, *values: object) -> "SafeMarkdown":
        """Markdown of ours with values in it.

        Args:
            template: a literal, with `{}` for each value.
            values: one that is no `SafeMarkdown` is escaped.
        """
        return cls(template.format(*map(_as_markdown, values)))

    @classmethod
    def lines(cls, parts: "Iterable[SafeMarkdown]", between: str = "\n") -> "SafeMarkdown":
        """Pieces of Markdown one after another."""
        return cls(between.join(parts))


NO_MARKDOWN: Final = SafeMarkdown("")


def _as_markdown(value: object) -> SafeMarkdown:
    return value if isinstance(value, SafeMarkdown) else in_markdown(value)


def in_markdown(text: object, at_most: int = MARKDOWN_AT_MOST) -> SafeMarkdown:
    """A foreign text for Markdown, in a table or not: it is shown letter by letter.

    What a renderer would make a link of stands in a code span, for an escaped address is still one.
    """
    return SafeMarkdown(_start_escaped(_inner(visible(text, at_most).lstrip(" "))))


def sentence_in_markdown(text: object) -> SafeMarkdown:
    """A sentence of ours that quotes foreign texts: the commands in it, in backticks, stay code."""
    shown, place, made = visible(text), 0, ""
    for found in _OWN_CODE.finditer(shown):
        made = _beside(_beside(made, _inner(shown[place : found.start()])), found.group())
        place = found.end()
    return SafeMarkdown(_start_escaped(_beside(made, _inner(shown[place:])).lstrip(" ")))


def _beside(left: str, right: str) -> str:
    """Two pieces of Markdown; backticks that met would be one run, and no end of a code span."""
    return f"{left} {right}" if left.endswith("`") and right.startswith("`") else left + right


def _inner(text: str) -> str:
    return " ".join(
        _code(word) if _AUTOLINK.search(word) else _MARKDOWN.sub(r"\\\g<0>", word)
        for word in text.split(" ")
    )


def _start_escaped(text: str) -> str:
    """Nothing begins a heading, a list or a rule: it is known only at the start of a line."""
    found = _AT_START.match(text)
    if found is None:
        return text
    if found.group()[0].isdigit():
        return f"{found.group()}\\{text[found.end() :]}"
    return f"\\{text}"


def _code(word: str) -> str:
    """A word as a code span; a bar ends a cell of a table in a code span too, so it stands out."""
    return "&#124;".join(_span(part) if part else "" for part in word.split("|"))


def _span(text: str) -> str:
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if text[0] == "`" or text[-1] == "`" else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def link(label: str, page: str) -> SafeMarkdown:
    """A link to a page of the UI.

    Args:
        label: foreign or not.
        page: an address of ours, as `links.py` makes them.
    """
    if not page.startswith("/") or page.startswith("//"):
        raise ValueError("a page of the UI begins at its root")
    return SafeMarkdown(f"[{in_markdown(label)}]({quote_address(page, safe=_ADDRESS)})")


def command(words: str, key: str) -> str:
    """A command to copy into a shell, in which a foreign key is one argument and no option.

    What cannot be seen as it is stands in `$'...'`, by the bytes of its UTF-8.

    Args:
        words: of ours, such as `rwt retry` or `rwt quarantine list --archive`.
        key: the last argument.
    """
    last = words.rpartition(" ")[2]
    between = " "
    if key.startswith("-"):
        between = "=" if last.startswith("--") else " -- "
    return f"{words}{between}{_argument(key)}"


def command_in_markdown(words: str, key: str) -> SafeMarkdown:
    """The same as a code span that a person copies; for outside a table, where a bar is a bar."""
    return SafeMarkdown(_span(command(words, key)))


def _argument(word: str) -> str:
    if _INVISIBLE.search(word) is None:
        return quote(word)
    return f"$'{''.join(map(_in_ansi_c, word))}'"


def _in_ansi_c(one: str) -> str:
    if one in "\\'":
        return f"\\{one}"
    if _INVISIBLE.match(one) is None:
        return one
    # Three octal digits end by themselves, whatever follows.
    return "".join(f"\\{byte:03o}" for byte in one.encode("utf-8", "surrogatepass"))


def spreadsheet_cell(cell: str) -> str:
    """A cell that a spreadsheet takes for a text and not for a formula.

    One that begins with one of `= + - @`, a tab, CR or LF has an apostrophe before it, also where
    blanks, quotes or characters that nobody sees come first. So has what follows a semicolon, a tab
    or an end of a line in the same way, for there a spreadsheet may begin another cell.
    """
    return _each_replaced(cell, FORMULAS)


def spreadsheet_text(cell: str) -> str:
    """What `spreadsheet_cell` was given."""
    return _each_replaced(cell, _ESCAPED)


def _each_replaced(text: str, patterns: "Iterable[tuple[str, str]]") -> str:
    for pattern, by in patterns:
        text = re.sub(pattern, by, text)
    return text
