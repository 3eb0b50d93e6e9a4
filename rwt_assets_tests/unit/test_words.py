"""The names of the doors use words that are explained, and no page uses a word that is banned."""

import re
from importlib import import_module
from pathlib import Path

import pytest

import rwt_assets
from rwt_assets_tests import words
from rwt_assets_tests.words import GLOSSARY, PROJECT, banned, found_in, table, terms

PACKAGE = Path(rwt_assets.__file__).parent
# What everybody understands, or finds in a dictionary of computing. A new name whose word is
# neither here nor in the glossary is explained there, or chosen otherwise.
EVERYDAY = {*(PROJECT / "rwt_assets_tests" / "everyday_words.txt").read_text().split()}
WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")
ENDINGS = ("", "s", "es", "d", "ed", "er", "ing")


def forms(word):
    """The word as a dictionary might have it."""
    cut = {word.removesuffix(ending) for ending in ENDINGS}
    return cut | {f"{one}e" for one in cut} | {re.sub("i$", "y", one) for one in cut}


def names_of_doors():
    for door in sorted(PACKAGE.rglob("__init__.py")):
        room = ".".join(("rwt_assets", *door.parent.relative_to(PACKAGE).parts))
        for name in getattr(import_module(room), "__all__", []):
            yield room, name


def test_every_word_of_a_public_name_is_explained_or_plain():
    known = EVERYDAY | terms()
    strange = {
        f"{word.lower()!r} of {room}.{name}"
        for room, name in names_of_doors()
        for word in WORD.findall(name)
        if len(word) > 1 and not forms(word.lower()) & known
    }
    assert strange == set()


def test_every_word_of_the_glossary_is_used():
    page = GLOSSARY.read_text(encoding="utf-8")
    text = " ".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")).lower()
    first = [row[0].split()[0] for row in table("Words of this project", page)]
    assert len(first) > 40
    assert [word for word in first if word.lower() not in text] == []
    assert first == sorted(first)


def test_no_banned_word_stands_anywhere(capsys):
    assert words.main() == 0, capsys.readouterr().out


@pytest.mark.parametrize("word", banned())
def test_a_banned_word_is_found_in_a_page_and_in_a_module(tmp_path, word):
    page, module = tmp_path / "page.md", tmp_path / "module.py"
    page.write_text(f"One.\n\n`{word}` in code, and {word.title()} in prose.\n```\n{word}\n```\n")
    module.write_text(
        f'"""One.\n\nAnd {word}."""\n\nVALUE = 1  # {word}\nTEXT = f"{{VALUE}} {word}"\n'
    )
    assert [found[:2] for found in found_in(page, banned())] == [(3, word)]
    assert {3, 5} <= {found[0] for found in found_in(module, banned()) if found[1] == word}


BROKEN = {
    "page.md": "They are set\naside now.\n",
    "list.md": "- They are set\n  aside now.\n",
    "quotation.md": "> They are set\n> aside now.\n",
    "docstring.py": '"""They are set\n    aside now."""\n',
    "comment.py": "def one():\n    pass\n    # They are set\n    # aside now.\n",
    "text.py": 'TEXT = (\n    "They are set "\n    f"aside now {1}"\n)\n',
    "apart.py": '"""It sets that row\naside now."""\n',
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_banned_phrase_is_found_where_it_is_broken_over_two_lines(tmp_path, name):
    (tmp_path / name).write_text(BROKEN[name])
    (found,) = found_in(tmp_path / name, banned())
    text = BROKEN[name].splitlines()
    assert (found[0], found[2].rstrip("s")) == (
        1 + next(number for number, line in enumerate(text) if "set" in line),
        "quarantine",
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("page.md", "It is set\n\naside from that.\n"),
        ("page.md", "The set is whole. That aside, it is right.\n"),
        ("page.md", "| set | aside |\n"),
        ("module.py", "ONE = {'set'}  # set\nTWO = 'aside'\n"),
        ("module.py", '"""A set."""\n\n# aside\n'),
    ],
)
def test_words_that_are_apart_are_no_phrase(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert [*found_in(tmp_path / name, banned())] == []


def test_the_words_are_looked_for_by_make_lint():
    assert "rwt_assets_tests.words" in (PROJECT / "Makefile").read_text()
