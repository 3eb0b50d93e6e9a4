"""What the soak test sends and declares: contents of archives, and declarations of their feed.

What belongs here: contents, declarations, and which rows of a content a declaration delivers. What
does not: sending them (`soak.py`) and what is seen of them (`delivery_watch.py`).
"""

from collections import Counter
from dataclasses import dataclass
from io import BytesIO
from random import Random
from typing import Any, Final

import pyarrow.parquet as pq

from rwt_assets.documents.generations import enrichment_version
from rwt_assets.documents.layout import digest
from rwt_assets.feed.feed import Feed
from rwt_assets.values.added_columns import ARCHIVE, MEMBER
from rwt_assets_tests.archives import TIMES, make_zip

TIMES_MEMBER, PLACES_MEMBER = "stop_times.txt", "stops.txt"
DISTANCE = "shape_dist_traveled"
HEADERS = {
    TIMES_MEMBER: [*TIMES, DISTANCE],
    PLACES_MEMBER: ["stop_id", "stop_name", "stop_lat", "stop_lon"],
}
FIRST_TRIPS = 2  # whose distances are below the minimum of some declarations
# What happens to an archive, and how often of 100 times. Upper case is an acceptable content.
UPLOADS = {"A": 82, "AB": 8, "AA": 4, "ABA": 2, "xA": 2, "AxB": 2}
REFUSED = "x"
Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Content:
    """One content of an archive and what must come of it; a refused one is never delivered."""

    body: bytes
    shards: int
    rows: "Counter[Row]"
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Declaration:
    """One way to declare the feed.

    Attributes:
        name: in the report.
        minimum: of the distance; rows below it are quarantined.
        tolerance: of the feed.
        enrichments: of stop times.
    """

    name: str
    minimum: int
    tolerance: dict[str, float]
    enrichments: tuple[dict[str, str], ...] = ()

    def attributes(self) -> dict[str, Any]:
        time = {"pattern": "[0-9]+:[0-5][0-9]:[0-5][0-9]"}
        return {
            "name": "soak",
            "source": {"bucket": "rwt-incoming", "prefix": "soak/", "queue": "rwt-soak"},
            "target": {"bucket": "rwt-results", "prefix": "rwt/soak"},
            "tolerance": self.tolerance,
            # Those in work when the declaration changes are enriched again: not too many.
            "archives_in_work": 8,
            "members": [
                {
                    "include": [TIMES_MEMBER],
                    "split_by": "stop_sequence",
                    "key_column": "trip_id",
                    "columns": {
                        "trip_id": {"nullable": False},
                        "arrival_time": time,
                        "departure_time": time,
                        "stop_id": {"nullable": False},
                        "stop_sequence": {"type": "integer", "nullable": False, "minimum": 0},
                        DISTANCE: {"type": "number", "minimum": self.minimum},
                    },
                    "enrichments": [*self.enrichments],
                },
                {
                    "include": [PLACES_MEMBER],
                    "key_column": "stop_id",
                    "columns": {
                        "stop_id": {"nullable": False},
                        "stop_lat": {"type": "number", "minimum": -90, "maximum": 90},
                        "stop_lon": {"type": "number", "minimum": -180, "maximum": 180},
                    },
                },
            ],
        }

    def feed(self) -> Feed:
        return Feed.model_validate(self.attributes())

    @property
    def enrichment(self) -> str:
        """The second part of a generation's name; that of declarations that make equal rows."""
        return digest(enrichment_version(self.feed()))

    def rows(self, content: Content) -> "Counter[Row]":
        """The rows of an acceptable content that keep this declaration."""
        distance = len(HEADERS[TIMES_MEMBER])
        return Counter(
            {
                row: count
                for row, count in content.rows.items()
                if row[0] != TIMES_MEMBER or float(row[distance]) >= self.minimum
            }
        )


PLAIN: Final = Declaration("nothing quarantined", 0, {"rows": 0})
# A content that is refused has at least three rows of four quarantined, others half of them.
STRICTER: Final = Declaration("rows quarantined", FIRST_TRIPS, {"ratio": 0.6})
REFUSING: Final = Declaration("archives refused", FIRST_TRIPS, {"rows": FIRST_TRIPS})
RICHER: Final = Declaration(
    "an enrichment more",
    0,
    {"rows": 0},
    ({"use": "crc32", "column": "stop_id", "to": "stop_crc32"},),
)


def make_contents(archives: int, shards: tuple[int, int], seed: int) -> dict[str, list[Content]]:
    """What is uploaded of each archive, by name and in order.

    Args:
        archives: how many.
        shards: of an archive, at least and at most.
        seed: of the choice.
    """
    random = Random(seed)  # noqa: S311 - no secret
    ways = [*UPLOADS]
    while len(ways) < archives:  # each way once at least, the others as often as they are
        ways += random.choices([*UPLOADS], [*UPLOADS.values()])
    random.shuffle(ways)
    contents: dict[str, list[Content]] = {}
    for number, way in enumerate(ways[:archives]):
        made = {
            letter: make_content(
                f"{letter}{number}",
                random.randint(*shards),
                random.randint(3, 9),
                refused=letter == REFUSED,
            )
            for letter in sorted(set(way))
        }
        contents[f"soak-{number:04d}.zip"] = [made[letter] for letter in way]
    return contents


def make_content(name: str, shards: int, trips: int, *, refused: bool = False) -> Content:
    """An archive of which no row is in any other; one shard is that of `stops.txt`.

    Each distance is the number of its trip and a little; all are negative in a content that no
    declaration accepts.
    """
    stops = range(shards - 1)
    minutes = [f"{8 + stop // 60:02d}:{stop % 60:02d}" for stop in stops]
    times = [
        (
            *(f"{name}.{trip}", f"{minutes[stop]}:00", f"{minutes[stop]}:30", f"S{stop}"),
            *(str(stop), "-1.0" if refused else f"{trip}.{stop % 10}"),
        )
        for trip in range(trips)
        for stop in stops
    ]
    places = [(f"S{stop}", f"Stop {stop} of {name}", f"-16.{stop}5", "145.5") for stop in stops]
    members = {TIMES_MEMBER: times, PLACES_MEMBER: places}
    body = make_zip(
        {
            member: "".join(f"{','.join(row)}\n" for row in [HEADERS[member], *rows])
            for member, rows in members.items()
        }
    )
    rows = Counter((member, *row) for member, rows in members.items() for row in rows)
    return Content(body, shards, rows, refused)


def read_rows(body: bytes, member: str, archive: str) -> "Counter[Row]":
    """The rows of a Parquet object as they stood in their member, and where they came from."""
    return Counter(
        (
            row[MEMBER] if row[ARCHIVE] == archive else f"{row[MEMBER]} of {row[ARCHIVE]}",
            *(str(row[column]) for column in HEADERS[member]),
        )
        for row in pq.read_table(BytesIO(body)).to_pylist()
    )
