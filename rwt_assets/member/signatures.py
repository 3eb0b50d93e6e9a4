"""What a file is that is no table, told by how it begins.

What belongs here: signatures of formats that are delivered under the name of a table. What does
not: how a text is written (`dialect.py`) and what becomes of a member (`unpacking.py`). Rules:
RFC 1952 (gzip), RFC 8878 (Zstandard), PKWARE APPNOTE.TXT 4.3.7 (ZIP), and the specifications of
the formats that are named; The Unicode Standard, 23.8 (byte order marks).

A signature that is text too (`BM`, `MZ`, `PAR1`) counts only with what no text has behind it.
"""

import codecs
import re
from typing import Final

from rwt_assets.feed import AUTO, Dialect
from rwt_assets.member.encodings import looks_like_ebcdic

LOOKED_AT: Final = 4 << 10
_MOSTLY: Final = 0.5
_NULS: Final = {"utf-16": 0.6, "utf-32": 0.8}  # half and three quarters of an English text
_MARKS: Final = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CONTROL: Final = rb"[\x00-\x08\x0e-\x1f]"  # no tab, no line end, no form feed
_CONTROLS: Final = re.compile("[\x01-\x08\x0e-\x1f]")
_NOISE_KINDS: Final = 4
_NOISE_SHARE: Final = 0.01

