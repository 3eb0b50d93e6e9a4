"""Contents and declarations of one feed, and what each content comes to under each declaration.

What belongs here: what a delivered archive may have happen to it next. What does not: making it
happen (`faulty_world.py`, `faulty_round.py`).
"""

import csv
import io
from collections import Counter

from rwt_assets.feed.feed import Feed

MEMBER = "sales.csv"
HEADER = "item,day,price\n"
CONTENTS = (
    "pen,2026-01-01,1\npen,2026-01-02,7\npen,2026-01-01,9\n",
    "pen,2026-01-01,6\nink,2026-01-03,8\npen,2026-01-02,2\nink,2026-01-03,5\n",
    "pen,2026-01-01,6\npen,2026-01-02,x\npen,2026-01-03\npen,2026-01-01,7\n",
    "ink,2026-01-02,3\n",
)
OWN = {"use": "rwt_assets_tests.own_enrichments.fail_for_ink"}
WAYS = ({}, {"one_pass": True}, {"one_pass": True, "keep_shards": False})
DECLARATIONS = (
    {},
    {"minimum": 5},
    {"minimum": 5, "tolerated": 0},
    {"enrichments": [OWN]},
    {"enrichments": [{"use": "constant", "to": "currency", "value": "EUR"}]},
)


def declared(way, *, minimum=0, tolerated=None, enrichments=()):
    """The feed, processed in a way and declared so."""
    price = {"type": "number", "minimum": minimum, "nullable": False}
    return Feed.model_validate(
        {
            "name": "shop",
            "source": {"bucket": "incoming", "queue": "shop", "prefix": "shop/"},
            "target": {"bucket": "results", "prefix": "rwt/shop"},
            "members": [
                {
                    "include": ["*.csv"],
                    "split_by": "day",
                    "key_column": "item",
                    "columns": {"item": {}, "day": {"type": "date"}, "price": price},
                    "enrichments": [*enrichments],
                }
            ],
            "tolerance": {} if tolerated is None else {"rows": tolerated},
            **way,
        }
    )


def rows_of(members, feed):
    """The rows that are delivered of these members, as a multiset, and how many are not."""
    minimum = feed.members[0].columns["price"].minimum
    rows, quarantined = Counter(), 0
    for record in list(csv.reader(io.StringIO(members[MEMBER])))[1:]:
        if len(record) == 3 and record[2] != "x" and float(record[2]) >= minimum:
            rows[record[0], record[1], float(record[2])] += 1
        else:
            quarantined += 1
    return rows, quarantined


def is_accepted(members, feed):
    """Whether these members may be delivered under a declaration."""
    rows, quarantined = rows_of(members, feed)
    own = any(one.use == OWN["use"] for one in feed.members[0].enrichments)
    tolerated = feed.tolerance.rows is None or quarantined <= feed.tolerance.rows
    return tolerated and not (own and any(item == "ink" for item, _, _ in rows))
