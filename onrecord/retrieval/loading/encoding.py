"""From bytes to text: which encoding a file is in, and whether it is text at all.

The order: a byte order mark; UTF-8, strictly; the encoding the file declares; UTF-8 with a few bad
bytes; a guess among the common legacy encodings. Bytes that are no text raise LoadError.
"""

from __future__ import annotations

import codecs
import io
import mmap
import os
import re
import stat
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TextIO

from onrecord.errors import EmptyDocumentError, LoadError

MEBIBYTE = 1 << 20
LIMIT = 1024 * MEBIBYTE


class Decoded(NamedTuple):
    """A text with `\\n` newlines, and what its decoding has to say.

    `metadata` is empty for clean UTF-8; else `encoding`, and `encoding_errors`: how many places of
    the text became U+FFFD.
    """

    text: str
    metadata: dict[str, Any]


def read_text(path: Path, *, declared: re.Pattern[bytes] | None = None) -> Decoded:
    """The whole file as text. Offsets into it count after newlines became `\\n`.

    `declared` finds, in its first group, the encoding that the file says it is in (HTML, Python).
    Takes at most three times the file's size in memory for text of one script (Python keeps a text
    with an emoji in four bytes a character). Raises LoadError: empty, too large, or not text.
    """
    return decode(read_bytes(path), str(path), declared)


