"""A made archive of the feed `sec_filings`, in the format of the SEC's data sets.

    .venv/bin/python -m rwt_assets_tests.filings    writes the sample that is shipped

What belongs here: companies and figures that do not exist, and the two rows that are broken. What
does not: archives of other kinds (`archives.py`). Columns, their order and how values are written
are those of the SEC ("Financial Statement Data Sets", https://www.sec.gov/files/aqfs.pdf).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rwt_assets_tests.archives import SAMPLES, make_zip

SAMPLE: Final = SAMPLES / "sample_2024q3.zip"
README: Final = "<p>A made sample: no company, filing or figure in it exists.</p>\n"
SUB: Final = (
    "adsh cik name sic countryba stprba cityba zipba bas1 bas2 baph countryma stprma cityma zipma "
    "mas1 mas2 countryinc stprinc ein former changed afs wksi fye form period fy fp filed accepted "
    "prevrpt detail instance nciks aciks"
)
NUM: Final = "adsh tag version ddate qtrs uom segments coreg value footnote"
PRE: Final = "adsh report line stmt inpth rfile tag version plabel negating"
TAG: Final = "tag version custom abstract datatype iord crdr tlabel doc"
TAXONOMY: Final = "us-gaap/2024"
# Statement, tag, label, credit or debit, its part of the company's size in thousandths.
LINES: Final = (
    ("BS", "CashAndCashEquivalentsAtCarryingValue", "Cash and cash equivalents", "D", 120),
    ("BS", "AccountsReceivableNetCurrent", "Accounts receivable, net", "D", 180),
    ("BS", "InventoryNet", "Inventories", "D", 210),
    ("BS", "PropertyPlantAndEquipmentNet", "Property and equipment, net", "D", 490),
    ("BS", "Assets", "Total assets", "D", 1000),
    ("BS", "AccountsPayableCurrent", "Accounts payable", "C", 160),
    ("BS", "LongTermDebtNoncurrent", "Long-term debt", "C", 340),
    ("BS", "StockholdersEquity", "Total stockholders' equity", "C", 500),
    ("BS", "LiabilitiesAndStockholdersEquity", "Total liabilities and equity", "C", 1000),
    ("IS", "Revenues", "Net sales", "C", 310),
    ("IS", "CostOfRevenue", "Cost of goods sold", "D", 190),
    ("IS", "OperatingIncomeLoss", "Operating income", "C", 55),
    ("IS", "InterestExpense", "Interest expense", "D", 9),
    ("IS", "NetIncomeLoss", "Net income", "C", 36),
    ("IS", "EarningsPerShareBasic", "Basic earnings per share", "", 36),
    ("CI", "ComprehensiveIncomeNetOfTax", "Comprehensive income", "C", 34),
    ("CF", "NetCashProvidedByUsedInOperatingActivities", "Cash from operations", "D", 48),
    ("CF", "PaymentsToAcquirePropertyPlantAndEquipment", "Capital expenditures", "C", 22),
    ("CF", "PaymentsOfDividends", "Dividends paid", "C", 12),
    ("EQ", "StockIssuedDuringPeriodSharesNewIssues", "Shares issued", "", 3),
    ("EQ", "SharesOutstanding", "Shares outstanding", "", 80),
)
REPORTS: Final = {"CP": 1, "BS": 2, "IS": 4, "CI": 5, "CF": 6, "EQ": 7}
NO_SUCH_DAY: Final = "20240931"


@dataclass(frozen=True, slots=True)
class Filing:
    """One filing of a company; `size` is its assets in thousands of its currency."""

    number: int
    name: str
    sic: str
    state: str
    city: str
    form: str
    size: int
    former: str = ""
    currency: str = "USD"

    @property
    def cik(self) -> int:
        """A number that the SEC has not given to anybody."""
        return 99_000_000 + self.number

    @property
    def adsh(self) -> str:
        """The number of the filing."""
        return f"{self.cik:010d}-24-{self.number:06d}"

    @property
    def quarters(self) -> int:
        """How many quarters its flows cover."""
        return 4 if self.form in ("10-K", "20-F") else 1


FILINGS: Final = (
    Filing(11, "ALDER POINT BREWING CO", "2082", "OR", "ASTORIA", "10-K", 418_200),
    Filing(12, "BLUE HERON RAILWAYS INC", "4011", "MT", "HELENA", "10-Q", 9_310_000),
    Filing(13, "COPPER KETTLE FOODS INC", "2030", "WI", "RACINE", "10-Q", 1_254_700),
    Filing(14, "DRIFTWOOD INSTRUMENTS INC", "3826", "MA", "SALEM", "10-Q", 873_450),
    Filing(15, "EVERBRIGHT LANTERN CORP", "3640", "OH", "DAYTON", "10-Q", 205_900,
           former="EVERBRIGHT OIL LAMP CO"),
    Filing(16, "FERN HOLLOW TIMBER LP", "2400", "WA", "OLYMPIA", "10-Q", 3_120_000),
    Filing(17, "GRANITE BAY FERRIES INC", "4400", "ME", "PORTLAND", "10-K", 642_000),
    Filing(18, "HARVEST MOON SEED CO", "0100", "IA", "AMES", "10-Q", 540_300),
    Filing(19, "IRONWEED ROBOTICS INC", "3569", "TX", "AUSTIN", "10-Q", 97_800,
           former="WEEDBOT LABS INC"),
    Filing(20, "JUNIPER CREEK BANCORP", "6022", "UT", "LOGAN", "10-Q", 12_400_000),
    Filing(21, "KITTIWAKE SHIPPING PLC", "4412", "", "BERGEN", "20-F", 4_050_000, currency="EUR"),
    Filing(22, "LITTLE RIVER PAPER CO", "2621", "GA", "MACON", "10-Q", 760_500),
)  # fmt: skip


def filings_archive() -> bytes:
    """The archive: four tables and, as in the real ones, a page that says what they are."""
    return make_zip(
        {
            "readme.htm": README,
            "sub.txt": _table(SUB, map(_submission, FILINGS)),
            "num.txt": _table(NUM, _numbers()),
            "pre.txt": _cut(_table(PRE, _presentation())),
            "tag.txt": _table(TAG, _tags()),
        }
    )


def _table(columns: str, rows: Iterator[Sequence[object]]) -> str:
    lines = ["\t".join(columns.split())]
    for row in rows:
        assert len(row) == len(columns.split()), row
        lines.append("\t".join(map(str, row)))
    return "\n".join(lines) + "\n"


def _cut(text: str) -> str:
    """The table with its last line cut short, as by a transfer that broke off."""
    return text[: text.rstrip("\n").rindex("\t", 0, -30)] + "\n"


def _submission(one: Filing) -> list[object]:
    abroad = not one.state
    place = ["NO" if abroad else "US", one.state, one.city, f"{10_000 + 613 * one.number}"]
    street = [f"{one.number} QUAY STREET", 'SUITE "A"' if one.number % 4 == 0 else ""]
    changed = "20190305" if one.former and one.number % 2 else "in 2021" if one.former else ""
    status = ("1-LAF", "2-ACC", "3-SRA", "4-NON", "")[one.number % 5]
    filed = f"202408{one.number - 6:02d}"
    return [
        one.adsh, one.cik, one.name, one.sic, *place, *street, "5550100",
        *place, *street, place[0], "" if abroad else "DE", f"99{one.number:07d}",
        one.former, changed, status, int(one.number % 6 == 0),
        "0630" if one.quarters == 4 else "1231", one.form, "20240630",
        2024, "FY" if one.quarters == 4 else "Q2", filed,
        f"2024-08-{one.number - 6:02d} 16:{one.number}:00.0", 0, int(one.form != "10-K"),
        f"made{one.number}-20240630_htm.xml", 1, "",
    ]  # fmt: skip


def _numbers() -> Iterator[list[object]]:
    for one in FILINGS:
        for stmt, tag, _label, _crdr, part in LINES:
            moment = stmt == "BS" or tag == "SharesOutstanding"
            for year, share in ((2024, 1000), (2023, 940 + one.number % 7 * 10)):
                day = f"{year}0630"
                if (one.number, tag, year) == (16, "InterestExpense", 2023):
                    day = NO_SUCH_DAY
                note = (
                    'As "restated" in Note 2.' if (one.number, tag) == (13, "InventoryNet") else ""
                )
                value = f"{one.size * part * share / 1000:.4f}"
                uom = one.currency
                if tag.startswith("EarningsPerShare"):
                    value, uom = f"{part * share / 80_000:.4f}", f"{one.currency}/shares"
                elif "Shares" in tag:
                    uom = "shares"
                quarters = 0 if moment else one.quarters
                yield [one.adsh, tag, TAXONOMY, day, quarters, uom, "", "", value, note]
        for segment, part in (("BusinessSegments=East;", 120), ("BusinessSegments=West;", 190)):
            value = f"{one.size * part:.4f}"
            yield [
                one.adsh, "Revenues", TAXONOMY, "20240630", one.quarters, one.currency, segment, "",
                value, "",
            ]  # fmt: skip


def _presentation() -> Iterator[list[object]]:
    for one in FILINGS:
        cover = ("EntityRegistrantName", "EntityCentralIndexKey", "DocumentType")
        for line, tag in enumerate(cover, 1):
            label = "".join(f" {letter}" if letter.isupper() else letter for letter in tag).strip()
            yield [one.adsh, 1, line, "CP", 0, "H", tag, "dei/2024", label, 0]
        lines = dict.fromkeys(REPORTS, 0)
        for stmt, tag, label, _crdr, _part in LINES:
            lines[stmt] += 1
            negating = int(tag.startswith("Payments"))
            yield [
                one.adsh, REPORTS[stmt], lines[stmt], stmt, 0, "H", tag, TAXONOMY, label, negating,
            ]  # fmt: skip


def _tags() -> Iterator[list[object]]:
    for stmt, tag, label, crdr, _part in LINES:
        moment = stmt == "BS" or tag == "SharesOutstanding"
        kind = "monetary" if crdr else "perShare" if "PerShare" in tag else "shares"
        told = f"{label}, {'at a moment' if moment else 'over a duration'}; a made definition."
        yield [tag, TAXONOMY, 0, 0, kind, "I" if moment else "D", crdr, label, told]
    own = FILINGS[2].adsh
    yield ["KettlesSold", own, 1, 0, "decimal", "D", "", "Kettles sold", "A tag of its own."]


if __name__ == "__main__":
    SAMPLE.write_bytes(filings_archive())
