"""CSV and TSV: the first row names the fields, each row after it is a document."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO

from onrecord.errors import LoadError
from onrecord.retrieval.document import Document, Failure, Fields
from onrecord.retrieval.loading.encoding import MEBIBYTE, open_text
from onrecord.retrieval.loading.rows import BadRow, Row, Rows, row_documents
from onrecord.retrieval.loading.values import distinct, text_metadata


def load_table(path: Path, fields: Fields, document_id: str) -> Iterator[Document | Failure]:
    """Rows separated by commas, semicolons, tabs or bars, whichever fits; quoted with `"`.

    Rows are numbered from 1 after the header. A row with more cells than the header is a Failure;
    missing cells are empty. Read row by row, so that a file may be larger than the memory.
    """
    with table_rows(path) as source:
        yield from row_documents(source, path, fields, document_id)


@contextmanager
def table_rows(path: Path) -> Iterator[Rows]:
    """The rows of a file, while it is open. Raises LoadError."""
    with open_text(path) as file:
        yield Rows(_rows(file, path), "row", text_metadata)


class _Dialect(NamedTuple):
    delimiter: str
    spaced: bool


def _rows(file: TextIO, path: Path) -> Iterator[Row | BadRow]:
    import csv

    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))  # 128 KiB is a short document
    dialect = _dialect(file, path)
    reader = csv.reader(file, delimiter=dialect.delimiter, skipinitialspace=dialect.spaced)
    number = 0
    try:
        header: list[str] = next((_names(row) for row in reader if any(row)), [])
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            number += 1
            if any(cell.strip() for cell in cells[len(header) :]):
                reason = f"{len(cells)} cells under a header of {len(header)}"
                yield BadRow(number, reason)
            else:
                yield Row(number, dict(zip(header, cells, strict=False)))
    except csv.Error as error:
        raise LoadError(f"row {number + 1:,} cannot be read: {error}", where=str(path)) from error


def _dialect(file: TextIO, path: Path) -> _Dialect:
    """The separator that cuts the first rows most evenly, which the file then stands behind."""
    start = file.tell()
    sample = file.read(_SAMPLE)
    file.seek(start)
    if declared := _DECLARED.match(sample):  # Excel writes, and hides, such a line
        file.readline()
        return _Dialect(declared[1], False)
    delimiter = max(_DELIMITERS, key=lambda candidate: _evenness(sample, candidate))
    if path.suffix.lower() in (".tsv", ".tab"):
        delimiter = "\t"
    header = sample.partition("\n")[0]
    return _Dialect(delimiter, header.count(delimiter) == header.count(f"{delimiter} ") > 0)


def _evenness(sample: str, delimiter: str) -> tuple[float, int]:
    import csv

    lines = sample.splitlines(keepends=True)
    complete = lines[:-1] if len(sample) == _SAMPLE and len(lines) > 1 else lines
    try:
        widths = [len(row) for row in csv.reader(complete, delimiter=delimiter) if row]
    except csv.Error:
        return 0.0, 0
    if not widths or widths[0] < 2:  # the header is cut, if anything is
        return 0.0, 0
    # The last row of a sample can be cut within a quoted cell, so a single odd one is forgiven.
    width, count = Counter(widths).most_common(1)[0]
    return round(count / len(widths), 1), width


def _names(header: list[str]) -> list[str]:
    """The header's names, trimmed; nameless columns are numbered, double names as well."""
    width = max(number for number, cell in enumerate(header, start=1) if cell)
    named = (cell.strip() or f"column {n}" for n, cell in enumerate(header[:width], start=1))
    return distinct(named, " ")


_DELIMITERS = (",", ";", "\t", "|")
_DECLARED = re.compile(r"\ufeff?sep=(.)\n", re.IGNORECASE)
_SAMPLE = 64 * 1024
_LONGEST_CELL = 256 * MEBIBYTE
