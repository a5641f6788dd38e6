"""The rows of a file that a batch goes through: their texts, and what stands beside them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from onrecord.errors import LoadError, UsageError
from onrecord.retrieval.document import Document
from onrecord.retrieval.loading.encoding import open_text
from onrecord.retrieval.loading.load import ROWS, load_rows
from onrecord.retrieval.loading.rows import Row as TableRow


class Row(msgspec.Struct, frozen=True):
    """A row of the input; `problem` says why it has no text. `beside`: a table's other columns."""

    number: int
    text: str
    problem: str = ""
    beside: dict[str, Any] = {}


def rows_of(path: Path, column: str | None) -> Iterator[Row]:
    """The rows of a file: of CSV, TSV, JSON and JSON Lines the field `column` (default: one called
    text, content or body, else all fields), of any other text file its lines that are not blank.

    Raises LoadError for a file that is no text, UsageError for a field that it has not.
    """
    if not path.is_file():
        raise LoadError("there is no such file", where=str(path), cure="Check how it is written.")
    if path.suffix.lower() in ROWS:
        yield from _table(path, column)
        return
    if column is not None:
        raise UsageError(
            "a text file has lines and no columns",
            where=str(path),
            cure=f"Leave the column out, or give one of {', '.join(ROWS)}.",
        )
    number = 0
    with open_text(path) as file:
        for line in file:
            if line.strip():
                number += 1
                yield Row(number, line.strip())


def _table(path: Path, column: str | None) -> Iterator[Row]:
    # Read twice, side by side: once for the texts, once for the columns as they stand there.
    with ROWS[path.suffix.lower()](path) as source:
        pairs = zip(load_rows(path, column), source.rows, strict=True)
        for number, (loaded, raw) in enumerate(pairs, 1):
            values = raw.values if isinstance(raw, TableRow) else {}
            if isinstance(loaded, Document):
                yield Row(number, loaded.text, beside=_beside(values, loaded.text))
            else:
                yield Row(number, "", loaded.reason, _beside(values))


def _beside(values: Mapping[str, Any], text: str | None = None) -> dict[str, Any]:
    """The columns of a row, without that of the text."""
    own = next((name for name, each in values.items() if text is not None and each == text), None)
    return {_kept(name): _kept(each) for name, each in values.items() if name != own}


def _kept(value: Any) -> Any:
    """A value as JSON that everybody reads can hold it."""
    if isinstance(value, str):
        # JSON may escape half of a character, which no UTF-8 can hold.
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_kept(each) for each in value]
    if isinstance(value, dict):
        return {_kept(name): _kept(each) for name, each in value.items()}
    if isinstance(value, int) and abs(value) >= 2**63:
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
