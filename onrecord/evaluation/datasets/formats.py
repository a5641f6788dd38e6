"""The rows of a file: JSON Lines, CSV and TSV, Parquet, and folders that `datasets` has saved.

Each format gives its rows one after the other with their numbers, so that no file has to fit into
the memory twice. What is wrong with one row is a BadRow in its place; what is wrong with the whole
file is a LoadError.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from onrecord.errors import LoadError, StorageError

Row = Mapping[str, Any]


class BadRow(NamedTuple):
    """A row that cannot be read, and why."""

    reason: str


class Table(NamedTuple):
    """A table: the names of its columns, and its rows. `rows` takes the columns that are wanted."""

    names: list[str]
    rows: Callable[[Sequence[str]], Iterator[tuple[int, Row | BadRow]]]


def table(path: Path) -> Table | None:
    """The table of a CSV, TSV or Parquet file or of a folder; None for JSON Lines.

    Raises LoadError, StorageError, MissingExtraError.
    """
    if path.is_dir():
        from onrecord.evaluation.datasets.arrow import saved_table

        return saved_table(path)
    if path.suffix.lower() == ".parquet":
        from onrecord.evaluation.datasets.arrow import parquet_table

        return parquet_table(path)
    if path.suffix.lower() in _SEPARATED:
        return _separated(path)
    return None


def _separated(path: Path) -> Table:
    """CSV: every cell is text; a column whose name ends in `:json` holds JSON values.

    The header decides the separator: tab, semicolon or bar where it has more of them than commas.
    """
    header = _header(path)
    names = [name.removesuffix(_JSON) for name in header.names]
    for number, name in enumerate(names, 1):
        if not name:
            raise LoadError(
                f"column {number} has no name in the header",
                where=str(path),
                cure="Give it a name, or remove it.",
            )
        if name in names[: number - 1]:
            raise LoadError(f"two columns are named '{name}'", where=str(path))

    def rows(wanted: Sequence[str]) -> Iterator[tuple[int, Row | BadRow]]:
        return _csv_rows(path, header, names, frozenset(wanted))

    return Table(names, rows)


class _Header(NamedTuple):
    names: list[str]
    delimiter: str


def _header(path: Path) -> _Header:
    lines = _lines(path)
    first = next((line for line in lines if line.strip()), "")
    counts = {each: first.count(each) for each in ",\t;|"}
    delimiter = max(counts, key=lambda each: counts[each])
    try:
        names = next(csv.reader([first], delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        raise LoadError(f"the header cannot be read: {error}", where=str(path)) from None
    return _Header([name.strip() for name in names], delimiter)


def _csv_rows(
    path: Path, header: _Header, names: list[str], wanted: frozenset[str]
) -> Iterator[tuple[int, Row | BadRow]]:
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST))
    columns = [(at, name) for at, name in enumerate(names) if name in wanted]
    in_json = [
        names[at]
        for at, name in enumerate(header.names)
        if name.endswith(_JSON) and names[at] in wanted
    ]
    number, seen_header = 0, False
    reader = csv.reader(_lines(path), delimiter=header.delimiter, strict=True)
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # Where one cell is not closed, nobody knows where the next row begins.
            yield number, BadRow(f"cannot be read, and neither can what follows: {error}")
            return
        if not seen_header:  # blank lines may stand above it
            seen_header = len(cells) > 1 or bool("".join(cells).strip())
            continue
        if not any(cells):
            continue
        if len(cells) != len(names):
            yield number, BadRow(f"has {len(cells)} cells under a header of {len(names)}")
            continue
        row: dict[str, Any] = {name: cells[at] for at, name in columns}
        try:
            for name in in_json:
                row[name] = _cell(row[name])
            yield number, row
        except msgspec.DecodeError as error:
            yield number, BadRow(f"has a cell that is no JSON: {error}")


def _cell(text: str) -> Any:
    return msgspec.json.decode(text) if text.strip() else None


def _lines(path: Path) -> Iterator[str]:
    """The lines of a text file in UTF-8. Raises LoadError with the number of one that is not."""
    for number, line in lines(path):
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            raise LoadError(
                f"line {number:,} is not UTF-8: {error.reason} at byte {error.start + 1:,}",
                where=str(path),
                cure="Save the file as UTF-8.",
            ) from None


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file, without a byte order mark, each with its number from 1.

    Raises StorageError, and LoadError for UTF-16 and for a line over 64 MiB: that is no file of
    lines, and nothing says how much memory it would take.
    """
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LONGEST + 1):
                number += 1
                if number == 1:
                    line = _unmarked(line, path)
                if len(line) > LONGEST:
                    raise LoadError(
                        f"line {number:,} is longer than {LONGEST >> 20} MiB",
                        where=str(path),
                        cure="A case is one line: is this another format?",
                    )
                yield number, line
    except OSError as error:
        raise StorageError(
            f"the file cannot be read: {error.strerror or error}", where=str(path)
        ) from None


def _unmarked(line: bytes, path: Path) -> bytes:
    if line.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise LoadError(
            "the file is UTF-16, and datasets are UTF-8",
            where=str(path),
            cure="Save it as UTF-8; a spreadsheet calls it “CSV UTF-8”.",
        )
    return line.removeprefix(b"\xef\xbb\xbf")


LONGEST = 64 * 1024 * 1024
_JSON = ":json"
_SEPARATED = (".csv", ".tsv", ".tab")
TABLES = (*_SEPARATED, ".parquet")
"""How the names of files end that hold tables."""
READ = (".jsonl", *TABLES)
"""How the names of files end that are read."""
