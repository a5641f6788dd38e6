"""Slices: the cases whose metadata fit a filter, in the language of searches (`retrieval.filters`).

    topic = "leave" and year >= 2020

The metadata go into a table in memory, and SQLite says what fits: a filter means the same here as
in a search. `id` is the case's id.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from onrecord.errors import FilterError

if TYPE_CHECKING:
    from onrecord.retrieval.filter_tree import Expression


def fitting(expression: str, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> list[bool]:
    """Whether each row fits: the id of a case, and its metadata. Raises FilterError for a filter
    that does not parse, or that names a field that no row has."""
    import sqlite3

    from onrecord.retrieval.filter_sql import to_sql
    from onrecord.retrieval.filters import FIELDS_SQL

    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE document (id TEXT, title TEXT, metadata TEXT)")
        database.executemany(
            "INSERT INTO document VALUES (?, NULL, ?)",
            ((id, json.dumps(metadata, default=str)) for id, metadata in rows),
        )
        fields: dict[str, set[str]] = {}
        for name, kind in database.execute(FIELDS_SQL):
            fields.setdefault(name, set()).add(kind)
        condition, parameters = to_sql(_parsed(expression, fields))
        found = database.execute(f"SELECT ({condition}) FROM document ORDER BY rowid", parameters)
        return [bool(fits) for (fits,) in found]


def _parsed(expression: str, fields: Mapping[str, set[str]]) -> Expression:
    """The filter. Documents always have a title, of which cases know nothing."""
    from onrecord.retrieval.filters import parse

    try:
        return parse(expression, fields)
    except FilterError as error:
        cure = error.cure if "title" in fields else error.cure.replace(", title", "", 1)
        raise FilterError(error.what, where=error.where, cure=cure) from None
