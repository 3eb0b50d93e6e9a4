"""What a feed is: one kind of delivery, declared once, from which everything else is built.

What belongs here: the typed, validated declaration. What does not: Dagster objects; the
component that builds them from this declaration is in `component.py` (Dagster
documentation: "Creating and registering a component").
"""

import re
from fnmatch import fnmatchcase
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

ColumnType = Literal["string", "integer", "number", "boolean", "date"]
NAME = r"^[a-z][a-z0-9_]*$"
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
TEMPLATE = "{{"
Value = TypeVar("Value")


def _bucket_name(name: str) -> str:
    # `defs.yaml` is checked once as it stands, for the line, and once with its templates filled.
    if TEMPLATE not in name and not BUCKET.fullmatch(name):
        msg = f"{name!r} is no bucket name (3 to 63 of a-z, 0-9, '.', '-')"
        raise ValueError(msg)
    return name


def _not_empty(values: tuple[Value, ...]) -> tuple[Value, ...]:
    # pydantic's own min_length would also complain where the only value is wrong.
    if not values:
        raise ValueError("at least one is needed")
    return values


Bucket = Annotated[str, AfterValidator(_bucket_name)]


class _Declaration(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ColumnRule(_Declaration):
    """What the values of one column must be.

    An empty field is null. `minimum` and `maximum` are inclusive and hold for integer and
    number columns; `allowed` and `pattern` (a whole match) hold for the text of the field.
    """

    type: ColumnType = "string"
    nullable: bool = True
    minimum: float | None = None
    maximum: float | None = None
    allowed: tuple[str, ...] | None = None
    pattern: str | None = None

    @model_validator(mode="after")
    def _pattern_compiles(self) -> Self:
        if self.pattern is not None:
            try:
                re.compile(self.pattern)
            except re.error as error:
                msg = f"pattern {self.pattern!r} is no regular expression: {error}"
                raise ValueError(msg) from error
        if self.type not in ("integer", "number") and (
            self.minimum is not None or self.maximum is not None
        ):
            msg = f"minimum and maximum need an integer or number column, not {self.type}"
            raise ValueError(msg)
        return self


class MemberRule(_Declaration):
    """Which members are taken, how they are split and what their rows must be.

    Patterns are those of `fnmatch` (`*`, `?`, `[abc]`), case sensitive, against the member's
    whole name. `split_by` names the column whose values make the shards; without it the
    member is one shard. `key_column` names the column whose CRC-32 is added (the member's
    first column if absent). If `columns` is given it names every column that the feed
    relies on, and `split_by` and `key_column` must be among them.
    """

    include: Annotated[tuple[str, ...], AfterValidator(_not_empty)]
    exclude: tuple[str, ...] = ()
    split_by: str | None = Field(default=None, min_length=1)
    key_column: str | None = Field(default=None, min_length=1)
    columns: dict[str, ColumnRule] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _patterns_are_whole(self) -> Self:
        for pattern in (*self.include, *self.exclude):
            if pattern.count("[") != pattern.count("]"):
                msg = f"bad pattern {pattern!r}: a '[' without its ']'"
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _columns_are_known(self) -> Self:
        for field in ("split_by", "key_column"):
            column = getattr(self, field)
            if self.columns and column is not None and column not in self.columns:
                known = ", ".join(sorted(self.columns))
                msg = f"{field} names the unknown column {column!r}; declared are: {known}"
                raise ValueError(msg)
        return self

    def takes(self, member: str) -> bool:
        """Whether a member of this name falls under this rule."""
        return any(fnmatchcase(member, pattern) for pattern in self.include) and not any(
            fnmatchcase(member, pattern) for pattern in self.exclude
        )

    @property
    def required_columns(self) -> tuple[str, ...]:
        """Columns without which a member cannot be processed."""
        named = [c for c in (self.split_by, self.key_column) if c is not None]
        declared = [name for name, column in self.columns.items() if not column.nullable]
        return tuple(dict.fromkeys([*named, *declared]))


class Source(_Declaration):
    """Where archives come from: an S3 bucket and prefix, announced on an SQS queue."""

    bucket: Bucket
    queue: str = Field(min_length=1)
    prefix: str = ""
    suffix: str = ".zip"

    @property
    def dead_letter_queue(self) -> str:
        """Name of the queue for messages that were delivered too often."""
        return f"{self.queue}-dead-letters"

    def overlaps(self, other: "Source") -> bool:
        """Whether one object could belong to both."""
        return (
            self.bucket == other.bucket
            and (self.prefix.startswith(other.prefix) or other.prefix.startswith(self.prefix))
            and (self.suffix.endswith(other.suffix) or other.suffix.endswith(self.suffix))
        )

    def names(self, bucket: str, key: str) -> bool:
        """Whether an object is one that this feed reads; nothing else is ever fetched."""
        return bucket == self.bucket and key.startswith(self.prefix) and key.endswith(self.suffix)


class Target(_Declaration):
    """Where results are kept: everything below `prefix` in `bucket` belongs to the feed."""

    bucket: Bucket
    prefix: str = Field(min_length=1)


class Limits(_Declaration):
    """Bounds that hold before bytes are written. Sizes are in bytes."""

    members: int = Field(default=10_000, ge=1)
    member_bytes: int = Field(default=64 * 2**30, ge=1)
    archive_bytes: int = Field(default=256 * 2**30, ge=1)
    ratio: int = Field(default=1_000, ge=1)
    split_values: int = Field(default=20_000, ge=1)
    record_bytes: int = Field(default=16 * 2**20, ge=1)
    buffer_bytes: int = Field(default=96 * 2**20, ge=2**20)


class Feed(_Declaration):
    """One kind of delivery.

    The first rule of `members` that takes a member's name applies to it; members that no
    rule takes are reported as ignored. `attempts` bounds the runs asked for one step of one
    revision; then it has failed until a person or a new revision asks. `archives_in_work`
    bounds the archives that were taken in and are not yet delivered: beyond it messages stay
    in the queue. `pool` is the concurrency pool of the feed's runs (Dagster documentation:
    "Managing concurrency of Dagster assets, jobs, and Dagster instances").
    """

    name: str = Field(pattern=NAME)
    source: Source
    target: Target
    members: Annotated[tuple[MemberRule, ...], AfterValidator(_not_empty)]
    limits: Limits = Field(default_factory=Limits)
    attempts: int = Field(default=2, ge=1, le=10)
    shards_per_run: int = Field(default=1_000, ge=1)
    archives_in_work: int = Field(default=200, ge=1)
    pool: str = Field(default="rwt", pattern=NAME)

    @model_validator(mode="after")
    def _target_is_not_source(self) -> Self:
        same = self.target.bucket == self.source.bucket
        if same and f"{self.target.prefix}/".startswith(self.source.prefix):
            msg = (
                f"target.prefix {self.target.prefix!r} lies below source.prefix "
                f"{self.source.prefix!r} of the same bucket: results would be read as archives"
            )
            raise ValueError(msg)
        return self

    def rule_for(self, member: str) -> MemberRule | None:
        """The rule that applies to a member of this name, or None if it is ignored."""
        return next((rule for rule in self.members if rule.takes(member)), None)
