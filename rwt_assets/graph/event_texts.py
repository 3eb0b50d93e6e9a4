"""Texts of Dagster's events that quote what others wrote: Markdown, and descriptions.

What belongs here: the only ways by which such a text gets into an event. What does not: making it
fit (`foreign_text.py`). Dagster documentation: "Metadata value types"; descriptions are shown as
Markdown, so a sentence with foreign text in it is Markdown, too.
"""

import dagster as dg

from rwt_assets.text import SafeMarkdown, sentence_in_markdown


def markdown_metadata(text: SafeMarkdown) -> dg.MarkdownMetadataValue:
    """Markdown as metadata; a text that may have foreign text in it has no such type."""
    return dg.MetadataValue.md(str(text))


def described(sentence: str | None) -> str | None:
    """The description of an event, of a sentence that may quote anything."""
    return None if sentence is None else str(sentence_in_markdown(sentence))
