"""Slices: the cases whose metadata fit a filter, in the language of searches (`retrieval.filters`).

    topic = "leave" and year >= 2020

The metadata go into a table in memory, and SQLite says what fits: a filter means the same here as
in a search. `id` is the case's id.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from typing import Any


def fitting(expression: str, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> list[bool]:
    """Whether each row fits: the id of a case, and its metadata. Raises FilterError for a filter
    that does not parse, or that names a field that no row has."""
    import sqlite3

    from onrecord.retrieval.filter_sql import to_sql
    from onrecord.retrieval.filters import FIELDS_SQL, parse

    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE document (id TEXT, title TEXT, metadata TEXT)")
        database.executemany(
            "INSERT INTO document VALUES (?, NULL, ?)",
            ((id, json.dumps(metadata, default=str)) for id, metadata in rows),
        )
        fields: dict[str, set[str]] = {}
        for name, kind in database.execute(FIELDS_SQL):
            fields.setdefault(name, set()).add(kind)
        condition, parameters = to_sql(parse(expression, fields))
        found = database.execute(f"SELECT ({condition}) FROM document ORDER BY rowid", parameters)
        return [bool(fits) for (fits,) in found]
