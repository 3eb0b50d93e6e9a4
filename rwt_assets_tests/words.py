"""Words that are not used, and where they stand all the same (`make lint`).

    .venv/bin/python -m rwt_assets_tests.words    prints file, line, word and what to write

What belongs here: reading docs/glossary.md and finding words in prose: pages, docstrings, comments
and texts of the code. What does not: the words themselves, which stand on that page.
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


def table(heading: str, page: str) -> list[list[str]]:
    """The cells of the first table under a heading."""
    part = page.split(f"\n## {heading}\n")[1].split("\n## ", maxsplit=1)[0]
    rows = [line.strip().strip("|").split("|") for line in part.splitlines() if line[:1] == "|"]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def banned() -> dict[str, str]:
    """What is not written, and what is instead."""
    rows = table("Words that are not used", GLOSSARY.read_text(encoding="utf-8"))
    return {word: instead for word, instead in rows}  # noqa: C416 - two cells a row, or it raises


def terms() -> set[str]:
    """Every word that the glossary explains, in lower case."""
    page = GLOSSARY.read_text(encoding="utf-8")
    rows = table("Words of this project", page) + table("Words of others that are met most", page)
    return {word.lower() for row in rows for word in re.findall(r"[A-Za-z]+", row[0])}


def prose_of_page(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a page, without what is code, an address or a tag."""
    plain = CODE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    yield from enumerate(plain.splitlines(), 1)


def prose_of_module(text: str) -> Iterator[tuple[int, str]]:
    """The lines of docstrings, comments and other texts of a module."""
    spoken = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in spoken:
            plain = re.sub(r"`[^`\n]*`", " ", token.string)
            yield from enumerate(plain.splitlines(), token.start[0])


def files() -> Iterator[Path]:
    """What is read: pages at the top and below docs, modules of ours."""
    yield from sorted({*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")})
    for folder in OWN:
        yield from sorted((PROJECT / folder).rglob("*.py"))


def found_in(path: Path, words: dict[str, str]) -> Iterator[tuple[int, str, str]]:
    """Line, word and what to write instead, for each word that stands in a file."""
    text = path.read_text(encoding="utf-8")
    prose = prose_of_module(text) if path.suffix == ".py" else prose_of_page(text)
    patterns = {
        word: re.compile(rf"\b{word.replace(' ', r' +')}\b", re.IGNORECASE) for word in words
    }
    for number, line in prose:
        for word, pattern in patterns.items():
            if pattern.search(line):
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
