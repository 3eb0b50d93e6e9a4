"""What was not delivered, as it was sent: rejected rows, members, and corrections of them.

The file format of corrections is here; asking for a replay is in `operations`.
"""

from rwt_assets.quarantine.correction_file import FileRow, read_file, refused, write_file
from rwt_assets.quarantine.corrections import (
    NO_CORRECTIONS,
    NOTHING_CORRECTED,
    Corrections,
    MemberCorrections,
    corrections_in_force,
    fields_in,
    keep_corrections,
    read_corrections,
)
from rwt_assets.quarantine.quarantine import (
    FIELDS,
    SAMPLE,
    Breach,
    Broken,
    SetAside,
    breaches,
    count_delivered,
    count_set_aside,
    is_cut,
    iter_entries,
    place_of,
    quarantine_report,
    read_entries,
)
from rwt_assets.quarantine.quarantine_file import (
    as_quarantine,
    crc32_in_name,
    is_as_written,
    put_quarantine,
    write_quarantine,
)

__all__ = [
    "FIELDS",
    "NOTHING_CORRECTED",
    "NO_CORRECTIONS",
    "SAMPLE",
    "Breach",
    "Broken",
    "Corrections",
    "FileRow",
    "MemberCorrections",
    "SetAside",
    "as_quarantine",
    "breaches",
    "corrections_in_force",
    "count_delivered",
    "count_set_aside",
    "crc32_in_name",
    "fields_in",
    "is_as_written",
    "is_cut",
    "iter_entries",
    "keep_corrections",
    "place_of",
    "put_quarantine",
    "quarantine_report",
    "read_corrections",
    "read_entries",
    "read_file",
    "refused",
    "write_file",
    "write_quarantine",
]