_SIGNATURES: Final = tuple(
    (re.compile(pattern, re.DOTALL), what)
    for pattern, what in (
        (rb"\x1f\x8b[\x08\x00-\x07]", "a gzip file"),
        (rb"PK\x03\x04.{0,4000}?(?:\[Content_Types\]\.xml|xl/|_rels/)", "an Excel or Office file"),
        (rb"PK\x03\x04.{26}mimetypeapplication/vnd\.oasis", "an OpenDocument file"),
        (rb"PK(?:\x03\x04|\x05\x06|\x07\x08)", "a ZIP archive"),
        (rb"PAR[1E]" + _CONTROL, "a Parquet file"),
        (rb"%PDF-\d", "a PDF document"),
        (rb"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
        (rb"BZh[1-9](?:1AY&SY|\x17\x72\x45\x38\x50\x90)", "a bzip2 file"),
        (rb"\xfd7zXZ\x00", "an xz file"),
        (rb"[\x22-\x28]\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18", "a Zstandard file"),
        (rb"\x04\x22\x4d\x18", "an LZ4 file"),
        (rb"\x1f[\x9d\xa0]", "a file of compress"),
        (rb"\xff\x06\x00\x00sNaPpY", "a Snappy file"),
        (rb"Rar!\x1a\x07", "a RAR archive"),
        (rb"MSCF\x00\x00\x00\x00", "a cabinet file"),
        (rb".{257}ustar[\x00 ]", "a tar archive"),
        (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Office file (OLE2)"),
        (rb"\x89PNG\r\n\x1a\n", "a PNG image"),
        (rb"\xff\xd8\xff", "a JPEG image"),
        (rb"GIF8[79]a.{0,8}" + _CONTROL, "a GIF image"),
        (rb"II\x2a\x00|MM\x00\x2a", "a TIFF image"),
        (rb"RIFF.{4}WEBP", "a WebP image"),
        (rb"BM.{4}\x00{4}", "a BMP image"),
        (rb"\x7fELF", "an executable (ELF)"),
        (rb"MZ.{0,60}\x00\x00", "an executable (Windows)"),
        (rb"\xca\xfe\xba\xbe|[\xce\xcf]\xfa\xed\xfe|\xfe\xed\xfa[\xce\xcf]", "an executable"),
        (rb"\x00asm\x01", "an executable (WebAssembly)"),
        (rb"SQLite format 3\x00", "an SQLite database"),
        (rb"ARROW1\x00\x00|FEA1" + _CONTROL, "an Arrow file"),
        (rb"Obj\x01", "an Avro file"),
        (rb"ORC.{0,60}?" + _CONTROL, "an ORC file"),
        (rb"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (rb"\x80[\x02-\x05].{0,30}(?:\x8c|c|\x95)", "a Python pickle"),
    )
)
_TAGS: Final = "table|style|meta|title|div|span|center|font|pre|form|frameset|h[1-6]|p|br|hr|b|i|a"
_STATEMENTS: Final = (
    r"(?:insert|replace)\s+into|create\s+(?:table|database|schema|view|temp\w*)|drop\s+(?:table|"
    r"database|view)|alter\s+table|begin\s+transaction"
)
# What is text, but under whose first line no table is.
_DOCUMENTS: Final = tuple(
    (re.compile(pattern), what)
    for pattern, what in (
        (r"(?i)<(?:!doctype\s+html|html|head|body|script)\b", "an HTML page"),
        (r"(?i)<!doctype\s|<\?xml\s|<\w+(?::\w+)?\s+xmlns", "an XML document"),
        # A tag before another one, not before a delimiter: some name columns <DATE>,<LOW>.
        (
            rf"(?i)<(?:{_TAGS})(?:\s[^<>]*)?>(?:[^<>,;\t|\r\n]*|\s*[\r\n]\s*)<[/!a-z]",
            "an HTML page",
        ),
        (r"<!--", "an XML document"),
        (r"<[A-Za-z_][\w.:-]*(?:\s[^<>]*)?>(?:\s*[\r\n]\s*)?<[/!?A-Za-z_]", "an XML document"),
        (r"\{\\rtf\d?", "an RTF document"),
        (r"-----BEGIN PGP ", "a PGP message"),
        (r"-----BEGIN [A-Z0-9 ]+-----\s*\n", "a PEM file"),
        (r"%!PS-Adobe", "a PostScript document"),
        (r"(?i)mime-version:\s*\d", "a MIME message"),
        (r'\[\s*\{\s*"[^"]*"\s*:|\{\s*"[^"]*"\s*:', "a JSON document"),
        (
            r'[\[{]\s*(?:[\]}]|\[|"[^"\r\n]*"\s*[,\]]|(?:-?\d[\d.eE+-]*|null|true|false)\s*[,\]])',
            "a JSON document",
        ),
        (
            rf"(?i)(?:\s|--[^\n]*\n|/\*(?:[^*]|\*(?!/))*\*/;?)*(?:{_STATEMENTS})\s",
            "a script of SQL",
        ),
        (r"(?i)-- (?:mysql|mariadb) |--\r?\n-- postgresql ", "a script of SQL"),
        (
            r"version https://git-lfs\.github\.com/spec/",
            "a pointer of Git LFS, not the file itself",
        ),
        (r"ID;P\w*(?:;[NE])*\r?\n[PFBC];", "a SYLK file"),
        (r"BEGIN:V(?:CARD|CALENDAR)\r?\n", "a vCard or calendar"),
        (r"UNA.{6}\s*UNB\+|UNB\+UNO", "an EDIFACT message"),
        (r"ISA(.)00\1.{10}\1", "an X12 message"),
        (r"(?:[A-Za-z0-9+/]{60,76}\r?\n){2}", "a text in base64"),
    )
)


def why_no_table(head: bytes, encoding: str, declared: Dialect) -> tuple[str, str]:
    """Say why a member is not read as a table, by how it begins, and what to do; else nothing.

    Args:
        head: how it begins.
        encoding: that it would have as a text.
        declared: what the feed says. Without a header, or after lines that are skipped, a first
            line may be any text.
    """
    fix = "Ask the sender for CSV, or let no rule of the feed take the member."
    what = not_text(head, encoding)
    if what is not None:
        return f"no text but {what}", fix
    if declared.encoding == AUTO and looks_like_ebcdic(head):
        fix = "Declare dialect.encoding of the feed, such as cp037, cp273, cp500 or cp1140."
        return "written in EBCDIC, of which there are several code pages", fix
    if _is_noise(head, encoding, declared):
        return "no text but bytes of which many are control characters", fix
    if declared.header is not False and declared.skip_lines in (0, AUTO):
        what = document_in(head, encoding)
    return (f"no table but {what}", fix) if what is not None else ("", "")


def _is_noise(head: bytes, encoding: str, declared: Dialect) -> bool:
    """Whether a file has control characters of many kinds, also on its first line.

    That is so of what was compressed or encrypted without a signature. A table may have some within
    values, and one of them as its delimiter.
    """
    text = head[:LOOKED_AT].decode(encoding, "replace")
    marks = {declared.delimiter, declared.quote, declared.escape, declared.comment}
    found = [one for one in _CONTROLS.findall(text) if one not in marks]
    first = _CONTROLS.findall(re.split(r"[\r\n]", text, maxsplit=1)[0])
    many = len({*found}) >= _NOISE_KINDS and len(found) >= _NOISE_SHARE * len(text)
    return many and not {*first} <= marks


def document_in(head: bytes, encoding: str) -> str | None:
    """What a text is if it is a document of another format, by how it begins; else None.

    Args:
        head: how it begins.
        encoding: of the text.
    """
    text = head[:LOOKED_AT].decode(encoding, "replace").lstrip("\ufeff \t\r\n")
    for begins, what in _DOCUMENTS:
        if begins.match(text):
            return what
    return None


def not_text(head: bytes, encoding: str) -> str | None:
    """What a file is if it is no text, by its first bytes; None if it may be one.

    Args:
        head: how it begins.
        encoding: that it would have as a text; in some, most texts have NULs.
    """
    begins = head[:LOOKED_AT]
    if not begins.startswith(_MARKS):
        for signature, what in _SIGNATURES:
            if signature.match(begins):
                return what
    most = next((share for name, share in _NULS.items() if encoding.startswith(name)), _MOSTLY)
    return "mostly NUL bytes" if head.count(0) > most * len(head) else None
