"""One function for each way out of a foreign text."""

import re
import subprocess
import unicodedata

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from rwt_assets.text.foreign_text import (
    FORMULAS,
    SafeMarkdown,
    command,
    in_markdown,
    is_visible,
    link,
    sentence_in_markdown,
    spreadsheet_cell,
    spreadsheet_text,
    visible,
    visible_lines,
)
from rwt_assets.text.markdown_tables import markdown_table

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
PIECES = ["![", "](", ")", "http://e.example", "www.e.example", "a@b.c", "<img src=x>", "|", "\\"]
PIECES += ["`", "``", "~~", "**", "_", "&amp;", "[x]: http://e", "#", "- ", "1.", "---", "\n", " "]
PIECES += ["[red]", "\x1b]0;x\x07", "\u202e", "x", "\t", "&#124;", "<!--", "mailto:", "é"]
texts = st.lists(st.sampled_from(PIECES), max_size=9).map("".join) | st.text(max_size=40)


def shown_of(markdown):
    """The text that a renderer shows, and the kinds of everything in it."""
    tokens, shown, kinds = list(reversed(PARSER.parse(markdown))), "", set()
    while tokens:
        token = tokens.pop()
        tokens += reversed(token.children or [])
        kinds.add(token.type)
        if token.type in ("text", "code_inline", "text_special"):
            shown += token.content
    return shown, kinds


def test_what_cannot_be_seen_is_written_out():
    assert visible("a\x1b]52;c;x\x07\n\r\t\x9b\x7f") == r"a\x1b]52;c;x\x07\n\r\t\x9b\x7f"
    assert visible("\u202e\u2066\u200b\ufeff\u2028\U000e0041\ud800") == (
        r"\u202e\u2066\u200b\ufeff\u2028\U000e0041\ud800"
    )
    assert visible("Straße 東京 [red]x[/red] \u00a0") == "Straße 東京 [red]x[/red] \u00a0"
    assert visible_lines("a\r\n\tb\x1b") == "a\n\\tb\\x1b"
    assert visible("x" * 50, 10) == "x" * 9 + "…"


def test_no_control_and_no_format_character_is_left_out():
    for point in range(0x110000):
        if unicodedata.category(chr(point)) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and point != 0x0A:
            assert not is_visible(chr(point)), hex(point)


@given(texts)
@example("`http://a|b`")
@example("www.e.example|`x``")
@example("a_b _c_ __d__")
def test_a_foreign_text_in_markdown_shows_letter_by_letter(text):
    shown, kinds = shown_of(in_markdown(text))
    assert kinds <= {"paragraph_open", "paragraph_close", "inline", "text", "code_inline"} | {
        "text_special"
    }
    assert " ".join(shown.split()) == " ".join(visible(text).split())


@given(st.lists(texts, min_size=2, max_size=2))
def test_a_foreign_text_in_a_table_is_one_cell(cells):
    body = markdown_table(("a", "b:"), [cells])
    kinds = [token.type for token in PARSER.parse(body)]
    assert kinds.count("tr_open") == 2
    assert kinds.count("td_open") == 2
    shown, every = shown_of(body)
    assert not every & {"image", "link_open", "html_inline", "html_block", "s_open", "em_open"}
    wanted = "ab" + "".join(visible(cell) for cell in cells)
    assert "".join(shown.split()) == "".join(wanted.split())


@given(texts)
def test_an_address_is_no_text_that_a_renderer_makes_a_link_of(text):
    for markdown in (in_markdown(text), sentence_in_markdown(text)):
        tokens = list(PARSER.parse(markdown))
        while tokens:
            token = tokens.pop()
            tokens += token.children or []
            assert token.type not in ("image", "link_open", "html_inline", "html_block")
            if token.type == "text":
                assert "http://" not in token.content
                assert "www." not in token.content


@settings(max_examples=300)
@given(st.lists(st.sampled_from([*PIECES, "![i](//e.example/p.png)", "[c](//e)"]), max_size=14))
@example(["in/``@e.f`", "![i](//e.example/p.png)", " `.zip"])
@example(["`<`@e.f``", "![i](//e.example/p.png)", "``@e.f`"])
def test_a_sentence_that_quotes_anything_has_no_link_and_no_image(pieces):
    _, kinds = shown_of(sentence_in_markdown("".join(pieces)))
    assert not kinds & {"link_open", "image", "html_inline", "html_block", "em_open", "fence"}


