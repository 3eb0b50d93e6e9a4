"""What a feed is: one kind of delivery, declared once, from which everything else is built.

What belongs here: the typed, validated declaration. What does not: Dagster objects; the
component that builds them from this declaration is in `component.py` (Dagster
documentation: "Creating and registering a component").
"""

import codecs
import re
from typing import Annotated, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from rwt_assets.feed.accounts import Role, check_queue, parse_queue
from rwt_assets.feed.expectations import (
    ROWS,
    Check,
    Control,
    Expected,
    Severity,
    Volume,
    check_trailer,
    column_of,
    parse_reference,
    stated_groups,
)
from rwt_assets.feed.named_enrichments import Enrichment, check_columns_known
from rwt_assets.feed.object_keys import check_source_prefix, check_target_prefix
from rwt_assets.text import EXACT, INSENSITIVE, Case, ends_with, folded, matches, without_slips
from rwt_assets.values import ColumnRule, Notation, ValueSettings, known_notation

NewColumns = Literal["add", "rescue", "ignore", "quarantine", "fail"]
MissingColumns = Literal["null", "quarantine", "fail"]
TypeConflicts = Literal["quarantine", "rescue", "fail"]
UnknownMembers = Literal["ignore", "warn", "fail"]
BrokenMembers = Literal["quarantine", "fail"]
NameMatch = Literal["path", "name"]
AUTO = "auto"
NONE = "none"
NAME = r"^[a-z][a-z0-9_]*$"
FEED_NAME_AT_MOST = 100  # with a partition key of 2,400 bytes it fits into an index of PostgreSQL
VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
OWNER = re.compile(r"team:[A-Za-z0-9_-]+|[^@\s]+@[^@\s]+\.[^@\s]+")
TEMPLATE = "{{"
# What is greater is a slip of the pen, and sooner or later more than some clock or counter has.
COUNT_AT_MOST = 10**12
BYTES_AT_MOST = 2**50
HOURS_AT_MOST = 876_000  # a hundred years
DAYS_AT_MOST = 36_500
Value = TypeVar("Value")


def _bucket_name(name: str) -> str:
    # `defs.yaml` is checked once as it stands, for the line, and once with its templates filled.
    if TEMPLATE not in name and not BUCKET.fullmatch(name):
        msg = f"{name!r} is no bucket name (3 to 63 of a-z, 0-9, '.', '-')"
        raise ValueError(msg)
    return name


def _target_prefix(prefix: str) -> str:
    return prefix if TEMPLATE in prefix else check_target_prefix(prefix)


def _not_empty(values: tuple[Value, ...]) -> tuple[Value, ...]:
    # pydantic's own min_length would also complain where the only value is wrong.
    if not values:
        raise ValueError("at least one is needed")
    return values


# Encodings in which a line end may be hidden, or made, by what is before it.
_STATEFUL = ("hz", "iso2022", "utf-7", "punycode", "idna", "unicode-", "raw-unicode-")


def _encoding_name(name: str) -> str:
    if name == AUTO:
        return name
    try:
        known = codecs.lookup(name)
        "a,b".encode(name)
    except (LookupError, UnicodeError, TypeError, ValueError) as error:
        msg = f"{name!r} is no text encoding (Python documentation: Standard Encodings)"
        raise ValueError(msg) from error
    return known.name


def _lines_stay_apart(name: str) -> str:
    if name.startswith(_STATEFUL):
        msg = (
            f"{name!r} says by marks within the text how what follows is read, so one damaged row "
            "would change all after it: have the members written in UTF-8"
        )
        raise ValueError(msg)
    return name


def _character(value: str) -> str:
    # Records are found in UTF-8 bytes, so what marks them is one byte.
    if value in (AUTO, NONE) or (len(value) == 1 and value.isascii() and value not in "\r\n\0"):
        return value
    msg = f"{value!r} is no single ASCII character, nor {AUTO!r} or {NONE!r}"
    raise ValueError(msg)


def _delimiter(value: str) -> str:
    if value == NONE or value.isalnum() != (value == AUTO):
        msg = f"{value!r} is no delimiter: one ASCII character that is no letter or digit"
        raise ValueError(msg)
    return value


def _owners(owners: tuple[str, ...]) -> tuple[str, ...]:
    for owner in owners:
        if TEMPLATE not in owner and not OWNER.fullmatch(owner):
            msg = f"{owner!r} is neither an address of e-mail nor `team:` and a name"
            raise ValueError(msg)
    return owners


