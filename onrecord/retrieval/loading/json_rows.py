"""JSON and JSON Lines: each object is a document."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from onrecord.errors import LoadError
from onrecord.retrieval.document import Document, Failure, Fields
from onrecord.retrieval.loading.encoding import open_text, read_text
from onrecord.retrieval.loading.rows import BadRow, Row, Rows, row_documents
from onrecord.retrieval.loading.values import metadata


def load_json(path: Path, fields: Fields, document_id: str) -> Iterator[Document | Failure]:
    """A list of objects, an object that holds one such list, or a single object.

    The fields beside a list belong to each of its rows. JSON Lines under the name of JSON are read
    as what they are. A single object keeps `document_id` if it has no id of its own.
    """
    with json_rows(path) as source:
        yield from row_documents(source, path, fields, document_id)


def load_json_lines(path: Path, fields: Fields, document_id: str) -> Iterator[Document | Failure]:
    """One object a line; a line that is none is a Failure with its number, and the rest goes on.

    Rows are numbered by their lines. Read line by line, so a file may be larger than the memory.
    """
    with json_line_rows(path) as source:
        yield from row_documents(source, path, fields, document_id)


@contextmanager
def json_rows(path: Path) -> Iterator[Rows]:
    """The rows of a JSON file, or of JSON Lines under its name. Raises LoadError."""
    text, _ = read_text(path)
    try:
        value = _parse(text)
    except _NotJson as error:
        if not error.more_follows:
            raise LoadError(f"not JSON: {error}", where=str(path)) from error
        lines = True
    else:
        lines = False
    del text
    if lines:
        with json_line_rows(path) as source:
            yield source
        return
    found, shared = _objects(value)
    if found is None:
        raise LoadError("neither an object nor a list of objects", where=str(path))
    alone = len(found) == 1 and found[0] is value
    yield Rows(_rows(found, shared), "row", metadata, alone)


@contextmanager
def json_line_rows(path: Path) -> Iterator[Rows]:
    """The rows of JSON Lines, while the file is open. Raises LoadError."""
    with open_text(path) as file:
        yield Rows(_lines(file), "line", metadata)


def _lines(lines: Iterable[str]) -> Iterator[Row | BadRow]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = _parse(line)
        except _NotJson as error:
            yield BadRow(number, f"not JSON: {error}")
        else:
            yield _row(number, value, {})


def _rows(found: list[Any], shared: Mapping[str, Any]) -> Iterator[Row | BadRow]:
    for number, value in enumerate(found, start=1):
        yield _row(number, value, shared)


def _row(number: int, value: Any, shared: Mapping[str, Any]) -> Row | BadRow:
    if isinstance(value, dict):
        return Row(number, {**shared, **value})
    if isinstance(value, str):
        return Row(number, {**shared, "text": value})
    return BadRow(number, f"{_KINDS.get(type(value), 'a value')} where an object was expected")


def _objects(value: Any) -> tuple[list[Any] | None, dict[str, Any]]:
    """The rows that a JSON value holds, and the fields that all of them share."""
    if isinstance(value, list):
        return value, {}
    if not isinstance(value, dict):
        return None, {}
    lists = [name for name, held in value.items() if _is_rows(held)]
    if len(lists) != 1:
        return [value], {}
    plain = {n: v for n, v in value.items() if not isinstance(v, (list, dict)) and n != "id"}
    return value[lists[0]], plain


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)


class _NotJson(Exception):
    def __init__(self, reason: str, more_follows: bool = False) -> None:
        super().__init__(reason)
        self.more_follows = more_follows


def _parse(text: str) -> Any:
    try:
        # NaN and Infinity are no JSON, but some writers write them: they hold no value.
        return json.loads(text, parse_constant=lambda _: None)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno:,}, column {error.colno:,}" if "\n" in text.strip() else ""
        reason = f"{error.msg.lower()} at {place or f'column {error.colno:,}'}"
        raise _NotJson(reason, more_follows=error.msg == "Extra data") from None
    except RecursionError:
        raise _NotJson("nested too deeply") from None
    except ValueError:  # an integer of more digits than Python reads
        raise _NotJson("a number of thousands of digits") from None


_KINDS = {list: "a list", int: "a number", float: "a number", bool: "a boolean", type(None): "null"}