def read_bytes(path: Path, limit: int = LIMIT) -> bytes:
    """The bytes of a regular file of at most `limit` bytes that is not empty."""
    with open_bytes(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise LoadError(
                f"{size // MEBIBYTE:,} MiB is more than the {limit // MEBIBYTE:,} MiB that are "
                "read of such a file",
                where=str(path),
                cure="Split it",
            )
        data = file.read()
    if not data:
        raise EmptyDocumentError("empty", where=str(path))
    return data


def open_bytes(path: Path) -> BinaryIO:
    """The file, opened; never a pipe or a device, which could block for ever."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise LoadError("not a regular file", where=str(path))
    return path.open("rb")


def open_text(path: Path) -> TextIO:
    """The file as a stream of text with `\\n` newlines, for formats that are read row by row."""
    with open_bytes(path) as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise EmptyDocumentError("empty", where=str(path))
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            encoding = _encoding(data, str(path), None)
    return io.TextIOWrapper(open_bytes(path), encoding, errors="replace", newline=None)


def decode(data: bytes, where: str, declared: re.Pattern[bytes] | None = None) -> Decoded:
    """`data` as text; `where` names it in an error."""
    encoding = _encoding(data, where, declared)
    if not encoding.startswith(("utf-16", "utf-32")):
        data = _newlines(data)
    try:
        text, errors = data.decode(encoding), 0
    except UnicodeDecodeError:
        text = data.decode(encoding, errors="replace")
        errors = text.count("\ufffd")
        if encoding.startswith("utf-8"):  # where the file may hold replacement characters itself
            errors -= data.count(b"\xef\xbf\xbd")
        if errors > _BAD_SHARE * len(text):
            raise LoadError("binary data, not text", where=where) from None
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    notes: dict[str, Any] = {}
    if not encoding.startswith("utf-8"):
        notes["encoding"] = encoding
    if errors:
        notes["encoding_errors"] = errors
    return Decoded(text, notes)


def looks_like_text(path: Path) -> bool:
    """Whether the first bytes of the file are text. An empty file is. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    return not head or bool(_mark(head)) or _wide(head) is not None or not _is_binary(head)


def _encoding(data: bytes | mmap.mmap, where: str, declared: re.Pattern[bytes] | None) -> str:
    head = data[:_SAMPLE]
    if encoding := _mark(head) or _wide(head):
        return encoding
    if _is_binary(head):
        raise LoadError(f"{_kind(head)}, not text", where=where)
    bad = _first_error(data)
    if bad is None:
        return "utf-8"
    if (named := _declared(head, declared)) and _decodes(data, named):
        return named
    window = data[max(0, bad - _SAMPLE // 2) : bad + _SAMPLE]
    if _nearly_utf8(window):
        return "utf-8"
    before = data[max(0, bad - _CONTEXT) : bad]  # if ASCII, a guess may begin amid it
    return _legacy((before if before.isascii() else b"") + data[bad : bad + _EVIDENCE], where)


def _mark(head: bytes) -> str | None:
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    return None


def _wide(head: bytes) -> str | None:
    """UTF-16 without its mark: every other byte of Western text is zero."""
    half = len(head) // 2
    even, odd = head[::2].count(0), head[1::2].count(0)
    if half < 2 or max(even, odd) < _WIDE * half or min(even, odd) > (1 - _WIDE) / 4 * half:
        return None
    encoding = "utf-16-le" if odd > even else "utf-16-be"
    text = head.decode(encoding, errors="replace").replace("\ufffd", "\0")
    odd_ones = sum(not (char.isprintable() or char.isspace()) for char in text)
    return encoding if odd_ones <= _CONTROL_SHARE * half else None


def _is_binary(head: bytes) -> bool:
    controls = len(head) - len(head.translate(None, _CONTROLS))
    return 0 in head or controls > _CONTROL_SHARE * len(head) or head.startswith(_BINARY)


def _kind(head: bytes) -> str:
    for start, kind in _KINDS.items():
        if head.startswith(start):
            return kind
    return "binary data"


def _first_error(data: bytes | mmap.mmap) -> int | None:
    """Where the data stops being UTF-8, or None. Never holds more than a slice as text."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(data), MEBIBYTE):
        piece = data[start : start + MEBIBYTE]
        try:
            decoder.decode(piece, final=start + len(piece) == len(data))
        except UnicodeDecodeError as error:
            return max(0, start + error.start)
    return None


def _declared(head: bytes, declared: re.Pattern[bytes] | None) -> str | None:
    match = declared.search(head[:_DECLARATION]) if declared else None
    if not match:
        return None
    name = match[1].decode("ascii", errors="replace")
    try:
        # Browsers read "latin-1" as cp1252, for that is what its authors meant.
        known = codecs.lookup(name).name
        b"".decode(known)  # refuses codecs that are no text encodings, such as zip
    except (LookupError, ValueError):
        return None
    if known.startswith(("utf-16", "utf-32", "utf-7")):  # then the declaration were not readable
        return None
    return "cp1252" if known in ("iso8859-1", "ascii") else known


def _decodes(data: bytes | mmap.mmap, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for start in range(0, len(data), MEBIBYTE):
            decoder.decode(data[start : start + MEBIBYTE])
        decoder.decode(b"", final=True)
    except UnicodeError:
        return False
    return True


def _nearly_utf8(window: bytes) -> bool:
    good = sum(len(match[0]) for match in _MULTIBYTE.finditer(window))
    return good >= 3 * (_count_high(window) - good)


def _legacy(sample: bytes, where: str) -> str:
    from charset_normalizer import from_bytes

    western = not any(byte in sample for byte in _UNDEFINED_IN_CP1252)
    if western and _count_high(sample) < _FEW * len(sample):  # most likely typographic quotes
        return "cp1252"
    best = from_bytes(sample, cp_isolation=list(_LEGACY)).best()
    if best is None or best.encoding == "ascii":
        if not western:
            raise LoadError("binary data, not text", where=where)
        return "cp1252"
    # The guess is bad at telling Western from Eastern Europe, whose letters differ by a few.
    eastern = _EASTERN.search(sample.decode("cp1252")) if western else True
    return best.encoding if eastern or best.encoding not in _LATIN else "cp1252"


def _count_high(data: bytes) -> int:
    return len(data) - len(data.translate(None, _HIGH))


def _newlines(data: bytes) -> bytes:
    if b"\r" not in data:
        return data
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


_HEAD = 8 * 1024
_SAMPLE = 64 * 1024
_CONTEXT = 512
_EVIDENCE = 8 * 1024
_DECLARATION = 2048
_WIDE = 0.4
_FEW = 0.03
_BAD_SHARE = 0.05
_CONTROL_SHARE = 0.05
_CONTROLS = bytes(set(range(32)) - set(b"\b\t\n\v\f\r\x1b")) + b"\x7f"
_HIGH = bytes(range(128, 256))
_UNDEFINED_IN_CP1252 = (b"\x81", b"\x8d", b"\x8f", b"\x90", b"\x9d")
_MULTIBYTE = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
_MARKS = (  # the mark of UTF-32 begins with the one of UTF-16
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_KINDS = {
    b"%PDF-": "a PDF",
    b"PK\x03\x04": "a ZIP archive",
    b"\xd0\xcf\x11\xe0": "an old or encrypted Office file",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"GIF8": "an image",
    b"\x1f\x8b": "a compressed file",
    b"\x7fELF": "a program",
    b"SQLite format 3": "a database",
}
_BINARY = tuple(_KINDS)
_LATIN = ("cp1250", "cp1252", "cp1254")
# What Czech, Polish, Romanian or Turkish words turn into, read as Western European ones.
_EASTERN = re.compile(r"[^\W\d_][¹³¿ªº¼¾£¥þýðšžŸ]|[šžþð][^\W\d_]")
_LEGACY = (
    "cp1252",
    "cp1250",
    "cp1251",
    "cp1253",
    "cp1254",
    "cp1255",
    "cp1256",
    "koi8_r",
    "cp932",
    "euc_jp",
    "gb18030",
    "big5",
    "cp949",
)
