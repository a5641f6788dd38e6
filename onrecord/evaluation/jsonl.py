"""JSON Lines, written whole or not at all; `datasets.reading` reads them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from onrecord.errors import StorageError
from onrecord.records import whole_file


def line(value: Any) -> bytes:
    """One value as a line of JSON.

    Written so that nobody who cuts a file into lines finds an end of line in a text: Python's
    `splitlines` takes three characters for one that JSON does not.
    """
    encoded = msgspec.json.encode(value)
    for character, escaped in _LINE_ENDS:
        if character in encoded:
            encoded = encoded.replace(character, escaped)
    return encoded + b"\n"


def write(path: Path, lines: Iterable[bytes]) -> None:
    """Put lines into a file, at once: it holds all of them, or what it held before.

    Raises StorageError, also where the folder is not there: a mistyped path makes none.
    """
    folder = path.resolve().parent  # what a link points to is replaced, and not the link
    if not folder.exists():
        raise StorageError(
            f"there is no folder '{folder}' to write the file to",
            where=str(path),
            cure="Make the folder, or check how it is written.",
        )
    try:
        whole_file.write_lines(path, lines)
    except OSError as error:
        raise StorageError(
            f"the file cannot be written: {error.strerror or error}",
            where=str(path),
            cure="Check that the disk is not full and that you may write there.",
        ) from None


_LINE_ENDS = (
    ("\u2028".encode(), rb"\u2028"),
    ("\u2029".encode(), rb"\u2029"),
    ("\x85".encode(), rb"\u0085"),
)
