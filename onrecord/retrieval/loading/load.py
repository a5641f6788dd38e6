"""The one door to all loaders: what comes out of it is clean text, or one of three errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec

from onrecord.errors import EmptyDocumentError, LoadError, OnrecordError
from onrecord.retrieval.document import Document, Failure, Fields
from onrecord.retrieval.loading.json_rows import json_line_rows, json_rows
from onrecord.retrieval.loading.registry import Loaded, loader_for
from onrecord.retrieval.loading.rows import Rows, every_row
from onrecord.retrieval.loading.table import table_rows


def load(path: Path, fields: Fields, document_id: str) -> Iterator[Loaded]:
    """The documents of one file, as they are read; a Failure for each part that cannot be.

    A file of one text gives one document, with the id `document_id`. Rows (CSV, JSON, JSON Lines)
    give a document each: its id is the row's id field, as it stands, or `document_id#NUMBER`.
    An empty or blank file is an error, not an empty document.

    Raises LoadError with the reason, in one clause, for a file that cannot be read, possibly after
    the documents before the damage; UsageError for a field that the file has not; its kind
    MissingExtraError, which names the command that helps. `failure` turns all three into a Failure.
    """
    yield from _whole(lambda: loader_for(path)(path, fields, document_id), path)


def load_rows(path: Path, text: str | None = None) -> Iterator[Loaded]:
    """A document or a Failure for each row of a table (`ROWS` has the suffixes), in their order:
    for who does something with each row and counts them. `text`: the field of the text.

    Other than by `load`, no row is refused for its id, and each bad one is told by itself. Raises
    what `load` raises.
    """

    def rows() -> Iterator[Loaded]:
        with ROWS[path.suffix.lower()](path) as source:
            yield from every_row(source, path, text)

    yield from _whole(rows, path)


def _whole(read: Callable[[], Iterator[Loaded]], path: Path) -> Iterator[Loaded]:
    """What a loader gives, clean; what it throws, as an error of ours."""
    empty = True
    try:
        for loaded in read():
            if isinstance(loaded, Document):
                loaded = _clean(loaded)
                if not loaded.text.strip():
                    raise EmptyDocumentError("empty", where=str(path))
            empty = False
            yield loaded
    except OnrecordError:
        raise
    except Exception as error:  # whatever the library of a damaged file's format throws
        raise LoadError(_reason(error, path), where=str(path)) from error
    if empty:
        raise EmptyDocumentError("empty", where=str(path))


def failure(path: Path, reason: BaseException | str) -> Failure:
    """Why `path` was not loaded, as a value for a report: never a traceback, always printable."""
    if isinstance(reason, OnrecordError):
        reason = f"{reason.what}. {reason.cure}" if reason.cure else reason.what
    elif isinstance(reason, OSError):
        reason = _os_reason(reason)
    elif isinstance(reason, BaseException):
        reason = _brief(reason)
    return Failure(_printable(str(path)), _printable(reason))


def _clean(document: Document) -> Document:
    """The document without characters that no database or JSON text can hold."""
    return msgspec.structs.replace(
        document,
        id=_printable(document.id),
        title=" ".join(_printable(document.title).split())[:_LONGEST_TITLE],
        text=_printable(document.text),
        metadata={name: _clean_value(value) for name, value in document.metadata.items()},
    )


def _clean_value(value: Any) -> Any:
    if isinstance(value, str):
        return _printable(value)
    return [_printable(item) for item in value] if isinstance(value, list) else value


def _printable(text: str) -> str:
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def _reason(error: Exception, path: Path) -> str:
    if isinstance(error, OSError) and error.errno:  # without, a library means the content
        return _os_reason(error)
    if isinstance(error, MemoryError):
        return "too large for the memory there is"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    kind = f"{path.suffix.lower().lstrip('.') or 'text'} file"
    return f"damaged, or no {kind} ({_brief(error)})"


def _os_reason(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "no permission to read it"
    if isinstance(error, FileNotFoundError):
        return "it is no longer there"
    if isinstance(error, IsADirectoryError):
        return "a folder, not a file"
    return (error.strerror or _brief(error)).lower()


def _brief(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:_LONGEST_REASON].strip("'\". ")


ROWS: Mapping[str, Callable[[Path], AbstractContextManager[Rows]]] = {
    ".csv": table_rows,
    ".tsv": table_rows,
    ".json": json_rows,
    ".jsonl": json_line_rows,
    ".ndjson": json_line_rows,
}
_SURROGATE = re.compile("[\ud800-\udfff]")
_LONGEST_TITLE = 300
_LONGEST_REASON = 120