# Dagster documentation: "Tags" (what a tag may be made of).
TagKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,63}$")]
TagValue = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{0,63}$")]
Bucket = Annotated[str, AfterValidator(_bucket_name)]
Character = Annotated[str, AfterValidator(_character)]


class _Declaration(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Dialect(_Declaration):
    """How the text of a member is written; what is `auto` is found out for each member.

    `encoding` is a text encoding of Python. `delimiter`, `quote`, `escape` and `comment` are
    one ASCII character, or `none` where it does not exist (there is always a delimiter). A
    doubled quote within quotes is a quote, whatever `escape` says. `comment` begins lines that
    are left out; `skip_lines` counts lines before the first record that are left out. Without
    a `header` the columns are named by the rule's `columns` in their order, then `column_1`,
    `column_2`, ... `trailing_delimiter` says that every record ends in a delimiter that
    begins no field.

    With `quotes: strict` a record that has a quote where RFC 4180 has none, or one that is never
    closed, is quarantined, and the next line is read as if nothing had been before it; `lenient`
    takes a quote within an unquoted field for a character, and what follows a closing quote for
    the rest of the field. `blank_lines: row` makes a row with an empty field of a blank line in a
    member of one column; `skip` leaves it out.
    """

    encoding: Annotated[str, AfterValidator(_encoding_name), AfterValidator(_lines_stay_apart)] = (
        AUTO
    )
    delimiter: Annotated[Character, AfterValidator(_delimiter)] = AUTO
    quote: Character = AUTO
    escape: Character = AUTO
    header: bool | Literal["auto"] = True
    comment: Character = NONE
    skip_lines: Annotated[int, Field(ge=0, le=COUNT_AT_MOST)] | Literal["auto"] = 0
    trailing_delimiter: bool | Literal["auto"] = "auto"
    quotes: Literal["strict", "lenient"] = "strict"
    blank_lines: Literal["skip", "row"] = "skip"

    @model_validator(mode="after")
    def _characters_differ(self) -> Self:
        given = [self.delimiter, self.quote, self.escape, self.comment]
        given = [one for one in given if one not in (AUTO, NONE)]
        if len(set(given)) < len(given):
            raise ValueError("delimiter, quote, escape and comment must differ")
        guessed = {"delimiter": ",", "quote": "\"'"}
        for field, characters in guessed.items():
            taken = [one for one in given if one in characters and one not in (NONE, AUTO)]
            if getattr(self, field) == AUTO and taken:
                msg = (
                    f"{taken[0]!r} may be the {field} too: declare {field} as well (a doubled "
                    "quote needs no escape)"
                )
                raise ValueError(msg)
        return self


class Evolution(_Declaration):
    """What becomes of a member whose columns are not those that the feed declares.

    Modelled on the schema evolution modes and the rescued data column of Databricks' Auto
    Loader (Databricks documentation: "Configure schema inference and evolution in Auto
    Loader"). `fail` fails the archive, `quarantine` quarantines the member (a column) or the
    row (a value).

    `new_columns`: `add` keeps them as text, `rescue` keeps them in the column `_rescued`,
    `ignore` leaves them out. A column is new if the rule declares `columns` and not this one.
    `missing_columns`: `null` fills a declared column that may be null; one that may not is
    always `quarantine` at least, and so are all of several, of which none is there.
    `type_conflicts` is for values that break the column's rule; `rescue` makes the value null and
    keeps its text in `_rescued`, as far as the column may be null, and else quarantines the row.
    `_rescued` is a JSON object of column and text; empty fields are not in it, and it is null
    where nothing was rescued.
    """

    new_columns: NewColumns = "add"
    missing_columns: MissingColumns = "null"
    type_conflicts: TypeConflicts = "quarantine"

    @property
    def rescues(self) -> bool:
        """Whether enriched rows have the column `_rescued`."""
        return "rescue" in (self.new_columns, self.type_conflicts)


class MemberRule(Expected, ValueSettings):
    """Which members are taken, how they are split and what their rows must be.

    Patterns are those of `fnmatch` (`*`, `?`, `[abc]`). They are compared as the feed's `case`
    says, with the member's whole name, folders included (`match: path`), or with what follows its
    last slash (`match: name`). `split_by` names the column whose values make the shards; without
    it the member is one shard. `key_column` names the column whose CRC-32 is added (the member's
    first column that is kept if absent). If `columns` is given it names every column that the feed
    relies on, and `split_by`, `key_column` and those of `unique` must be among them.

    `unique` names the columns that together tell rows apart; the first row of several with
    the same values is kept, of those that keep the contract; null equals null. It holds within
    a shard, so it must have the column of `split_by` to hold for the member.

    `enrichments` are functions by name that rows which keep the contract go through, in order;
    see `named_enrichments.py`.

    `required`, `min_rows`, `max_rows` and `references` say what an archive must have of it; see
    `expectations.Expected`.

    `null_values`, `trim`, `decimal_mark`, `thousands_mark`, `formats`, `timezone`, `true_values`
    and `false_values` say how values are written in those of `columns` that do not say it
    themselves; see [ColumnRule](#columnrule). Of `formats` each column takes those that give its
    type.

    `trailer` is a regular expression (RE2) of lines at the end of a member that are no rows: the
    last lines in which it is found, up to the first in which it is not, are counted and kept in
    the member's report. Its named groups are figures that are compared: `rows` with the rows that
    were sent, `sum_<column>` with the sum of a column, as in `TRAILER (?P<rows>[0-9]+)`. A member
    without them has lost its end. Their numbers are written as `decimal_mark` and
    `thousands_mark` of the rule say. `case` is that of the feed unless it is given here; it says
    how column names are compared.
    """

    include: Annotated[tuple[str, ...], AfterValidator(_not_empty)]
    exclude: tuple[str, ...] = ()
    match: NameMatch = "path"
    split_by: str | None = Field(default=None, min_length=1)
    key_column: str | None = Field(default=None, min_length=1)
    columns: dict[str, ColumnRule] = Field(default_factory=dict)
    unique: tuple[str, ...] = ()
    enrichments: tuple[Enrichment, ...] = ()
    dialect: Dialect = Field(default_factory=Dialect)
    evolution: Evolution = Field(default_factory=Evolution)
    trailer: Annotated[str, AfterValidator(check_trailer)] | None = None
    case: Case | None = None

    @model_validator(mode="after")
    def _patterns_are_whole(self) -> Self:
        for pattern in (*self.include, *self.exclude):
            if pattern.count("[") != pattern.count("]"):
                msg = f"bad pattern {pattern!r}: a '[' without its ']'"
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _columns_are_known(self) -> Self:
        named = [("split_by", self.split_by), ("key_column", self.key_column)]
        named += [("unique", column) for column in self.unique]
        named += [("references", column) for column in self.references]
        stated = stated_groups(self.trailer) if self.trailer is not None else ()
        named += [("trailer", column_of(one, [*self.columns])) for one in stated if one != ROWS]
        for field, column in named:
            if self.columns and column is not None and column not in self.columns:
                known = ", ".join(sorted(self.columns))
                msg = f"{field} names the unknown column {column!r}; declared are: {known}"
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _notations_fit(self) -> Self:
        for name in self.columns:
            try:
                self.notation(name)
            except ValueError as error:
                msg = f"the column {name!r}, with the settings of its rule: {error}"
                raise ValueError(msg) from error
        return self

    def notation(self, column: str) -> Notation:
        """How the values of a declared column are written."""
        return known_notation(self.columns[column].kind, self.columns[column].written, self.written)

    @model_validator(mode="after")
    def _enrichments_fit(self) -> Self:
        if self.columns:
            check_columns_known(self.enrichments, [*self.columns])
        return self

    @model_validator(mode="after")
    def _unique_within_shards(self) -> Self:
        if self.unique and self.split_by is not None and self.split_by not in self.unique:
            msg = f"unique must have the column of split_by, {self.split_by!r}"
            raise ValueError(msg)
        return self

    def takes(self, member: str, case: Case = INSENSITIVE) -> bool:
        """Whether a member of this name falls under this rule."""
        name = member.rpartition("/")[2] if self.match == "name" else member
        return any(matches(name, pattern, case) for pattern in self.include) and not any(
            matches(name, pattern, case) for pattern in self.exclude
        )

    def takes_in_a_folder(self, member: str, case: Case = INSENSITIVE) -> bool:
        """Whether this rule would take a member if it lay in no folder, and does not as it is.

        Or if there were no slip in its name; see `same_names.without_slips`.
        """
        meant = without_slips(member)
        base = meant.rpartition("/")[2]
        if base == member or any(matches(member, pattern, case) for pattern in self.exclude):
            return False
        meant_is_taken = self.takes(base, case) or self.takes(meant, case)
        return meant_is_taken and not self.takes(member, case)

    @property
    def patterns(self) -> str:
        """The rule's patterns as one text, by which it is told from the feed's other rules."""
        without = f" without {', '.join(self.exclude)}" if self.exclude else ""
        return ", ".join(self.include) + without

    @property
    def required_columns(self) -> tuple[str, ...]:
        """Columns without which a member cannot be processed."""
        named = [c for c in (self.split_by, self.key_column, *self.unique) if c is not None]
        declared = [name for name, column in self.columns.items() if not column.nullable]
        return tuple(dict.fromkeys([*named, *declared]))


# The ARN and no alias: a policy's resource is a key (IAM, "Resource" of AWS KMS).
KmsKey = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[a-z0-9-]+$")]


class Source(_Declaration):
    """Where archives come from: an S3 bucket and prefix, announced on an SQS queue.

    `prefix` is what keys begin with, character by character: `in/` is not `/in/`, and S3 can have
    keys of both.
    `password_variable` names the environment variable that has the password of encrypted
    members. `name_encoding` is how member names are written that do not say they are UTF-8
    and are none. `kms_key` and `queue_kms_key` are the ARNs of keys of AWS KMS with which archives
    and messages are encrypted, for the policy that `rwt aws setup --policy` prints.

    `queue` is the queue's name; of a queue in another account it is its URL or its ARN. `role` is
    taken for each call to the bucket, and for none to the queue. With `requester_pays` each call to
    the bucket says that anyone who calls pays for it, as a bucket with Requester Pays asks.
    """

    bucket: Bucket
    queue: Annotated[str, Field(min_length=1), AfterValidator(check_queue)]
    prefix: Annotated[str, AfterValidator(check_source_prefix)] = ""
    suffix: str = ".zip"
    password_variable: str | None = Field(default=None, pattern=VARIABLE)
    name_encoding: Annotated[str, AfterValidator(_encoding_name)] = "cp437"
    kms_key: KmsKey | None = None
    queue_kms_key: KmsKey | None = None
    role: Role | None = None
    requester_pays: bool = False

    @property
    def dead_letter_queue(self) -> str:
        """The queue for messages that were delivered too often, named as `queue` is."""
        return f"{self.queue}-dead-letters"

    @property
    def queue_account(self) -> str:
        """Id of the account that the queue is said to belong to; "" for one by its name alone."""
        return parse_queue(self.queue).account

    def overlaps(self, other: "Source", case: Case = INSENSITIVE) -> bool:
        """Whether one object could belong to both."""
        one, two = folded(self.suffix, case), folded(other.suffix, case)
        return (
            self.bucket == other.bucket
            and (self.prefix.startswith(other.prefix) or other.prefix.startswith(self.prefix))
            and (one.endswith(two) or two.endswith(one))
        )

    def names(self, bucket: str, key: str, case: Case = INSENSITIVE) -> bool:
        """Whether an object is one that this feed reads; nothing else is ever fetched.

        The prefix is compared character by character whatever `case` says, as S3 does.
        """
        if bucket != self.bucket or not key.startswith(self.prefix):
            return False
        return ends_with(key, self.suffix, case)


class Target(_Declaration):
    """Where results are kept: everything below `prefix` in `bucket` belongs to the feed.

    `prefix` has no slash at its beginning or end, no empty segment, and none that is `.` or `..`:
    some clients of S3 would write or look elsewhere. `kms_key` is the ARN of the key of AWS KMS
    with which the bucket encrypts, for the policy that `rwt aws setup --policy` prints. `role` is
    taken for each call to the bucket.
    """

    bucket: Bucket
    prefix: Annotated[str, Field(min_length=1), AfterValidator(_target_prefix)]
    kms_key: KmsKey | None = None
    role: Role | None = None

    @property
    def folder(self) -> str:
        """The prefix with one slash at its end, which all keys of the feed's results begin with."""
        return f"{self.prefix.rstrip('/')}/"

    def overlaps(self, other: "Target") -> bool:
        """Whether one lies in the other, or both are the same."""
        return self.bucket == other.bucket and (
            self.folder.startswith(other.folder) or other.folder.startswith(self.folder)
        )

    def lies_in(self, source: Source) -> bool:
        """Whether results have keys that begin with the prefix of a source."""
        return self.bucket == source.bucket and self.folder.startswith(source.prefix)

    def holds(self, source: Source) -> bool:
        """Whether a source lies among results, where archives could be removed as one of them."""
        return self.bucket == source.bucket and source.prefix.startswith(self.folder)


class Limits(_Declaration):
    """Bounds that hold before bytes are written. Sizes are in bytes.

    `members`, `archive_bytes` and `ratio` (uncompressed to compressed) hold for the archive
    as a whole, nested archives included; `member_bytes` and `ratio` for each member too. A
    `nesting` of 0 opens no archive within the archive. A row whose split value is longer than
    `split_value_bytes` is quarantined (`split_value_too_long`).
    """

    members: int = Field(default=10_000, ge=1, le=COUNT_AT_MOST)
    member_bytes: int = Field(default=64 * 2**30, ge=1, le=BYTES_AT_MOST)
    archive_bytes: int = Field(default=256 * 2**30, ge=1, le=BYTES_AT_MOST)
    ratio: int = Field(default=500, ge=1, le=COUNT_AT_MOST)
    nesting: int = Field(default=1, ge=0, le=8)
    name_bytes: int = Field(default=1_024, ge=1, le=BYTES_AT_MOST)
    columns: int = Field(default=10_000, ge=1, le=COUNT_AT_MOST)
    split_values: int = Field(default=20_000, ge=1, le=COUNT_AT_MOST)
    split_value_bytes: int = Field(default=1_000, ge=1, le=2_400)
    field_bytes: int = Field(default=8 * 2**20, ge=1, le=BYTES_AT_MOST)
    record_bytes: int = Field(default=16 * 2**20, ge=1, le=BYTES_AT_MOST)
    buffer_bytes: int = Field(default=64 * 2**20, ge=2**20, le=BYTES_AT_MOST)


class Tolerance(_Declaration):
    """How much may be quarantined before the delivery fails; without a bound, anything.

    `rows` and `members` are counts of one archive, `ratio` is quarantined rows to rows read.
    """

    rows: int | None = Field(default=None, ge=0, le=COUNT_AT_MOST)
    ratio: float | None = Field(default=None, ge=0, le=1)
    members: int | None = Field(default=None, ge=0, le=COUNT_AT_MOST)


class Retirement(_Declaration):
    """When archives leave the catalog by themselves: so many days after their delivery.

    With `keep_data` off, what was written of them goes, too; the partner's ZIP never does.
    """

    after_days: float = Field(gt=0, le=DAYS_AT_MOST)
    keep_data: bool = True


class Feed(_Declaration):
    """One kind of delivery.

    The first rule of `members` that takes a member's name applies to it; members that no
    rule takes are reported as ignored. `attempts` bounds the runs asked for one step of one
    revision; then it has failed until a person or a new revision asks. `archives_in_work`
    bounds the archives that were taken in and are not yet delivered: beyond it messages stay
    in the queue. `pool` is the concurrency pool of the feed's runs (Dagster documentation:
    "Managing concurrency of Dagster assets, jobs, and Dagster instances").

    `case` says how the names of archives (their suffix), members and columns are compared with
    what is declared: `insensitive` takes upper and lower case for one, and so the two ways in
    which Unicode writes `é`; `exact` compares character by character.

    `broken_members` says what becomes of an archive with a member that cannot be read:
    `quarantine` quarantines that member and the others go through, `fail` fails the archive.
    `incomplete` says what becomes of an archive that lacks what its rules and its `control` file
    ask for: `fail` keeps it from being delivered, `warn` tells it. `dangling` says the same of
    values that are not where `references` look for them, `unknown_members` of members that no rule
    names. `checks` are questions in SQL about the rows that would be delivered. `volume` bounds how
    far rows and nulls may be from those of the last deliveries before a check warns.
    `expected_every_hours` is how often an archive should arrive at least. With `retire`, old
    archives leave the catalog every night.

    With `one_pass` the run that splits an archive enriches its shards at once, each record
    parsed once; without, shards are read back by runs of their own, which may be on other
    machines. With `keep_shards` off (only with `one_pass`) shards are on record with their rows
    and checksum, but their CSV is not kept: it is made again from the archive when it is asked
    for.

    `keep_former_hours` is how long the objects of a former delivery stay after another took its
    place: as long `rwt rollback` can make it current again, and anyone who is reading it can end.

    `owners` (`someone@example.com` or `team:name`) and `tags` are shown with every asset of the
    feed; the catalog can be searched by them.
    """

    name: str = Field(pattern=NAME, max_length=FEED_NAME_AT_MOST)
    owners: Annotated[tuple[str, ...], AfterValidator(_owners)] = ()
    tags: dict[TagKey, TagValue] = Field(default_factory=dict)
    source: Source
    target: Target
    members: Annotated[tuple[MemberRule, ...], AfterValidator(_not_empty)]
    case: Case = INSENSITIVE
    limits: Limits = Field(default_factory=Limits)
    broken_members: BrokenMembers = "quarantine"
    tolerance: Tolerance = Field(default_factory=Tolerance)
    incomplete: Severity = "fail"
    dangling: Severity = "fail"
    unknown_members: UnknownMembers = "ignore"
    control: Control | None = None
    checks: tuple[Check, ...] = ()
    volume: Volume = Field(default_factory=Volume)
    expected_every_hours: float | None = Field(default=None, gt=0, le=HOURS_AT_MOST)
    retire: Retirement | None = None
    keep_former_hours: float = Field(default=24, ge=0, le=HOURS_AT_MOST)
    one_pass: bool = False
    keep_shards: bool = True
    attempts: int = Field(default=2, ge=1, le=10)
    shards_per_run: int = Field(default=1_000, ge=1, le=COUNT_AT_MOST)
    archives_in_work: int = Field(default=200, ge=1, le=COUNT_AT_MOST)
    pool: str = Field(default="rwt", pattern=NAME)

    @model_validator(mode="after")
    def _shards_come_from_somewhere(self) -> Self:
        if not self.keep_shards and not self.one_pass:
            raise ValueError("keep_shards may be false only if one_pass is true")
        return self

    @model_validator(mode="after")
    def _references_lead_somewhere(self) -> Self:
        for rule in self.members:
            for column, target in rule.references.items():
                member, key = parse_reference(target)
                parents = [one for one in self.members if one.takes(member)]
                fits = [one for one in parents if not one.columns or key in one.columns]
                if parents and not fits:
                    msg = f"references of {column!r}: {member!r} declares no column {key!r}"
                    raise ValueError(msg)
                if not parents and not any(char in member for char in "*?["):
                    msg = f"references of {column!r}: no rule takes the member {member!r}"
                    raise ValueError(msg)
        return self

    @field_validator("checks")
    @classmethod
    def _check_names_differ(cls, checks: tuple[Check, ...]) -> tuple[Check, ...]:
        names = [one.name for one in checks]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            msg = f"two checks are named {twice[0]!r}"
            raise ValueError(msg)
        return checks

    @field_validator("target")  # of the field, so that its line is named
    @classmethod
    def _target_is_not_source(cls, target: Target, given: ValidationInfo) -> Target:
        source = given.data.get("source")  # not there if it is wrong itself
        if source is not None and target.lies_in(source):
            msg = (
                f"target.prefix {target.prefix!r} lies below source.prefix "
                f"{source.prefix!r} of the same bucket: results would be read as archives"
            )
            raise ValueError(msg)
        if source is not None and target.holds(source):
            msg = (
                f"source.prefix {source.prefix!r} lies below target.prefix {target.prefix!r} of "
                "the same bucket, where all is taken for results: archives could be removed"
            )
            raise ValueError(msg)
        return target

    def rule_for(self, member: str) -> MemberRule | None:
        """The rule that applies to a member of this name, or None if it is ignored."""
        return next((rule for rule in self.members if rule.takes(member, self.case)), None)

    def reads(self, bucket: str, key: str) -> bool:
        """Whether an object is an archive of this feed; nothing else is ever fetched."""
        return self.source.names(bucket, key, self.case)

    @property
    def suffix_is_exact(self) -> bool:
        """Whether S3, which compares suffixes character by character, finds all archives by it."""
        return self.case == EXACT or self.source.suffix.lower() == self.source.suffix.upper()

    def shares_archives_with(self, other: "Feed") -> bool:
        """Whether one object could be an archive of both."""
        case = EXACT if self.case == other.case == EXACT else INSENSITIVE
        return self.source.overlaps(other.source, case)
