"""A made archive of the feed `web_shop`, as a German online shop would send it.

    .venv/bin/python -m rwt_assets_tests.web_shop    writes the sample that is shipped

What belongs here: orders that nobody made, and what is wrong with them: a day that does not exist,
a price with a point where none can be, a line of an order that was not sent, and an order whose
lines come to something else since one of them is quarantined. What does not: other archives.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Final

from rwt_assets_tests.archives import SAMPLES, make_zip

SAMPLE: Final = SAMPLES / "web_shop_2025-12-31.zip"
ORDERS: Final = 240
CUSTOMERS: Final = 60
COUNTRIES: Final = ("DE", "DE", "DE", "AT", "CH")
FIRST_NAMES: Final = ("Änne", "Björn", "Carla", "Dörte", "Emil", "Frieda", "Günther", "Hülya")
LAST_NAMES: Final = ("Maier", "Groß", "Aydin", "Schröder", "Weiß", "Krause", "Öztürk", "Lindner")
GOODS: Final = (("TEA-100", "4.90"), ("POT-7", "39.95"), ("CUP-2", "12.50"), ("SET-1", "1299.00"))
NO_SUCH_DAY: Final = "31.11.2025"


def german(number: Decimal) -> str:
    """1234.5 as 1.234,50."""
    return f"{number:,.2f}".translate(str.maketrans(",.", ".,"))


def shop_archive() -> bytes:
    """The archive: three tables, and what the shop says that it sent."""
    random = Random(20251231)  # noqa: S311 - the same archive each time
    lines, totals = [], []
    for number in range(1, ORDERS + 1):
        own = [(*random.choice(GOODS), random.randint(1, 3)) for _ in range(random.randint(1, 4))]
        totals.append(sum((Decimal(price) * count for _, price, count in own), Decimal()))
        lines += [
            [_order(number), place, sku, count, german(Decimal(price)), random.choice("JNNN")]
            for place, (sku, price, count) in enumerate(own, 1)
        ]
    broken = next(place for place, line in enumerate(lines) if line[0] == _order(17))
    lines[broken][4] = "12.34"
    lines.append([_order(ORDERS + 1), 1, "TEA-100", 1, "4,90", "N"])
    orders = [*_orders(random, totals)]
    customers = [*_customers(random)]
    sent = [
        ["orders.csv", len(orders), german(sum(totals, Decimal()))],
        ["order_lines.csv", len(lines), ""],
        ["customers.csv", len(customers), ""],
    ]
    return make_zip(
        {
            "manifest.csv": _table("file rows total", iter(sent)),
            "orders.csv": _table(
                "order_id customer_id country ordered_on shipped_on total", iter(orders)
            ),
            "order_lines.csv": _table("order_id line sku quantity price gift", iter(lines)),
            "customers.csv": _table("customer_id name since newsletter", iter(customers)),
        }
    )


def _order(number: int) -> str:
    return f"O-{number:06d}"


def _orders(random: Random, totals: list[Decimal]) -> Iterator[list[object]]:
    for number, total in enumerate(totals, 1):
        ordered = date(2025, 12, 1) + timedelta(days=random.randrange(31))
        shipped = ordered + timedelta(days=random.randint(1, 4))
        yield [
            _order(number),
            f"C{random.randint(1, CUSTOMERS):03d}",
            random.choice(COUNTRIES),
            f"{ordered:%d.%m.%Y}",
            "NULL" if number % 9 == 0 else f"{shipped:%d.%m.%Y}",
            german(total),
        ]


def _customers(random: Random) -> Iterator[list[object]]:
    for number in range(1, CUSTOMERS + 1):
        since = date(2019, 1, 1) + timedelta(days=random.randrange(2_500))
        day = NO_SUCH_DAY if number == 23 else f"{since:%d.%m.%Y}"
        name = f"{random.choice(FIRST_NAMES)} {random.choice(LAST_NAMES)}"
        yield [f"C{number:03d}", "-" if number % 13 == 0 else name, day, random.choice("JN")]


def _table(columns: str, rows: Iterator[list[object]]) -> str:
    lines = [";".join(columns.split())]
    lines += [";".join(map(str, row)) for row in rows]
    return "\r\n".join(lines) + "\r\n"


if __name__ == "__main__":
    SAMPLE.write_bytes(shop_archive())
