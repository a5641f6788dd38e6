"""XLSX: each sheet as a heading and a Markdown table of its values."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from onrecord.errors import LoadError
from onrecord.retrieval.document import Document, Failure, Fields
from onrecord.retrieval.loading.markdown import table
from onrecord.retrieval.loading.office import check_archive, core_metadata, core_title, optional


def load_xlsx(path: Path, fields: Fields, document_id: str) -> Iterator[Document | Failure]:
    """One document of all sheets. Formulas give the value last computed, if one was saved.

    Reads 100,000 rows a sheet and 256 columns; a Failure says where there was more.
    """
    check_archive(path)
    openpyxl = optional("openpyxl", path)
    with path.open("rb") as file:
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        blocks = []
        for sheet in book.worksheets:
            rows, cut = _values(sheet)
            if rows:
                blocks += [f"# {sheet.title}", table(rows)]
            if cut:
                yield Failure(str(path), f"sheet {sheet.title!r}: {cut}")
        properties = book.properties
        notes = {**core_metadata(properties), "sheets": list(book.sheetnames)}
    if not blocks:
        raise LoadError("no values in its sheets", where=str(path))
    title = core_title(properties) or path.stem
    yield Document(document_id, title, "\n\n".join(blocks), "markdown", notes)


def _values(sheet: Any) -> tuple[list[list[str]], str]:
    """The sheet's rows without its empty rows and columns, and what was left out, in words."""
    sheet.reset_dimensions()  # what the file says of its own size may be anything
    rows: list[list[str]] = []
    cut = ""
    for number, values in enumerate(sheet.iter_rows(values_only=True), start=1):
        if number > _MOST_ROWS:
            cut = f"only its first {_MOST_ROWS:,} rows were loaded"
            break
        row = [_shown(value) for value in values[:_MOST_COLUMNS]]
        if len(values) > _MOST_COLUMNS and any(v is not None for v in values[_MOST_COLUMNS:]):
            cut = cut or f"only its first {_MOST_COLUMNS:,} columns were loaded"
        while row and not row[-1]:
            row.pop()
        if row:
            rows.append(row)
    used = sorted({i for row in rows for i, cell in enumerate(row) if cell})
    return [[row[i] if i < len(row) else "" for i in used] for row in rows], cut


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return str(value).strip()


_MOST_ROWS = 100_000
_MOST_COLUMNS = 256
