"""Words that are not used, and where they stand all the same (`make lint`).

    .venv/bin/python -m rwt_assets_tests.words    prints file, line, word and what to write

What belongs here: reading docs/glossary.md and finding words in prose: pages, docstrings, comments
and texts of the code. What does not: the words themselves, which stand on that page. A phrase is
found where it is broken over two lines, too.
"""

import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parents[1]
GLOSSARY = PROJECT / "docs" / "glossary.md"
CODE = re.compile(r"^(```|~~~).*?^\1$|`[^`\n]*`|\]\([^)]*\)|<[^>\n]*>", re.MULTILINE | re.DOTALL)
OWN = ("rwt_assets", "rwt_assets_tests", "docs/examples")
# Between two words of a phrase: spaces, or the end of a line; `>` continues a quotation of a page.
BETWEEN = r"(?:[ \t]+|[ \t]*\n[ \t]*(?:>[ \t]*)?)"
COMMENT, TEXT = "comment", "text"
KINDS = {
    tokenize.COMMENT: COMMENT,
    tokenize.STRING: TEXT,
    getattr(tokenize, "FSTRING_MIDDLE", -1): TEXT,
}
# What stands between two comments, or two parts of a text, that continue each other.
SILENT = {
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    getattr(tokenize, "FSTRING_START", -1),
    getattr(tokenize, "FSTRING_END", -1),
}
MARKS = re.compile(r"^#+ ?|^[A-Za-z]{0,2}(\"\"\"|'''|\"|')|(\"\"\"|'''|\"|')$")

Line = tuple[int, str]


def table(heading: str, page: str) -> list[list[str]]:
    """The cells of the first table under a heading."""
    part = page.split(f"\n## {heading}\n")[1].split("\n## ", maxsplit=1)[0]
    rows = [line.strip().strip("|").split("|") for line in part.splitlines() if line[:1] == "|"]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def banned() -> dict[str, str]:
    """What is not written, and what is instead."""
    rows = table("Words that are not used", GLOSSARY.read_text(encoding="utf-8"))
    return {word: instead for word, instead in rows}  # noqa: C416 - two cells a row, or it raises


def pattern(phrase: str) -> re.Pattern[str]:
    """A banned word or phrase as it stands in prose; `…` is up to four words of a sentence."""
    begin, *others = phrase.split()
    found = rf"\b{re.escape(begin)}"
    for one in others:
        gap = rf"(?:{BETWEEN}[^\s.:;|]+){{0,4}}?"
        found += gap if one == "…" else BETWEEN + re.escape(one)
    return re.compile(rf"{found}\b", re.IGNORECASE)


def terms() -> set[str]:
    """Every word that the glossary explains, in lower case."""
    page = GLOSSARY.read_text(encoding="utf-8")
    rows = table("Words of this project", page) + table("Words of others that are met most", page)
    return {word.lower() for row in rows for word in re.findall(r"[A-Za-z]+", row[0])}


def prose_of_page(text: str) -> Iterator[list[Line]]:
    """The lines of a page, without what is code, an address or a tag."""
    plain = CODE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    yield [*enumerate(plain.split("\n"), 1)]


def prose_of_module(text: str) -> Iterator[list[Line]]:
    """The lines of docstrings, comments and other texts of a module, those together that go on."""
    together: list[Line] = []
    before = ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind = KINDS.get(token.type, "" if token.type not in SILENT else before)
        if kind != before:
            yield together
            together = []
        before = kind
        if token.type in KINDS:
            plain = re.sub(r"`[^`\n]*`", " ", MARKS.sub("", token.string))
            together += enumerate(plain.split("\n"), token.start[0])
    yield together


def files() -> Iterator[Path]:
    """What is read: pages at the top and below docs, modules of ours."""
    yield from sorted({*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")})
    for folder in OWN:
        yield from sorted((PROJECT / folder).rglob("*.py"))


def found_in(path: Path, words: dict[str, str]) -> Iterator[tuple[int, str, str]]:
    """Line, word and what to write instead, for each word that stands in a file."""
    text = path.read_text(encoding="utf-8")
    prose = prose_of_module(text) if path.suffix == ".py" else prose_of_page(text)
    patterns = {word: pattern(word) for word in words}
    for lines in prose:
        whole = "\n".join(line for _, line in lines)
        for word, one in patterns.items():
            for found in one.finditer(whole):
                number, _ = lines[whole.count("\n", 0, found.start())]
                yield number, word, words[word]


def main() -> int:
    """Status 1 if a word stands somewhere."""
    words, status = banned(), 0
    for path in files():
        if path == GLOSSARY or path.name == "CHANGELOG.md":
            continue
        for number, word, instead in found_in(path, words):
            print(f"{path.relative_to(PROJECT)}:{number}: not {word!r}, but {instead!r}")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
