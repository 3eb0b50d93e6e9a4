"""Pages of source files, so that links out of `docs/` lead somewhere on the site as well.

What belongs here: what `make docs` does beside Markdown. What does not: text. Pages link to
`../rwt_assets/feed/feed.py`, which a Git host shows; the site is given a page of every such file,
at `source/rwt_assets/feed/feed.py`. MkDocs documentation: "Hooks", "Developing Plugins".
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent
SOURCE = "source"
LINK = re.compile(r"(?<=\]\()(?!https?:|#)([^)#\s]+)(?=[)#])")
LANGUAGES = {".py": "python", ".yaml": "yaml", ".toml": "toml", ".sh": "bash"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each file outside `docs/` that a page links to.

    Args:
        files: the files of the site so far.
        config: the site's settings.

    Returns:
        The same files, and the new ones.

    Raises:
        PluginError: a page links to a file that does not exist.
    """
    linked = {
        path
        for page in files.documentation_pages()
        for link in LINK.findall(page.content_string)
        if (path := _outside(page.src_uri, link, config)) is not None
    }
    for path in sorted(linked):
        files.append(
            File.generated(
                config,
                _page_of(path),
                content=_listing(path) if (ROOT / path).is_dir() else _text(path),
                inclusion=InclusionLevel.NOT_IN_NAV,
            )
        )
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: object) -> str:
    """Have links out of `docs/` lead to those pages.

    Args:
        markdown: the page's text.
        page: the page.
        config: the site's settings.

    Returns:
        The text with such links changed.
    """
    folder = posixpath.dirname(page.file.src_uri)

    def changed(match: re.Match[str]) -> str:
        path = _outside(page.file.src_uri, match[1], config)
        return match[1] if path is None else posixpath.relpath(_page_of(path), folder or ".")

    return LINK.sub(changed, markdown)


def _outside(page: str, link: str, config: MkDocsConfig) -> str | None:
    """The path below the project of what a page links to; None if it is the site's own."""
    docs = Path(config.docs_dir).relative_to(ROOT).as_posix()
    path = posixpath.normpath(posixpath.join(docs, posixpath.dirname(page), link))
    # What is generated has no place in docs/, and links to nothing.
    if page.startswith(f"{SOURCE}/"):
        return None
    # MkDocs itself checks links within docs/; but it only copies code, which nobody can read.
    if path.startswith(f"{docs}/") and not path.endswith(".py"):
        return None
    if path.startswith("..") or not (ROOT / path).exists():
        raise PluginError(f"{docs}/{page} links to {link}, which does not exist")
    return path


def _page_of(path: str) -> str:
    return f"{SOURCE}/{path}.md"


def _text(path: str) -> str:
    language = LANGUAGES.get(Path(path).suffix, "text")
    return (
        "---\nsearch:\n  exclude: true\n---\n"
        f"# {Path(path).name}\n\n`{path}`\n\n"
        f"``````{language}\n{(ROOT / path).read_text(encoding='utf-8')}``````\n"
    )


def _listing(path: str) -> str:
    names = sorted(one.name for one in (ROOT / path).glob("*.*"))
    return "\n".join([f"# {path}/", "", *(f"- `{name}`" for name in names), ""])
