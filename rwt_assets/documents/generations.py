"""How the objects of one archive were made, as part of their names.

What belongs here: the versions of splitting and enrichment, and the generation that follows from
them. What does not: names (`layout.py`, where `Generation` is).

A delivery names objects, and what it names is never written again: so whatever may change their
bytes is part of their key. A *generation* is one content of an archive, split on one request
and enriched in one way:

- `revision`: which content (its ETag);
- `split_id`: a digest of the splitting version, the version of this package and what asked for the
  split. A repeat of the same request after a crash has the same one and finds its objects in place;
  a replay has another, so it never touches what was delivered before it;
- `enrichment`: a digest of the enrichment version.
"""

from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from rwt_assets.contract import ENRICHMENT_VERSION
from rwt_assets.documents.layout import Generation, digest
from rwt_assets.documents.manifest import ArchiveManifest
from rwt_assets.feed import Feed, MemberRule
from rwt_assets.text import INSENSITIVE
from rwt_assets.values import ValueSettings

SPLITTING_VERSION: Final = "2"


def split_id(feed: Feed, asked_by: str) -> str:
    """Identity of a split: equal for the repeats of one request, and for nothing else.

    Args:
        feed: the declaration.
        asked_by: what asked for it: an event, or a run that a person or automation launched.
    """
    return digest(repr([splitting_version(feed), _package_version(), asked_by]))


def splitting_version(feed: Feed) -> str:
    """Changes with the code and with every setting that decides what a shard is."""
    settings = [
        feed.source.name_encoding,
        feed.limits.nesting,
        *map(_splitting_settings, feed.members),
        *([] if feed.keep_shards else ["not kept"]),
        *([] if feed.case == INSENSITIVE else [feed.case]),
        *([] if feed.control is None else [feed.control.model_dump(mode="json")]),
    ]
    return f"{SPLITTING_VERSION}-{sha256(repr(settings).encode()).hexdigest()[:12]}"


def enrichment_version(feed: Feed) -> str:
    """Changes with the code and with every setting that decides what an enriched row is."""
    settings = [_enrichment_settings(rule) for rule in feed.members]
    return f"{ENRICHMENT_VERSION}-{sha256(repr(settings).encode()).hexdigest()[:12]}"


def _splitting_settings(rule: MemberRule) -> dict[str, Any]:
    """What decides on shards; a setting at its default is left out, so that a new one is too."""
    own = {"include", "exclude", "match", "split_by", "dialect", "trailer", "case"}
    settings = rule.model_dump(mode="json", include=own, exclude_defaults=True)
    settings["required"] = rule.required_columns
    evolution, names = rule.evolution, tuple(rule.columns)
    if rule.split_by in rule.columns:
        # What its values must be decides which rows have a shard, and which have the same.
        own_rule = rule.columns[rule.split_by].model_dump(mode="json", exclude_defaults=True)
        if own_rule:
            settings["split_column"] = own_rule, evolution.type_conflicts
    if rule.dialect.header is not True:
        settings["names"] = names
    if evolution.new_columns in ("quarantine", "fail") and names:
        settings["new"] = evolution.new_columns, sorted(names)
    if evolution.missing_columns != "null" and names:
        settings["missing"] = evolution.missing_columns, sorted(names)
    if evolution.rescues:
        settings["rescues"] = True
    return settings


def _enrichment_settings(rule: MemberRule) -> dict[str, Any]:
    """What decides on rows; a setting at its default is left out, so that a new one is too."""
    own = {"key_column", "columns", "unique", "enrichments", *ValueSettings.model_fields}
    settings = rule.model_dump(mode="json", include=own, exclude_defaults=True)
    if rule.evolution.new_columns in ("rescue", "ignore"):
        settings["new"] = rule.evolution.new_columns
    if rule.evolution.type_conflicts != "quarantine":
        settings["conflicts"] = rule.evolution.type_conflicts
    return settings


def generation_of(manifest: ArchiveManifest, enrichment: str) -> Generation:
    """The generation of a manifest's shards as this enrichment version makes them."""
    return Generation(manifest.revision, manifest.split_id).enriched_by(enrichment)


@cache
def _package_version() -> str:
    try:
        return version("rwt_assets")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return ""
