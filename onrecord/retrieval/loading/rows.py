"""Rows of any origin (CSV, JSON, JSON Lines) as documents: a row, a document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from onrecord.errors import LoadError, UsageError
from onrecord.retrieval.document import Document, Failure, Fields
from onrecord.retrieval.loading.values import json_text, key


class Row(NamedTuple):
    """A row's number in its file, counted as `place` says ("row" or "line"), and its fields."""

    number: int
    values: Mapping[str, Any]


class BadRow(NamedTuple):
    """A row that could not be read, and why."""

    number: int
    reason: str


class Rows(NamedTuple):
    """What the formats differ in.

    `place` is what the numbers count, "row" or "line"; `metadata` turns fields into metadata; an
    object `alone` in its file is called by the file's name, without a number.
    """

    rows: Iterable[Row | BadRow]
    place: str
    metadata: Callable[[Mapping[str, Any]], dict[str, Any]]
    alone: bool = False


def row_documents(
    source: Rows, path: Path, fields: Fields, document_id: str
) -> Iterator[Document | Failure]:
    """A document for each good row, a Failure for each bad one (the first hundred, then a count).

    The text is the field named, else one called text, content or body, else every field as a
    `name: value` line. Fields that are not the row's text, id or title are its metadata.
    """
    rows = iter(source.rows)
    first = list(islice(rows, _SAMPLE))
    samples = [row.values for row in first if isinstance(row, Row)]
    chosen = _choose(samples, fields, path)
    seen: set[str] = set()
    bad = good = 0
    for row in chain(first, rows):
        made: Document | BadRow
        if isinstance(row, BadRow):
            made = row
        else:
            made = _document(
                row, chosen, source, path, _id(row, chosen, fields, source, document_id)
            )
        if isinstance(made, Document) and made.id in seen:
            made = BadRow(row.number, f"an earlier {source.place} has the id {made.id!r}")
        if isinstance(made, Document):
            if chosen.id:  # without ids of their own, numbers cannot meet
                seen.add(made.id)
            good += 1
            yield made
        else:
            bad += 1
            if bad <= _MOST_REPORTED:
                yield Failure(str(path), f"{source.place} {made.number:,}: {made.reason}")
    if bad > _MOST_REPORTED:
        yield Failure(str(path), f"{bad - _MOST_REPORTED:,} more bad {source.place}s")
    if not good and not bad:
        raise LoadError(f"no {source.place}s in it", where=str(path))


def every_row(source: Rows, path: Path, text: str | None) -> Iterator[Document | Failure]:
    """A document or a Failure for each row, in their order: none is left out of the count, and none
    is refused for an id that an earlier row has. `text` names the field of the text.

    Documents are called `#NUMBER`; whatever the rows call themselves is metadata.
    """
    rows = iter(source.rows)
    first = list(islice(rows, _SAMPLE))
    samples = [row.values for row in first if isinstance(row, Row)]
    chosen = msgspec.structs.replace(_choose(samples, Fields(text=text), path), id=None)
    for row in chain(first, rows):
        number = f"#{row.number}"
        made = _document(row, chosen, source, path, number) if isinstance(row, Row) else row
        if isinstance(made, BadRow):
            yield Failure(str(path), f"{source.place} {made.number:,}: {made.reason}")
        else:
            yield made


def _choose(samples: Sequence[Mapping[str, Any]], fields: Fields, path: Path) -> Fields:
    """The fields of text, id and title: as named, which must exist, else by their usual names."""
    names = list(dict.fromkeys(name for row in samples for name in row))
    if not samples:
        return fields
    title = _pick(names, fields.title, _TITLES, "title", path)
    text = _pick(names, fields.text, _TEXTS, "text", path)
    return Fields(text, _pick(names, fields.id, _IDS, "id", path), title)


def _pick(
    names: Sequence[str], named: str | None, usual: Sequence[str], role: str, path: Path
) -> str | None:
    if named is not None and named in names:
        return named
    by_key = {key(name): name for name in reversed(names)}
    if named is None:
        return next((by_key[name] for name in usual if name in by_key), None)
    if key(named) in by_key:
        return by_key[key(named)]
    known = ", ".join(names[:_MOST_NAMES]) + (", ..." if len(names) > _MOST_NAMES else "")
    raise UsageError(
        f"there is no field {named!r} for the {role}",
        where=str(path),
        cure=f"Its fields are: {known}",
    )


def _document(row: Row, chosen: Fields, source: Rows, path: Path, id: str) -> Document | BadRow:
    values = row.values
    text = _as_text(values.get(chosen.text)) if chosen.text else _rendered(values)
    if not text.strip():
        return BadRow(row.number, f"no {chosen.text}" if chosen.text else "empty")
    title = _as_text(values.get(chosen.title)) if chosen.title else ""
    others = {n: v for n, v in values.items() if n not in (chosen.text, chosen.id, chosen.title)}
    if not chosen.text:  # a long value is in the text already, and is nothing to filter by
        others = {name: v for name, v in others.items() if len(_as_text(v)) <= _LONGEST_FIELD}
    number = "" if source.alone else f"#{row.number}"
    own_id = _as_text(values.get(chosen.id)) if chosen.id else ""
    return Document(
        id=id,
        title=title.strip() or f"{path.stem} {own_id or number}",
        text=text,
        format="row",
        metadata=source.metadata(others),
    )


def _id(row: Row, chosen: Fields, fields: Fields, source: Rows, document_id: str) -> str:
    """The row's own id, as it stands, where the user has named its field.

    Where the field was only guessed the file's name goes before it: two tables may both count from
    one.
    """
    own_id = _as_text(row.values.get(chosen.id)) if chosen.id else ""
    if own_id and fields.id is not None:
        return own_id
    return document_id if source.alone else f"{document_id}#{own_id or row.number}"


def _rendered(values: Mapping[str, Any]) -> str:
    lines = ((name, _as_text(value).strip()) for name, value in values.items())
    return "\n".join(f"{name}: {value}" for name, value in lines if value)


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "\n".join(value)
    return json_text(value) or ""


_TEXTS = ("text", "content", "body", "passage", "page_content")
_IDS = ("id", "_id", "document_id", "doc_id", "field_id")
_TITLES = ("title", "name", "subject", "heading")
_SAMPLE = 100
_MOST_REPORTED = 100
_MOST_NAMES = 30
_LONGEST_FIELD = 1_000