def test_commands_in_a_sentence_stay_code():
    told = sentence_in_markdown("run `rwt retry a_b` now, ![x](http://e) | <b>")
    assert told == "run `rwt retry a_b` now, `![x](http://e)` \\| \\<b\\>"


def test_our_own_markdown_takes_foreign_texts_in():
    assert SafeMarkdown.of("**{}** of {}", "*x*", 3) == "**\\*x\\*** of 3"
    assert SafeMarkdown.of("{}", SafeMarkdown("**x**")) == "**x**"
    assert link("](http://e)", "/assets/a?b=c%7C") == "[`](http://e)`](/assets/a?b=c%7C)"
    for page in ("http://e", "//e", "javascript:x"):
        with pytest.raises(ValueError, match="begins at its root"):
            link("x", page)


@given(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20))
@example("$(id) `id` 'x' \\ ! \x1b]0;x\x07 \u202e\n")
@example("-rf")
def test_a_key_in_a_command_is_one_argument(key):
    told = command("""bash -c 'printf %s "${@: -1}"' x""", key)
    assert is_visible(told)
    assert "\n" not in told
    done = subprocess.run(["/bin/bash", "-c", told], capture_output=True, check=True)
    assert done.stdout.decode() == key


def test_a_key_is_no_option():
    assert command("rwt retry", "-x.zip") == "rwt retry -- -x.zip"
    assert command("rwt quarantine list --archive", "-x.zip") == (
        "rwt quarantine list --archive=-x.zip"
    )


SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b"
BLANKS = " \0\x0b\x0c\x1c\x7f\x85\xa0\xad\u2009\u200b\u2028\u202e\u2060\u3000\ufeff"
# What means something to a spreadsheet, more often than chance would have it.
OF_SPREADSHEETS = st.text(st.sampled_from(f"a;\"',\t\r\n{SIGNS}{BLANKS}"), max_size=8)


def begins_a_formula(cell):
    """Whether a reader that takes away blanks and quotes before it would find a formula."""
    return cell.lstrip(f'"{BLANKS}').startswith(tuple(SIGNS))


@given(OF_SPREADSHEETS)
@example("a;=cmd()")
@example('a;"=cmd()')
@example("a\n=cmd()")
@example("a;'=cmd()")
@example(" =1")
@example("\ufeff=1")
@example("'\"=1")
@example("a; =1")
@example("a;'\"=1")
@example(";\t=1")
def test_a_spreadsheet_that_splits_elsewhere_finds_no_formula_and_the_cell_comes_back(text):
    cell = spreadsheet_cell(text)
    assert spreadsheet_text(cell) == text
    assert not [one for one in re.split("[;\t\r\n]", cell) if begins_a_formula(one)]
    column = pa.array([text])
    for pattern, by in FORMULAS:
        column = pc.replace_substring_regex(column, pattern, by)
    assert column.to_pylist() == [cell]


@pytest.mark.parametrize("earlier", ["a;\"'=1", "'=1", "a;'=1"])
def test_a_cell_that_an_earlier_version_wrote_comes_back(earlier):
    assert spreadsheet_text(earlier) == earlier.replace("'", "")


@given(st.text(max_size=8) | OF_SPREADSHEETS)
def test_what_acts_nowhere_is_written_as_it_is(text):
    cells = re.split("[;\t\r\n]", text)
    if not [one for one in cells if one.lstrip("'\"" + BLANKS).startswith(tuple(SIGNS))]:
        assert spreadsheet_cell(text).lstrip("'") == text.lstrip("'")


@given(st.text(max_size=8) | st.sampled_from(["=1", "+1", "-1", "@a", "\t1", "\r1", "'=1", "'"]))
def test_a_cell_of_a_spreadsheet_is_no_formula_and_comes_back(text):
    cell = spreadsheet_cell(text)
    assert cell[:1] not in tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
    assert spreadsheet_text(cell) == text
